"""Mean and deviation of features, in one pass over blocks of rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CONSTANT = 1e-3
"""Share of the median deviation below which a dimension counts as constant."""


class Moments:
    """Mean and population deviation per dimension of rows that come in blocks.

    Blocks are merged by Chan, Golub and LeVeque's update (1979), so that the result does not
    depend on how rows are cut beyond rounding.

    Args:
        dim: Numbers per row, D.
    """

    def __init__(self, dim: int) -> None:
        self.count = 0
        self.mean: NDArray[np.float64] = np.zeros(dim)
        self._squares: NDArray[np.float64] = np.zeros(dim)

    def add(self, rows: NDArray[np.float32]) -> None:
        """Take in (n, D) rows."""
        if not len(rows):
            return
        block = rows.astype(np.float64)
        mean = block.mean(axis=0)
        difference = mean - self.mean
        total = self.count + len(block)
        self._squares += ((block - mean) ** 2).sum(axis=0)
        self._squares += difference**2 * (self.count * len(block) / total)
        self.mean = self.mean + difference * (len(block) / total)
        self.count = total

    def deviation(self) -> NDArray[np.float64]:
        """(D,) what to divide by.

        A dimension that hardly varies in training (less than a thousandth of the median
        deviation, a ReLU that never fires, say) tells nothing, but divided by its own deviation
        it would drown the others on a clip where it does vary: it gets the median deviation of
        those that vary, or 1 where none does.
        """
        if not self.count:
            return np.ones_like(self.mean)
        own = np.sqrt(self._squares / self.count)
        # Rounding gives a constant a tiny deviation, small beside its values.
        varies = own > 1e-6 * np.abs(self.mean)
        if not varies.any():
            return np.ones_like(own)
        median = float(np.median(own[varies]))
        return np.where(varies & (own >= CONSTANT * median), own, median)
