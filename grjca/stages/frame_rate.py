"""Frames at another rate: each row shows what is on display at its moment."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grjca.stages.types import FrameBatch

HIGHEST_RATE = 1000.0
"""Most rows per second that are made."""

_TOLERANCE = 1e-3
_SHARE = 0.1


def resampled(frames: Iterable[FrameBatch], fps: float) -> Iterator[FrameBatch]:
    """Rows at a constant rate, from frames at any.

    Row k lies at the first frame's time + k / fps and shows the latest frame whose time is not
    after it: frames are repeated or left out, never mixed. Time stamps are rounded, in some
    containers to milliseconds, so a frame may be later than its row by 1 ms, or by a tenth of a
    row's duration if that is less. How long the last frame stays on display is not known; the
    rows end with the last one that is not after its time.

    Args:
        frames: The clip's frames, in batches of any length, whose pictures may differ in size
            from one batch to another.
        fps: Rows per second.

    Returns:
        Batches with ``index``, the number of the frame shown, and that frame's ``present``. None
        has more rows than the longest of ``frames`` with pictures of its size.

    Raises:
        ValueError: ``fps`` is not above 0 and at most HIGHEST_RATE.
    """
    if not 0 < fps <= HIGHEST_RATE:
        raise ValueError(f"{fps} rows per second is not above 0 and at most {HIGHEST_RATE:g}")
    return _resampled(frames, fps)


@dataclass(frozen=True)
class _Frame:
    picture: NDArray[np.uint8]
    time: float
    number: int
    present: bool | None
    most: int


class _Rows:
    """Rows in the making, for one batch; pictures are copied, so that no source batch is kept."""

    def __init__(self, first: int, shape: tuple[int, ...], most: int) -> None:
        self.first, self.shape, self.most = first, shape, most
        self._pictures = np.empty((most, *shape), np.uint8)
        self._time: list[float] = []
        self._frames: list[tuple[int, bool | None]] = []

    def __len__(self) -> int:
        return len(self._time)

    def add(self, time: float, frame: _Frame) -> None:
        self._pictures[len(self)] = frame.picture
        self._time.append(time)
        self._frames.append((frame.number, frame.present))

    def batch(self) -> FrameBatch:
        present = [there for _, there in self._frames]
        return FrameBatch(
            frames=self._pictures[: len(self)],
            time=np.array(self._time),
            first=self.first,
            index=np.array([number for number, _ in self._frames], np.int64),
            present=None
            if all(there is None for there in present)
            else np.array([there is not False for there in present]),
        )


def _resampled(frames: Iterable[FrameBatch], fps: float) -> Iterator[FrameBatch]:
    tolerance = min(_TOLERANCE, _SHARE / fps)
    rows: _Rows | None = None
    begin: float | None = None
    count = 0
    for frame, until in _displayed(frames, tolerance):
        begin = frame.time if begin is None else begin
        while (time := begin + count / fps) < until:
            full = rows is not None and len(rows) == rows.most
            if rows is not None and (full or rows.shape != frame.picture.shape):
                yield rows.batch()
                rows = None
            if rows is None:
                rows = _Rows(count, frame.picture.shape, frame.most)
            rows.add(time, frame)
            count += 1
    if rows is not None:
        yield rows.batch()


def _displayed(frames: Iterable[FrameBatch], tolerance: float) -> Iterator[tuple[_Frame, float]]:
    """Each frame with the first row's time at which it is not on display any more."""
    shown: _Frame | None = None
    most, shape = 1, (0, 0, 0)
    for batch in frames:
        same = batch.frames.shape[1:] == shape
        most, shape = max(len(batch), most if same else 1), batch.frames.shape[1:]
        for i in range(len(batch)):
            frame = _Frame(
                picture=batch.frames[i],
                time=float(batch.time[i]),
                number=batch.first + i if batch.index is None else int(batch.index[i]),
                present=None if batch.present is None else bool(batch.present[i]),
                most=most,
            )
            if shown is not None:
                yield shown, frame.time - tolerance
            shown = frame
    if shown is not None:
        yield shown, math.nextafter(shown.time + tolerance, math.inf)
