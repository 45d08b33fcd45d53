"""The evaluator-weighted mean of several raters."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Means of equal numbers differ in their last bits.
_CONSTANT = 1e-9


def rater_weights(ratings: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each rater agrees with the others.

    A rater's weight is the Pearson correlation with the mean of the other raters, over what they
    both rated. Grimm and Kroschel (2005, "Evaluation of natural emotions using self assessment
    manikins", doi:10.1109/ASRU.2005.1566530) correlate with the mean of all raters; here a rater
    is left out of the mean compared with, so that few raters do not agree with themselves.

    Args:
        ratings: (N, R) a row per thing rated, a column per rater; NaN where not rated.

    Returns:
        (R,) in [0, 1]: 0 for a rater who always says the same or contradicts the others; 1 for
        one who cannot be compared, because the others rated nothing in common (or all the same).
    """
    rated = ~np.isnan(ratings)
    known = np.where(rated, ratings, 0.0)
    total, count = known.sum(axis=1), rated.sum(axis=1)
    weights = np.ones(ratings.shape[1])
    for i in range(ratings.shape[1]):
        if not rated[:, i].any():
            continue
        if np.ptp(ratings[rated[:, i], i]) <= _CONSTANT:
            weights[i] = 0.0
            continue
        shared = rated[:, i] & (count > 1)
        own = ratings[shared, i]
        others = (total[shared] - own) / (count[shared] - 1)
        if len(own) > 1 and min(np.ptp(own), np.ptp(others)) > _CONSTANT:
            weights[i] = max(0.0, float(np.corrcoef(own, others)[0, 1]))
    return weights


def weighted_mean(
    ratings: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mean over raters, in each row over those who rated it.

    Args:
        ratings: (N, R), NaN where not rated.
        weights: (R,) not negative.

    Returns:
        (N,); NaN in rows that no rater of positive weight rated.
    """
    rated = ~np.isnan(ratings)
    weight = rated @ weights
    total = np.where(rated, ratings, 0.0) @ weights
    mean = np.full(len(ratings), np.nan)
    known = weight > 0
    mean[known] = total[known] / weight[known]
    return mean
