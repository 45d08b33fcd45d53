from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from plain_faces import Face, box_of, found, landmarks_of, log_of, still
from test_tracking import follow

from grjca.stages.face_rows import FaceRows, crop_faces, person_rows
from grjca.stages.faces import align
from grjca.stages.people import choose, find_people
from grjca.stages.tracking import SIGHTING
from grjca.stages.types import FrameBatch

FIELDS = ("box", "landmarks", "score", "valid", "interpolated", "track")
T100 = np.arange(100) / 25


def frames_of(n: int, first: int = 0, present: NDArray[np.bool_] | None = None) -> FrameBatch:
    pictures = np.random.default_rng(0).integers(0, 256, (n, 40, 60, 3), dtype=np.uint8)
    return FrameBatch(pictures, np.arange(first, first + n) / 25, first, present=present)


def test_detections_that_drop_out_are_interpolated() -> None:
    # A face that moves 2 pixels a frame and grows, without the detections of some frames.
    faces: list[Face] = [(40 + 2 * k, 50 + k, 30 + 0.5 * k) for k in range(60)]
    dropped = {5, 6, 7, 20, *range(30, 50)}
    log = follow([found() if k in dropped else found(face) for k, face in enumerate(faces)])
    (tracks,) = choose(find_people(log, T100[:60]), "main").people
    rows = person_rows(log, tracks, T100[:60], 0, 60)
    filled = {5, 6, 7, 20}
    assert set(np.flatnonzero(rows.interpolated)) == filled
    assert set(np.flatnonzero(~rows.valid)) == set(range(30, 50))
    for k in set(range(60)) - set(range(30, 50)):
        np.testing.assert_allclose(rows.box[k], box_of(faces[k]), rtol=1e-5)
        np.testing.assert_allclose(rows.landmarks[k], landmarks_of(faces[k]), rtol=1e-5)
        assert np.isnan(rows.score[k]) == (k in filled)
    assert np.isnan(rows.box[30:50]).all()
    assert np.isnan(rows.landmarks[30:50]).all()
    assert (rows.track[30:50] == -1).all()
    assert (rows.track[rows.valid] >= 0).all()


@pytest.mark.parametrize(("gap", "filled"), [(0.5, True), (0.51, False)])
def test_between_sightings_time_decides(gap: float, filled: bool) -> None:
    time = 10 + np.array((0, 0.1, gap))
    log = log_of((0, 0, {0: (0, 0, 20), 2: (100, 40, 20)}))
    rows = person_rows(log, (0,), time, 0, 3)
    assert rows.interpolated.tolist() == [False, filled, False]
    if filled:
        np.testing.assert_allclose(rows.box[1], box_of((20, 8, 20)), rtol=1e-6)


def test_nothing_is_filled_between_tracks() -> None:
    log = log_of((0, 0, still((20, 20, 10), range(3))), (1, 0, still((20, 20, 10), range(5, 8))))
    rows = person_rows(log, (0, 1), T100, 0, 8)
    assert rows.track.tolist() == [0, 0, 0, -1, -1, 1, 1, 1]
    assert not rows.interpolated.any()


def test_two_faces_in_one_row_are_refused() -> None:
    log = log_of(
        (0, 0, still((20, 20, 10), range(9))),
        (1, 0, {4: (50, 20, 10)}),
        (2, 0, {20: (20, 20, 10), 24: (20, 20, 10)}),
        (3, 0, {22: (50, 20, 10)}),
    )
    for tracks, row in (((0, 1), 4), ((2, 3), 22)):
        with pytest.raises(ValueError, match=f"row {row}"):
            person_rows(log, tracks, T100, 0, 30)


def test_nobody_and_no_rows() -> None:
    log = log_of((0, 0, still((20, 20, 10), range(9))))
    for some in (
        person_rows(log, (), T100, 0, 9),
        person_rows(np.zeros(0, SIGHTING), (0,), T100, 0, 9),
    ):
        assert len(some) == 9
        assert not some.valid.any()
        assert np.isnan(some.box).all()
    assert len(person_rows(log, (0,), T100, 100, 100)) == 0
    for first, stop in ((-1, 3), (3, 2), (0, 101)):
        with pytest.raises(ValueError, match="of 100"):
            person_rows(log, (0,), T100, first, stop)


