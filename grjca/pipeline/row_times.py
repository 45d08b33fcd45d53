"""The times of a clip's rows while they are still coming from the decoder."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray


class AbandonedError(Exception):
    """Nobody wants what was to be made of the times."""


class RowTimes:
    """Times that one thread adds to and another waits for."""

    def __init__(self, time: NDArray[np.float64] | None = None) -> None:
        """``time``: (T,) float64 seconds, increasing: all that there are; None: they will come."""
        self._known = np.zeros(0) if time is None else time
        self._buffer = self._known
        self._over = time is not None
        self._abandoned = False
        self._changed = threading.Condition()

    def add(self, time: NDArray[np.float64]) -> None:
        """Add the times of the next rows: (N,) float64 seconds, later than those before."""
        with self._changed:
            rows = len(self._known) + len(time)
            if rows > len(self._buffer):
                self._buffer = np.empty(2 * rows)
                self._buffer[: len(self._known)] = self._known
            # Rows that were handed out already stay as they are.
            self._buffer[len(self._known) : rows] = time
            self._known = self._buffer[:rows]
            self._changed.notify_all()

    def end(self) -> None:
        """There will be no more; may be repeated."""
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Let whoever waits or asks for times stop working; may be repeated."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    def beyond(self, seconds: float) -> NDArray[np.float64]:
        """The times so far, once one of them lies beyond a moment, or once they are all there.

        Where the last one is not beyond it, there are no more.

        Raises:
            AbandonedError: :meth:`abandon` was called.
        """

        def known() -> bool:
            enough = bool(len(self._known) and self._known[-1] > seconds)
            return self._abandoned or self._over or enough

        with self._changed:
            self._changed.wait_for(known)
            if self._abandoned:
                raise AbandonedError
            return self._known
