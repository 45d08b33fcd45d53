"""A clip's frames and the model's rows: from one time axis to the other and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grjca.cache.keys import average_rate

TOLERANCE = 0.01
"""Relative difference of two frame rates below which a clip's rows are used as they are."""

LONGEST_HOLD = 10.0
"""Seconds between two frames beyond which a clip pauses, rather than shows a still picture."""


@dataclass(frozen=True)
class Timeline:
    """How the rows that a model sees answer to a clip's frames.

    Attributes:
        time: (T,) float64, the clip's own frame times in seconds.
        index: (N,) int64, the clip's row that each model row shows, never decreasing; None where
            the model sees the clip's rows as they are.
        grid: (N,) float64, times of the model's rows.
    """

    time: NDArray[np.float64]
    index: NDArray[np.int64] | None
    grid: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.grid)

    def source(self, start: int, stop: int) -> tuple[slice, NDArray[np.int64]]:
        """The clip's rows that model rows ``start`` to ``stop`` need.

        Returns:
            The range of clip rows, and for each model row its place in that range.
        """
        if self.index is None:
            return slice(start, stop), np.arange(stop - start)
        index = self.index[start:stop]
        first = int(index[0])
        return slice(first, int(index[-1]) + 1), index - first

    def at_model_rows(self, values: NDArray[Any]) -> NDArray[Any]:
        """(T, ...) values on the clip's frames to (N, ...) on the model's rows, nearest frame."""
        return values if self.index is None else values[self.index]

    def at_frames(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N, C) values on the model's rows to (T, C) on the clip's frames, linearly."""
        if self.index is None:
            return values
        columns = [np.interp(self.time, self.grid, column) for column in values.T]
        return np.stack(columns, axis=1) if columns else np.empty((len(self.time), 0))


def is_at_rate(time: NDArray[np.float64], rate: float) -> bool:
    """Whether frames come at a rate closely enough to be used as they are.

    They do when their average rate lies within 1% of it and no frame is more than half a frame
    away from where a constant rate would put it: times rounded to milliseconds pass, a dropped
    frame or a variable rate does not.

    Args:
        time: (T,) frame times in seconds, increasing.
        rate: Frames per second.
    """
    if len(time) < 2:
        return True
    own = frame_rate(time)
    even = np.linspace(time[0], time[-1], len(time))
    return bool(abs(own / rate - 1) <= TOLERANCE and np.abs(time - even).max() <= 0.5 / own)


def frame_rate(time: NDArray[np.float64]) -> float:
    """Average frames per second; NaN for fewer than two frames."""
    return average_rate(time[0], time[-1], len(time)) if len(time) > 1 else math.nan


def make_timeline(time: NDArray[np.float64], rate: float) -> Timeline:
    """Lay a model's rows over a clip.

    A clip at the model's rate (see :func:`is_at_rate`) is used row by row. Any other is sampled
    at its nearest frames on a uniform grid that starts at its first frame.

    Args:
        time: (T,) frame times in seconds, increasing.
        rate: The model's rows per second.

    Raises:
        ValueError: The rate is not positive and finite.
    """
    if not 0 < rate < math.inf:
        raise ValueError(f"a rate of {rate} rows per second")
    if is_at_rate(time, rate):
        return Timeline(time, None, time)
    parts = np.split(time, np.flatnonzero(np.diff(time) > LONGEST_HOLD) + 1)
    grid = np.concatenate([_even(part, rate) for part in parts])
    right = np.searchsorted(time, grid).clip(1, len(time) - 1)
    left_is_nearer = grid - time[right - 1] <= time[right] - grid
    return Timeline(time, np.where(left_is_nearer, right - 1, right), grid)


def _even(time: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    rows = round(float(time[-1] - time[0]) * rate) + 1
    return float(time[0]) + np.arange(rows, dtype=np.float64) / rate
