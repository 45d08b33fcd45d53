from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.typing import NDArray

from grjca.errors import GrjcaError
from grjca.report.plots import plot_prediction, plot_training

pytestmark = pytest.mark.filterwarnings("error")

NO_FACE, NO_SOUND = (0xCC, 0x79, 0xA7), (0xE6, 0x9F, 0x00)
UNATTENDED, FIRST, SECOND = (0xBF, 0xBF, 0xBF), (0x56, 0xB4, 0xE9), (0x00, 0x9E, 0x73)
BLUE = (0x00, 0x72, 0xB2)


def clip(rows: int = 100, **changes: Any) -> dict[str, Any]:
    time = np.arange(rows) / 25
    wave = np.stack([0.5 * np.sin(time), 0.5 * np.cos(time)], axis=1)
    everything = {
        "title": "a clip",
        "time": time,
        "prediction": wave,
        "face_valid": np.ones(rows, np.bool_),
        "audio_valid": np.ones(rows, np.bool_),
    }
    return everything | changes


def gates(rows: int, weights: tuple[float, ...] = (0.2, 0.3, 0.5)) -> dict[str, NDArray[Any]]:
    return {name: np.tile(np.array(weights), (rows, 1)) for name in ("visual", "audio")}


def picture(path: Path) -> NDArray[Any]:
    """The PNG as (H, W, 3) RGB, after looking that it is a whole one of a sensible size."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert data[-8:-4] == b"IEND"
    image = cv2.imread(str(path))
    assert image is not None
    height, width = image.shape[:2]
    assert 1200 <= width <= 2000
    assert 500 <= height <= 1500
    return image[..., ::-1]


def pixels(image: NDArray[Any], colour: tuple[int, int, int], share: float = 0.82) -> int:
    """How many pixels have this colour in the left part of the picture, free of legends."""
    plot = image[:, : int(image.shape[1] * share)]
    return int((plot == np.array(colour)).all(axis=-1).sum())


def drawn(path: Path, **what: Any) -> NDArray[Any]:
    plot_prediction(path, **what)
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    return picture(path)


def test_everything_at_once(tmp_path: Path) -> None:
    labels = clip()["prediction"] + 0.1
    labels[30:60] = np.nan
    image = drawn(tmp_path / "p.png", **clip(gates=gates(100), labels=labels))
    bare = drawn(tmp_path / "p.png", **clip())
    assert image.shape[0] > bare.shape[0]
    assert pixels(bare, FIRST) == 0
    areas = np.array([pixels(image, c) for c in (UNATTENDED, FIRST, SECOND)])
    np.testing.assert_allclose(areas / areas.sum(), [0.2, 0.3, 0.5], atol=0.03)


def test_missing_faces_and_sound_are_shaded_in_proportion(tmp_path: Path) -> None:
    half, all_of_it, one = (np.arange(100) >= n for n in (50, 100, 1))
    shaded = {
        name: drawn(tmp_path / "p.png", **clip(face_valid=face, audio_valid=sound))
        for name, face, sound in (
            ("none", half | ~half, half | ~half),
            ("face", half, half | ~half),
            ("sound", half | ~half, half),
            ("all", all_of_it, all_of_it),
            ("one", one, one | ~one),
        )
    }
    assert pixels(shaded["none"], NO_FACE) == pixels(shaded["none"], NO_SOUND) == 0
    assert pixels(shaded["face"], NO_SOUND) == pixels(shaded["sound"], NO_FACE) == 0

    def area(name: str, colour: tuple[int, int, int]) -> int:
        return pixels(shaded[name], colour, 1.0) - pixels(shaded["none"], colour, 1.0)

    everywhere = area("all", NO_FACE)
    assert area("face", NO_FACE) == pytest.approx(everywhere / 2, rel=0.02)
    assert area("one", NO_FACE) == pytest.approx(everywhere / 100, rel=0.3)
    assert area("all", NO_SOUND) == pytest.approx(everywhere, rel=0.01)
    assert area("sound", NO_SOUND) == pytest.approx(everywhere / 2, rel=0.02)


def test_labels_leave_gaps(tmp_path: Path) -> None:
    flat = clip(prediction=np.full((100, 2), np.nan))
    labels = np.tile([0.5, -0.5], (100, 1))
    full = drawn(tmp_path / "p.png", **flat, labels=labels)
    labels[20:80] = np.nan
    gappy = drawn(tmp_path / "p.png", **flat, labels=labels)
    assert (full != gappy).any(axis=(0, 2)).sum() > 300


def test_one_hour_keeps_a_single_outlier_and_a_single_missing_frame(tmp_path: Path) -> None:
    rows = 90_000
    calm = clip(rows, prediction=np.zeros((rows, 2)), gates=gates(rows))
    before = drawn(tmp_path / "p.png", **calm)
    outlier, face = np.zeros((rows, 2)), np.ones(rows, np.bool_)
    outlier[45_678, 0] = 0.9
    face[12_345] = False
    after = drawn(tmp_path / "p.png", **(calm | {"prediction": outlier, "face_valid": face}))
    changed = np.flatnonzero((before != after).any(axis=(1, 2)))
    assert np.ptp(changed) > 200
    assert pixels(before, NO_FACE) == 0
    assert pixels(after, NO_FACE) > 5


@pytest.mark.parametrize("rows", [1, 2, 3, 4000, 4001])
def test_any_number_of_rows(tmp_path: Path, rows: int) -> None:
    what = clip(rows, gates=gates(rows), labels=np.zeros((rows, 2)))
    image = drawn(tmp_path / "p.png", **what)
    assert pixels(image, BLUE) > 10
    assert pixels(image, FIRST) > 1000


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_no_prediction_at_all(tmp_path: Path, value: float) -> None:
    nothing = np.zeros(5000, np.bool_)
    what = clip(5000, face_valid=nothing, audio_valid=nothing, labels=np.full((5000, 2), np.nan))
    unknown = {k: v * np.nan for k, v in gates(5000).items()}
    what |= {"prediction": np.full((5000, 2), value), "gates": unknown}
    image = drawn(tmp_path / "p.png", **what)
    assert pixels(image, BLUE) == pixels(image, FIRST) == 0


def test_a_lone_value_between_gaps_is_seen(tmp_path: Path) -> None:
    lone = np.full((100, 2), np.nan)
    lone[50, 0] = 0.3
    assert pixels(drawn(tmp_path / "p.png", **clip(prediction=lone)), BLUE) > 10


def test_one_dimension_many_iterations_uneven_times(tmp_path: Path) -> None:
    time = np.cumsum(np.random.default_rng(0).uniform(0.001, 20, 300)) - 3.0
    what = clip(300, time=time, prediction=np.zeros((300, 1)), names=["valence"])
    drawn(tmp_path / "p.png", **what, gates=gates(300, (0.1,) * 10))
    drawn(tmp_path / "p.png", **what, gates=gates(300, (1.0,)))


@pytest.mark.parametrize(
    "title",
    [
        "",
        "$x$ costs 5$",
        r"$\frac{",
        r"\undefined_{^",
        "<b>&amp;</b>",
        "two\nlines\r\n\tand a tab\0",
        "\u65e5\u672c\u8a9e \U0001f600 \udce9 \u202e",
        "/".join(["a very long folder"] * 40),
    ],
)
def test_any_title_is_shown_as_it_is(tmp_path: Path, title: str) -> None:
    image = drawn(tmp_path / "p.png", **clip(title=title))
    ink = np.flatnonzero((image[:28] < 128).any(axis=(0, 2)))
    assert 5 < ink[0] < ink[-1] < image.shape[1] - 5


def test_dollars_are_no_formula(tmp_path: Path) -> None:
    plain = drawn(tmp_path / "p.png", **clip(title="a x b"))[:40]
    dollars = drawn(tmp_path / "p.png", **clip(title="a $x$ b"))[:40]
    width = [int(np.ptp(np.flatnonzero((i < 128).any(axis=(0, 2))))) for i in (plain, dollars)]
    assert width[1] > width[0] + 20


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prediction": np.zeros((99, 2))}, "prediction"),
        ({"prediction": np.zeros(100)}, "prediction"),
        ({"labels": np.zeros((100, 3))}, "labels"),
        ({"face_valid": np.ones(1, np.bool_)}, "face_valid"),
        ({"audio_valid": np.ones((100, 1), np.bool_)}, "audio_valid"),
        ({"gates": {"visual": np.ones(100)}}, "gates of visual"),
        ({"gates": {"audio": np.ones((100, 0))}}, "gates of audio"),
        ({"time": np.zeros(100)}, "increasing"),
        ({"time": np.full(100, np.nan)}, "increasing"),
    ],
)
def test_refuses_what_does_not_belong_together(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plot_prediction(tmp_path / "p.png", **clip(**changes))
    with pytest.raises(ValueError, match="without rows"):
        plot_prediction(tmp_path / "p.png", **clip(0))
    assert not list(tmp_path.iterdir())


def epochs(count: int) -> list[dict[str, float]]:
    score = [0.6 - 0.02 * abs(i - count / 2) for i in range(count)]
    return [
        {
            "epoch": i + 1,
            "train_loss": 1 / (i + 1),
            "val_ccc_valence": s - 0.1,
            "val_ccc_arousal": s + 0.1,
            "val_ccc": s,
            "lr": 1e-3,
        }
        for i, s in enumerate(score)
    ]


@pytest.mark.parametrize("count", [1, 2, 30, 500])
def test_training_curves(tmp_path: Path, count: int) -> None:
    plot_training(tmp_path / "t.png", epochs(count))
    assert pixels(picture(tmp_path / "t.png"), SECOND) > 50


def test_the_best_epoch_is_where_the_mean_is_highest(tmp_path: Path) -> None:
    places = []
    for best in (5, 25):
        rows = epochs(30)
        rows[best]["val_ccc"] = 0.9
        rows[10]["val_ccc"] = float("nan")
        plot_training(tmp_path / "t.png", rows)
        image = picture(tmp_path / "t.png")[:, :1000]
        places.append(np.flatnonzero((image == np.array(SECOND)).all(axis=-1).any(axis=0)).mean())
    assert places[1] - places[0] > 300


@pytest.mark.parametrize(
    "rows",
    [
        [{}],
        [{"epoch": 1, "train_loss": float("nan")}],
        [{"train_loss": 0.5}, {"train_loss": float("inf")}, {"lr": 0.0}],
        [{"epoch": 3, "val_ccc_valence": 0.3}, {"epoch": 4, "val_ccc": -0.2}],
        [{key: float("nan") for key in row} | {"epoch": row["epoch"]} for row in epochs(3)],
    ],
)
def test_training_with_holes(tmp_path: Path, rows: list[dict[str, float]]) -> None:
    plot_training(tmp_path / "t.png", rows)
    picture(tmp_path / "t.png")


def test_training_without_epochs(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without epochs"):
        plot_training(tmp_path / "t.png", [])
    assert not list(tmp_path.iterdir())


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow over 4 KiB, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_leaves_the_old_picture(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(b"old")
    with pytest.raises(GrjcaError, match=r"p\.png: write: cannot write it: .+ space"):
        plot_prediction(tmp_path / "p.png", **clip())
    assert [p.name for p in tmp_path.iterdir()] == ["p.png"]
    assert (tmp_path / "p.png").read_bytes() == b"old"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(GrjcaError, match="cannot write it"):
        plot_prediction(tmp_path / "file" / "p.png", **clip())
    (tmp_path / "file").unlink()
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(GrjcaError, match="directory"):
        plot_training(tmp_path / "folder.png", epochs(3))
    assert [p.name for p in tmp_path.iterdir()] == ["folder.png"]


def test_drawing_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(canvas: FigureCanvasAgg, file: Any) -> None:  # noqa: ARG001
        file.write(b"\x89PNG")
        raise RuntimeError("no more memory")

    monkeypatch.setattr(FigureCanvasAgg, "print_png", half)
    with pytest.raises(RuntimeError, match="no more memory"):
        plot_prediction(tmp_path / "p.png", **clip())
    assert not list(tmp_path.iterdir())


def test_global_state_is_left_alone(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    plot_training(tmp_path / "t.png", epochs(3))
    assert dict(matplotlib.rcParams) == before
    code = "import sys, grjca.report.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_gate_across_has_no_share_of_unattended_features(tmp_path: Path) -> None:
    across = {"visual_across": np.tile(np.array([0.4, 0.6]), (100, 1))}
    image = drawn(tmp_path / "p.png", **clip(gates=across))
    assert pixels(image, UNATTENDED) < 500  # edges of letters
    assert pixels(image, FIRST) > 1000 < pixels(image, SECOND)
