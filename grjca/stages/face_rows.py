"""One person's face, row by row: read from the log of sightings, gaps filled, cropped."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grjca.stages.faces import align, points_of
from grjca.stages.tracking import MAX_GAP, TOLERANCE
from grjca.stages.types import FaceBatch, FrameBatch, check_array


@dataclass(frozen=True)
class FaceRows:
    """Where one person's face is in the rows [first, first + N) of a clip.

    Attributes:
        first: The first of these rows in the clip.
        box: (N, 4) float32 pixels; NaN where there is no face.
        landmarks: (N, 5, 2) float32 pixels; NaN where there is no face.
        score: (N,) float32, the detector's; NaN where it did not see the face.
        valid: (N,) bool, the face's place is known, seen or interpolated.
        interpolated: (N,) bool, the place was not seen; a subset of ``valid``.
        track: (N,) int32, number of the face's track, -1 where there is no face.
    """

    first: int
    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    score: NDArray[np.float32]
    valid: NDArray[np.bool_]
    interpolated: NDArray[np.bool_]
    track: NDArray[np.int32]

    def __post_init__(self) -> None:
        n = len(self.valid)
        check_array("valid", self.valid, (n,), "bool")
        check_array("interpolated", self.interpolated, (n,), "bool")
        check_array("box", self.box, (n, 4), "float32")
        check_array("landmarks", self.landmarks, (n, 5, 2), "float32")
        check_array("score", self.score, (n,), "float32")
        check_array("track", self.track, (n,), "int32")

    def __len__(self) -> int:
        return len(self.valid)

    def without(self, absent: NDArray[np.bool_]) -> FaceRows:
        """The same, with no face in the rows that are marked: (N,) bool."""
        valid = self.valid & ~absent
        return FaceRows(
            first=self.first,
            box=np.where(valid[:, None], self.box, np.float32(np.nan)),
            landmarks=np.where(valid[:, None, None], self.landmarks, np.float32(np.nan)),
            score=np.where(valid, self.score, np.float32(np.nan)),
            valid=valid,
            interpolated=self.interpolated & valid,
            track=np.where(valid, self.track, np.int32(-1)),
        )


def person_rows(
    sightings: NDArray[np.void],
    tracks: Sequence[int],
    time: NDArray[np.float64],
    first: int,
    stop: int,
) -> FaceRows:
    """Where a person's face is in the rows [first, stop) of a clip.

    Between two sightings of one track at most ``MAX_GAP`` seconds apart, box and landmarks run
    linearly in time and are marked. Only the part of the log around these rows is read, and the
    result does not depend on how a clip's rows are cut into ranges.

    Args:
        sightings: All of the clip's, an array of ``SIGHTING`` sorted by row; may be a memory map.
        tracks: The person's.
        time: (T,) float64, seconds of the clip's rows.
        first: The first row.
        stop: One past the last row.

    Returns:
        The rows.

    Raises:
        ValueError: The clip has no such rows, or two of the tracks have a face in one of them.
    """
    if not 0 <= first <= stop <= len(time):
        raise ValueError(f"rows [{first}, {stop}) of {len(time)}")
    n = stop - first
    rows = FaceRows(
        first=first,
        box=np.full((n, 4), np.nan, np.float32),
        landmarks=np.full((n, 5, 2), np.nan, np.float32),
        score=np.full(n, np.nan, np.float32),
        valid=np.zeros(n, bool),
        interpolated=np.zeros(n, bool),
        track=np.full(n, -1, np.int32),
    )
    near = _near(sightings, time, first, stop)
    for number in np.unique(near["track"][np.isin(near["track"], np.array(tracks, np.int64))]):
        _fill(rows, near[near["track"] == number], time)
    return rows


def crop_faces(frames: FrameBatch, rows: FaceRows, template: str, size: int) -> FaceBatch:
    """Cut out one person's faces.

    A row whose frame is not ``present`` has no face, even between two sightings.

    Args:
        frames: The frames.
        rows: Where the face is in each of them.
        template: A name in ``TEMPLATES``.
        size: Side of the crops in pixels.

    Returns:
        A row for each frame.

    Raises:
        ValueError: The rows are not those of the frames, no such template, or a size below 1.
    """
    if (rows.first, len(rows)) != (frames.first, len(frames)):
        raise ValueError(
            f"{len(rows)} rows from {rows.first}, but {len(frames)} frames from {frames.first}"
        )
    points_of(template)
    if size < 1:
        raise ValueError(f"crops of {size} pixels")
    if frames.present is not None:
        rows = rows.without(~frames.present)
    crops = np.zeros((len(rows), size, size, 3), np.uint8)
    for row in np.flatnonzero(rows.valid):
        crops[row] = align(frames.frames[row], rows.landmarks[row], template, size)
    return FaceBatch(
        box=rows.box,
        landmarks=rows.landmarks,
        score=rows.score,
        valid=rows.valid,
        interpolated=rows.interpolated,
        track=rows.track,
        crops=crops,
    )


def _near(
    sightings: NDArray[np.void], time: NDArray[np.float64], first: int, stop: int
) -> NDArray[np.void]:
    """The sightings in some rows, and those close enough to be a gap's other end."""
    if first == stop:
        return sightings[:0]
    begin = bisect_left(time, time[first] - MAX_GAP - TOLERANCE)
    end = bisect_left(time, time[stop - 1] + MAX_GAP + TOLERANCE)
    # NumPy's searchsorted would copy the log's whole column.
    log = sightings["row"]
    return np.array(sightings[bisect_left(log, begin) : bisect_left(log, end + 1)])


def _fill(rows: FaceRows, track: NDArray[np.void], time: NDArray[np.float64]) -> None:
    """Put one track's sightings into the rows, and what lies between them."""
    seen = track["row"]
    begin, end = max(rows.first, int(seen[0])), min(rows.first + len(rows), int(seen[-1]) + 1)
    here = np.arange(begin, end)
    before = np.searchsorted(seen, here, side="right") - 1
    sighted = seen[before] == here
    after = np.where(sighted, before, np.minimum(before + 1, len(seen) - 1))
    gap = time[seen[after]] - time[seen[before]]
    kept = gap <= MAX_GAP + TOLERANCE
    here, before, after, gap, sighted = (a[kept] for a in (here, before, after, gap, sighted))
    place = here - rows.first
    if rows.valid[place].any():
        twice = here[rows.valid[place]][0]
        raise ValueError(f"two of the tracks have a face in row {twice}")
    weight = (time[here] - time[seen[before]]) / np.where(sighted, 1, gap)
    for name, target in (("box", rows.box), ("landmarks", rows.landmarks)):
        start, stop = track[name][before].astype(np.float64), track[name][after]
        share = weight.reshape(-1, *[1] * (start.ndim - 1))
        target[place] = start + share * (stop - start)
    rows.score[place] = np.where(sighted, track["score"][before], np.float32(np.nan))
    rows.track[place] = track["track"][0]
    rows.interpolated[place] = ~sighted
    rows.valid[place] = True