def test_only_the_part_around_the_rows_is_read(tmp_path: Path) -> None:
    time = np.arange(20_000) / 25
    one = log_of((0, 0, still((20, 20, 10), range(100))))
    log = np.memmap(tmp_path / "log", SIGHTING, "w+", shape=len(time))
    log[:] = np.resize(one, len(time))
    log["row"] = np.arange(len(time))
    rows = person_rows(log, (0,), time, 9_000, 9_032)
    assert rows.valid.all()
    # What lies elsewhere cannot matter: here it would be refused.
    log["row"][:8_000] = -5
    log["box"][9_100:] = np.nan
    log["row"][10_000:] = 30_000
    again = person_rows(log, (0,), time, 9_000, 9_032)
    np.testing.assert_array_equal(again.box, rows.box)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rate=st.sampled_from((5, 12, 25)),
    missed=st.floats(0, 0.95),
    data=st.data(),
)
def test_ranges_do_not_change_the_rows(
    seed: int, rate: int, missed: float, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    n = 60
    time = np.cumsum(rng.uniform(0.2, 1.8, n)) / rate
    bounds = np.sort(rng.choice(n, 4, replace=False))
    faces = [
        (
            k,
            0,
            {row: (*rng.uniform(0, 99, 2), 20.0) for row in range(a, b) if rng.random() > missed},
        )
        for k, (a, b) in enumerate(pairwise(bounds.tolist()))
    ]
    log = log_of(*faces, (7, 0, still((5, 5, 9), range(n))))
    whole = person_rows(log, (0, 1, 2), time, 0, n)
    edges = (0, *sorted(data.draw(st.lists(st.integers(0, n), max_size=6))), n)
    parts = [person_rows(log, (0, 1, 2), time, a, b) for a, b in pairwise(edges)]
    for name in FIELDS:
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(whole, name), err_msg=name)
    check_against_interp(whole, faces, time)


def check_against_interp(
    rows: FaceRows, tracks: list[tuple[int, int, dict[int, Face]]], time: NDArray[np.float64]
) -> None:
    """Compare with NumPy's interpolation of each track as a whole."""
    valid = np.zeros(len(time), bool)
    for number, _, faces in tracks:
        seen = sorted(faces)
        for a, b in pairwise(seen):
            if time[b] - time[a] <= 0.5:
                valid[a : b + 1] = True
        valid[seen] = True
        mine = np.flatnonzero(rows.track == number)
        if len(mine):
            x = np.interp(time[mine], time[seen], [faces[row][0] for row in seen])
            np.testing.assert_allclose(rows.box[mine, ::2].mean(axis=1), x, atol=1e-3)
        np.testing.assert_array_equal(rows.interpolated[mine], ~np.isin(mine, seen))
    np.testing.assert_array_equal(rows.valid, valid)


def test_crops_are_the_aligned_faces() -> None:
    log = log_of((3, 0, {4: (20, 20, 12), 6: (30, 22, 14)}))
    frames = frames_of(4, first=4)
    faces = crop_faces(frames, person_rows(log, (3,), T100, 4, 8), "face64", 48)
    assert faces.valid.tolist() == [True, True, True, False]
    assert faces.interpolated.tolist() == [False, True, False, False]
    assert faces.track.tolist() == [3, 3, 3, -1]
    assert faces.crops.shape == (4, 48, 48, 3)
    between = ((landmarks_of((20, 20, 12)) + landmarks_of((30, 22, 14))) / 2).astype(np.float32)
    for row, points in enumerate((landmarks_of((20, 20, 12)), between)):
        wanted = align(frames.frames[row], points, "face64", 48)
        assert np.abs(faces.crops[row].astype(int) - wanted).max() <= 2


def test_a_row_without_a_picture_has_no_face() -> None:
    log = log_of((3, 0, {0: (20, 20, 12), 3: (20, 20, 12)}))
    frames = frames_of(4, present=np.array((True, False, True, True)))
    faces = crop_faces(frames, person_rows(log, (3,), T100, 0, 4), "arcface112", 16)
    assert faces.valid.tolist() == [True, False, True, True]
    assert faces.interpolated.tolist() == [False, False, True, False]
    assert faces.track.tolist() == [3, -1, 3, 3]
    assert np.isnan(faces.box[1]).all()
    assert np.isnan(faces.landmarks[1]).all()


def test_crops_refuse_what_does_not_fit() -> None:
    rows = person_rows(log_of((3, 0, {0: (20, 20, 12)})), (3,), T100, 0, 4)
    with pytest.raises(ValueError, match="4 rows from 0, but 4 frames from 1"):
        crop_faces(frames_of(4, first=1), rows, "face64", 64)
    with pytest.raises(ValueError, match="no template"):
        crop_faces(frames_of(4), rows, "face65", 64)
    with pytest.raises(ValueError, match="0 pixels"):
        crop_faces(frames_of(4), rows, "face64", 0)
