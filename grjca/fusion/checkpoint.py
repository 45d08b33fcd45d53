"""A trained model on disk: weights as safetensors, all else as JSON in the same file."""

from __future__ import annotations

import dataclasses
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

import grjca
from grjca.errors import GrjcaError
from grjca.files import written_in_one_step
from grjca.fusion.config import FusionConfig
from grjca.fusion.data import Inputs
from grjca.fusion.model import FusionModel

FORMAT = "grjca.checkpoint"
VERSION = 1
FILE = "model.safetensors"
"""Name of the checkpoint inside a RUN folder."""

_KEY = "grjca"
_REMEDY = "Give a RUN folder of 'grjca train', or the model.safetensors inside it."
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

    @property
    def fusion(self) -> FusionConfig:
        """The model's configuration."""
        return self.model.config

    @property
    def outputs(self) -> tuple[str, ...]:
        """The predicted dimensions, in the order of the model's outputs."""
        return self.model.config.outputs


def save_checkpoint(
    path: Path, config: FusionConfig, weights: Mapping[str, Tensor], meta: Mapping[str, Any]
) -> None:
    """Write a checkpoint in one step.

    Args:
        path: The file.
        config: The model's configuration.
        weights: The model's state.
        meta: JSON-able values with at least the keys that :class:`Checkpoint` reads: ``rate``,
            ``window``, ``hop``, ``modalities``, ``recipe``, ``visual``, ``audio``, ``mapping``.

    Raises:
        GrjcaError: The file cannot be written.
    """
    document = {
        "format": FORMAT,
        "version": VERSION,
        "fusion": dataclasses.asdict(config),
        "versions": _versions(),
        **meta,
    }
    text = json.dumps(without_nan(document), allow_nan=False, sort_keys=True)
    tensors = {name: tensor.detach().contiguous() for name, tensor in weights.items()}
    with written_in_one_step(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={_KEY: text})
        except SafetensorError as error:
            # The library reports a full disk as an error of its own.
            raise OSError(str(error)) from error


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; no code in the file is run.

    Args:
        path: A RUN folder, or a checkpoint's file.

    Raises:
        GrjcaError: Nothing there, or a file of another kind, of a newer version, or damaged.
    """
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        where = f"the folder holds no {FILE}" if path.is_dir() else "no such file or folder"
        raise GrjcaError("checkpoint", path, where, _REMEDY)
    document, weights = _read(file)
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
            meta=document,
        )
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        cause = f"damaged: {type(error).__name__}: {error}"
        raise GrjcaError("checkpoint", file, cause, _REMEDY) from error
    return checkpoint


def _read(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with file.open("rb") as stream:
            start = stream.read(9)
        # A zip or a pickle's protocol mark: what torch.save writes. Safetensors starts with the
        # length of its header, which may look like either, and then the header's brace.
        if start.startswith((b"PK", b"\x80")) and not start.endswith(b"{"):
            raise GrjcaError("checkpoint", file, "a pickle of torch.save, which is not loaded "
                             "because it can run code", _REMEDY)  # fmt: skip
        with safe_open(file, framework="pt") as opened:
            text = (opened.metadata() or {}).get(_KEY)
            document = json.loads(text) if text else None
            if not isinstance(document, dict) or document.get("format") != FORMAT:
                cause = "safetensors, but not written by 'grjca train'"
                raise GrjcaError("checkpoint", file, cause, _REMEDY)
            version = document["version"]
            if not isinstance(version, int) or version > VERSION:
                cause = f"checkpoint version {version}, this program reads up to {VERSION}"
                raise GrjcaError("checkpoint", file, cause, "Update grjca.")
            weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        cause = f"not a readable safetensors file ({error})"
        raise GrjcaError("checkpoint", file, cause, _REMEDY) from error
    return document, weights


def _versions() -> dict[str, str]:
    libraries = {name: metadata.version(name) for name in _LIBRARIES}
    return {"grjca": grjca.__version__, "python": platform.python_version(), **libraries}


def without_nan(value: Any) -> Any:
    """A JSON-able value with None for every float that JSON cannot write."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
