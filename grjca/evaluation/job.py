"""Predictions of models beside the annotations of the same clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from grjca.errors import UsageError
from grjca.evaluation.gates import GateSums
from grjca.evaluation.partitions import Panel
from grjca.evaluation.scores import Trace
from grjca.fusion.checkpoint import Checkpoint
from grjca.fusion.data import FeatureSource
from grjca.fusion.predictor import Prediction, average, predict_stored
from grjca.labels.records import Labels
from grjca.labels.rows import Align, labels_for_rows


@dataclass(frozen=True)
class Job:
    """What stays the same from clip to clip.

    Attributes:
        checkpoints: The models, at least one.
        source: Their features.
        labels: Annotations by the store's identities.
        label_delay: Seconds by which annotations come after what they are about.
        align: What to do about rows of labels that do not match the frames.
        progress: Draw progress bars on standard error.

    Raises:
        UsageError: Nothing that is predicted is labelled.
    """

    checkpoints: Sequence[Checkpoint]
    source: FeatureSource
    labels: Labels
    label_delay: float = 0.0
    align: Align = "error"
    progress: bool = False

    def __post_init__(self) -> None:
        if not self.names:
            raise UsageError("evaluate", ", ".join(self.predicted), "not among the labels",
                             f"Labelled: {', '.join(self.labels.names)}.")  # fmt: skip

    @property
    def predicted(self) -> tuple[str, ...]:
        """The dimensions that any of the models predicts."""
        return tuple(dict.fromkeys(name for own in self.checkpoints for name in own.outputs))

    @property
    def names(self) -> tuple[str, ...]:
        """Those of them that are labelled."""
        return tuple(name for name in self.predicted if name in self.labels.names)

    def traces(
        self, panel: Panel, task: str, gates: Sequence[GateSums] | None = None
    ) -> list[Trace]:
        """Predictions and labels of a panel's clips, read a few windows at a time.

        Args:
            panel: The clips.
            task: What the progress bar says.
            gates: For each checkpoint, where its gates' weights are collected.

        Raises:
            GrjcaError: Labels or features that do not fit.
        """
        found = []
        for clip, runs in self.bar(panel, task):
            own = [predict_stored(self.checkpoints[i], self.source, clip) for i in runs]
            if gates is not None:
                for i, prediction in zip(runs, own, strict=True):
                    gates[i].add(prediction.gates)
            found.append(self.trace(average(own)))
        return found

    def bar(self, panel: Panel, task: str) -> tqdm[tuple[str, tuple[int, ...]]]:
        """A panel's clips with the checkpoints that answer for each, behind a progress bar."""
        return tqdm(panel.clips.items(), task, unit="clip", disable=not self.progress)

    def trace(self, prediction: Prediction) -> Trace:
        """A prediction beside its labels, on the clip's own frames.

        A clip with one label for the whole of it becomes one row, its prediction the mean over
        the rows that have a face or sound (over all, where none has). A dimension that was not
        predicted counts as not labelled.

        Raises:
            GrjcaError: The labels do not fit the clip's frames.
        """
        annotated = self.labels.clips[prediction.clip]
        columns = [self.labels.names.index(name) for name in self.names]
        time, values = prediction.time, prediction.values
        if annotated.clip_level:
            present = prediction.face_valid | prediction.audio_valid
            counted = present if present.any() else np.ones_like(present)
            time, values = time[:1], values[counted].mean(axis=0, keepdims=True)[: len(time)]
            labels = annotated.values[: len(time)]
        else:
            rows = self.source.read(prediction.clip, None, None)
            labels = labels_for_rows(
                annotated, time, index=rows.index, align=self.align, delay=self.label_delay
            )
        labels = labels[:, columns]
        ordered = np.full(labels.shape, np.nan)
        for k, name in enumerate(self.names):
            if name in prediction.names:
                ordered[:, k] = values[:, prediction.names.index(name)]
        return Trace(prediction.clip, time, ordered, np.where(np.isnan(ordered), np.nan, labels))
