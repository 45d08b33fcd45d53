from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from grjca.stages.faces import TEMPLATES, FaceTracker, align, similarity
from grjca.stages.types import Detections, FaceBatch, FrameBatch

turns = st.floats(-np.pi, np.pi)


def placed(angle: float, scale: float, shift: Sequence[float]) -> NDArray[np.float64]:
    """(2, 3) matrix of a similarity."""
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    return np.array(((cos, -sin, shift[0]), (sin, cos, shift[1])))


def texture(u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth picture over a face's own coordinates, in units of the crop."""
    return 128 + 50 * np.sin(2 * np.pi * 2.5 * u + 1) + 50 * np.cos(2 * np.pi * 3 * v + u)


@given(seed=st.integers(0, 2**32 - 1))
def test_similarity_is_the_least_squares_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    source, target = rng.uniform(0, 1000, (5, 2)), rng.uniform(0, 64, (5, 2))
    x, y, one, none = *source.T, np.ones(5), np.zeros(5)
    system = np.concatenate((np.stack((x, -y, one, none), 1), np.stack((y, x, none, one), 1)))
    (cos, sin, right, down), *_ = np.linalg.lstsq(system, target.T.ravel())
    wanted = ((cos, -sin, right), (sin, cos, down))
    np.testing.assert_allclose(similarity(source, target), wanted, rtol=1e-7, atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(
    angle=turns,
    face=st.floats(40, 400),
    shift=st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)),
    template=st.sampled_from(sorted(TEMPLATES)),
    size=st.sampled_from((32, 48)),
)
def test_a_turned_and_scaled_face_gives_the_same_crop(
    angle: float, face: float, shift: tuple[float, float], template: str, size: int
) -> None:
    side = int(face * 2.2)
    middle = side / 2 + face * np.array(shift)
    to_frame = placed(angle, face, middle - placed(angle, face, (0, 0))[:, :2] @ (0.5, 0.5))
    y, x = np.mgrid[:side, :side] + 0.5
    back = np.linalg.inv(to_frame[:, :2])
    u, v = np.tensordot(back, np.stack((x - to_frame[0, 2], y - to_frame[1, 2])), axes=1)
    frame = np.repeat(np.round(texture(u, v))[..., None], 3, axis=2).astype(np.uint8)
    landmarks = TEMPLATES[template] @ to_frame[:, :2].T + to_frame[:, 2]
    crop = align(frame, landmarks.astype(np.float32), template, size)

    row, column = np.mgrid[:size, :size]
    wanted = texture((column + 0.5) / size, (row + 0.5) / size)
    inside = in_frame(to_frame, size, side)
    assert inside.mean() > 0.5
    # Half a pixel off would show as more than 10 grey levels.
    assert np.abs(crop[..., 0] - wanted)[inside].max() < 5


def in_frame(to_frame: NDArray[np.float64], size: int, side: int) -> NDArray[np.bool_]:
    """Which pixels of a crop lie well inside the frame."""
    row, column = (np.mgrid[:size, :size] + 0.5) / size
    x, y = np.tensordot(to_frame[:, :2], np.stack((column, row)), axes=1)
    x, y = x + to_frame[0, 2], y + to_frame[1, 2]
    edge = side / size
    return np.asarray(np.minimum(np.minimum(x, y), side - np.maximum(x, y)) > edge)


def test_fine_detail_of_a_large_face_is_averaged() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
    landmarks = (TEMPLATES["face64"] * 580 + 10).astype(np.float32)
    crop = align(frame, landmarks, "face64", 64)
    assert crop.std() < frame.std() / 4


def test_beyond_the_frame_the_nearest_pixel_is_repeated() -> None:
    frame = np.full((20, 30, 3), 200, dtype=np.uint8)
    landmarks = (TEMPLATES["face64"] * 40 - 15).astype(np.float32)
    assert (align(frame, landmarks, "face64", 64) == 200).all()


def test_alignment_refuses_what_it_cannot_do() -> None:
    frame = np.zeros((20, 20, 3), dtype=np.uint8)
    landmarks = np.full((5, 2), 7, dtype=np.float32)
    with pytest.raises(ValueError, match="coincide"):
        align(frame, landmarks, "face64", 64)
    with pytest.raises(ValueError, match="face64, arcface112"):
        align(frame, landmarks, "face65", 64)
    with pytest.raises(ValueError, match="frame"):
        align(frame[..., 0], landmarks, "face64", 64)


Face = tuple[float, float, float, float]  # centre x, centre y, side, score


def found(*faces: Face) -> Detections:
    """Detections with the template's landmarks in each box."""
    boxes, points, scores = [], [], []
    for x, y, side, score in faces:
        boxes.append((x - side / 2, y - side / 2, x + side / 2, y + side / 2))
        points.append(TEMPLATES["face64"] * side + (x - side / 2, y - side / 2))
        scores.append(score)
    return Detections(
        np.array(boxes, dtype=np.float32).reshape(-1, 4),
        np.array(points, dtype=np.float32).reshape(-1, 5, 2),
        np.array(scores, dtype=np.float32),
    )


