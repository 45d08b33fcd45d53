from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from grjca.errors import GrjcaError
from grjca.labels.records import ClipLabels
from grjca.labels.rows import labels_for_rows

NAN = np.nan


def made(
    values: ArrayLike, *, frame: ArrayLike | None = None, time: ArrayLike | None = None
) -> ClipLabels:
    return ClipLabels(
        "a.mp4",
        np.asarray(values, dtype=np.float64).reshape(len(np.asarray(values)), -1),
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
