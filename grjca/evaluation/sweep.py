"""Running the stress sweep over the clips of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from grjca.evaluation.job import Job
from grjca.evaluation.partitions import Panel
from grjca.evaluation.smoothing import smoothed
from grjca.evaluation.sources import read_for
from grjca.evaluation.stress import (
    FeatureSpread,
    StressConfig,
    StressRow,
    perturbation,
    stress_rows,
)
from grjca.evaluation.sums import clip_sums
from grjca.fusion.predictor import average, predict_clip


def sweep(
    job: Job,
    panel: Panel,
    config: StressConfig,
    smooth: Mapping[str, float],
    seed: int,
    resamples: int,
) -> tuple[StressRow, ...]:
    """Predict every clip under every condition.

    A clip's features are held whole while it is gone through, and only sums are kept of it. The
    unit of the noise is the deviation of the features over the clips of the panel.

    Args:
        job: Models, features and labels.
        panel: The clips.
        config: What the sweep goes through.
        smooth: Seconds of smoothing by dimension.
        seed: Decides the resamples.
        resamples: How many.

    Raises:
        GrjcaError: Labels or features that do not fit.
    """
    spreads = [FeatureSpread() for _ in job.checkpoints]
    for clip, runs in panel.clips.items():
        for i in runs:
            spreads[i].add(read_for(job.checkpoints[i], job.source, clip))
    conditions = config.conditions()
    changes = [
        [perturbation(condition, config, spread.deviations()) for condition in conditions]
        for spread in spreads
    ]
    sums = []
    for clip, runs in job.bar(panel, "stress"):
        features = {i: read_for(job.checkpoints[i], job.source, clip) for i in runs}
        of_clip = []
        for q in range(len(conditions)):
            spoiled = [predict_clip(job.checkpoints[i], changes[i][q](features[i])) for i in runs]
            trace = smoothed(job.trace(average(spoiled)), smooth, job.names)
            of_clip.append(clip_sums(trace.prediction, trace.labels))
        sums.append(np.stack(of_clip))
    return tuple(stress_rows(conditions, np.stack(sums, axis=1), job.names, seed, resamples))
