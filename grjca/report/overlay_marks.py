"""Points, lines and colours of what is drawn into pictures, between pixels and with dark rims."""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

BLACK: Final[Colour] = (0, 0, 0)
WHITE: Final[Colour] = (255, 255, 255)
SKY: Final[Colour] = (86, 180, 233)
ORANGE: Final[Colour] = (230, 159, 0)
YELLOW: Final[Colour] = (240, 228, 66)
PINK: Final[Colour] = (204, 121, 167)
GREY: Final[Colour] = (150, 150, 150)

SHIFT = 4
"""Fractional bits of coordinates, as OpenCV takes them."""


def near(points: Array, picture: Picture) -> Array:
    """Coordinates no farther off the picture than its own size, which OpenCV can count with."""
    height, width = picture.shape[:2]
    return np.clip(points, (-width, -height), (2 * width, 2 * height))


def fixed(points: Array) -> NDArray[np.int32]:
    """Coordinates as OpenCV takes them, with ``SHIFT`` fractional bits."""
    return np.round(points * (1 << SHIFT)).astype(np.int32)


def disc(picture: Picture, at: Array, radius: float, colour: Colour) -> None:
    """A filled circle with a black rim, in place."""
    centre, inner = fixed(at).tolist(), round(radius * (1 << SHIFT))
    rim = inner + (1 << SHIFT)
    cv2.circle(picture, centre, rim, BLACK, -1, cv2.LINE_AA, SHIFT)
    cv2.circle(picture, centre, inner, colour, -1, cv2.LINE_AA, SHIFT)


def diamond(picture: Picture, at: Array, radius: float, line: int) -> None:
    """The outline of a yellow square on its tip, in place."""
    corners = fixed(at + radius * np.array([[1, 0], [0, 1], [-1, 0], [0, -1]]))
    cv2.polylines(picture, [corners], True, YELLOW, line, cv2.LINE_AA, SHIFT)
