"""Which features, labels and clips a training takes, as plain values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DataConfig:
    """What is trained on; where it lies is no part of it, so that a run can be repeated elsewhere.

    Attributes:
        visual: The visual embedder; None for the only one that the clips have.
        audio: The audio embedder; None for the only one that the clips have.
        val: Share of the clips to validate on, in (0, 1), or their names; None for the partition
            that the annotations or the store name, else a share of 0.2.
        folds: Number of folds that the clips are rolled over; then ``fold`` is validated on.
        fold: Which of the folds, from 1.
        label_delay: Seconds by which annotations come after what they are about.
        label_smoothing_seconds: Width of a moving mean over the labels that the loss is taken to;
            validation, tests and metrics see the labels as they are. 0 for none.
        align: Rows of labels that do not match a clip's frames: ``error``, or ``truncate`` to the
            shorter of the two.
        allow_missing: Go on though more than half of the labelled clips are not in the store.

    Raises:
        ValueError: A value is out of its range, or values exclude each other; the message begins
            with the name of one.
    """

    visual: str | None = None
    audio: str | None = None
    val: float | tuple[str, ...] | None = None
    folds: int | None = None
    fold: int | None = None
    label_delay: float = 0.0
    label_smoothing_seconds: float = 0.0
    align: Literal["error", "truncate"] = "error"
    allow_missing: bool = False

    def __post_init__(self) -> None:
        if self.val is not None and not isinstance(self.val, int | float):
            object.__setattr__(self, "val", tuple(self.val))
        if isinstance(self.val, int | float) and not 0 < self.val < 1:
            raise ValueError(f"val must lie between 0 and 1, got {self.val}")
        for name, other in (("folds", "fold"), ("fold", "folds")):
            if getattr(self, name) is not None and getattr(self, other) is None:
                raise ValueError(f"{name} goes together with {other}: which of how many")
        if self.folds is not None and self.fold is not None:
            if self.val is not None:
                raise ValueError("val is what the fold decides: give one of them")
            if self.folds < 2:
                raise ValueError(f"folds must be at least 2, got {self.folds}")
            if not 1 <= self.fold <= self.folds:
                raise ValueError(f"fold must lie between 1 and {self.folds}, got {self.fold}")
        if not math.isfinite(self.label_delay):
            raise ValueError(f"label_delay must be finite, got {self.label_delay}")
        if not 0 <= self.label_smoothing_seconds < math.inf:
            raise ValueError("label_smoothing_seconds must be finite and not negative, got "
                             f"{self.label_smoothing_seconds}")  # fmt: skip
        if self.align not in ("error", "truncate"):
            raise ValueError(f"align must be error or truncate, got {self.align!r}")
