"""What a face network wants to be given: the small YAML file beside an ONNX model.

``model.onnx`` comes with ``model.yaml``; :class:`Description` has its keys. Two further ones,
``licence`` and ``source``, are free text for the reader and change no number.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from grjca.errors import UsageError
from grjca.stages.faces import TEMPLATES

EXAMPLE = (
    "{size: 112, colour: rgb, scale: 255, mean: 127.5, std: 127.5, template: arcface112, "
    "layout: nchw, normalise: true, appearance: false, licence: '', source: ''}"
)
"""A description to start from, in YAML's one-line form."""

FREE_TEXT = ("licence", "source")

MAX_SIZE = 1024
MAX_VALUE = 1e6


@dataclass(frozen=True)
class Description:
    """How crops become a network's input, and what its output is.

    A pixel p from 0 to 255 becomes (p * scale / 255 - mean) / std. What must be said has no
    default: a guess would give plausible numbers that are wrong.

    Attributes:
        size: Side of the square input, in pixels.
        colour: ``rgb``, ``bgr`` or ``grey``.
        scale: Value that white has before mean and deviation: 255 or 1.
        mean: What is subtracted: one number, or one per channel in the order of ``colour``.
        std: What is divided by after that, likewise.
        template: Alignment of the crops: a name in ``stages.faces.TEMPLATES``.
        layout: Order of the input's axes, ``nchw`` or ``nhwc``.
        input: Name of the input; None where there is only one.
        output: Name of the output; None where there is only one.
        normalise: Whether rows are divided by their length.
        appearance: Whether embeddings tell people apart by their cosine.

    Raises:
        ValueError: A value is out of its range or of another kind.
    """

    size: int
    colour: str
    scale: float
    mean: float | tuple[float, ...]
    std: float | tuple[float, ...]
    template: str
    layout: str = "nchw"
    input: str | None = None
    output: str | None = None
    normalise: bool = False
    appearance: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.size, int) or not 8 <= self.size <= MAX_SIZE:
            raise ValueError(f"size must be a whole number, 8 to {MAX_SIZE}, not {self.size!r}")
        _check_choice("colour", self.colour, ("rgb", "bgr", "grey"))
        _check_choice("scale", self.scale, (1, 255))
        _check_choice("template", self.template, tuple(TEMPLATES))
        _check_choice("layout", self.layout, ("nchw", "nhwc"))
        _check_choice("normalise", self.normalise, (True, False))
        _check_choice("appearance", self.appearance, (True, False))
        for name in ("input", "output"):
            value = getattr(self, name)
            if value is not None and str(value) != value:
                raise ValueError(f"{name} must be text, not {value!r}")
        for name in ("mean", "std"):
            object.__setattr__(self, name, self._per_channel(name))
        if np.any(np.asarray(self.std) <= 0):
            raise ValueError(f"std must be positive, not {self.std}")

    @property
    def channels(self) -> int:
        """Channels of the input: 1 for grey, else 3."""
        return 1 if self.colour == "grey" else 3

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one crop in the input."""
        if self.layout == "nchw":
            return self.channels, self.size, self.size
        return self.size, self.size, self.channels

    def _per_channel(self, name: str) -> Any:
        value = getattr(self, name)
        parts = tuple(value) if isinstance(value, list | tuple) else (value,)
        if not all(_is_number(part) for part in parts):
            raise ValueError(f"{name} must be a number or a list of them, not {value!r}")
        if not isinstance(value, list | tuple):
            return value
        if len(parts) != self.channels:
            raise ValueError(f"{name} has {len(parts)} numbers for {self.channels} channels")
        return parts


def described(values: Mapping[str, Any]) -> Description:
    """A description from its keys and values.

    Raises:
        ValueError: A key is missing or not known, or a value is wrong.
    """
    fields = dataclasses.fields(Description)
    unknown = [str(key) for key in values if key not in {f.name for f in fields}]
    if unknown:
        known = ", ".join((*(f.name for f in fields), *FREE_TEXT))
        raise ValueError(f"unknown key {', '.join(unknown)} (known: {known})")
    required = [f.name for f in fields if f.default is dataclasses.MISSING]
    missing = [name for name in required if name not in values]
    if missing:
        raise ValueError(f"it does not say: {', '.join(missing)}")
    return Description(**values)


def read_description(model: Path) -> Description:
    """The description beside a model: the file of the same name that ends in ``.yaml``.

    Raises:
        UsageError: There is none, or it cannot be read, is no YAML or says something wrong; the
            message has a description to start from.
    """
    path = model.with_suffix(".yaml")
    if not path.is_file():
        remedy = f"Write {path.name}; to start from: {EXAMPLE}"
        raise UsageError("visual", model, f"there is no {path.name} beside it", remedy)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _refused(path, error) from error
    if not isinstance(values, dict):
        raise _refused(path, f"keys and values are wanted, found {type(values).__name__}")
    for name in FREE_TEXT:
        if not isinstance(values.pop(name, None), str | None):
            raise _refused(path, f"{name} must be text")
    try:
        return described(values)
    except ValueError as error:
        raise _refused(path, error) from error


def _refused(path: Path, why: object) -> UsageError:
    """What to raise for a description that is not one."""
    return UsageError("visual", path, str(why), f"For example: {EXAMPLE}")


def _is_number(value: object) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_VALUE
    )


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    # In Python 1 equals True, but a flag is no number.
    same_kind = [c for c in choices if isinstance(c, bool) == isinstance(value, bool)]
    if value not in same_kind:
        known = " or ".join(str(choice).lower() for choice in choices)
        raise ValueError(f"{name} must be {known}, not {value!r}")
