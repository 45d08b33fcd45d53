"""What the readers return: annotations of clips, on the annotations' own axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = ("valence", "arousal")
"""The dimensions that can be labelled, in the order of the columns everywhere."""

PARTITIONS = ("train", "val", "test")
"""The partitions that a data set or a store can put a clip into."""


@dataclass(frozen=True)
class ClipLabels:
    """The annotations of one clip.

    Attributes:
        clip: The clip's name as the annotations give it; its identity once matched to a store.
        values: (R, K) float64 in [-1, 1]; NaN where not labelled.
        frame: (R,) int64, 0-based frame of each row, increasing; None for another axis.
        time: (R,) float64, seconds on the clip's clock, increasing; None for another axis. With
            neither ``frame`` nor ``time``, row i belongs to frame i.
        subject: Who is seen, where the annotations say so.
        source: The file the annotations came from.
        partition: One of ``PARTITIONS``, where the annotations say so.
        clip_level: The one row of ``values`` is a label of the whole clip, not of a frame.
    """

    clip: str
    values: NDArray[np.float64]
    frame: NDArray[np.int64] | None
    time: NDArray[np.float64] | None
    subject: str | None
    source: Path
    partition: str | None = None
    clip_level: bool = False

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype != np.float64:
            raise ValueError(f"{self.clip}: values are {self.values.dtype} {self.values.shape}")
        if self.frame is not None and self.time is not None:
            raise ValueError(f"{self.clip}: labels by frame and by time at once")
        for axis in (self.frame, self.time):
            if axis is not None and (axis.shape != (len(self),) or (np.diff(axis) <= 0).any()):
                raise ValueError(f"{self.clip}: the axis must increase and have {len(self)} rows")
        if self.clip_level and (len(self) != 1 or self.frame is not None or self.time is not None):
            raise ValueError(f"{self.clip}: a label of the whole clip is one row without an axis")
        if self.partition not in (None, *PARTITIONS):
            raise ValueError(f"{self.clip}: partition {self.partition}; known: {PARTITIONS}")
        labelled = self.values[~np.isnan(self.values)]
        if (np.abs(labelled) > 1).any():
            raise ValueError(f"{self.clip}: values outside [-1, 1]")

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Labels:
    """A set of annotations, all of frames or all of whole clips.

    Attributes:
        clips: The clips' annotations by name.
        names: The labelled dimensions, the columns of every clip's ``values``.
        mapping: How the files' numbers became numbers in [-1, 1].
        notes: What a reader of the results should know about them.
    """

    clips: Mapping[str, ClipLabels]
    names: tuple[str, ...]
    mapping: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.names or any(name not in DIMENSIONS for name in self.names):
            raise ValueError(f"labelled dimensions: {self.names}; known: {DIMENSIONS}")
        for clip in self.clips.values():
            if clip.values.shape[1] != len(self.names):
                raise ValueError(f"{clip.clip}: {clip.values.shape[1]} columns for {self.names}")
        if len({clip.clip_level for clip in self.clips.values()}) > 1:
            raise ValueError("labels of frames and labels of whole clips in one set")

    @property
    def clip_level(self) -> bool:
        """Whether each clip has one label for the whole of it."""
        return any(clip.clip_level for clip in self.clips.values())
