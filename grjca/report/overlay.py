"""A clip's predictions drawn into its frames: face, values, and the valence-arousal plane.

Sizes follow the picture's, and everything has a dark rim or ground, so that it can be read on light
and on dark pictures. Colours are those of Okabe and Ito, which colour-blind people tell apart. Only
numbers and fixed words are written; nothing from a user's files is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from grjca.report.lettering import Lettering
from grjca.report.overlay_marks import (
    BLACK,
    GREY,
    ORANGE,
    PINK,
    SHIFT,
    SKY,
    WHITE,
    YELLOW,
    Array,
    Picture,
    diamond,
    disc,
    fixed,
    near,
)

TAIL = 2.0
"""Seconds of the past that the plane shows."""

_COLOURS: Final = {"valence": SKY, "arousal": ORANGE}

_NOTHING = "no face, no sound"
"""The longest remark on a frame."""

_DARKNESS = 0.74
_SHORT_SIDE = 0.75


@dataclass(frozen=True)
class OverlayRows:
    """What is drawn, a row per frame (or per row of a clip that was resampled).

    Attributes:
        time: (T,) seconds, increasing.
        values: (T, K) predictions in [-1, 1]; NaN where there is none.
        names: K names of the dimensions, of ``valence`` and ``arousal``.
        face_valid: (T,) bool, a face was seen.
        audio_valid: (T,) bool, there is sound.
        box: (T, 4) left, top, right, bottom in pixels, NaN where there is no face; None where
            boxes are not known.
        landmarks: (T, n, 2) pixels, NaN where there is no face; None where not known.
        interpolated: (T,) bool, the face's place lies between two sightings; None: nowhere.
        labels: (T, K) annotated values, NaN where not labelled; None where there are none.

    Raises:
        ValueError: Shapes do not belong together.
    """

    time: Array
    values: Array
    names: tuple[str, ...]
    face_valid: Array
    audio_valid: Array
    box: Array | None = None
    landmarks: Array | None = None
    interpolated: Array | None = None
    labels: Array | None = None

    def __post_init__(self) -> None:
        rows, wide = len(self.time), (len(self.time), len(self.names))
        wanted: dict[str, tuple[int, ...]] = {
            "values": wide, "labels": wide, "face_valid": (rows,), "audio_valid": (rows,),
            "interpolated": (rows,), "box": (rows, 4),
        }  # fmt: skip
        for name, shape in wanted.items():
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}, wanted {shape}")
        points = self.landmarks
        if points is not None and (points.ndim != 3 or points.shape[::2] != (rows, 2)):
            raise ValueError(f"landmarks have shape {points.shape}, rows: {rows}")
        unknown = [name for name in self.names if name not in _COLOURS]
        if unknown:
            raise ValueError(f"dimensions {unknown}; known: {', '.join(_COLOURS)}")

    def __len__(self) -> int:
        return len(self.time)


class Overlay:
    """Draws rows into frames of one size.

    Args:
        rows: What to draw.
        size: Width and height of the frames.
    """

    def __init__(self, rows: OverlayRows, size: tuple[int, int]) -> None:
        self.rows = rows
        width, height = size
        # Of a tall picture the width decides, else the panel would not fit into it.
        self._unit = min(height, _SHORT_SIDE * width)
        # Colour has half the resolution of light in most videos: a thinner line would look black.
        self._line = max(2 if self._unit >= 180 else 1, round(self._unit / 240))
        self._panel = _Panel(rows, size, self._unit)

    def draw(self, frame: Picture, row: int | None) -> Picture:
        """A frame with a row drawn into it.

        Args:
            frame: (H, W, 3) uint8, RGB; stays as it is.
            row: Number of the row; None draws nothing.

        Returns:
            (H, W, 3) uint8, RGB.
        """
        picture = frame.copy()
        if row is None:
            return picture
        if self.rows.box is not None and np.isfinite(self.rows.box[row]).all():
            between = self.rows.interpolated is not None and bool(self.rows.interpolated[row])
            self._box(picture, self.rows.box[row], corners_only=between)
        if self.rows.landmarks is not None:
            self._landmarks(picture, self.rows.landmarks[row])
        self._panel.draw(picture, row)
        return picture

    def _box(self, picture: Picture, box: Array, *, corners_only: bool) -> None:
        left, top, right, bottom = fixed(near(box.reshape(2, 2), picture)).ravel().tolist()
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.int32)
        lines = [np.append(corners, corners[:1], axis=0)]
        if corners_only:
            across, down = (corners[1] - corners[0]) // 4, (corners[3] - corners[0]) // 4
            ways = ((across, down), (-across, down), (-across, -down), (across, -down))
            lines = [
                np.array([corner + a, corner, corner + b], np.int32)
                for corner, (a, b) in zip(corners, ways, strict=True)
            ]
        for colour, thick in ((BLACK, self._line + 2), (YELLOW, self._line)):
            cv2.polylines(picture, lines, False, colour, thick, cv2.LINE_AA, SHIFT)

    def _landmarks(self, picture: Picture, points: Array) -> None:
        radius = max(1.5, self._unit / 170)
        for point in near(points[np.isfinite(points).all(axis=1)], picture):
            disc(picture, point, radius, SKY)


class _Panel:
    """The plane and the values beside it, on a dark ground in the corner that hides least."""

    def __init__(self, rows: OverlayRows, size: tuple[int, int], unit: float) -> None:
        self._rows = rows
        self._line = max(1, round(unit / 360))
        self._text = Lettering(max(9, round(0.043 * unit)))
        pad = max(2, round(0.022 * unit))
        self._plane = round(0.27 * unit) if set(_COLOURS) <= set(rows.names) else 0
        self._step = round(1.55 * self._text.size)
        lines = len(rows.names) + 1
        high = max(self._plane, lines * self._step) + 2 * pad
        self._left = pad + (self._plane + pad if self._plane else 0)
        self._name = max(self._text.width(name) for name in rows.names)
        self._number = self._name + round(0.6 * self._text.size)
        said = max(self._number + self._text.number_width, self._text.width(_NOTHING))
        wide = self._left + said + pad
        self._mark = self._left + self._number + self._text.number_width + self._text.size
        if rows.labels is not None:
            wide = max(wide, self._mark + self._text.size + self._text.number_width + pad)
        self._x, self._y = _free_corner(size, (wide, high), round(0.025 * unit), rows.box)
        self._pad, self._high = pad, high
        self._first = (high - lines * self._step) // 2
        self._ground = self._drawn_ground(wide, high)
        self._weight = self._drawn_weight(wide, high, pad)

    def _drawn_ground(self, wide: int, high: int) -> Picture:
        """All that stays the same from frame to frame."""
        ground = np.zeros((high, wide, 3), np.uint8)
        if self._plane:
            corner = self._place(np.array([[-1.0, 1.0], [1.0, -1.0]]))
            for circle in (False, True):
                if circle:
                    centre, radius = (
                        fixed(corner.mean(axis=0)),
                        round(self._plane / 2 * (1 << SHIFT)),
                    )
                    cv2.circle(ground, centre.tolist(), radius, (90, 90, 90), 1, cv2.LINE_AA, SHIFT)
                else:
                    first, last = fixed(corner).tolist()
                    cv2.rectangle(ground, first, last, GREY, 1, cv2.LINE_AA, SHIFT)
            ends = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
            left, right, down, up = fixed(self._place(ends)).tolist()
            cv2.line(ground, left, right, _COLOURS["valence"], self._line, cv2.LINE_AA, SHIFT)
            cv2.line(ground, down, up, _COLOURS["arousal"], self._line, cv2.LINE_AA, SHIFT)
        for k, name in enumerate(self._rows.names):
            self._text.write(ground, name, (self._left, self._baseline(k)), _COLOURS[name])
        return ground

    def _drawn_weight(self, wide: int, high: int, radius: int) -> NDArray[np.float32]:
        """(high, wide, 1): how much of the picture is seen through the ground."""
        inside = np.zeros((high, wide), np.uint8)
        cv2.rectangle(inside, (radius, 0), (wide - 1 - radius, high - 1), 255, -1)
        cv2.rectangle(inside, (0, radius), (wide - 1, high - 1 - radius), 255, -1)
        for x in (radius, wide - 1 - radius):
            for y in (radius, high - 1 - radius):
                cv2.circle(inside, (x, y), radius, 255, -1, cv2.LINE_AA)
        lit = self._ground.max(axis=2).astype(np.float32) / 255
        dark = np.maximum(inside.astype(np.float32) / 255 * _DARKNESS, lit)
        return np.asarray(1 - dark, np.float32)[..., None]

    def draw(self, picture: Picture, row: int) -> None:
        under = picture[self._y :, self._x :][: self._ground.shape[0], : self._ground.shape[1]]
        high, wide = under.shape[:2]
        through = under * self._weight[:high, :wide]
        panel = np.ascontiguousarray((through + self._ground[:high, :wide]).clip(0, 255), np.uint8)
        if self._plane:
            self._draw_point(panel, row)
        self._draw_values(panel, row)
        under[:] = panel

    def _draw_point(self, panel: Picture, row: int) -> None:
        time = self._rows.time
        first = int(np.searchsorted(time, time[row] - TAIL, side="right"))
        order = [self._rows.names.index(name) for name in ("valence", "arousal")]
        points = self._place(self._rows.values[first : row + 1][:, order])
        there = np.asarray(np.isfinite(points).all(axis=1))
        ages = (time[row] - time[first : row + 1]) / TAIL
        for k in range(len(points) - 1):
            if there[k] and there[k + 1]:
                shade = round(255 - 140 * float(ages[k + 1]))
                start, end = fixed(points[k : k + 2]).tolist()
                thick = max(1, round(self._line * (2 - 1.2 * float(ages[k + 1]))))
                cv2.line(panel, start, end, (shade,) * 3, thick, cv2.LINE_AA, SHIFT)
        if self._rows.labels is not None:
            label = self._place(self._rows.labels[row : row + 1][:, order])[0]
            if np.isfinite(label).all():
                diamond(panel, label, 0.045 * self._plane + 1, self._line)
        if there[-1]:
            disc(panel, points[-1], max(2.5, 0.04 * self._plane), WHITE)

    def _draw_values(self, panel: Picture, row: int) -> None:
        for k in range(len(self._rows.names)):
            y = self._baseline(k)
            value = float(self._rows.values[row, k])
            self._text.write_number(panel, value, (self._left + self._number, y), WHITE)
            if self._rows.labels is not None and np.isfinite(self._rows.labels[row, k]):
                middle = np.array([self._mark + 0.2 * self._text.size, y - 0.36 * self._text.size])
                diamond(panel, middle, 0.3 * self._text.size, self._line)
                label = float(self._rows.labels[row, k])
                place = (self._mark + self._text.size, y)
                self._text.write_number(panel, label, place, YELLOW)
        lacking = [
            f"no {what}"
            for what, valid in (("face", self._rows.face_valid), ("sound", self._rows.audio_valid))
            if not valid[row]
        ]
        if lacking:
            place = (self._left, self._baseline(len(self._rows.names)))
            self._text.write(panel, ", ".join(lacking), place, PINK)

    def _baseline(self, line: int) -> int:
        return round(self._first + line * self._step + 1.1 * self._text.size)

    def _place(self, values: Array) -> Array:
        """Where (n, 2) valence and arousal lie in the panel; what is beyond is put at the edge."""
        corner = np.array([self._pad, (self._high - self._plane) / 2])
        placed: Array = (np.clip(values, -1, 1) * (1, -1) + 1) * self._plane / 2 + corner
        return placed


def _free_corner(
    size: tuple[int, int], panel: tuple[int, int], margin: int, box: Array | None
) -> tuple[int, int]:
    """Left and top of a panel, in the corner where it hides least of the face in all of a clip.

    A picture too small for the panel shows as much of it as there is room for.
    """
    left, top = (max(0, min(margin, size[i] - panel[i])) for i in (0, 1))
    right, bottom = (max(0, size[i] - margin - panel[i]) for i in (0, 1))
    corners = [(left, bottom), (right, bottom), (left, top), (right, top)]
    if box is None:
        return corners[0]
    there = box[np.isfinite(box).all(axis=1)]

    def hidden(corner: tuple[int, int]) -> float:
        end = np.minimum(there[:, 2:], np.add(corner, panel))
        sides = np.maximum(end - np.maximum(there[:, :2], corner), 0)
        return float(sides.prod(axis=1).sum())

    return min(corners, key=hidden)
