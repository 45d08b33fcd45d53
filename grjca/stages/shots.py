"""Shot cuts: the frames at which one picture gives way to an unrelated one.

Each frame is reduced to a few averaged cells, from which its mean colour and its contrast are
taken out: what is left is the picture's layout, which a flash or a darker exposure leaves as it
is. A cut is a change of layout that is large and stands out from the changes just before it, since
a camera that is swung or a hand before the lens makes large changes too, but not all at once.
Nothing behind a frame is looked at, so that the answer for a batch comes with the batch.

The change between layouts z and z' (each of mean absolute value 1) is mean |z - z'| / 2: 0 for the
same picture, about 0.7 for unrelated ones, 1 at most. Dissolves are not cuts.
"""

from __future__ import annotations

from collections import deque
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from grjca.stages.types import FrameBatch

CELLS: Final = 16
"""Cells along each side of the reduced picture."""

MIN_CHANGE: Final = 0.17
"""Change of layout, above the largest of those just before it, that makes a cut.

Over 48 real clips every value from 0.15 to 0.2 finds the five hard cuts and nothing else; of 1892
cuts made by joining two of the clips it misses two to six, all between like pictures.
"""

LINES: Final = 8
"""Lines of a picture that are averaged in a cell at least: of larger pictures the others are passed
over, which changes no cut in the real clips and takes a quarter of the time at 1280x720. (The clips
joined in pairs, above, were looked at with all lines.)"""

RECENT: Final = 8
"""Frames whose changes a cut has to stand out from."""

FLAT: Final = 2.0
"""Mean absolute deviation, in grey levels, below which a picture has no layout: a frame that is
all white, or black, is passed over, and the next compared with the one before it."""

LOW_CONTRAST: Final = 4.0
"""Deviation, in grey levels, up to which noise could pass for layout; it is not amplified."""


class ShotDetector:
    """Finds the first frame of each further shot of one clip.

    The state (one reduced picture and a few numbers) runs on from batch to batch, so the batches'
    sizes do not matter.
    """

    def __init__(self) -> None:
        self._last: NDArray[np.float64] | None = None
        self._recent: deque[float] = deque(maxlen=RECENT)

    def update(self, frames: FrameBatch) -> NDArray[np.bool_]:
        """Look at the clip's next frames.

        Args:
            frames: The next N frames; rows that are not ``present`` are ignored.

        Returns:
            (N,) bool, true where a frame belongs to another shot than the one before it; false
            for the clip's first frame.
        """
        present = np.ones(len(frames), bool) if frames.present is None else frames.present
        cuts = np.zeros(len(frames), dtype=bool)
        for row in np.flatnonzero(present):
            cuts[row] = self._is_cut(layout(frames.frames[row]))
        return cuts

    def _is_cut(self, picture: NDArray[np.float64] | None) -> bool:
        if picture is None:
            return False
        last, self._last = self._last, picture
        if last is None:
            return False
        change = float(np.abs(picture - last).mean()) / 2
        if change > MIN_CHANGE + max(self._recent, default=0.0):
            return True
        self._recent.append(change)
        return False


def layout(frame: NDArray[np.uint8]) -> NDArray[np.float64] | None:
    """A frame's picture without its mean colour and contrast.

    Args:
        frame: (H, W, 3) uint8.

    Returns:
        (CELLS, CELLS, 3) float64, each channel of mean 0 and all together of mean absolute value
        1 (less where the contrast is low); None for a picture that is flat.
    """
    some = frame[:: max(1, len(frame) // (CELLS * LINES))]
    small = cv2.resize(some, (CELLS, CELLS), interpolation=cv2.INTER_AREA).astype(np.float64)
    small -= small.mean(axis=(0, 1))
    deviation = float(np.abs(small).mean())
    return None if deviation < FLAT else small / max(deviation, LOW_CONTRAST)
