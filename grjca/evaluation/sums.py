"""Metrics from each clip's sums, and bootstrap intervals over clips.

CCC, PCC and RMSE over all frames of many clips at once depend on six sums of each clip alone.
Resampling whole clips then means adding up other rows of a small table, and the traces need not
be held.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

METRICS = ("ccc", "pcc", "rmse")
LEVEL = 0.95
RESAMPLES = 2000

_UNDEFINED = 0.05
"""Share of resamples without a value above which there is no interval either."""

_BATCH = 200
# Sums of a million numbers in [-1, 1] are right to about 1e-13 per frame: a smaller variance is
# that of a constant.
_CONSTANT = 1e-12

Values = dict[str, NDArray[np.float64]]
"""Arrays of equal shape by metric."""


@dataclass(frozen=True)
class Estimate:
    """A value and its interval over clips; NaN where undefined."""

    value: float
    low: float = math.nan
    high: float = math.nan

    def document(self) -> dict[str, float]:
        """As plain values."""
        return {"value": self.value, "low": self.low, "high": self.high}


def clip_sums(prediction: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.float64]:
    """What a clip adds to the metrics.

    Args:
        prediction: (T, K).
        labels: (T, K), NaN where not labelled.

    Returns:
        (K, 6): labelled frames n, and over them the sums of x, y, x^2, y^2 and x y, with x the
        prediction and y the label.
    """
    counted = ~np.isnan(labels)
    x, y = np.where(counted, prediction, 0.0), np.where(counted, labels, 0.0)
    parts = (counted.astype(np.float64), x, y, x * x, y * y, x * y)
    return np.stack([part.sum(axis=0) for part in parts], axis=-1)


def metrics(sums: NDArray[np.float64]) -> Values:
    """The metrics of added sums, with the conventions of :mod:`grjca.fusion.metrics`.

    Args:
        sums: (..., 6) as from :func:`clip_sums`, added over clips.

    Returns:
        (...) for each of ``METRICS``; NaN where undefined.
    """
    n = sums[..., 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_x, mean_y, xx, yy, xy = (sums[..., i] / n for i in range(1, 6))
        var_x, var_y = _variance(xx, mean_x), _variance(yy, mean_y)
        cov = np.where((var_x > 0) & (var_y > 0), xy - mean_x * mean_y, 0.0)
        spread = var_x + var_y + (mean_x - mean_y) ** 2
        spread = np.where(spread > _CONSTANT, spread, np.nan)
        norm = np.sqrt(var_x) * np.sqrt(var_y)
        found = {
            "ccc": 2 * cov / spread,
            "pcc": cov / np.where(norm > 0, norm, np.nan),
            "rmse": np.sqrt(np.maximum(xx + yy - 2 * xy, 0.0)),
        }
    return {name: np.where(n >= 2, values, np.nan) for name, values in found.items()}


def _variance(mean_square: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    variance = mean_square - mean**2
    return np.where(variance > _CONSTANT, variance, 0.0)


def resampled(sums: NDArray[np.float64], seed: int, resamples: int = RESAMPLES) -> Values:
    """The metrics of sets of as many clips, drawn with replacement.

    Two tables of the same clips and the same seed are resampled alike, so that their difference
    can be taken resample by resample.

    Args:
        sums: (C, K, 6) of C clips.
        seed: Decides the draws.
        resamples: R.

    Returns:
        (R, K) for each of ``METRICS``.
    """
    clips = len(sums)
    rng = np.random.default_rng(seed)
    flat = sums.reshape(clips, -1)
    parts = []
    for first in range(0, resamples, _BATCH):
        size = min(_BATCH, resamples - first)
        times = rng.multinomial(clips, np.full(clips, 1 / clips), size=size)
        parts.append((times @ flat).reshape(size, *sums.shape[1:]))
    return metrics(np.concatenate(parts))


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """The central 95 % of resampled values (percentile method); NaN where too few are defined.

    Percentile, not BCa: on simulated clips (see docs/decisions.md) both cover the truth equally
    seldom with few clips and equally often with many.

    Args:
        values: (R,).
    """
    defined = values[~np.isnan(values)]
    if len(defined) < (1 - _UNDEFINED) * len(values):
        return math.nan, math.nan
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
