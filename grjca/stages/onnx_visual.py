"""Visual embedding ``onnx:FILE``: any face network, described in a small YAML file beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, ClassVar, Final, cast

import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError, UsageError
from grjca.stages.catalog import PLACE
from grjca.stages.onnx import open_given, runtime_errors
from grjca.stages.onnx_description import Description, described, read_description
from grjca.stages.types import check_array
from grjca.stages.weights import given_file, sha256

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey value (ITU-R BT.601)."""

NUMBERS: Final = MappingProxyType({"tensor(float)": np.float32, "tensor(float16)": np.float16})
"""Kinds of input that are understood, by onnxruntime's names for them."""

GIVE = "Name the model: --visual onnx:FILE, or give the file with --visual-weights FILE."

MAX_NAME = 80
"""Characters of a model's name that a store shows; names of files can be longer."""


@dataclass(frozen=True)
class OnnxVisualConfig:
    """The model and how it is run.

    Attributes:
        file: The model, ``.onnx``.
        description: What the model wants to be given, or its keys and values as a store and a
            checkpoint record them; None for what the YAML beside the model says.
        batch: Crops that go through the network at a time, where the model leaves it open.
        threads: Threads of the network; more only help where clips do not already run in parallel.

    Raises:
        ValueError: A value is wrong.
    """

    file: str | None = field(default=None, metadata=PLACE)
    description: Description | Mapping[str, Any] | None = None
    batch: int = 8
    threads: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.description, Mapping):
            object.__setattr__(self, "description", described(self.description))
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, not {self.batch}")
        if self.threads < 1:
            raise ValueError(f"threads must be at least 1, not {self.threads}")


