"""What a training finds out before its first step: embedders, outputs, model, labels."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grjca.errors import UsageError
from grjca.fusion.config import FusionConfig
from grjca.fusion.data import Inputs
from grjca.fusion.data_config import DataConfig
from grjca.fusion.dataset import ClipSet
from grjca.fusion.moments import Moments
from grjca.fusion.train_config import TrainConfig
from grjca.labels.records import Labels
from grjca.labels.splits import Split


def choose_modalities(
    config: TrainConfig, visual: str | None, audio: str | None
) -> tuple[str, ...]:
    """The modalities that are asked for and there.

    Raises:
        UsageError: None of them.
    """
    there = {"visual": visual, "audio": audio}
    modalities = tuple(name for name in config.modalities if there[name] is not None)
    if not modalities:
        cause = f"no clip has {' or '.join(config.modalities)} features"
        raise UsageError("train", "features", cause, "Extract them first.")
    return modalities


def choose_outputs(labels: Labels, fusion: Mapping[str, Any]) -> tuple[str, ...]:
    """The dimensions to learn: those asked for, else all that are labelled.

    Raises:
        UsageError: One is not labelled.
    """
    asked = fusion.get("outputs")
    outputs = tuple(labels.names if asked is None else asked)
    unknown = [name for name in outputs if name not in labels.names]
    if unknown:
        raise UsageError("train", f"outputs {', '.join(unknown)}", "not among the labels",
                         f"Labelled: {', '.join(labels.names)}.")  # fmt: skip
    return outputs


def model_config(
    fusion: Mapping[str, Any], inputs: Inputs, outputs: tuple[str, ...], window: int
) -> FusionConfig:
    """The model's configuration, completed by what features and labels decide.

    Raises:
        UsageError: A setting that does not exist, or a value out of its range.
    """
    decided = {
        "visual_dim": inputs.visual_dim,
        "audio_dim": inputs.audio_dim,
        "outputs": outputs,
        "window": window,
    }
    known = {field.name for field in dataclasses.fields(FusionConfig)} - decided.keys()
    unknown = sorted(fusion.keys() - known - {"outputs"})
    if unknown:
        raise UsageError("train", ", ".join(unknown), "no such setting of the model",
                         f"Settings: {', '.join(sorted(known))}.")  # fmt: skip
    try:
        return FusionConfig(**{**fusion, **decided})
    except (TypeError, ValueError) as error:
        raise UsageError(
            "train",
            "model settings",
            str(error),
            "Correct it; 'grjca config show' prints all settings.",
        ) from error


def check_labelled(loaded: ClipSet, split: Split, outputs: Sequence[str]) -> None:
    """Refuse a side of the split on which a dimension is not labelled anywhere.

    Raises:
        UsageError: There is such a side; or one clip to validate labels of whole clips on.
    """
    for side, names in (("training", split.train), ("validation", split.val)):
        for k, output in enumerate(outputs):
            labelled = [
                clip for clip in names if not np.isnan(loaded.clips[clip].labels[:, k]).all()
            ]
            if not labelled:
                raise UsageError("train", output, f"no {side} clip has a labelled frame",
                                 "Choose another --val, or leave the dimension out.")  # fmt: skip
            if loaded.clip_level and side == "validation" and len(labelled) < 2:
                raise UsageError("train", output, "one label per clip and one validation clip: a "
                                 "CCC needs two", "Choose another --val.")  # fmt: skip


def check_loss(config: TrainConfig, data: DataConfig, clip_level: bool) -> None:
    """Refuse what has no meaning where each clip has one label.

    Raises:
        UsageError: A CCC over windows of one label each, or labels smoothed along a clip.
    """
    if clip_level and config.ccc_over == "window":
        raise UsageError("train", "ccc_over: window", "the labels are one per clip, and one number "
                         "has no CCC", "Use ccc_over: batch.")  # fmt: skip
    if clip_level and data.label_smoothing_seconds:
        raise UsageError("train", "label_smoothing_seconds", "the labels are one per clip",
                         "Only labels along a clip can be smoothed; leave it out.")  # fmt: skip


def digest_of_data(loaded: ClipSet, moments: Mapping[str, Moments]) -> str:
    """SHA-256 over labels and the features' statistics, to tell one set of data from another."""
    sha = hashlib.sha256()
    for name, clip in sorted(loaded.clips.items()):
        sha.update(f"{name} {len(clip.labels)} {len(clip.sequence)}".encode())
        sha.update(np.ascontiguousarray(clip.labels).tobytes())
    for moment in moments.values():
        sha.update(np.int64(moment.count).tobytes())
        sha.update(moment.mean.tobytes() + moment.deviation().tobytes())
    return sha.hexdigest()
