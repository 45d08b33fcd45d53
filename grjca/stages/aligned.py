"""Detector ``aligned``: the frame is an aligned face crop already.

For pictures such as Aff-Wild2's ``cropped_aligned``, 112x112 and aligned to ArcFace's five points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from grjca.stages.faces import points_of
from grjca.stages.types import Detections, check_array

TEMPLATE = "arcface112"


@dataclass(frozen=True)
class AlignedConfig:
    """There is nothing to choose."""


class Aligned:
    """Takes every frame for a face: the whole frame, with the template's landmarks.

    Args:
        config: Has no fields.
    """

    name: ClassVar[str] = "aligned"
    Config: ClassVar[type[AlignedConfig]] = AlignedConfig
    summary: ClassVar[str] = "every frame is an aligned face crop (Aff-Wild2 cropped_aligned)"
    weights: ClassVar[None] = None

    def __init__(self, config: AlignedConfig | None = None) -> None:
        self._config = config or AlignedConfig()

    @property
    def config(self) -> AlignedConfig:
        """A config without fields."""
        return self._config

    def detect(self, frames: NDArray[np.uint8]) -> list[Detections]:
        """One face per frame.

        Args:
            frames: (N, H, W, 3) uint8, RGB.

        Returns:
            For each frame its whole extent, the landmarks of ``arcface112`` in it, score 1.

        Raises:
            ValueError: The frames have another shape or dtype.
        """
        check_array("frames", frames, (None, None, None, 3), "uint8")
        height, width = frames.shape[1:3]
        size = np.array((width, height), dtype=np.float32)
        box = np.array((0, 0, width, height), dtype=np.float32)[None]
        landmarks = (points_of(TEMPLATE) * size).astype(np.float32)[None]
        return [Detections(box, landmarks, np.ones(1, dtype=np.float32)) for _ in frames]
