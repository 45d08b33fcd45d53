"""Evaluating trained models on labelled clips of a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from grjca.errors import UsageError
from grjca.evaluation.gates import GateSums, GateUse, with_mean_gates
from grjca.evaluation.job import Job
from grjca.evaluation.partitions import PARTITIONS, Panel, Partition, choose
from grjca.evaluation.scores import Scores, Trace, score
from grjca.evaluation.smoothing import best_widths, check_widths, smoothed, widths_of
from grjca.evaluation.sources import check_features
from grjca.evaluation.stress import StressConfig, StressRow
from grjca.evaluation.sums import RESAMPLES
from grjca.evaluation.sweep import sweep
from grjca.fusion.checkpoint import Checkpoint
from grjca.fusion.data import FeatureSource
from grjca.labels.records import Labels
from grjca.labels.rows import Align

FEW = 20
"""Clips below which the interval is known to be too narrow."""

Smooth = Literal["none", "auto"] | float | Mapping[str, float]
"""Seconds for all dimensions or for each, none, or whatever is best on validation clips."""


@dataclass(frozen=True)
class EvaluationConfig:
    """What is evaluated, and how.

    Attributes:
        partition: See ``partitions.choose``.
        smooth: Width in seconds of a moving mean over predictions, one or by dimension (0 for one
            that is not named); ``auto`` for the widths that are best on the runs' validation
            clips; or ``none``.
        gates: Whether to tell how gates are used, and to score again with each held at its mean.
        stress: The sweep to go through, or None.
        label_delay: Seconds by which annotations come after what they are about; None for what
            the runs were trained with.
        align: What to do about rows of labels that do not match the frames.
        resamples: Bootstrap resamples of clips.
        seed: Decides them.

    Raises:
        ValueError: A value is out of its range; the message names it.
    """

    partition: Partition = "val"
    smooth: Smooth = "none"
    gates: bool = False
    stress: StressConfig | None = None
    label_delay: float | None = None
    align: Align = "error"
    resamples: int = RESAMPLES
    seed: int = 3407

    def __post_init__(self) -> None:
        if self.partition not in PARTITIONS:
            raise ValueError(f"partition must be one of {PARTITIONS}, got {self.partition!r}")
        if self.smooth not in ("none", "auto"):
            check_widths(self.smooth)
        if self.resamples < 100:
            raise ValueError(f"resamples must be at least 100, got {self.resamples}")


@dataclass(frozen=True)
class Evaluation:
    """What trained models reach.

    Attributes:
        config: What was asked for, the label delay resolved.
        names: The dimensions.
        scores: Overall and by clip.
        traces: What was scored.
        smooth: Seconds of smoothing by dimension.
        gates: For each checkpoint, how its gates were used; None where not asked for.
        mean_gates: The scores with every gate held at its mean; None likewise.
        stress: The sweep's table; empty where not asked for.
        mapping: How the annotations' numbers became numbers in [-1, 1].
        notes: What a reader of the scores should know.
    """

    config: EvaluationConfig
    names: tuple[str, ...]
    scores: Scores
    traces: tuple[Trace, ...]
    smooth: Mapping[str, float]
    mapping: str
    gates: tuple[Mapping[str, GateUse], ...] | None = None
    mean_gates: Scores | None = None
    stress: tuple[StressRow, ...] = ()
    notes: tuple[str, ...] = ()


def evaluate_clips(
    checkpoints: Sequence[Checkpoint],
    source: FeatureSource,
    labels: Labels,
    config: EvaluationConfig,
    *,
    progress: bool = False,
) -> Evaluation:
    """Evaluate models on labelled clips.

    The score of a dimension is taken over all labelled frames of all clips at once, each clip on
    its own frames.

    Args:
        checkpoints: At least one; the mean of their predictions is evaluated.
        source: The feature store.
        labels: Annotations by the store's identities.
        config: What and how.
        progress: Draw progress bars on standard error.

    Raises:
        UsageError: No clip in the partition, nothing labelled, features of another embedder.
        GrjcaError: Labels or features that do not fit.
    """
    config = replace(config, label_delay=_label_delay(checkpoints, config))
    job = Job(checkpoints, source, labels, config.label_delay or 0.0, config.align, progress)
    panel = choose(checkpoints, labels, config.partition)
    for number, checkpoint in enumerate(checkpoints):
        answered = [clip for clip, runs in panel.clips.items() if number in runs]
        if answered:
            check_features(checkpoint, source, answered)
    sums = [GateSums() for _ in checkpoints] if config.gates else None
    traces = job.traces(panel, "evaluate", sums)
    if all(np.isnan(trace.labels).all() for trace in traces):
        raise UsageError("evaluate", f"{len(traces)} clips", "no frame is labelled",
                         "Check the labels, or choose another partition.")  # fmt: skip
    smooth = _widths(job, config, traces)
    final, scores = _scored(job, config, traces, smooth)
    found = Evaluation(config, job.names, scores, final, smooth, labels.mapping,
                       notes=_notes(job, config, panel))  # fmt: skip
    if sums is not None:
        uses = tuple(own.use() for own in sums)
        found = replace(found, gates=uses)
        if any(uses):
            with with_mean_gates(checkpoints, uses):
                frozen = _scored(job, config, job.traces(panel, "mean gates"), smooth)[1]
            found = replace(found, mean_gates=frozen)
    if config.stress is not None:
        rows = sweep(job, panel, config.stress, smooth, config.seed, config.resamples)
        found = replace(found, stress=rows)
    return found


def _scored(
    job: Job, config: EvaluationConfig, traces: Sequence[Trace], smooth: Mapping[str, float]
) -> tuple[tuple[Trace, ...], Scores]:
    final = tuple(smoothed(trace, smooth, job.names) for trace in traces)
    return final, score(final, job.names, config.seed, config.resamples)


def _widths(job: Job, config: EvaluationConfig, traces: Sequence[Trace]) -> dict[str, float]:
    """Seconds of smoothing by dimension; what is chosen is chosen on validation clips only."""
    if config.smooth != "auto":
        return widths_of(0.0 if config.smooth == "none" else config.smooth, job.names)
    if config.partition != "val":
        traces = job.traces(choose(job.checkpoints, job.labels, "val"), "smoothing")
    return best_widths(traces, job.names)


def _label_delay(checkpoints: Sequence[Checkpoint], config: EvaluationConfig) -> float:
    if config.label_delay is not None:
        return config.label_delay
    delays = {float(own.meta.get("label_delay", 0.0)) for own in checkpoints}
    if len(delays) > 1:
        known = ", ".join(f"{delay:g}" for delay in sorted(delays))
        raise UsageError("evaluate", "label delay", f"the runs were trained with {known} s",
                         "Say which with --label-delay.")  # fmt: skip
    return delays.pop()


def _notes(job: Job, config: EvaluationConfig, panel: Panel) -> tuple[str, ...]:
    notes = [f"predicted but not labelled: {n}" for n in job.predicted if n not in job.names]
    notes += job.labels.notes
    here = job.labels.mapping
    notes += [
        f"trained on labels read as '{mapping}', evaluated on '{here}'"
        for mapping in sorted({own.mapping for own in job.checkpoints} - {here})
    ]
    if any(own.clip_level for own in job.checkpoints) and not job.labels.clip_level:
        notes.append("trained on one label per clip, evaluated on single frames")
    notes += panel.notes
    if config.smooth == "auto" and config.partition in ("val", "all"):
        notes.append("the smoothing was chosen on these clips")
    if len(panel.clips) < FEW:
        notes.append(f"intervals from {len(panel.clips)} clips are too narrow (docs/decisions.md)")
    return tuple(notes)
