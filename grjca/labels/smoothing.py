"""A moving mean along a clip, whatever its rate, that passes over what is not labelled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def moving_mean(
    values: NDArray[np.float64], time: NDArray[np.float64], width: float
) -> NDArray[np.float64]:
    """The mean over all rows within half a width of each row.

    NaN stands for a value that is not there: it enters no mean and stays NaN itself. At a clip's
    ends the window is cut off, not mirrored or padded.

    Args:
        values: (T,) or (T, K).
        time: (T,) seconds, increasing.
        width: Seconds; 0 gives the values back.

    Returns:
        Shaped as ``values``.
    """
    if width == 0 or not len(time):
        return values
    # Times such as 1/3 s must not drop a row at the window's very edge to rounding.
    reach = width / 2 + 1e-9
    first = np.searchsorted(time, time - reach, side="left")
    stop = np.searchsorted(time, time + reach, side="right")
    there = ~np.isnan(values)
    total = _sums(np.where(there, values, 0.0))
    count = _sums(there.astype(np.float64))
    size = np.where(there, count[stop] - count[first], np.nan)
    mean: NDArray[np.float64] = (total[stop] - total[first]) / size
    return mean


def _sums(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums of the first 0, 1, ..., T rows."""
    return np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
