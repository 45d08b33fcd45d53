from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from grjca.errors import GrjcaError
from grjca.report.agreement import plot_agreement
from grjca.report.stress import plot_stress

pytestmark = pytest.mark.filterwarnings("error")

NAN = float("nan")
BLUE, VERMILION = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)


def picture(path: Path) -> NDArray[Any]:
    image = cv2.imread(str(path))
    assert image is not None
    return image[..., ::-1]


def pixels(image: NDArray[Any], colour: tuple[int, int, int]) -> int:
    return int((image == np.array(colour)).all(axis=-1).sum())


def rows(ccc: float, low: float = 0.1, high: float = 0.1) -> list[Any]:
    bounds = {"valence": (ccc, ccc - low, ccc + high), "arousal": (0.2, NAN, NAN)}
    kinds = [("intact", 0.0), ("no sound", 0.0), ("no picture", 0.0), ("picture noise", 1.0),
             ("late sound", -1.0), ("late sound", 1.0), ("faces missing", 0.5)]  # fmt: skip
    return [(kind, level, bounds) for kind, level in kinds]


def test_bars_are_as_high_as_the_ccc(tmp_path: Path) -> None:
    areas = []
    for ccc in (0.8, 0.4):
        bars = [row for row in rows(ccc, NAN, NAN) if row[0] in ("intact", "no sound")]
        plot_stress(tmp_path / "s.png", bars, "a run")
        areas.append(pixels(picture(tmp_path / "s.png")[60:, :400], BLUE))
    assert min(areas) > 1000
    plot_stress(tmp_path / "s.png", rows(0.8), "$x_")
    assert pixels(picture(tmp_path / "s.png"), VERMILION) > 100


@pytest.mark.parametrize("ccc", [0.0, -1.0, NAN])
def test_any_value_can_be_drawn(tmp_path: Path, ccc: float) -> None:
    plot_stress(tmp_path / "s.png", rows(ccc), "a run")
    assert picture(tmp_path / "s.png").shape[1] > 900


def test_the_intact_features_alone(tmp_path: Path) -> None:
    plot_stress(tmp_path / "s.png", rows(0.5)[:1], "a run")
    with pytest.raises(ValueError, match="intact"):
        plot_stress(tmp_path / "s.png", rows(0.5)[1:], "a run")


def agreement(clips: int, frames: int, **changes: Any) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    labels = rng.uniform(-1, 1, (frames, 2))
    whole: dict[str, Any] = {
        "title": "a run",
        "prediction": 0.8 * labels,
        "labels": labels,
        "names": ("valence", "arousal"),
        "overall": {"valence": (0.9, 0.8, 0.95), "arousal": (0.9, NAN, NAN)},
        "clips": {f"lab/{i:03d}.mp4": {"valence": 0.9, "arousal": NAN} for i in range(clips)},
    }
    return whole | changes


@pytest.mark.parametrize(("clips", "frames"), [(0, 0), (1, 1), (5, 1000), (100, 10)])
def test_agreement_of_any_size(tmp_path: Path, clips: int, frames: int) -> None:
    plot_agreement(tmp_path / "a.png", **agreement(clips, frames))
    image = picture(tmp_path / "a.png")
    assert image.shape[1] > 1200
    assert pixels(image, BLUE) > 100
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_frames_on_the_line_of_agreement_are_on_it(tmp_path: Path) -> None:
    def dark(prediction: NDArray[Any]) -> int:
        plot_agreement(tmp_path / "a.png", **agreement(3, 500, prediction=prediction))
        left = picture(tmp_path / "a.png")[:, :500]
        return int((left.max(axis=-1) < 60).sum())

    labels = agreement(3, 500)["labels"]
    assert dark(labels) != dark(np.zeros_like(labels))


def test_names_that_look_like_formulas_are_shown_as_they_are(tmp_path: Path) -> None:
    odd = {"$\\frac{": {"valence": 0.1, "arousal": 0.2}, "a_{b$": {"valence": 0.3, "arousal": NAN}}
    plot_agreement(tmp_path / "a.png", **agreement(0, 10) | {"clips": odd, "title": "$"})
    with pytest.raises(ValueError, match="names"):
        plot_agreement(tmp_path / "a.png", **agreement(0, 10, names=("valence",)))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(GrjcaError, match="cannot write it"):
        plot_stress(tmp_path / "file" / "s.png", rows(0.5), "a run")
