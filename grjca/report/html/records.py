"""What pages are made from: plain data, checked where it is made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Face:
    """A picture of the face at a moment of the clip: seconds, and a JPEG."""

    time: float
    jpeg: bytes


@dataclass(frozen=True)
class Media:
    """What is played beside the charts.

    Attributes:
        url: A relative URL, percent-encoded, or a ``data:`` URL.
        name: The file's name, for people.
        sound_only: There is no picture.
        start: Seconds on the file's clock at which the clip begins.
    """

    url: str
    name: str
    sound_only: bool = False
    start: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and self.start >= 0):
            raise ValueError(f"a clip cannot begin at {self.start} s")


@dataclass(frozen=True)
class ClipPage:
    """A clip's predictions and what is shown beside them.

    Attributes:
        clip: The clip's identity; any text.
        time: (T,) seconds, finite and increasing, T at least 1.
        values: (T, K) predictions, NaN where there is none.
        names: K names of the dimensions, of ``valence`` and ``arousal``.
        face_valid: (T,) bool, a face was seen.
        audio_valid: (T,) bool, there is sound.
        gates: Name to (T, n) weights that add up to 1, as ``plot_prediction`` takes them.
        labels: (T, K) annotated values, NaN where not labelled; None where there are none.
        ccc: CCC of predictions and labels by dimension; NaN where undefined.
        faces: Pictures of the face, in the order of their times.
        media: What is played; None where there is no file to play.
        note: What a reader should know, for example how labels were shifted; may be empty.

    Raises:
        ValueError: Shapes do not belong together, or times do not increase.
    """

    clip: str
    time: NDArray[np.float64]
    values: NDArray[np.float64]
    names: tuple[str, ...]
    face_valid: NDArray[np.bool_]
    audio_valid: NDArray[np.bool_]
    gates: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    labels: NDArray[np.float64] | None = None
    ccc: Mapping[str, float] = field(default_factory=dict)
    faces: tuple[Face, ...] = ()
    media: Media | None = None
    note: str = ""

    def __post_init__(self) -> None:
        rows = len(self.time)
        if not rows or not np.isfinite(self.time).all() or (np.diff(self.time) <= 0).any():
            raise ValueError(f"{self.clip}: times must be there, finite and increasing")
        wanted = (rows, len(self.names))
        labels = self.values if self.labels is None else self.labels
        for name, array in (("values", self.values), ("labels", labels)):
            if array.shape != wanted:
                raise ValueError(f"{self.clip}: {name} has shape {array.shape}, wanted {wanted}")
        for name, mask in (("face_valid", self.face_valid), ("audio_valid", self.audio_valid)):
            if mask.shape != (rows,) or mask.dtype != np.bool_:
                raise ValueError(f"{self.clip}: {name} is {mask.dtype} {mask.shape}, rows: {rows}")
        for name, gate in self.gates.items():
            if gate.ndim != 2 or len(gate) != rows or gate.shape[1] < 1:
                raise ValueError(f"{self.clip}: gate {name} has shape {gate.shape}, rows: {rows}")

    @property
    def step(self) -> float:
        """Seconds for which a row usually lasts; 0.04 where there is only one."""
        return float(np.median(np.diff(self.time))) if len(self.time) > 1 else 0.04

    @property
    def seconds(self) -> float:
        """From the first row to the end of the last."""
        return float(self.time[-1] - self.time[0]) + self.step

    def mean(self, name: str) -> float:
        """A dimension's mean over the clip; NaN where nothing is predicted."""
        column = self.values[:, self.names.index(name)]
        return float(column[np.isfinite(column)].mean()) if np.isfinite(column).any() else math.nan


@dataclass(frozen=True)
class ClipRow:
    """A clip's line in the index; see :func:`grjca.report.html.index_page.row_of`.

    Attributes:
        clip: The clip's identity.
        url: The clip's page, relative, percent-encoded.
        seconds: The clip's length.
        rows: Its frames.
        mean: Mean by dimension.
        face: Share of rows with a face.
        sound: Share of rows with sound.
        ccc: CCC by dimension, of a labelled clip.
        outline: By dimension, means of stretches of the clip in steps of 1/100; None: nothing.
    """

    clip: str
    url: str
    seconds: float
    rows: int
    mean: Mapping[str, float]
    face: float
    sound: float
    ccc: Mapping[str, float]
    outline: Mapping[str, tuple[int | None, ...]]
