"""Scores of a set of clips: each clip's own, and of all frames at once with intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grjca.evaluation.sums import METRICS, Estimate, clip_sums, interval, resampled
from grjca.fusion.metrics import ccc, pearson, rmse

_METRIC = {"ccc": ccc, "pcc": pearson, "rmse": rmse}


@dataclass(frozen=True)
class Trace:
    """Predictions of one clip beside its labels.

    Attributes:
        clip: The clip's identity.
        time: (T,) float64 seconds.
        prediction: (T, K) float64.
        labels: (T, K) float64, NaN where not labelled.
    """

    clip: str
    time: NDArray[np.float64]
    prediction: NDArray[np.float64]
    labels: NDArray[np.float64]

    def __post_init__(self) -> None:
        rows = len(self.time)
        if self.prediction.shape != self.labels.shape or len(self.labels) != rows:
            shapes = f"{self.prediction.shape} predicted, {self.labels.shape} labelled"
            raise ValueError(f"{self.clip}: {shapes}, {rows} rows")


@dataclass(frozen=True)
class Score:
    """Agreement in one dimension.

    Attributes:
        ccc: Concordance correlation coefficient.
        pcc: Pearson's correlation coefficient.
        rmse: Root of the mean squared error.
        frames: Labelled frames.
        clips: Clips with at least one labelled frame.
    """

    ccc: Estimate
    pcc: Estimate
    rmse: Estimate
    frames: int
    clips: int

    def document(self) -> dict[str, object]:
        """As plain values."""
        own = {name: getattr(self, name).document() for name in METRICS}
        return {**own, "frames": self.frames, "clips": self.clips}


@dataclass(frozen=True)
class Scores:
    """Agreement over a set of clips.

    Attributes:
        overall: By dimension, over all labelled frames of all clips at once, with intervals over
            clips.
        mean_ccc: Mean of the dimensions' CCC; NaN when one is undefined.
        clips: By clip and dimension, without intervals.
    """

    overall: Mapping[str, Score]
    mean_ccc: Estimate
    clips: Mapping[str, Mapping[str, Score]]


def score(traces: Sequence[Trace], names: Sequence[str], seed: int, resamples: int) -> Scores:
    """Score predictions.

    Clips without any label count for nothing and are not resampled.

    Args:
        traces: The clips, at least one.
        names: K names of the dimensions.
        seed: Decides the resamples.
        resamples: How many.
    """
    labelled = [trace for trace in traces if not np.isnan(trace.labels).all()]
    drawn = None
    if len(labelled) > 1:
        sums = np.stack([clip_sums(trace.prediction, trace.labels) for trace in labelled])
        drawn = resampled(sums, seed, resamples)
    overall = {}
    for k, name in enumerate(names):
        x = np.concatenate([trace.prediction[:, k] for trace in traces])
        y = np.concatenate([trace.labels[:, k] for trace in traces])
        clips = sum(not np.isnan(trace.labels[:, k]).all() for trace in traces)
        estimates = _plain(x, y)
        if drawn is not None:
            estimates = {
                metric: Estimate(found.value, *_unless_nan(found.value, drawn[metric][:, k]))
                for metric, found in estimates.items()
            }
        overall[name] = Score(**estimates, frames=int((~np.isnan(y)).sum()), clips=clips)
    mean = float(np.mean([found.ccc.value for found in overall.values()]))
    bounds = _unless_nan(mean, drawn["ccc"].mean(axis=1)) if drawn else (math.nan, math.nan)
    each = {trace.clip: _clip_scores(trace, names) for trace in traces}
    return Scores(overall, Estimate(mean, *bounds), each)


def _clip_scores(trace: Trace, names: Sequence[str]) -> dict[str, Score]:
    scores = {}
    for k, name in enumerate(names):
        frames = int((~np.isnan(trace.labels[:, k])).sum())
        found = _plain(trace.prediction[:, k], trace.labels[:, k])
        scores[name] = Score(**found, frames=frames, clips=int(frames > 0))
    return scores


def _plain(x: NDArray[np.float64], y: NDArray[np.float64]) -> dict[str, Estimate]:
    counted = ~np.isnan(y)
    return {name: Estimate(metric(x, y, counted)) for name, metric in _METRIC.items()}


def _unless_nan(value: float, drawn: NDArray[np.float64]) -> tuple[float, float]:
    return (math.nan, math.nan) if math.isnan(value) else interval(drawn)
