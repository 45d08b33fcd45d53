from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from grjca.errors import GrjcaError, UsageError
from grjca.labels.records import ClipLabels
from grjca.labels.rows import labels_for_rows

NAN = np.nan


def made(
    values: ArrayLike, *, frame: ArrayLike | None = None, time: ArrayLike | None = None
) -> ClipLabels:
    return ClipLabels(
        "a.mp4",
        np.asarray(values, dtype=np.float64).reshape(len(np.asarray(values)), -1)
        if np.size(values)
        else np.empty((0, 1)),
        None if frame is None else np.asarray(frame, dtype=np.int64),
        None if time is None else np.asarray(time, dtype=np.float64),
        None,
        Path("folder/a.txt"),
    )


def test_row_by_row() -> None:
    rows = labels_for_rows(made([[0.1, NAN], [0.2, 0.3]]), np.array([0.0, 0.04]))
    np.testing.assert_array_equal(rows, [[0.1, NAN], [0.2, 0.3]])


@pytest.mark.parametrize("frames", [2, 4])
def test_too_few_or_too_many_rows_names_both_counts(frames: int) -> None:
    with pytest.raises(GrjcaError, match=rf"a\.txt: labels: 3 rows .* {frames} frames of a\.mp4"):
        labels_for_rows(made([0.1, 0.2, 0.3]), np.arange(frames) / 25)


def test_by_frame() -> None:
    rows = labels_for_rows(made([0.1, NAN, 0.3], frame=[0, 1, 3]), np.arange(5) / 25)
    np.testing.assert_array_equal(rows, [[0.1], [NAN], [NAN], [0.3], [NAN]])
    with pytest.raises(GrjcaError, match=r"frame 3 of a\.mp4, which has 3 frames"):
        labels_for_rows(made([0.1], frame=[3]), np.arange(3) / 25)


