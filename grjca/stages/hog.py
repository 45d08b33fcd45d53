"""Visual embedding ``hog``: histograms of oriented gradients, which need no weights.

Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005, as
implemented in scikit-image, on the grey aligned crop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.feature import hog

from grjca.stages.types import check_array

CROP_SIDE = 64


@dataclass(frozen=True)
class HogConfig:
    """How gradients are counted.

    Attributes:
        orientations: Bins of the gradient's direction over 180 degrees.
        pixels_per_cell: Side of the square cells in which they are counted, in pixels.
        cells_per_block: Side of the square blocks over which counts are normalised, in cells.
    """

    orientations: int = 8
    pixels_per_cell: int = 8
    cells_per_block: int = 2

    def __post_init__(self) -> None:
        if self.orientations < 1:
            raise ValueError(f"orientations must be at least 1, not {self.orientations}")
        if self.pixels_per_cell < 1 or CROP_SIDE % self.pixels_per_cell:
            raise ValueError(
                f"pixels_per_cell must divide the crop's {CROP_SIDE}, not {self.pixels_per_cell}"
            )
        cells = CROP_SIDE // self.pixels_per_cell
        if not 1 <= self.cells_per_block <= cells:
            raise ValueError(
                f"cells_per_block must lie between 1 and {cells}, not {self.cells_per_block}"
            )


class Hog:
    """Embeds face crops as histograms of oriented gradients, block by block (L2-Hys).

    Args:
        config: How to count.
    """

    name: ClassVar[str] = "hog"
    Config: ClassVar[type[HogConfig]] = HogConfig
    summary: ClassVar[str] = "histograms of oriented gradients; needs no weights"
    crop_size: ClassVar[int] = CROP_SIDE
    template: ClassVar[str] = "face64"
    appearance: ClassVar[bool] = False
    weights: ClassVar[None] = None

    def __init__(self, config: HogConfig | None = None) -> None:
        self._config = config or HogConfig()

    @property
    def config(self) -> HogConfig:
        """How this embedder counts."""
        return self._config

    @property
    def dim(self) -> int:
        """Numbers per crop: blocks times the counts in each."""
        blocks = CROP_SIDE // self._config.pixels_per_cell - self._config.cells_per_block + 1
        return blocks**2 * self._config.cells_per_block**2 * self._config.orientations

    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed crops, each on its own.

        Args:
            crops: (N, 64, 64, 3) uint8, RGB, aligned to ``face64``.

        Returns:
            (N, dim) float32 in [0, 1].

        Raises:
            ValueError: The crops have another shape or dtype.
        """
        check_array("crops", crops, (None, CROP_SIDE, CROP_SIDE, 3), "uint8")
        out = np.empty((len(crops), self.dim), dtype=np.float32)
        for row, crop in enumerate(crops):
            out[row] = hog(
                cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY),
                orientations=self._config.orientations,
                pixels_per_cell=(self._config.pixels_per_cell,) * 2,
                cells_per_block=(self._config.cells_per_block,) * 2,
                block_norm="L2-Hys",
            )
        return out
