"""What a reader of the store gets back: one clip's features on its own time axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class ClipFeatures:
    """Features of one clip, or of a range of its rows; row i is decoded frame i.

    Attributes:
        clip: Identity of the clip, its path under the named root, extension kept.
        time: (T,) float64 seconds, strictly increasing.
        visual: (T, D_v) float32, or None when the store has none; NaN where not ``visual_valid``.
        visual_valid: (T,) bool, a face was seen; all false when ``visual`` is None.
        audio: (T, D_a) float32, or None when the store has none; NaN where not ``audio_valid``.
        audio_valid: (T,) bool, there is sound; all false when ``audio`` is None.
        index: (T,) int64, the source's frame that each row shows, where the clip was resampled
            to another rate; None where row i is decoded frame i.
    """

    clip: str
    time: NDArray[np.float64]
    visual: NDArray[np.float32] | None
    visual_valid: NDArray[np.bool_]
    audio: NDArray[np.float32] | None
    audio_valid: NDArray[np.bool_]
    index: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        rows = len(self.time)
        for name in ("visual", "audio"):
            features, valid = getattr(self, name), getattr(self, f"{name}_valid")
            if features is not None and (features.ndim != 2 or len(features) != rows):
                raise ValueError(f"{self.clip}: {name} has shape {features.shape}, rows: {rows}")
            if valid.shape != (rows,) or valid.dtype != np.bool_:
                raise ValueError(f"{self.clip}: {name}_valid is {valid.dtype} {valid.shape}")
        if self.index is not None and (self.index.shape != (rows,) or self.index.dtype != np.int64):
            raise ValueError(f"{self.clip}: index is {self.index.dtype} {self.index.shape}")
        if (np.diff(self.time) <= 0).any():
            raise ValueError(f"{self.clip}: times are not strictly increasing")

    def __len__(self) -> int:
        return len(self.time)
