"""Several trained models that predict together: of seeds, of folds, of dimensions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grjca.errors import GrjcaError, UsageError
from grjca.fusion.checkpoint import Checkpoint, load_checkpoint
from grjca.fusion.data import FeatureSource
from grjca.fusion.predictor import Prediction, average, predict_stored
from grjca.fusion.recipe import differences

Paths = str | Path | Sequence[str | Path]
"""A RUN folder or file of a checkpoint, or several."""


@dataclass(frozen=True)
class Ensemble:
    """Models whose mean is the prediction.

    They take the same features, made in one way, so that a clip is extracted once for all of
    them. Their rates, windows and fusions may differ, since each maps its rows back to the clip's
    frames. Each dimension is predicted by equally many of them: a model of valence and one of
    arousal go together, a model of both and one of valence do not.

    Attributes:
        checkpoints: The models, at least one.
        names: What each is called, for messages.

    Raises:
        UsageError: There is none, or they do not predict the same.
        GrjcaError: Their features differ; the message names two of them and what differs.
    """

    checkpoints: tuple[Checkpoint, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.checkpoints:
            raise UsageError("checkpoint", "--checkpoint", "none given", "Give a RUN folder.")
        said_by: dict[str, str] = {}
        known: dict[str, Any] = {}
        for name, checkpoint in zip(self.names, self.checkpoints, strict=True):
            for part, value in _features(checkpoint).items():
                first = said_by.setdefault(part, name)
                if known.setdefault(part, value) != value:
                    what = "; ".join(differences(known[part], value, part))
                    raise GrjcaError(
                        "checkpoint", name, f"it takes other features than {first}: {what}",
                        "Average models of the same features; predict with the others apart.",
                    )  # fmt: skip
        if len({own.clip_level for own in self.checkpoints}) > 1:
            raise UsageError("checkpoint", ", ".join(self.names),
                             "some learned one label per clip, others one per frame",
                             "Predict with them apart.")  # fmt: skip
        able = Counter(output for own in self.checkpoints for output in own.outputs)
        if len(set(able.values())) > 1:
            counts = ", ".join(f"{output} by {count}" for output, count in able.items())
            raise UsageError("checkpoint", ", ".join(self.names),
                             f"not equally many predict each dimension: {counts}",
                             "Leave some out, or predict with them apart.")  # fmt: skip

    @classmethod
    def load(cls, paths: Sequence[Path]) -> Ensemble:
        """Read checkpoints.

        Args:
            paths: RUN folders, or files of checkpoints.

        Raises:
            UsageError: None, or they do not go together.
            GrjcaError: One cannot be read, or they do not go together.
        """
        return cls(tuple(load_checkpoint(path) for path in paths), tuple(map(str, paths)))

    @property
    def outputs(self) -> tuple[str, ...]:
        """The predicted dimensions, in the order in which they first appear."""
        return tuple(dict.fromkeys(name for own in self.checkpoints for name in own.outputs))

    @property
    def recipe(self) -> dict[str, Any]:
        """How the features are extracted that all of them take."""
        return {
            part: value
            for own in self.checkpoints
            for part, value in own.recipe.items()
            if value is not None
        }

    def predict(self, source: FeatureSource, clip: str) -> Prediction:
        """The mean of the models' predictions of a clip of a store; of one model, its own.

        Memory does not grow with the clip's features, only with the answer.

        Args:
            source: The feature store.
            clip: The clip's identity.

        Raises:
            GrjcaError: No such clip or embedder, another dimension, or NaN where valid.
        """
        return average([predict_stored(own, source, clip) for own in self.checkpoints])


def _features(checkpoint: Checkpoint) -> dict[str, Any]:
    """What decides a model's features, without the parts that it has no features of."""
    named = {"visual embedder": checkpoint.visual, "audio embedder": checkpoint.audio}
    parts = {**named, **checkpoint.recipe}
    return {part: value for part, value in parts.items() if value is not None}


def checkpoint_paths(given: Paths) -> list[Path]:
    """One path or several as a list.

    Raises:
        UsageError: There is none, or one is there twice and would count double in the mean.
    """
    paths = [Path(given)] if isinstance(given, str | Path) else [*map(Path, given)]
    if not paths:
        raise UsageError("checkpoint", "--checkpoint", "none given", "Give a RUN folder.")
    for path, times in Counter(path.resolve() for path in paths).items():
        if times > 1:
            raise UsageError("checkpoint", path, "given twice", "Name each checkpoint once.")
    return paths
