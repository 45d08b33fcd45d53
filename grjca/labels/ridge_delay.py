"""A quick sweep of delays: ridge regression from features to labels, in one pass over clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grjca.labels.delay import DelaySweep, checked_delays
from grjca.labels.records import Labels
from grjca.labels.rows import Align, labels_for_rows
from grjca.labels.splits import Split

RIDGE = 0.1
"""Added to the diagonal of the features' correlation matrix."""


@dataclass(frozen=True)
class Observed:
    """A clip's features as a sweep takes them.

    Attributes:
        features: (T, D) numbers; rows that are not finite in every column are left out.
        time: (T,) float64 seconds, increasing.
        index: (T,) int64, as :func:`grjca.labels.rows.labels_for_rows` has it.
    """

    features: NDArray[np.floating]
    time: NDArray[np.float64]
    index: NDArray[np.int64] | None = None


class _Moments:
    """Sums of products within clips, of features and of labels at each delay."""

    def __init__(self, width: int, delays: int) -> None:
        self.xx = np.zeros((width, width))
        self.xy = np.zeros((width, delays))
        self.yy = np.zeros(delays)

    def add(self, other: _Moments) -> None:
        self.xx += other.xx
        self.xy += other.xy
        self.yy += other.yy


def sweep_by_ridge(
    delays: Sequence[float],
    splits: Sequence[Split],
    labels: Labels,
    observe: Callable[[str], Observed],
    *,
    align: Align = "error",
    ridge: float = RIDGE,
) -> DelaySweep:
    """Correlation of ridge regression's predictions with labels, at every delay.

    Features and labels are centred within each clip, since only what moves along a clip can tell
    a delay. Every delay is scored on the same rows, those labelled at all of them. The score is
    Pearson's correlation over all validation rows of a split, averaged over the dimensions.
    Memory holds one clip and, for each split, two matrices of the features' width squared.

    Args:
        delays: Seconds to try.
        splits: For example :func:`grjca.labels.delay.training_folds`.
        labels: Annotations matched to identities.
        observe: Reads a clip; the features of all clips have the same width.
        align: What to do about labels that do not match a clip's frames.
        ridge: How strongly coefficients are drawn to zero; above 0.

    Raises:
        UsageError: No delay, one that is not finite, or labels of whole clips.
        GrjcaError: Labels that do not match a clip's frames.
    """
    tried = checked_delays(delays)
    clips = sorted({clip for split in splits for clip in (*split.train, *split.val)})
    sums: dict[tuple[int, str, int], _Moments] = {}
    for clip in clips:
        for dimension, moments in enumerate(_moments(clip, tried, labels, observe, align)):
            for number, split in enumerate(splits):
                for side in ("train", "val"):
                    if clip in getattr(split, side):
                        key = number, side, dimension
                        into = sums.setdefault(key, _Moments(len(moments.xx), len(tried)))
                        into.add(moments)
    scores = np.full((len(splits), len(labels.names), len(tried)), np.nan)
    for number in range(len(splits)):
        for dimension in range(len(labels.names)):
            fit, held = sums[number, "train", dimension], sums[number, "val", dimension]
            scores[number, dimension] = _correlations(fit, held, ridge)
    known = ~np.isnan(scores)
    count = known.sum(axis=1)
    mean = np.where(known, scores, 0.0).sum(axis=1) / np.maximum(count, 1)
    return DelaySweep(tried, np.where(count > 0, mean, np.nan))


def _moments(
    clip: str,
    delays: Sequence[float],
    labels: Labels,
    observe: Callable[[str], Observed],
    align: Align,
) -> list[_Moments]:
    """A clip's sums, for each dimension over the rows that have it labelled at every delay."""
    seen = observe(clip)
    at = [
        labels_for_rows(labels.clips[clip], seen.time, index=seen.index, align=align, delay=delay)
        for delay in delays
    ]
    finite = np.isfinite(seen.features).all(axis=1)
    result = []
    for dimension in range(len(labels.names)):
        target = np.stack([values[:, dimension] for values in at], axis=1)
        rows = finite & ~np.isnan(target).any(axis=1)
        moments = _Moments(seen.features.shape[1], len(delays))
        if rows.any():
            x = seen.features[rows].astype(np.float64)
            x -= x.mean(axis=0)
            y = target[rows] - target[rows].mean(axis=0)
            moments.xx, moments.xy, moments.yy = x.T @ x, x.T @ y, (y * y).sum(axis=0)
        result.append(moments)
    return result


def _correlations(fit: _Moments, held: _Moments, ridge: float) -> NDArray[np.float64]:
    """(D,) correlation on the held-out clips at each delay; NaN where something is constant."""
    scale = np.sqrt(np.diag(fit.xx))
    scale[scale == 0] = np.inf
    correlation = fit.xx / scale[:, None] / scale
    weights = np.linalg.solve(correlation + ridge * np.eye(len(scale)), fit.xy / scale[:, None])
    weights /= scale[:, None]
    covariance = (weights * held.xy).sum(axis=0)
    variance = (weights * (held.xx @ weights)).sum(axis=0) * held.yy
    known = variance > 0
    result = np.full(len(covariance), np.nan)
    result[known] = covariance[known] / np.sqrt(variance[known])
    return result
