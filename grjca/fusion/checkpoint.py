"""A trained model on disk: weights as safetensors, all else as JSON in the same file."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import Tensor

import grjca
from grjca.errors import GrjcaError
from grjca.files import written_in_one_step
from grjca.fusion.config import FusionConfig
from grjca.fusion.data import Inputs
from grjca.fusion.model import FusionModel
from grjca.fusion.run_files import MODEL, without_nan
from grjca.fusion.tensor_file import FileKind, Step, read_tensors, write_tensors

_REMEDY = "Give a RUN folder of 'grjca train', or the model.safetensors inside it."
CHECKPOINT = FileKind("checkpoint", "grjca.checkpoint", 1, _REMEDY)
_LIBRARIES = ("torch", "numpy", "safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """A trained model and what must be known to use it.

    Attributes:
        model: The model, in evaluation mode.
        inputs: Dimensions of the features, and the modalities it was trained on.
        rate: The model's rows per second.
        window: Rows per window.
        hop: Rows between windows.
        recipe: How the features it was trained on were extracted.
        visual: Name of the visual embedder; None when the training clips had no picture.
        audio: Name of the audio embedder; None when the training clips had no sound.
        mapping: How the annotations' numbers became numbers in [-1, 1].
        meta: The rest: training configuration, split, validation CCC, versions.
        clip_level: It was trained on one label per clip: the mean over a clip's frames is what
            was learned, the single frames were not.
    """

    model: FusionModel
    inputs: Inputs
    rate: float
    window: int
    hop: int
    recipe: dict[str, Any]
    visual: str | None
    audio: str | None
    mapping: str
    meta: dict[str, Any]
    clip_level: bool = False

    @property
    def fusion(self) -> FusionConfig:
        """The model's configuration."""
        return self.model.config

    @property
    def outputs(self) -> tuple[str, ...]:
        """The predicted dimensions, in the order of the model's outputs."""
        return self.model.config.outputs


def save_checkpoint(
    path: Path,
    config: FusionConfig,
    weights: Mapping[str, Tensor],
    meta: Mapping[str, Any],
    step: Step = written_in_one_step,
) -> None:
    """Write a checkpoint in one step.

    Args:
        path: The file.
        config: The model's configuration.
        weights: The model's state.
        meta: JSON-able values with at least the keys that :class:`Checkpoint` reads: ``rate``,
            ``window``, ``hop``, ``modalities``, ``recipe``, ``visual``, ``audio``, ``mapping``.
        step: How the file takes its name.

    Raises:
        GrjcaError: The file cannot be written.
    """
    document = {
        "fusion": dataclasses.asdict(config),
        "versions": _versions(),
        **meta,
    }
    write_tensors(path, CHECKPOINT, without_nan(document), weights, step)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; no code in the file is run.

    Args:
        path: A RUN folder, or a checkpoint's file.

    Raises:
        GrjcaError: Nothing there, or a file of another kind, of a newer version, or damaged.
    """
    file = path / MODEL if path.is_dir() else path
    if not file.is_file():
        where = f"the folder holds no {MODEL}" if path.is_dir() else "no such file or folder"
        raise GrjcaError("checkpoint", path, where, _REMEDY)
    document, weights = read_tensors(file, CHECKPOINT)
    try:
        config = FusionConfig(**document.pop("fusion"))
        inputs = Inputs(config.visual_dim, config.audio_dim, tuple(document.pop("modalities")))
        model = FusionModel(config)
        model.load_state_dict(weights)
        checkpoint = Checkpoint(
            model.eval(),
            inputs,
            rate=float(document.pop("rate")),
            window=int(document.pop("window")),
            hop=int(document.pop("hop")),
            recipe=dict(document.pop("recipe")),
            visual=document.pop("visual"),
            audio=document.pop("audio"),
            mapping=str(document.pop("mapping")),
            # Checkpoints from before labels of whole clips do not say.
            clip_level=bool(document.pop("clip_level", False)),
            meta=document,
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        cause = f"damaged: {type(error).__name__}: {error}"
        raise GrjcaError("checkpoint", file, cause, _REMEDY) from error
    return checkpoint


def _versions() -> dict[str, str]:
    libraries = {name: metadata.version(name) for name in _LIBRARIES}
    return {"grjca": grjca.__version__, "python": platform.python_version(), **libraries}