class OnnxVisual:
    """Embeds face crops with a network that the user gives, on the CPU.

    A model whose batch size is open gets ``batch`` crops at a time; one whose batch size is fixed
    gets as many as it wants, the last batch being filled up with copies.

    Args:
        config: The model and how it is run.

    Raises:
        UsageError: There is no model or no description, one does not fit the other, or
            onnxruntime cannot run the model.
    """

    Config: ClassVar[type[OnnxVisualConfig]] = OnnxVisualConfig
    summary: ClassVar[str] = "a face network of your own, described in a YAML beside it: onnx:FILE"

    def __init__(self, config: OnnxVisualConfig | None = None) -> None:
        config = config or OnnxVisualConfig()
        self._path = given_file(config.file, "onnx", GIVE)
        said = config.description
        self._description = said if isinstance(said, Description) else read_description(self._path)
        self._config = replace(config, description=self._description)
        try:
            model = self._path.read_bytes()
        except OSError as error:
            cause = error.strerror or str(error)
            raise UsageError("weights", self._path, cause, "Give a readable file.") from error
        self._weights = sha256(model)
        self._session = open_given(self._path, model, config.threads)
        self._input, self._numbers, self._batch = self._chosen_input()
        self._output = self._chosen("output", self._session.get_outputs()).name
        blank = np.zeros((self._batch or 1, self.crop_size, self.crop_size, 3), dtype=np.uint8)
        self._dim = int(self._run(blank).shape[1])

    @property
    def name(self) -> str:
        """``onnx:`` and the file's name without its ending, in characters safe for a store."""
        return "onnx:" + re.sub(r"[^\w.+-]+", "_", self._path.stem)[:MAX_NAME]

    @property
    def config(self) -> OnnxVisualConfig:
        """The model with its description, and how it is run."""
        return self._config

    @property
    def weights(self) -> str:
        """SHA-256 of the model."""
        return self._weights

    @property
    def dim(self) -> int:
        """Numbers per crop."""
        return self._dim

    @property
    def crop_size(self) -> int:
        """Side of the crops, in pixels."""
        return self._description.size

    @property
    def template(self) -> str:
        """Name of the template the crops are aligned to."""
        return self._description.template

    @property
    def appearance(self) -> bool:
        """Whether embeddings tell people apart by their cosine."""
        return self._description.appearance

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed crops, each on its own.

        Args:
            crops: (N, S, S, 3) uint8, RGB, aligned to ``template``; S is ``crop_size``.

        Returns:
            (N, dim) float32.

        Raises:
            ValueError: The crops have another shape or dtype.
            GrjcaError: The network fails, or gives numbers that are not finite.
        """
        check_array("crops", crops, (None, self.crop_size, self.crop_size, 3), "uint8")
        out = np.empty((len(crops), self._dim), dtype=np.float32)
        size = self._batch or self._config.batch
        for start in range(0, len(crops), size):
            piece = crops[start : start + size]
            missing = self._batch - len(piece) if self._batch else 0
            filled = np.concatenate((piece, np.repeat(piece[-1:], missing, axis=0)))
            out[start : start + len(piece)] = self._run(filled)[: len(piece)]
        if self._description.normalise:
            # A row of zeros has no direction; it becomes NaN and is refused with the others.
            with np.errstate(invalid="ignore"):
                out /= np.linalg.norm(out, axis=1, keepdims=True)
        if not np.isfinite(out).all():
            cause = "the network gives numbers that are not finite"
            remedy = "Check mean, std and scale in the model's YAML."
            raise GrjcaError("visual", self.name, cause, remedy)
        return out

    def prepared(self, crops: NDArray[np.uint8]) -> NDArray[Any]:
        """(N, S, S, 3) uint8 RGB crops as the network's input, in its layout and numbers."""
        about = self._description
        pixels = crops.astype(np.float32)
        if about.colour == "bgr":
            pixels = pixels[..., ::-1]
        elif about.colour == "grey":
            pixels = (pixels @ np.array(LUMA, dtype=np.float32))[..., None]
        mean, std = np.array(about.mean, dtype=np.float32), np.array(about.std, dtype=np.float32)
        scaled = (pixels / np.float32(255 / about.scale) - mean) / std
        if about.layout == "nchw":
            scaled = scaled.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(scaled, dtype=self._numbers)

    def _run(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        with runtime_errors("visual", self._path, "Check the model and its YAML."):
            (found,) = self._session.run([self._output], {self._input: self.prepared(crops)})
        shape = getattr(found, "shape", ())
        if len(shape) != 2 or len(found) != len(crops) or found.dtype.kind != "f":
            kind = f"{found.dtype} {shape}" if shape else type(found).__name__
            cause = f"output {self._output} of {len(crops)} crops is {kind}, wanted floats (N, D)"
            raise UsageError("visual", self._path, cause, "Name another output in its YAML.")
        return cast(NDArray[np.float32], found.astype(np.float32))

    def _chosen_input(self) -> tuple[str, Any, int | None]:
        """Name of the input, its kind of numbers, and its batch size; None for an open one."""
        chosen = self._chosen("input", self._session.get_inputs())
        wanted = self._description.shape
        fixed = [n if isinstance(n, int) else None for n in chosen.shape]
        fits = len(fixed) == 4 and all(
            have in (None, want) for have, want in zip(fixed[1:], wanted, strict=True)
        )
        if not fits or chosen.type not in NUMBERS:
            said = ", ".join(map(str, wanted))
            cause = (
                f"input {chosen.name} takes {chosen.type} {chosen.shape}, "
                f"its YAML says floats (N, {said})"
            )
            raise UsageError("visual", self._path, cause, "Correct size, colour or layout there.")
        return chosen.name, NUMBERS[chosen.type], fixed[0]

    def _chosen(self, what: str, there: Any) -> Any:
        """The input or output that the YAML names, or the only one."""
        wanted = getattr(self._description, what)
        names = [one.name for one in there]
        if wanted is None and len(names) == 1:
            return there[0]
        if wanted not in names:
            cause = f"there is no {what} {wanted}" if wanted else f"there are {len(names)} {what}s"
            remedy = f"Say in its YAML which {what} to take: {', '.join(names)}."
            raise UsageError("visual", self._path, cause, remedy)
        return there[names.index(wanted)]