def follow(
    frames: Sequence[Detections], time: NDArray[np.float64], cuts: Sequence[int] = ()
) -> list[FaceBatch]:
    """Run a tracker over frames in batches that end at the cuts."""
    pictures = np.random.default_rng(0).integers(0, 256, (len(frames), 40, 60, 3), dtype=np.uint8)
    tracker = FaceTracker(size=8, template="face64")
    edges = [0, *sorted(cuts), len(frames)]
    return [
        tracker.update(FrameBatch(pictures[a:b], time[a:b], a), list(frames[a:b]))
        for a, b in pairwise(edges)
    ]


def at_25_fps(n: int) -> NDArray[np.float64]:
    return np.arange(n) / 25


def test_follows_one_face_and_marks_frames_without_it() -> None:
    here: Face = (20, 20, 12, 0.9)
    (rows,) = follow([found(here), found(), found(here)], at_25_fps(3))
    assert rows.valid.tolist() == [True, False, True]
    assert rows.track.tolist() == [0, -1, 0]
    assert np.isnan(rows.box[1]).all()
    assert np.isnan(rows.landmarks[1]).all()
    assert np.isnan(rows.score[1])
    np.testing.assert_array_equal(rows.box[0], (14, 14, 26, 26))
    assert rows.score[2] == np.float32(0.9)


def test_the_crop_is_the_aligned_face() -> None:
    detections = found((20, 20, 12, 0.9))
    (rows,) = follow([detections], at_25_fps(1))
    frame = np.random.default_rng(0).integers(0, 256, (1, 40, 60, 3), dtype=np.uint8)[0]
    np.testing.assert_array_equal(rows.crops[0], align(frame, detections.landmarks[0], "face64", 8))


def test_starts_with_the_largest_face_and_then_the_best_score() -> None:
    (rows,) = follow(
        [found((10, 20, 8, 0.99), (30, 20, 16, 0.91), (50, 20, 16, 0.95))], at_25_fps(1)
    )
    assert rows.box[0].tolist() == [42, 12, 58, 28]


@pytest.mark.parametrize("reverse", [False, True])
def test_faces_that_pass_each_other_do_not_swap(reverse: bool) -> None:
    frames = []
    for step in range(21):
        first: Face = (10 + 2 * step, 18, 16, 0.95)
        second: Face = (50 - 2 * step, 25, 10 + 0.5 * step, 0.99)
        frames.append(found(second, first) if reverse else found(first, second))
    (rows,) = follow(frames, at_25_fps(21))
    assert rows.track.tolist() == [0] * 21
    np.testing.assert_allclose(rows.box[:, 0], 2 + 2 * np.arange(21))


def test_a_bystander_who_grows_does_not_take_over() -> None:
    frames = [found((15, 20, 10, 0.95), (42, 20, 8 + step, 0.99)) for step in range(12)]
    (rows,) = follow(frames, at_25_fps(12))
    assert (rows.box[:, 0] == 10).all()


def test_one_missed_detection_does_not_hand_over_to_a_bystander() -> None:
    main, other = (15.0, 20.0, 14.0, 0.95), (45.0, 20.0, 10.0, 0.99)
    both = found(main, other)
    (rows,) = follow([both, both, found(other), both, both], at_25_fps(5))
    assert rows.track.tolist() == [0, 0, 1, 0, 0]


@pytest.mark.parametrize(("gap", "track"), [(0.5, 0), (0.54, 1)])
def test_a_face_is_waited_for_half_a_second(gap: float, track: int) -> None:
    here = found((20, 20, 12, 0.9))
    (rows,) = follow([here, found(), here], np.array((0, gap / 2, gap)))
    assert rows.track.tolist() == [0, -1, track]


def test_a_face_elsewhere_is_a_new_track() -> None:
    (rows,) = follow([found((12, 20, 12, 0.9)), found((45, 20, 12, 0.9))], at_25_fps(2))
    assert rows.track.tolist() == [0, 1]


faces_of_a_frame = st.lists(
    st.tuples(
        st.sampled_from((10.0, 13.0, 40.0, 46.0)),
        st.sampled_from((14.0, 20.0)),
        st.sampled_from((8.0, 12.0)),
        st.sampled_from((0.9, 0.95)),
    ),
    max_size=3,
)


@settings(max_examples=60, deadline=None)
@given(
    clip=st.lists(st.tuples(st.floats(0.01, 0.4), faces_of_a_frame), min_size=1, max_size=20),
    data=st.data(),
)
def test_batches_do_not_change_the_result(
    clip: list[tuple[float, list[Face]]], data: st.DataObject
) -> None:
    time = np.cumsum([step for step, _ in clip])
    frames = [found(*faces) for _, faces in clip]
    cuts = data.draw(st.lists(st.integers(0, len(clip)), max_size=5))
    (whole,) = follow(frames, time)
    parts = follow(frames, time, cuts)
    for name in ("box", "landmarks", "score", "valid", "track", "crops"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(whole, name), err_msg=name)
    seen = whole.track[whole.valid]
    assert (whole.track[~whole.valid] == -1).all()
    assert set(seen) == set(range(len(set(seen))))


def test_the_tracker_refuses_what_does_not_fit() -> None:
    frames = FrameBatch(np.zeros((2, 4, 4, 3), dtype=np.uint8), np.array((0.0, 1.0)), 0)
    with pytest.raises(ValueError, match="2 frames, but detections of 1"):
        FaceTracker(8, "face64").update(frames, [found()])
    with pytest.raises(ValueError, match="no template"):
        FaceTracker(8, "other")
    with pytest.raises(ValueError, match="0 pixels"):
        FaceTracker(0, "face64")
