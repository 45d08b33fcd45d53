"""Clips as a model sees them: at its frame rate, window by window, in padded batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from grjca.cache.records import ClipFeatures
from grjca.errors import GrjcaError
from grjca.fusion.timeline import Timeline

MODALITIES = ("visual", "audio")

_SHOWN = 5


class FeatureSource(Protocol):
    """Where features come from; ``grjca.cache.FeatureStore`` is one."""

    def clips(self) -> list[str]:
        """Identities of all clips."""

    def read(
        self, clip: str, visual: str | None, audio: str | None, rows: slice = slice(None)
    ) -> ClipFeatures:
        """A clip's rows; a modality that is not named is not read."""

    def embedders(self, clip: str) -> dict[str, list[str]]:
        """Names of a clip's embedders, under ``visual`` and ``audio``."""

    def recipe(self, clip: str, visual: str | None, audio: str | None) -> dict[str, Any]:
        """All that decided a clip's features, as JSON-able values."""


@dataclass(frozen=True)
class Inputs:
    """What a model takes: numbers per row, and the modalities that are not withheld from it."""

    visual_dim: int
    audio_dim: int
    modalities: tuple[str, ...] = MODALITIES

    def __post_init__(self) -> None:
        known = [m for m in MODALITIES if m in self.modalities]
        if not known or len(known) != len(self.modalities):
            raise ValueError(f"modalities are {MODALITIES} or one of them, got {self.modalities}")


@dataclass(frozen=True)
class Window:
    """A stretch of one clip at the model's rate.

    Attributes:
        visual: (n, D_v) float32, anything where not ``visual_valid``.
        audio: (n, D_a) float32, anything where not ``audio_valid``.
        visual_valid: (n,) bool.
        audio_valid: (n,) bool.
    """

    visual: NDArray[np.float32]
    audio: NDArray[np.float32]
    visual_valid: NDArray[np.bool_]
    audio_valid: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.visual)


@dataclass(frozen=True)
class ClipSequence:
    """One clip at a model's rate, of which any stretch can be read.

    Attributes:
        clip: The clip's identity.
        read: Gives a range of the clip's own rows.
        timeline: The model's rows over the clip's frames.
        inputs: What the model takes.
    """

    clip: str
    read: Callable[[slice], ClipFeatures]
    timeline: Timeline
    inputs: Inputs

    def __len__(self) -> int:
        return len(self.timeline)

    def window(self, start: int, stop: int) -> Window:
        """Rows ``start`` to ``stop`` of the model's; only the clip's rows they show are read.

        Raises:
            GrjcaError: The features have another dimension than the model takes, or a row marked
                valid holds NaN or infinity.
        """
        rows, place = self.timeline.source(start, stop)
        features = self.read(rows)
        visual, visual_valid = self._modality("visual", features, rows.start)
        audio, audio_valid = self._modality("audio", features, rows.start)
        return Window(visual[place], audio[place], visual_valid[place], audio_valid[place])

    def _modality(
        self, name: str, features: ClipFeatures, first: int
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        values: NDArray[np.float32] | None = getattr(features, name)
        valid: NDArray[np.bool_] = getattr(features, f"{name}_valid")
        dim: int = getattr(self.inputs, f"{name}_dim")
        if values is None or name not in self.inputs.modalities:
            missing = np.full((len(features), dim), np.nan, dtype=np.float32)
            return missing, np.zeros(len(features), dtype=bool)
        if values.shape[1] != dim:
            raise GrjcaError(
                "features", self.clip,
                f"{values.shape[1]} {name} numbers per row, the model takes {dim}",
                "Extract with the embedders that the model was trained on.",
            )  # fmt: skip
        _check_finite(self.clip, name, values, valid, first)
        return values, valid


def _check_finite(
    clip: str, name: str, values: NDArray[np.float32], valid: NDArray[np.bool_], first: int
) -> None:
    """Refuse NaN and infinity in rows that are marked valid.

    Args:
        clip: The clip's identity, for the message.
        name: ``visual`` or ``audio``.
        values: (n, D) features.
        valid: (n,) bool.
        first: The clip's row that ``values`` starts with.

    Raises:
        GrjcaError: There is such a row; the message names the clip and the first few rows.
    """
    bad = first + np.flatnonzero(valid & ~np.isfinite(values).all(axis=1))
    if len(bad):
        rows = ", ".join(map(str, bad[:_SHOWN])) + (" ..." if len(bad) > _SHOWN else "")
        raise GrjcaError(
            "features", clip, f"NaN or infinity in valid {name} rows {rows}",
            "Extract the clip again with --overwrite.",
        )  # fmt: skip


def take_rows(features: ClipFeatures, rows: slice) -> ClipFeatures:
    """A range of a clip's rows, without copying."""
    return ClipFeatures(
        features.clip,
        features.time[rows],
        None if features.visual is None else features.visual[rows],
        features.visual_valid[rows],
        None if features.audio is None else features.audio[rows],
        features.audio_valid[rows],
        None if features.index is None else features.index[rows],
    )


@dataclass(frozen=True)
class Batch:
    """Windows padded to one length: what ``FusionModel.forward`` takes, in its order.

    Attributes:
        visual: (B, T, D_v) float32.
        audio: (B, T, D_a) float32.
        visual_valid: (B, T) bool.
        audio_valid: (B, T) bool.
        frames: (B, T) bool, false for padding.
    """

    visual: Tensor
    audio: Tensor
    visual_valid: Tensor
    audio_valid: Tensor
    frames: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; a copy to a GPU does not make the caller wait."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self.arguments))

    @property
    def arguments(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """The model's arguments."""
        return self.visual, self.audio, self.visual_valid, self.audio_valid, self.frames


def collate(items: Sequence[Window], length: int) -> Batch:
    """Stack windows, each padded at its end to ``length`` rows."""
    frames = np.zeros((len(items), length), dtype=bool)
    for row, item in zip(frames, items, strict=True):
        row[: len(item)] = True
    return Batch(
        pad([item.visual for item in items], length),
        pad([item.audio for item in items], length),
        pad([item.visual_valid for item in items], length),
        pad([item.audio_valid for item in items], length),
        torch.from_numpy(frames),
    )


def pad(arrays: Sequence[NDArray[Any]], length: int) -> Tensor:
    """(n_i, ...) arrays to one (B, length, ...) tensor, zeros after each end."""
    first = arrays[0]
    padded = np.zeros((len(arrays), length, *first.shape[1:]), dtype=first.dtype)
    for row, array in zip(padded, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(padded)
