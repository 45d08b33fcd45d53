"""Words and numbers in a picture, in the typeface that Pillow brings along."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_DIGITS = "+-0123456789"


class Lettering:
    """One size of the typeface; what was drawn once is kept.

    Args:
        size: Height of a line's letters in pixels, at least 1.

    Attributes:
        size: The same.
        number_width: Pixels that a number takes.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._font: Any = ImageFont.load_default(size)
        # Digits of one width each: a number that changes does not tremble.
        self._cell = math.ceil(max(self._font.getlength(digit) for digit in _DIGITS))
        self._dot = math.ceil(self._font.getlength("."))
        self.number_width = 4 * self._cell + self._dot
        self._masks: dict[str, NDArray[np.float32]] = {}

    def width(self, text: str) -> int:
        """Pixels that a text takes."""
        return math.ceil(float(self._font.getlength(_spaced(text))))

    def write(
        self,
        picture: NDArray[np.uint8],
        text: str,
        at: tuple[int, int],
        colour: tuple[int, int, int],
    ) -> None:
        """Write a text, in place.

        Args:
            picture: (H, W, 3) uint8; what lies outside it is not drawn.
            text: Few different ones: each is kept.
            at: Left end of its baseline.
            colour: Three numbers from 0 to 255.
        """
        mask = self._mask(text)
        top = max(at[1] - self.size, 0)
        under = picture[top : top + len(mask), at[0] : at[0] + mask.shape[1]]
        share = mask[: under.shape[0], : under.shape[1], None]
        under[:] = np.round(under * (1 - share) + np.array(colour) * share).astype(np.uint8)

    def write_number(
        self,
        picture: NDArray[np.uint8],
        value: float,
        at: tuple[int, int],
        colour: tuple[int, int, int],
    ) -> None:
        """Write a number with its sign and two decimals, ``n/a`` for NaN, in place.

        Args:
            picture: (H, W, 3) uint8.
            value: Drawn in [-9.99, 9.99].
            at: Left end of its baseline.
            colour: Three numbers from 0 to 255.
        """
        if math.isnan(value):
            self.write(picture, "n/a", at, colour)
            return
        x = at[0]
        for sign in f"{min(max(value, -9.99), 9.99):+.2f}":
            room = self._dot if sign == "." else self._cell
            self.write(picture, sign, (x + (room - self.width(sign)) // 2, at[1]), colour)
            x += room

    def _mask(self, text: str) -> NDArray[np.float32]:
        """(height, width) in [0, 1]; the baseline lies ``size`` pixels below the top."""
        if text not in self._masks:
            image = Image.new("L", (self.width(text) + 2, round(1.4 * self.size)))
            ImageDraw.Draw(image).text((0, self.size), _spaced(text), 255, self._font, anchor="ls")
            self._masks[text] = np.asarray(image, np.float32) / np.float32(255)
        return self._masks[text]


def _spaced(text: str) -> str:
    # The typeface's blank is so narrow that words run together where letters are small.
    return text.replace(" ", "  ")
