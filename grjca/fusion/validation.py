"""How well a model does on whole clips in the middle of a training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from grjca.errors import GrjcaError
from grjca.fusion.dataset import LabelledClip
from grjca.fusion.inference import predict_rows
from grjca.fusion.metrics import ccc
from grjca.fusion.model import FusionModel
from grjca.fusion.train_config import TrainConfig


def validate(
    model: FusionModel, clips: Sequence[LabelledClip], config: TrainConfig, clip_level: bool
) -> dict[str, float]:
    """CCC by dimension over all labelled frames of all clips at once, or over whole clips.

    Args:
        model: The model.
        clips: The clips.
        config: Window, hop and batch.
        clip_level: The labels are those of whole clips: one prediction and one label per clip.

    Raises:
        GrjcaError: A prediction is not finite, or a row marked valid holds NaN or infinity.
    """
    sequences = [clip.sequence for clip in clips]
    found = predict_rows(model, sequences, config.window, config.hop, config.batch, gates=False)
    for clip, own in zip(clips, found, strict=True):
        if not np.isfinite(own.values).all():
            raise GrjcaError("train", clip.sequence.clip, "the model's prediction is not finite",
                             "Lower the learning rate.")  # fmt: skip
    if clip_level:
        predicted = np.stack([own.values[own.shown].mean(axis=0) for own in found])
        labels = np.stack([clip.labels[0] for clip in clips])
    else:
        on_frames = [
            clip.sequence.timeline.at_frames(own.values)
            for clip, own in zip(clips, found, strict=True)
        ]
        predicted = np.concatenate(on_frames)
        labels = np.concatenate([clip.labels for clip in clips])
    return {
        name: ccc(predicted[:, k], labels[:, k], ~np.isnan(labels[:, k]))
        for k, name in enumerate(model.config.outputs)
    }
