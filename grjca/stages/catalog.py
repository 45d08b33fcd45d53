"""Detectors and embedders by name.

A component is a class with a ``Config`` (a frozen dataclass of plain values), built from one; it
says its name, its dimension and the SHA-256 of its weights. Names map to import paths, so that
asking for a name loads only the libraries that this component needs.
"""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any, ClassVar, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from grjca.errors import UsageError
from grjca.stages.types import AudioSegment, Detections

Kind = Literal["detector", "visual", "audio"]

CATALOG: dict[Kind, dict[str, str]] = {
    "detector": {"retinaface": "grjca.stages.retinaface:RetinaFace"},
    "visual": {
        "fer": "grjca.stages.fer:Fer",
        "hog": "grjca.stages.hog:Hog",
    },
    "audio": {
        "speech+logmel": "grjca.stages.acoustic:SpeechLogMel",
        "speech": "grjca.stages.acoustic:Speech",
        "logmel": "grjca.stages.acoustic:LogMelStatistics",
    },
}


class Component(Protocol):
    """What every detector and embedder tells about itself."""

    name: ClassVar[str]
    Config: ClassVar[type[Any]]
    summary: ClassVar[str]

    @property
    def config(self) -> Any:
        """The frozen dataclass this component was built from."""

    @property
    def weights(self) -> str | None:
        """SHA-256 of the weights, hexadecimal; None for a component that has none."""


class Detector(Component, Protocol):
    """Finds faces and their five landmarks."""

    def detect(self, frames: NDArray[np.uint8]) -> list[Detections]:
        """Faces of each frame; ``frames`` is (N, H, W, 3) uint8 RGB."""


class VisualEmbedder(Component, Protocol):
    """Turns aligned face crops into embeddings."""

    @property
    def dim(self) -> int:
        """Numbers per crop."""

    @property
    def crop_size(self) -> int:
        """Side of the square crops it wants, in pixels."""

    @property
    def template(self) -> str:
        """Name of the alignment template its crops are made with (``stages.faces.TEMPLATES``)."""

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, S, S, 3) uint8 RGB crops to (N, dim) float32, row by row independent."""


class AudioEmbedder(Component, Protocol):
    """Turns sound into one embedding per requested time."""

    @property
    def dim(self) -> int:
        """Numbers per row."""

    @property
    def context(self) -> tuple[float, float]:
        """Seconds of sound needed before and after a row's time."""

    def embed(self, sound: AudioSegment, time: NDArray[np.float64]) -> NDArray[np.float32]:
        """(M,) times in seconds to (M, dim) float32.

        ``sound`` must cover the context of every time; the result does not depend on how much
        more it covers, so that a clip may be fed in pieces.
        """


def names(kind: Kind) -> list[str]:
    """Names that can be asked for, the default first."""
    return list(CATALOG[kind])


def component_class(kind: Kind, name: str) -> type[Component]:
    """The class behind a name.

    Raises:
        UsageError: There is no such name; the message lists those there are.
    """
    try:
        path = CATALOG[kind][name]
    except KeyError:
        known = ", ".join(names(kind))
        raise UsageError("options", f"{kind} {name}", "no such name", f"Known: {known}.") from None
    module, _, attribute = path.partition(":")
    return cast(type[Component], getattr(importlib.import_module(module), attribute))


def build(kind: Kind, name: str, config: dict[str, Any] | None = None) -> Any:
    """Build a component from its name and, where given, values for its config's fields.

    Raises:
        UsageError: No such name, no such field, or the weights are not there.
    """
    cls = component_class(kind, name)
    try:
        settings = cls.Config(**(config or {}))
    except (TypeError, ValueError) as error:
        fields = ", ".join(f.name for f in dataclasses.fields(cls.Config))
        raise UsageError("options", f"{kind} {name}", str(error), f"Fields: {fields}.") from error
    return cast(Any, cls)(settings)


def identity(component: Component) -> dict[str, Any]:
    """Name, configuration and weights' digest: all that decides a component's output."""
    return {
        "name": component.name,
        "config": dataclasses.asdict(component.config),
        "weights": component.weights,
    }
