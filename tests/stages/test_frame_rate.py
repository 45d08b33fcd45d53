"""Frames at another rate, against a search through all frames for every row."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_makers import make_clip, read_number
from numpy.typing import NDArray

from grjca.stages.frame_rate import HIGHEST_RATE, resampled
from grjca.stages.probe import probe
from grjca.stages.types import FrameBatch
from grjca.stages.video import VideoDecoder


def clip(
    time: NDArray[np.float64],
    cuts: list[int],
    present: NDArray[np.bool_] | None = None,
    index: NDArray[np.int64] | None = None,
) -> Iterator[FrameBatch]:
    """Frames of one pixel that is the frame's number, in batches that end at ``cuts``."""
    borders = sorted({0, len(time), *(cut for cut in cuts if cut < len(time))})
    numbers = np.arange(len(time))
    pictures = np.stack([numbers // 256, numbers % 256, 0 * numbers], axis=1).astype(np.uint8)
    for start, stop in itertools.pairwise(borders):
        here = slice(start, stop)
        yield FrameBatch(
            pictures[here, None, None, :],
            time[here],
            start,
            index=None if index is None else index[here],
            present=None if present is None else present[here],
        )


def joined(batches: list[FrameBatch]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Times and source frames of all rows; the pictures must be those frames'."""
    firsts = np.cumsum([0, *(len(batch) for batch in batches)])
    assert [batch.first for batch in batches] == firsts[:-1].tolist()
    index = np.concatenate([batch.index for batch in batches if batch.index is not None])
    pixels = np.concatenate([batch.frames for batch in batches])[:, 0, 0].astype(int)
    np.testing.assert_array_equal(pixels[:, 0] * 256 + pixels[:, 1], index)
    return np.concatenate([batch.time for batch in batches]), index


def brute_force(time: NDArray[np.float64], fps: float) -> tuple[list[float], list[int]]:
    tolerance = min(0.001, 0.1 / fps)
    rows, shown = [], []
    for k in itertools.count():
        moment = time[0] + k / fps
        if moment > time[-1] + tolerance:
            return rows, shown
        rows.append(moment)
        shown.append(max(i for i in range(len(time)) if time[i] <= moment + tolerance))
    raise AssertionError


times = st.lists(st.integers(1, 400_000), min_size=0, max_size=60).map(
    lambda steps: np.cumsum([0, *steps]) / 1e6
)


@given(
    time=times,
    start=st.integers(-100_000, 5_000_000),
    fps=st.sampled_from([1.0, 5.0, 12.5, 24.0, 25.0, 29.97, 30.0, 60.0, 240.0])
    | st.floats(0.3, 300.0),
    cuts=st.lists(st.integers(0, 60)),
)
def test_every_row_shows_the_latest_frame(
    time: NDArray[np.float64], start: int, fps: float, cuts: list[int]
) -> None:
    time = time + start / 1e6
    batches = list(resampled(clip(time, cuts), fps))
    rows, shown = joined(batches)
    expected, latest = brute_force(time, fps)
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(shown, latest)
    longest = max(len(batch) for batch in clip(time, cuts))
    assert max(len(batch) for batch in batches) <= longest
    assert all(batch.present is None for batch in batches)


@given(time=times, fps=st.floats(0.3, 300.0), first=st.lists(st.integers(0, 60)))
def test_borders_of_batches_do_not_matter(
    time: NDArray[np.float64], fps: float, first: list[int]
) -> None:
    some = joined(list(resampled(clip(time, first), fps)))
    whole = joined(list(resampled(clip(time, []), fps)))
    for a, b in zip(some, whole, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("fps", [24.0, 25.0, 29.97, 30_000 / 1001, 60.0, 120.0])
@pytest.mark.parametrize("digits", [3, 6, 12])
def test_the_clips_own_rate_changes_nothing(fps: float, digits: int) -> None:
    # Containers round their times: Matroska to milliseconds, others to ticks of some kHz.
    time = np.round(0.033 + np.arange(500) / fps, digits)
    _, shown = joined(list(resampled(clip(time, [7, 64, 300]), fps)))
    assert shown.tolist() == list(range(500))


def test_half_and_double() -> None:
    time = np.arange(10) / 30
    _, half = joined(list(resampled(clip(time, [3]), 15)))
    _, double = joined(list(resampled(clip(time, [3]), 60)))
    assert half.tolist() == [0, 2, 4, 6, 8]
    assert double.tolist() == [i // 2 for i in range(19)]


def test_a_long_pause_is_many_small_batches() -> None:
    time = np.array([0.0, 0.04, 100.0, 100.04])
    batches = list(resampled(clip(time, [2]), 25))
    _, shown = joined(batches)
    assert (shown == 1).sum() == 100 * 25 - 1
    assert max(len(batch) for batch in batches) == 2


def test_what_is_not_there_stays_so() -> None:
    present = np.array([True, False, True, True])
    batches = list(resampled(clip(np.arange(4) / 10, [3], present), 20))
    _, shown = joined(batches)
    assert shown.tolist() == [0, 0, 1, 1, 2, 2, 3]
    there = [batch.present for batch in batches if batch.present is not None]
    np.testing.assert_array_equal(np.concatenate(there), present[shown])


def test_numbers_of_numbered_frames() -> None:
    index = np.array([3, 4, 10, 11])
    (batch,) = resampled(clip(np.arange(4) / 10, [], index=index), 5)
    assert batch.index is not None
    assert batch.index.tolist() == [3, 10]


def test_sizes_do_not_mix() -> None:
    small = FrameBatch(np.zeros((3, 2, 2, 3), np.uint8), np.arange(3) / 10, 0)
    large = FrameBatch(np.ones((2, 4, 4, 3), np.uint8), np.arange(3, 5) / 10, 3)
    batches = list(resampled([small, large], 20))
    # The last small one is on display until the first large one.
    assert [batch.frames.shape for batch in batches] == [
        *[(3, 2, 2, 3)] * 2,
        *[(2, 4, 4, 3), (1, 4, 4, 3)],
    ]


def test_no_source_batch_is_changed_or_kept() -> None:
    frames = np.zeros((2, 4, 4, 3), np.uint8)
    batches = list(resampled([FrameBatch(frames, np.array([0.0, 1.0]), 0)], 3))
    assert not any(np.shares_memory(batch.frames, frames) for batch in batches)


def test_nothing_comes_from_nothing() -> None:
    assert list(resampled([], 25)) == []


@pytest.mark.parametrize("fps", [0.0, -25.0, float("nan"), float("inf"), 2 * HIGHEST_RATE])
def test_what_is_no_rate(fps: float) -> None:
    with pytest.raises(ValueError, match="rows per second"):
        resampled([], fps)


def test_a_real_variable_rate(tmp_path: Path) -> None:
    time = np.cumsum([0, 40, 1, 1, 150, 33, 33, 2, 400, 40, 7, 5]) / 1000
    path = make_clip(tmp_path / "clip.mp4", times=time.tolist(), sound=None)
    with VideoDecoder(path, probe(path), batch=5) as decoder:
        batches = list(resampled(decoder, 50))
    expected, latest = brute_force(time, 50)
    np.testing.assert_allclose(np.concatenate([b.time for b in batches]), expected, atol=2e-5)
    numbers = [read_number(frame) for batch in batches for frame in batch.frames]
    assert numbers == latest
