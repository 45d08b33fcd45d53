from __future__ import annotations

import socket
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import torch
from numpy.typing import NDArray

from grjca.errors import UsageError
from grjca.stages.catalog import identity
from grjca.stages.fa import FaBlazeFace, FaceAlignmentDetector, FaConfig, FaSfd, blazeface_anchors
from grjca.stages.fan import Fan, five_of, peaks
from grjca.stages.types import Detections

pytest.importorskip("face_alignment")

SFD, FAN, BACK, FRONT = (
    "s3fd-619a316812.pth",
    "2DFAN4-11f355bf06.pth.tar",
    "blazefaceback.pth",
    "blazeface.pth",
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TORCH_HOME with files of random weights, of the right names and keys."""
    from face_alignment.detection.blazeface.net_blazeface import BlazeFace
    from face_alignment.detection.sfd.net_s3fd import s3fd
    from face_alignment.models import fan

    torch.manual_seed(0)
    place = tmp_path_factory.mktemp("torch")
    folder = place / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    networks = {
        SFD: s3fd(),
        FAN: fan.FAN(4),
        BACK: BlazeFace(back_model=True),
        FRONT: BlazeFace(back_model=False),
    }
    for name, part in networks[SFD].named_parameters():
        if name.endswith("mbox_conf.bias"):
            # Most places show no face, or there would be tens of thousands of boxes.
            part.data[0] += 3
    for name, network in networks.items():
        torch.save(network.state_dict(), folder / name)
    return place


@pytest.fixture
def at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(home))
    return home


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was tried over the network; each try fails."""
    tried: list[str] = []

    def refuse(*where: Any, **_: Any) -> Any:
        tried.append(str(where))
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return tried


def astronaut() -> NDArray[np.uint8]:
    return np.asarray(skimage.data.astronaut(), dtype=np.uint8)


def with_boxes(
    detector: FaceAlignmentDetector, rows: list[list[float]], monkeypatch: pytest.MonkeyPatch
) -> FaceAlignmentDetector:
    """The detector, its network replaced by one that always finds these boxes and scores."""
    found = np.array(rows, dtype=np.float64).reshape(-1, 5)
    monkeypatch.setattr(detector, "_boxes", lambda _: found)
    return detector


@pytest.mark.parametrize(("cls", "names"), [(FaSfd, (SFD,)), (FaBlazeFace, (BACK, FRONT))])
def test_missing_weights_are_named_with_their_place_and_nothing_is_fetched(
    cls: type[FaceAlignmentDetector],
    names: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    offline: list[str],
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UsageError) as refused:
        cls()
    line = str(refused.value)
    assert all(name in line for name in (*names, FAN))
    assert str(tmp_path / "hub" / "checkpoints") in line
    assert "--detector-weights FILE" in line
    with pytest.raises(UsageError, match=r"gone\.pth"):
        cls(FaConfig(file=str(tmp_path / "gone.pth")))
    assert offline == []
    assert list(tmp_path.iterdir()) == []


def test_one_missing_file_is_named_alone(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    own = str(home / "hub" / "checkpoints" / SFD)
    with pytest.raises(UsageError) as refused:
        FaSfd(FaConfig(file=own))
    assert f"weights are missing: {FAN}." in str(refused.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grjca.stages.fa.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'grjca\[face-alignment\]'"):
        FaSfd()


def test_other_weights_are_refused(at_home: Path) -> None:
    other = str(at_home / "hub" / "checkpoints" / FRONT)
    with pytest.raises(UsageError, match=r"blazeface\.pth: weights: not the weights of fa-sfd"):
        FaSfd(FaConfig(file=other))


def grey_as_heatmaps(faces: torch.Tensor) -> list[torch.Tensor]:
    """Stands in for FAN, which takes a second a face, where only the way to it is looked at."""
    return [faces.mean(dim=1)[:, None, ::4, ::4].expand(-1, 68, -1, -1)]


@pytest.mark.parametrize(
    ("cls", "score", "file"),
    [(FaSfd, 0.06, None), (FaBlazeFace, 0.3, None), (FaBlazeFace, 0.3, FRONT)],
)
def test_the_whole_way_from_files_to_detections(
    cls: type[FaceAlignmentDetector],
    score: float,
    file: str | None,
    at_home: Path,
    offline: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = at_home / "hub" / "checkpoints"
    config = FaConfig(file=file and str(folder / file), max_side=128, score=score, flip=False)
    detector = cls(config)
    monkeypatch.setattr(detector.fan.network, "forward", grey_as_heatmaps)
    frames = np.stack((astronaut()[:200, :320], np.zeros((200, 320, 3), dtype=np.uint8)))
    found = detector.detect(frames)
    assert [type(one) for one in found] == [Detections, Detections]
    for one in found:
        assert (one.score > score).all()
        assert (np.diff(one.score) <= 0).all()
        assert (one.box >= 0).all()
        assert (one.box <= (320, 200, 320, 200)).all()
        assert np.isfinite(one.landmarks).all()
    again = detector.detect(frames)
    np.testing.assert_array_equal(found[0].box, again[0].box)
    np.testing.assert_array_equal(found[0].landmarks, again[0].landmarks)
    np.testing.assert_array_equal(found[0].box, detector.detect(frames[:1])[0].box)
    assert not torch.backends.cudnn.benchmark
    assert offline == []


def test_they_say_what_decides_their_output(at_home: Path, tmp_path: Path) -> None:
    detector = FaBlazeFace()
    assert identity(detector)["name"] == "fa-blazeface"
    assert set(identity(detector)["config"]) == {"max_side", "score", "flip"}
    folder = at_home / "hub" / "checkpoints"
    moved = tmp_path / "other name.pth"
    moved.write_bytes((folder / BACK).read_bytes())
    assert identity(FaBlazeFace(FaConfig(file=str(moved)))) == identity(detector)
    front = FaBlazeFace(FaConfig(file=str(folder / FRONT)))
    assert front.weights != detector.weights


def test_sfd_gives_the_boxes_that_the_package_gives(at_home: Path) -> None:
    from face_alignment.detection.sfd import FaceDetector

    frame = astronaut()[:96, 150:278]
    path = str(at_home / "hub" / "checkpoints" / SFD)
    theirs = FaceDetector("cpu", path_to_detector=path, filter_threshold=0.06)
    wanted = np.array(theirs.detect_from_image(frame))
    ours = FaSfd()._boxes(frame)
    ours = ours[ours[:, 4] > 0.06]
    assert len(wanted) > 3
    np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.usefixtures("at_home")
def test_blazeface_sees_the_whole_frame() -> None:
    detector = FaBlazeFace()
    raw = torch.zeros((1, 896, 16))
    size = torch.tensor((0.0, 0.0, 0.1, 0.2)) * 256
    logits = torch.full((1, 896, 1), -100.0)
    # The anchor in the 16x16 grid's row 3, column 14, and one that overlaps no face.
    at = (3 * 16 + 14) * 2
    raw[0, at, :4], logits[0, at] = size, 2.0
    raw[0, 7, :4], logits[0, 7] = -size, 2.0
    detector.network.forward = lambda _: [raw, logits]
    ((left, top, right, bottom, score),) = detector._boxes(np.zeros((300, 640, 3), np.uint8))
    np.testing.assert_allclose((left + right) / 2, 14.5 / 16 * 640, rtol=1e-5)
    np.testing.assert_allclose((top + bottom) / 2, 3.5 / 16 * 640, rtol=1e-5)
    np.testing.assert_allclose((right - left, bottom - top), (64, 128), rtol=1e-5)
    assert score == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-5)


def test_anchors_are_two_to_a_cell_and_six() -> None:
    anchors = blazeface_anchors()
    assert anchors.shape == (896, 4)
    assert (anchors[:, 2:] == 1).all()
    places, counts = np.unique(anchors[:, :2], axis=0, return_counts=True)
    assert len(places) == 16 * 16 + 8 * 8
    assert sorted(set(counts)) == [2, 6]
    # Row by row: first along the picture's width.
    assert anchors[0].tolist() == anchors[1].tolist() == [1 / 32, 1 / 32, 1, 1]
    assert anchors[2].tolist() == [3 / 32, 1 / 32, 1, 1]
    assert anchors[512].tolist() == anchors[517].tolist() == [1 / 16, 1 / 16, 1, 1]


@pytest.mark.slow
def test_landmarks_are_the_packages_before_it_rounds(at_home: Path) -> None:
    from face_alignment import FaceAlignment, LandmarksType

    box = np.array([[170.0, 60, 280, 190]])
    theirs = FaceAlignment(
        LandmarksType.TWO_D,
        device="cpu",
        face_detector="blazeface",
        face_detector_kwargs={
            "path_to_detector": str(at_home / "hub/checkpoints" / FRONT),
            "path_to_anchor": _anchors(at_home),
        },
        compile=False,
    )
    wanted = np.stack(theirs.get_landmarks_from_image(astronaut(), detected_faces=list(box)))
    fan = Fan(at_home / "hub" / "checkpoints" / FAN, torch.device("cpu"), flip=True)
    ours = fan.landmarks(astronaut(), box)
    assert ours.shape == wanted.shape == (1, 68, 2)
    np.testing.assert_array_equal(np.trunc(ours + 1e-6), wanted)


def _anchors(home: Path) -> str:
    path = home / "anchors.npy"
    np.save(path, blazeface_anchors())
    return str(path)


def test_peaks_are_the_packages() -> None:
    from face_alignment.utils import get_preds_fromhm

    heatmaps = np.random.default_rng(0).random((2, 68, 64, 64), dtype=np.float32)
    heatmaps[0, 0, 0, 5] = heatmaps[0, 1, 63, 63] = heatmaps[0, 2, 7, 0] = 2
    heatmaps[1, 3] = 0
    heatmaps[1, 3, 10:13, 20:23] = [[0, 1, 0], [0, 5, 2], [0, 0, 0]]
    ours = peaks(heatmaps)
    assert ours[1, 3].tolist() == [21.75, 11.25]
    np.testing.assert_allclose(ours, get_preds_fromhm(heatmaps.copy())[0], atol=1e-5)


def test_five_points_in_the_order_of_detections() -> None:
    points = np.zeros((1, 68, 2))
    points[0, 36:42] = (30, 40)
    points[0, 42:48] = (70, 41)
    points[0, 30], points[0, 48], points[0, 54] = (50, 60), (35, 80), (65, 81)
    wanted = [[[30, 40], [70, 41], [50, 60], [35, 80], [65, 81]]]
    assert five_of(points).tolist() == wanted
    assert five_of(points).dtype == np.float32
    assert five_of(points[:0]).shape == (0, 5, 2)


@pytest.mark.usefixtures("at_home")
def test_boxes_are_in_the_frames_pixels_and_bad_ones_are_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [
        [10, 20, 60, 90, 0.6],
        [-20, 30, 40, 100, 0.9],
        [70, 20, 120, 90, 0.4],
        [10, 20, 12, 22, 0.9],
        [10, 20, 5, 60, 0.9],
        [500, 20, 550, 90, 0.9],
        [0, 0, 9000, 9000, 0.9],
        [np.nan, 0, 50, 50, 0.9],
        [-np.inf, 0, np.inf, 50, 0.9],
        [10, 20, 60, 90, np.nan],
    ]
    detector = with_boxes(FaBlazeFace(FaConfig(max_side=256, flip=False)), rows, monkeypatch)
    monkeypatch.setattr(detector.fan.network, "forward", grey_as_heatmaps)
    (found,) = detector.detect(np.zeros((1, 300, 512, 3), dtype=np.uint8))
    np.testing.assert_allclose(found.box, [[0, 60, 80, 200], [20, 40, 120, 180]])
    np.testing.assert_allclose(found.score, [0.9, 0.6])
    assert found.landmarks.shape == (2, 5, 2)
    with_boxes(detector, [], monkeypatch)
    assert [len(one) for one in detector.detect(np.zeros((2, 1, 1, 3), dtype=np.uint8))] == [0, 0]
    with pytest.raises(ValueError, match="frames"):
        detector.detect(np.zeros((2, 64, 64, 3), dtype=np.float32))


@pytest.mark.usefixtures("at_home")
def test_boxes_anywhere_do_not_break_the_landmarks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    detector = FaBlazeFace(FaConfig(flip=False))
    rng = np.random.default_rng(0)
    monkeypatch.setattr(detector.fan.network, "forward", grey_as_heatmaps)
    seen = 0
    for _ in range(60):
        height, width = rng.integers(1, 200, 2)
        middle = rng.uniform(-0.3, 1.3, (6, 2)) * (width, height)
        half = 10 ** rng.uniform(-1, 2.5, (6, 2))
        rows = np.concatenate((middle - half, middle + half, rng.random((6, 1))), axis=1)
        with_boxes(detector, rows.tolist(), monkeypatch)
        (found,) = detector.detect(np.zeros((1, height, width, 3), dtype=np.uint8))
        assert (found.box <= (width, height, width, height)).all()
        seen += len(found)
    assert seen > 20


@pytest.mark.parametrize("values", [{"max_side": 8}, {"score": 0}, {"score": 1}])
def test_values_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        FaConfig(**values)
