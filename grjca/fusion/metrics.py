"""Agreement between predicted and annotated traces, in NumPy float64.

One convention throughout: population moments (division by the number of frames) over all counted
frames at once. What is undefined is NaN, never 0: anything of fewer than two frames, a
correlation with a trace that does not vary, the CCC of two equal traces that do not vary. NaN
among the counted values gives NaN.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def ccc(x: ArrayLike, y: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Concordance correlation coefficient, 2 cov / (var_x + var_y + (mean_x - mean_y)^2).

    Lin, "A concordance correlation coefficient to evaluate reproducibility", Biometrics 1989.

    Args:
        x: Numbers of any shape.
        y: Numbers of the same shape.
        mask: Bool of the same shape, which of them count; None for all.

    Returns:
        In [-1, 1]; 0 where exactly one trace is constant; NaN where undefined.

    Raises:
        ValueError: The shapes differ or the mask is not bool.
    """
    a, b = _counted(x, y, mask)
    if len(a) < 2:
        return math.nan
    dev_a, dev_b = _deviations(a), _deviations(b)
    spread = np.mean(dev_a**2) + np.mean(dev_b**2) + (np.mean(a) - np.mean(b)) ** 2
    if spread == 0.0:
        return math.nan
    return float(2.0 * np.mean(dev_a * dev_b) / spread)


def pearson(x: ArrayLike, y: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Pearson's correlation coefficient; arguments and errors as for ``ccc``.

    Returns:
        In [-1, 1]; NaN where a trace is constant or there are fewer than two frames.
    """
    a, b = _counted(x, y, mask)
    if len(a) < 2:
        return math.nan
    dev_a, dev_b = _deviations(a), _deviations(b)
    # Roots before the product: the product of two tiny variances would underflow.
    norm = math.sqrt(float(np.mean(dev_a**2))) * math.sqrt(float(np.mean(dev_b**2)))
    if norm == 0.0:
        return math.nan
    return float(np.mean(dev_a * dev_b) / norm)


def rmse(x: ArrayLike, y: ArrayLike, mask: ArrayLike | None = None) -> float:
    """Root of the mean squared difference; arguments and errors as for ``ccc``.

    Returns:
        In the unit of the traces; NaN for fewer than two frames, as the other metrics.
    """
    a, b = _counted(x, y, mask)
    return math.sqrt(float(np.mean((a - b) ** 2))) if len(a) >= 2 else math.nan


def _counted(
    x: ArrayLike, y: ArrayLike, mask: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"traces of different shapes: {a.shape} and {b.shape}")
    if mask is None:
        return a.ravel(), b.ravel()
    counted = np.asarray(mask)
    if counted.shape != a.shape or counted.dtype != np.bool_:
        raise ValueError(f"mask: wanted bool {a.shape}, got {counted.dtype} {counted.shape}")
    return a[counted], b[counted]


def _deviations(values: NDArray[np.float64]) -> NDArray[np.float64]:
    # The mean of equal numbers may round away from them; a constant must have no deviation.
    if values.min() == values.max():
        return np.zeros_like(values)
    deviations: NDArray[np.float64] = values - values.mean()
    return deviations
