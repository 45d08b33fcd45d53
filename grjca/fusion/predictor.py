"""Predicting every frame of a clip with a trained model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from grjca.cache.records import ClipFeatures
from grjca.fusion.checkpoint import Checkpoint
from grjca.fusion.data import ClipSequence, FeatureSource, take_rows
from grjca.fusion.dataset import ClipRows
from grjca.fusion.inference import predict_rows
from grjca.fusion.timeline import make_timeline


@dataclass(frozen=True)
class Prediction:
    """A trained model's answer for one clip, a row per frame of the clip.

    Attributes:
        clip: The clip's identity.
        time: (T,) float64 seconds.
        values: (T, K) float64 in [-1, 1], a column per name.
        names: The predicted dimensions.
        face_valid: (T,) bool, a face was seen.
        audio_valid: (T,) bool, there is sound.
        gates: (T, n) float64, the weights of each gate's n candidates, by the gate's name as in
            ``FusionOutput.gates``; empty for a fusion without gates and for a mean of models.
    """

    clip: str
    time: NDArray[np.float64]
    values: NDArray[np.float64]
    names: tuple[str, ...]
    face_valid: NDArray[np.bool_]
    audio_valid: NDArray[np.bool_]
    gates: dict[str, NDArray[np.float64]]

    def __post_init__(self) -> None:
        rows = len(self.time)
        shapes = {
            "values": (self.values.shape, (rows, len(self.names))),
            "face_valid": (self.face_valid.shape, (rows,)),
            "audio_valid": (self.audio_valid.shape, (rows,)),
        }
        for name, (have, want) in shapes.items():
            if have != want:
                raise ValueError(f"{self.clip}: {name} has shape {have}, wanted {want}")
        for name, gate in self.gates.items():
            if gate.ndim != 2 or len(gate) != rows:
                raise ValueError(f"{self.clip}: gate {name} has shape {gate.shape}, rows: {rows}")

    def __len__(self) -> int:
        return len(self.time)


def predict_clip(checkpoint: Checkpoint, features: ClipFeatures) -> Prediction:
    """Predict a clip whose features are in memory.

    Windows and hop are those of the training, overlapping windows are averaged; features are
    resampled to the rate the model was trained at and the answer is mapped back, so that every
    frame of the clip has a value, whatever its length and rate.

    Args:
        checkpoint: A trained model.
        features: The clip, extracted by the checkpoint's recipe.

    Raises:
        GrjcaError: The features have another dimension than the model takes, or hold NaN where
            they are valid.
    """
    return _predict(
        checkpoint,
        features.clip,
        features.time,
        lambda rows: take_rows(features, rows),
        features.visual_valid,
        features.audio_valid,
    )


def predict_stored(checkpoint: Checkpoint, source: FeatureSource, clip: str) -> Prediction:
    """Predict a clip of a store, reading a few windows at a time.

    Memory does not grow with the clip's features, only with the answer. The features are those
    of the checkpoint's embedders; that they were made by its recipe is for the caller to check.

    Args:
        checkpoint: A trained model.
        source: The feature store.
        clip: The clip's identity.

    Raises:
        GrjcaError: No such clip or embedder, another dimension, or NaN where valid.
    """
    reader = ClipRows(source, clip, checkpoint.visual, checkpoint.audio)
    face, sound = reader.valid()
    return _predict(checkpoint, clip, reader.time(), reader, face, sound)


def average(predictions: Sequence[Prediction]) -> Prediction:
    """The mean of several models' predictions of one clip: of seeds, of folds, of dimensions.

    Each dimension is the mean over the models that predict it, in the order in which dimensions
    first appear, so that a model of valence and one of arousal together make both. A frame counts
    as having a face or sound when a model saw one. Gates of different models weigh different
    features: a mean of more than one has none.

    Args:
        predictions: Of one clip, at least one.

    Raises:
        ValueError: There is none, or they are of different clips or rows.
    """
    if not predictions:
        raise ValueError("no predictions to average")
    first = predictions[0]
    if len(predictions) == 1:
        return first
    for other in predictions[1:]:
        if other.clip != first.clip or not np.array_equal(other.time, first.time):
            raise ValueError(f"predictions of {first.clip} and of {other.clip}, or other rows")
    names = tuple(dict.fromkeys(name for own in predictions for name in own.names))
    columns = []
    for name in names:
        able = [own for own in predictions if name in own.names]
        columns.append(np.mean([own.values[:, own.names.index(name)] for own in able], axis=0))
    return replace(
        first,
        values=np.stack(columns, axis=1),
        names=names,
        face_valid=np.any([own.face_valid for own in predictions], axis=0),
        audio_valid=np.any([own.audio_valid for own in predictions], axis=0),
        gates={},
    )


def _predict(
    checkpoint: Checkpoint,
    clip: str,
    time: NDArray[np.float64],
    read: Callable[[slice], ClipFeatures],
    face_valid: NDArray[np.bool_],
    audio_valid: NDArray[np.bool_],
) -> Prediction:
    timeline = make_timeline(time, checkpoint.rate)
    sequence = ClipSequence(clip, read, timeline, checkpoint.inputs)
    rows = predict_rows(checkpoint.model, [sequence], checkpoint.window, checkpoint.hop)[0]
    gates = {name: timeline.at_frames(weights) for name, weights in rows.gates.items()}
    values = timeline.at_frames(rows.values)
    return Prediction(clip, time, values, checkpoint.outputs, face_valid, audio_valid, gates)
