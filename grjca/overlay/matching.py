"""Which row belongs to which frame of a video, and whether they belong together at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-3
"""Seconds by which a row and its frame may differ: tables are written with few decimals."""


class RowsOfFrames:
    """Gives the row of each frame, in the frames' order, and finds out when it cannot be so.

    Args:
        time: (T,) seconds of the rows, increasing, T at least 1.
        index: (T,) int64, the source's frame that each row shows, where the clip was resampled
            to another rate; None where row i is frame i.
    """

    def __init__(
        self, time: NDArray[np.float64], index: NDArray[np.int64] | None = None
    ) -> None:  # fmt: skip
        self._time, self._index = time, index
        self._frames = 0
        self._last = 0.0

    def next(self, time: float) -> int | None:
        """The row of the next frame; None where it lies before the first.

        A frame that no row shows keeps the row before it; of several rows that show a frame the
        first is meant.

        Args:
            time: The frame's time in seconds.

        Raises:
            ValueError: The frame and the row do not belong together; the message says why.
        """
        number = self._frames
        self._frames, self._last = number + 1, time
        if self._index is None:
            if number >= len(self._time):
                raise ValueError("there are more frames than rows")
            self._compare(number, time, abs(self._time[number] - time))
            return number
        row = int(np.searchsorted(self._index, number))
        if row < len(self._index) and self._index[row] == number:
            # The frame is on display at its row's time, so it cannot be later.
            self._compare(row, time, time - self._time[row])
            return row
        return row - 1 if row else None

    def finish(self) -> None:
        """Make sure that the rows end where the frames do.

        Raises:
            ValueError: They do not; the message says why.
        """
        if self._index is None:
            if self._frames < len(self._time):
                raise ValueError("there are fewer frames than rows")
            return
        if self._index[-1] >= self._frames:
            raise ValueError(f"the last row shows frame {self._index[-1]}")
        step = float(np.median(np.diff(self._time))) if len(self._time) > 1 else np.inf
        if self._last > self._time[-1] + step + TOLERANCE:
            raise ValueError(f"rows end at {self._time[-1]:.3f} s, frames at {self._last:.3f} s")

    def _compare(self, row: int, time: float, apart: float) -> None:
        if apart > TOLERANCE:
            raise ValueError(f"row {row} is at {self._time[row]:.3f} s, its frame at {time:.3f} s")