def test_by_time_interpolates_between_neighbours_only() -> None:
    labels = made([0.0, 1.0, NAN, 0.5, 0.7], time=[0.1, 0.3, 0.5, 0.7, 0.9])
    time = np.array([0.0, 0.1, 0.15, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    rows = labels_for_rows(labels, time)[:, 0]
    wanted = [NAN, 0.0, 0.25, 1.0, NAN, NAN, NAN, 0.5, 0.6, 0.7, NAN]
    np.testing.assert_allclose(rows, wanted, atol=1e-12)


def test_gaps_of_more_than_a_second_are_not_bridged() -> None:
    labels = made([0.0, 0.5, 0.6], time=[0.0, 1.0, 2.1])
    rows = labels_for_rows(labels, np.array([0.5, 1.0, 1.5, 2.1]))[:, 0]
    np.testing.assert_array_equal(rows, [0.25, 0.5, NAN, 0.6])


def test_a_label_long_after_the_end() -> None:
    time = np.arange(10) / 25
    np.testing.assert_array_equal(
        labels_for_rows(made([0.1], time=[1.3]), time), np.full((10, 1), NAN)
    )
    with pytest.raises(GrjcaError, match=r"a label at 1\.5 s of a\.mp4, whose last frame is at"):
        labels_for_rows(made([0.1], time=[1.5]), time)


@given(
    st.lists(st.floats(0, 5), min_size=1, max_size=20, unique=True).map(sorted),
    st.lists(st.floats(0, 6), min_size=1, max_size=40, unique=True).map(sorted),
)
def test_by_time_agrees_with_numpy_where_labelled(at: list[float], time: list[float]) -> None:
    at = [t for t in at if t <= time[-1] + 1] or [0.0]
    values = np.sin(at)
    rows = labels_for_rows(made(values, time=at), np.array(time))[:, 0]
    for t, row in zip(time, rows, strict=True):
        before = max((a for a in at if a <= t), default=None)
        after = min((a for a in at if a >= t), default=None)
        covered = before is not None and after is not None and after - before <= 1
        if covered:
            assert row == pytest.approx(np.interp(t, at, values), abs=1e-9)
        elif before is None or after is None or after - before > 1.002:
            assert np.isnan(row)


def test_truncated_rows_count_from_the_start() -> None:
    labels = made([0.1, 0.2, 0.3])
    for frames, wanted in ((2, [0.1, 0.2]), (3, [0.1, 0.2, 0.3]), (4, [0.1, 0.2, 0.3, NAN])):
        rows = labels_for_rows(labels, np.arange(frames) / 25, align="truncate")[:, 0]
        np.testing.assert_array_equal(rows, wanted)


def test_truncated_frames_and_times() -> None:
    time = np.arange(3) / 25
    by_frame = labels_for_rows(made([0.1, 0.3], frame=[1, 7]), time, align="truncate")[:, 0]
    np.testing.assert_array_equal(by_frame, [NAN, 0.1, NAN])
    by_time = labels_for_rows(made([0.1, 0.3, 0.5], time=[0, 1, 9]), time, align="truncate")[:, 0]
    np.testing.assert_allclose(by_time, [0.1, 0.108, 0.116])


def test_no_rows_at_all() -> None:
    empty = made([])
    with pytest.raises(GrjcaError, match="0 rows of labels for the 2 frames"):
        labels_for_rows(empty, np.arange(2) / 25)
    rows = labels_for_rows(empty, np.arange(2) / 25, align="truncate")
    np.testing.assert_array_equal(rows, [[NAN], [NAN]])
    np.testing.assert_array_equal(labels_for_rows(made([], frame=[]), np.arange(2) / 25), rows)


@pytest.mark.parametrize("index", [[0, 5, 10, 15], [0, 0, 1, 1, 2, 2], [4, 5, 6]])
def test_a_clip_stored_at_another_rate_keeps_its_frames_labels(index: list[int]) -> None:
    values = np.sin(np.arange(16))
    rows = np.array(index, dtype=np.int64)
    time = np.arange(len(index)) / 5
    wanted = values[index]
    for labels in (made(values), made(values, frame=np.arange(16))):
        np.testing.assert_array_equal(labels_for_rows(labels, time, index=rows)[:, 0], wanted)
    with pytest.raises(GrjcaError, match=rf"2 rows of labels for at least {max(index) + 1} frames"):
        labels_for_rows(made(values[:2]), time, index=rows)
    cut = labels_for_rows(made(values[:2]), time, index=rows, align="truncate")[:, 0]
    np.testing.assert_array_equal(cut, [values[i] if i < 2 else NAN for i in index])


@given(
    st.integers(1, 60),
    st.floats(-3, 3),
    st.lists(st.floats(0.01, 0.2), min_size=2, max_size=60),
)
def test_delayed_rows_show_the_nearest_frames_label(
    seed: int, delay: float, steps: list[float]
) -> None:
    time = np.cumsum(steps)
    values = np.random.default_rng(seed).uniform(-1, 1, len(time))
    values[::5] = NAN
    rows = labels_for_rows(made(values), time, delay=delay)[:, 0]
    if delay == 0:
        np.testing.assert_array_equal(rows, values)
        return
    half = np.median(np.diff(time)) / 2
    for i, row in enumerate(rows):
        late = time[i] + delay
        if late > time[-1] + half or late < time[0] - half:
            assert np.isnan(row)
            continue
        distance = np.abs(time - late)
        nearest = np.flatnonzero(distance <= distance.min() + 1e-12)
        assert any(row == values[j] or np.isnan([row, values[j]]).all() for j in nearest)


def test_a_delay_of_whole_frames_moves_labels_earlier() -> None:
    values = [0.1, 0.2, 0.3, 0.4, 0.5]
    time = np.arange(5) / 25
    moved = [0.3, 0.4, 0.5, NAN, NAN]
    for labels in (made(values), made(values, frame=range(5))):
        np.testing.assert_array_equal(labels_for_rows(labels, time, delay=0.08)[:, 0], moved)
        np.testing.assert_array_equal(
            labels_for_rows(labels, time, delay=-0.04)[:, 0], [NAN, 0.1, 0.2, 0.3, 0.4]
        )
        assert np.isnan(labels_for_rows(labels, time, delay=60)).all()


def test_sparse_frames_stay_sparse_and_keep_their_values_under_a_delay() -> None:
    labels = made([0.1, 0.9], frame=[10, 20])
    rows = labels_for_rows(labels, np.arange(30) / 30, delay=0.11)[:, 0]
    assert {int(i): rows[i] for i in np.flatnonzero(~np.isnan(rows))} == {7: 0.1, 17: 0.9}


def test_labels_by_time_are_read_later_also_beyond_the_clips_end() -> None:
    at = np.arange(0, 4, 0.25)
    labels = made(at / 10, time=at)
    time = np.arange(0, 2, 0.04)
    rows = labels_for_rows(labels, time, delay=1.5)[:, 0]
    np.testing.assert_allclose(rows, (time + 1.5) / 10)
    with pytest.raises(GrjcaError, match=r"a label at 3\.75 s"):
        labels_for_rows(labels, time)


def test_delays_that_make_no_sense() -> None:
    with pytest.raises(UsageError, match="not a number of seconds"):
        labels_for_rows(made([0.1]), np.zeros(1), delay=NAN)
    whole = ClipLabels("a", np.zeros((1, 1)), None, None, None, Path("x.csv"), clip_level=True)
    with pytest.raises(UsageError, match=r"delay 0\.5 s: labels: x\.csv has one label"):
        labels_for_rows(whole, np.zeros(1), delay=0.5)
    np.testing.assert_array_equal(labels_for_rows(whole, np.arange(3) / 25), np.zeros((3, 1)))


def test_a_clip_of_one_frame_has_no_label_under_a_delay() -> None:
    assert np.isnan(labels_for_rows(made([0.1]), np.zeros(1), delay=0.5)).all()
