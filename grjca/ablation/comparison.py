"""Means, deviations and paired differences of many trials."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from grjca.ablation.plan import Trial
from grjca.ablation.scores import TrialScore

LEVEL = 0.95


@dataclass(frozen=True)
class Mean:
    """A mean over trials.

    Attributes:
        value: The mean of the defined values; NaN without any.
        deviation: Their standard deviation (n - 1); NaN for fewer than two.
        low: Lower end of the 95 % interval of the mean; NaN for fewer than two.
        high: Upper end.
        trials: How many values were defined.
    """

    value: float
    deviation: float
    low: float
    high: float
    trials: int


@dataclass(frozen=True)
class VariantResult:
    """What a variant reached.

    Attributes:
        variant: Its name.
        ccc: By dimension, and under ``mean`` their mean.
        difference: The same, less the reference in the same seed and fold; empty for the
            reference.
        better: In how many of the pairs the mean exceeds the reference's.
        entropy: Mean entropy of the gates, over its maximum; NaN without gates.
        mean_entropy: Likewise of each gate's mean weights: where it exceeds ``entropy``, gates
            choose differently in different frames.
        choosing: CCC (mean of the dimensions) less the CCC with every gate held at its mean: what
            choosing frame by frame is worth. None without gates.
        seconds: Mean seconds of a training.
        ensemble: CCC of the mean of all seeds' predictions, by dimension and ``mean``, averaged
            over folds; empty where there is none.
    """

    variant: str
    ccc: Mapping[str, Mean]
    difference: Mapping[str, Mean]
    better: int
    entropy: float
    mean_entropy: float
    choosing: Mean | None
    seconds: float
    ensemble: Mapping[str, float]


def mean_of(values: Sequence[float], overlap: float = 0.0) -> Mean:
    """Mean with an interval from Student's t.

    Trainings on folds share most of their clips, so that their scores are not independent: the
    variance of the mean is then s^2 (1/n + overlap), with the test clips over the training clips
    as ``overlap`` (Nadeau and Bengio, Machine Learning 52, 2003).

    Args:
        values: NaN ones are left out.
        overlap: 0 for independent values.
    """
    defined = np.array([value for value in values if not math.isnan(value)])
    n = len(defined)
    if n == 0:
        return Mean(math.nan, math.nan, math.nan, math.nan, 0)
    value = float(defined.mean())
    if n == 1:
        return Mean(value, math.nan, math.nan, math.nan, 1)
    deviation = float(defined.std(ddof=1))
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * deviation * math.sqrt(1 / n + overlap)
    return Mean(value, deviation, value - half, value + half, n)


def compare(
    scores: Sequence[TrialScore],
    variants: Sequence[str],
    reference: str,
    *,
    overlap: float = 0.0,
    ensembles: Sequence[TrialScore] = (),
) -> tuple[VariantResult, ...]:
    """Compare variants over the same seeds and folds.

    Args:
        scores: Of the trials.
        variants: In the order wanted.
        reference: What the others' differences are taken to.
        overlap: See :func:`mean_of`.
        ensembles: Of each variant and fold, the score of all seeds together.

    Raises:
        ValueError: A variant has no score.
    """
    by = {
        variant: {(s.trial.seed, s.trial.fold): s for s in scores if s.trial.variant == variant}
        for variant in variants
    }
    lacking = [variant for variant, own in by.items() if not own]
    if lacking:
        raise ValueError(f"no trial of {', '.join(lacking)}")
    base = by[reference]
    results = []
    for variant, own in by.items():
        pairs = [(score, base[key]) for key, score in own.items() if key in base]
        together = [score for score in ensembles if score.trial.variant == variant]
        gated = [score for score in own.values() if score.mean_gates]
        choosing = [score.mean - score.mean_of_mean_gates for score in gated]
        uses = [use for score in gated for use in score.gates.values()]
        results.append(
            VariantResult(
                variant,
                {n: mean_of([f(s) for s in own.values()], overlap) for n, f in _each(own)},
                {} if variant == reference else {
                    n: mean_of([f(a) - f(b) for a, b in pairs], overlap) for n, f in _each(own)
                },
                sum(a.mean > b.mean for a, b in pairs),
                _plain_mean([use.entropy for use in uses]),
                _plain_mean([use.mean_entropy for use in uses]),
                mean_of(choosing, overlap) if choosing else None,
                _plain_mean([score.seconds for score in own.values()]),
                {n: _plain_mean([f(s) for s in together]) for n, f in _each(own)}
                if together else {},
            )
        )  # fmt: skip
    return tuple(results)


def _each(
    own: Mapping[tuple[int, int], TrialScore],
) -> list[tuple[str, Callable[[TrialScore], float]]]:
    """Each dimension, and their mean, as a function of a score."""

    def of(name: str) -> Callable[[TrialScore], float]:
        return lambda score: score.ccc[name]

    names = list(next(iter(own.values())).ccc)
    return [*((name, of(name)) for name in names), ("mean", lambda score: score.mean)]


def _plain_mean(values: Sequence[float]) -> float:
    defined: NDArray[np.float64] = np.array([v for v in values if not math.isnan(v)])
    return float(defined.mean()) if len(defined) else math.nan


def overlap_of(trials: Sequence[Trial], sizes: Mapping[int, tuple[int, int]]) -> float:
    """Test clips over training clips, the mean over the folds; 0 where there are no folds.

    Args:
        trials: Of the ablation.
        sizes: Training and test clips by fold.
    """
    folds = {trial.fold for trial in trials}
    if folds == {0}:
        return 0.0
    return float(np.mean([sizes[fold][1] / sizes[fold][0] for fold in sorted(folds)]))
