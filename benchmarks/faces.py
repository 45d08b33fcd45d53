"""Clips of photographed faces that move along paths known beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Path2D = NDArray[np.float64]
"""(T, 2) float64: the centre of a face in pixels, x and y, a row per frame."""


def astronaut(side: int) -> NDArray[np.uint8]:
    """(side, side, 3) uint8 RGB: the face of scikit-image's photograph of Eileen Collins."""
    from skimage import data

    head = data.astronaut()[0:230, 110:340]
    return np.asarray(cv2.resize(head, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def mirrored(side: int) -> NDArray[np.uint8]:
    """(side, side, 3) uint8 RGB: the same face mirrored, darker and of other colours."""
    face = astronaut(side)[:, ::-1, (0, 2, 1)] * np.array([0.62, 0.72, 0.55])
    return np.asarray(face, np.uint8)


def backdrop(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB: soft blotches, so that the picture has a layout."""
    cells = np.random.default_rng(seed).integers(40, 200, (6, 8, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def film(
    scene: NDArray[np.uint8],
    faces: Sequence[NDArray[np.uint8]],
    paths: Sequence[Path2D],
) -> Iterator[NDArray[np.uint8]]:
    """Pictures of faces along their paths; later faces pass in front of earlier ones.

    Args:
        scene: (H, W, 3) uint8 RGB, what is behind them.
        faces: Each (S, S, 3) uint8 RGB.
        paths: Each face's way, of equal lengths.

    Yields:
        (H, W, 3) uint8 RGB.
    """
    for places in zip(*paths, strict=True):
        picture = scene.copy()
        for face, (x, y) in zip(faces, places, strict=True):
            paste(picture, face, float(x), float(y))
        yield picture


def paste(picture: NDArray[np.uint8], face: NDArray[np.uint8], x: float, y: float) -> None:
    """Put the oval of a square face into a picture, centred at (x, y), with a soft edge.

    What reaches beyond the picture's edge is cut off.
    """
    side = len(face)
    row, column = np.mgrid[:side, :side] - (side - 1) / 2
    mask = np.clip((1 - np.hypot(column / (0.42 * side), row / (0.5 * side))) * 12, 0, 1)[..., None]
    top, left = round(y - side / 2), round(x - side / 2)
    rows = slice(max(0, top), max(0, min(top + side, picture.shape[0])))
    columns = slice(max(0, left), max(0, min(left + side, picture.shape[1])))
    here = np.s_[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    under = picture[rows, columns]
    under[:] = (mask[here] * face[here] + (1 - mask[here]) * under).astype(np.uint8)
