from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from grjca.stages.faces import TEMPLATES, align, area, overlap, similarity

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


@pytest.mark.parametrize("size", [48, 64, 112])
def test_arcface_crops_have_the_published_points_at_any_size(size: int) -> None:
    published = np.array(
        ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655),
         (70.7299, 92.2041))
    )  # fmt: skip
    np.testing.assert_allclose(TEMPLATES["arcface112"] * 112, published)
    frame = cv2.GaussianBlur(
        np.random.default_rng(1).integers(0, 256, (112, 112, 3), dtype=np.uint8), (0, 0), 4
    )
    crop = align(frame, published.astype(np.float32), "arcface112", size)
    wanted = cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)
    assert np.abs(crop.astype(int) - wanted).max() <= 3


boxes = st.lists(
    st.tuples(*[st.integers(-20, 60)] * 2, *[st.integers(0, 40)] * 2), min_size=1, max_size=4
)


@given(one=boxes, other=boxes)
def test_overlap_counts_pixels(
    one: list[tuple[int, int, int, int]], other: list[tuple[int, int, int, int]]
) -> None:
    a = np.array([(x, y, x + w, y + h) for x, y, w, h in one], np.float32)
    b = np.array([(x, y, x + w, y + h) for x, y, w, h in other], np.float32)
    row, column = np.mgrid[-20:100, -20:100]
    masks = [
        [(column >= x) & (column < r) & (row >= y) & (row < d) for x, y, r, d in c] for c in (a, b)
    ]
    wanted = [
        [np.sum(p & q) / np.sum(p | q) if (p | q).any() else 0 for q in masks[1]] for p in masks[0]
    ]
    np.testing.assert_allclose(overlap(a[:, None], b), wanted, rtol=1e-6)
    np.testing.assert_array_equal(area(a), [p.sum() for p in masks[0]])
