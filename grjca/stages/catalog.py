"""Detectors and embedders by name.

A component is a class with a ``Config`` (a frozen dataclass of plain values), built from one; it
says its name, its dimension and the SHA-256 of its weights. Names map to import paths, so that
asking for a name loads only the libraries that this component needs. ``onnx:FILE`` is the
component ``onnx`` with its field ``file`` set.

A config's field that says where something lies, and not what it is, carries the metadata of
:data:`PLACE`; such fields stay out of stores and checkpoints.
"""

from __future__ import annotations

import dataclasses
import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Protocol, cast

from grjca.errors import UsageError

if TYPE_CHECKING:
    # Names of components are part of the command line's help, which is to be instant.
    import numpy as np
    from numpy.typing import NDArray

    from grjca.stages.types import AudioSegment, Detections

Kind = Literal["detector", "visual", "audio"]

PLACE: Final = MappingProxyType({"identity": False})
"""Metadata of a config's field that holds a path: ``field(default=None, metadata=PLACE)``."""

CATALOG: dict[Kind, dict[str, str]] = {
    "detector": {
        "retinaface": "grjca.stages.retinaface:RetinaFace",
        "aligned": "grjca.stages.aligned:Aligned",
        "fa-sfd": "grjca.stages.fa:FaSfd",
        "fa-blazeface": "grjca.stages.fa:FaBlazeFace",
    },
    "visual": {
        "fer": "grjca.stages.fer:Fer",
        "hog": "grjca.stages.hog:Hog",
        "ir50": "grjca.stages.ir50:Ir50",
        "ir50-flip": "grjca.stages.ir50:Ir50Flip",
        "ir50-shift": "grjca.stages.ir50:Ir50Shift",
        "onnx": "grjca.stages.onnx_visual:OnnxVisual",
    },
    "audio": {
        "speech+logmel": "grjca.stages.acoustic:SpeechLogMel",
        "speech": "grjca.stages.acoustic:Speech",
        "logmel": "grjca.stages.acoustic:LogMelStatistics",
        "vggish": "grjca.stages.vggish:Vggish",
        "egemaps": "grjca.stages.egemaps:Egemaps",
    },
}


class Component(Protocol):
    """What every detector and embedder tells about itself."""

    Config: ClassVar[type[Any]]
    summary: ClassVar[str]

    @property
    def name(self) -> str:
        """Name in the store: that of the catalog, or ``onnx:`` and the model's own."""

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

    @property
    def appearance(self) -> bool:
        """Whether rows are unit vectors that tell people apart by their cosine."""

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
    """The class behind a name; ``onnx:FILE`` is found under ``onnx``.

    Raises:
        UsageError: There is no such name; the message lists those there are.
    """
    try:
        path = CATALOG[kind][name.partition(":")[0]]
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
    _, with_file, file = name.partition(":")
    try:
        settings = cls.Config(**({"file": file} if with_file else {}) | (config or {}))
    except (TypeError, ValueError) as error:
        fields = ", ".join(f.name for f in dataclasses.fields(cls.Config))
        raise UsageError("options", f"{kind} {name}", str(error), f"Fields: {fields}.") from error
    return cast(Any, cls)(settings)


def identity(component: Component) -> dict[str, Any]:
    """Name, configuration and weights' digest: all that decides a component's output."""
    values = dataclasses.asdict(component.config)
    places = [
        field.name
        for field in dataclasses.fields(component.config)
        if not field.metadata.get("identity", True)
    ]
    return {
        "name": component.name,
        "config": {name: value for name, value in values.items() if name not in places},
        "weights": component.weights,
    }


def takes_file(kind: Kind, name: str) -> bool:
    """Whether a component's weights are given as a file (its config has a field ``file``)."""
    config = component_class(kind, name).Config
    return "file" in {field.name for field in dataclasses.fields(config)}
