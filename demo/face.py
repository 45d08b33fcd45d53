"""A photographed face made to move: displacement fields at its landmarks, pose, lighting, covers.

The photograph is scikit-image's ``astronaut()``. Bumps at the brows, eyes, cheeks, mouth and jaw
are added up to one displacement field per frame, so that nothing tears; the picture is then
posed by one affine map and lit. Coordinates below are pixels of the photograph.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import cv2
import numpy as np
from numpy.typing import NDArray

from demo.curves import Span, Split, Trait, presence

SIDE = 240
"""Pixels of a frame's side."""

ZOOM = 1.26
"""Pixels of a frame per pixel of the photograph, before a persona's own scale."""

REGION = (140, 30, 308, 204)
"""The part of the photograph that is displaced: left, top, right, bottom."""

CENTRE = (224.0, 124.0)
"""Middle of the face."""

RIGHT_EYE, LEFT_EYE = (203.3, 100.7), (249.0, 102.7)
RIGHT_BROW, LEFT_BROW = (203.0, 89.0), (250.0, 93.0)
MOUTH = (224.5, 146.5)
LIP_CENTRE = 223.0

COVERS = ("hand", "board", "pan")
"""Ways the face is hidden: a hand before it, a board before it, the camera looking elsewhere."""

COVER_RAMP = 0.2
"""Seconds that covering and uncovering take."""

TRAITS: dict[str, Trait] = {
    "scale": Trait(((0.90, 0.98), (1.05, 1.12)), ((0.99, 1.04), (1.13, 1.18))),
    "aspect": Trait(((0.93, 0.98), (1.02, 1.07)), ((0.985, 1.015), (1.075, 1.10))),
    "roll": Trait(((-8.0, -3.0), (2.0, 7.0)), ((-2.5, 1.5), (8.0, 11.0))),
    "jaw": Trait(((-1.0, -0.3), (0.3, 1.0)), ((-0.25, 0.25), (1.05, 1.3))),
    "eyes_apart": Trait(((-1.0, -0.3), (0.3, 1.0)), ((-0.25, 0.25), (-1.3, -1.05))),
    "nose": Trait(((-1.0, -0.3), (0.3, 1.0)), ((-0.25, 0.25), (1.05, 1.3))),
    "gain": Trait(((0.80, 0.90), (1.00, 1.12)), ((0.91, 0.99), (0.74, 0.79))),
    "gamma": Trait(((0.82, 0.95), (1.08, 1.22)), ((0.96, 1.07), (1.23, 1.32))),
    "light_from": Trait(((-60.0, 60.0), (150.0, 210.0)), ((70.0, 140.0), (220.0, 290.0))),
    "light_slope": Trait(((0.05, 0.15), (0.22, 0.32)), ((0.16, 0.21), (0.33, 0.37))),
    "warmth": Trait(((-0.12, -0.04), (0.05, 0.12)), ((-0.03, 0.04), (0.13, 0.16))),
    "tint": Trait(((0.0, 100.0), (180.0, 260.0)), ((110.0, 170.0), (270.0, 350.0))),
}
"""Intervals of a persona's looks: scale; width by height; tilt in degrees; jaw width, distance of
the eyes and length of the nose in steps of about 4%; light: gain, gamma, direction in degrees,
slope across the picture, red against blue; hue of the background in degrees."""


@dataclass(frozen=True)
class FaceStyle:
    """A persona's looks, camera and lighting; units as in ``TRAITS``."""

    scale: float
    aspect: float
    roll: float
    jaw: float
    eyes_apart: float
    nose: float
    gain: float
    gamma: float
    light_from: float
    light_slope: float
    warmth: float
    tint: float

    @classmethod
    def draw(cls, rng: np.random.Generator, split: Split) -> FaceStyle:
        """A persona of the training or of the unseen clips."""
        return cls(**{f.name: TRAITS[f.name].draw(rng, split) for f in fields(cls)})


@dataclass(frozen=True)
class FaceMotion:
    """What the face does, a value per frame.

    Attributes:
        valence: (T,) float64 in [-1, 1], as the face shows it.
        arousal: (T,) float64 in [-1, 1], as the face shows it.
        mouth: (T,) float64 in [0, 1], how far the syllable being spoken opens the mouth.
        wander: (2, T) float64, standard normal: slow movements of the head that mean nothing.
    """

    valence: NDArray[np.float64]
    arousal: NDArray[np.float64]
    mouth: NDArray[np.float64]
    wander: NDArray[np.float64]


class Portrait:
    """One persona's face, ready to be displaced, posed and lit.

    Args:
        style: The persona's looks.
    """

    def __init__(self, style: FaceStyle) -> None:
        from skimage import data

        self._style = style
        photograph = tint_background(data.astronaut(), style.tint)
        size = (round(photograph.shape[1] * ZOOM), round(photograph.shape[0] * ZOOM))
        self._closed = cv2.resize(photograph, size, interpolation=cv2.INTER_CUBIC)
        self._open = darken_mouth(np.asarray(self._closed, np.uint8))
        left, top, right, bottom = (round(edge * ZOOM) for edge in REGION)
        self._window = np.s_[top:bottom, left:right]
        rows, columns = np.mgrid[top:bottom, left:right].astype(np.float64)
        x, y = columns / ZOOM, rows / ZOOM
        self._grid = np.stack([columns - left, rows - top]).astype(np.float32)
        self._fields = displacement_fields(x, y)
        self._grid += self._field(jaw=style.jaw, eyes_apart=style.eyes_apart, nose=style.nose)
        self._jaw_rows = slice(round((132 - REGION[1]) * ZOOM), None)
        self._chin = chin_window(x, y)[self._jaw_rows]
        self._lut = lighting_table(style)

    def _field(self, **amounts: float) -> NDArray[np.float32]:
        total = np.zeros_like(self._grid)
        for name, amount in amounts.items():
            cv2.scaleAdd(self._fields[name], amount * ZOOM, total, total)
        return total

    def _open_mouth(self, maps: NDArray[np.float32], opening: float) -> None:
        # The gap follows the lips wherever smile and turn have put them: it is laid over the
        # displaced coordinates. A step narrower than a quarter of the drop would fold the picture.
        lower = maps[:, self._jaw_rows]
        across = lower[0] * np.float32(1 / ZOOM) + np.float32(REGION[0] - LIP_CENTRE)
        height = lower[1] * np.float32(1 / ZOOM) + np.float32(REGION[1])
        below = height - lip_line(across) - np.float32(2.0)
        step = 1.0 / (1.0 + cv2.exp(-below / np.float32(2.2)))
        lower[1] -= np.float32(opening * ZOOM) * step * self._chin

    def expression(
        self, valence: float, arousal: float, mouth: float, blink: float, turn: tuple[float, float]
    ) -> NDArray[np.uint8]:
        """The whole photograph with this expression, enlarged by ``ZOOM``; RGB uint8.

        Args:
            valence: In [-1, 1]: corners of the mouth, cheeks, inner brows.
            arousal: In [-1, 1]: brows, eyelids, opening of the mouth.
            mouth: In [0, 1], how far a syllable opens the mouth.
            blink: 1 for closed eyes.
            turn: Turn and nod of the head, in pixels of the photograph at the nose.
        """
        opening = (2.2 if arousal > 0 else 4.5) * arousal + (2.0 + 1.6 * (1 + arousal)) * mouth
        squint = 0.12 * max(valence, 0.0)
        field = self._field(
            smile=5.5 * valence - 2.5,
            stretch=1.2 * valence,
            cheeks=1.6 * valence,
            frown=max(-valence, 0.0) * 2.2,
            brows=3.4 * arousal if arousal > 0 else 1.6 * arousal,
            eyes=(-0.38 if arousal > 0 else -0.30) * arousal + squint + 1.5 * blink,
            turn=turn[0],
            nod=turn[1],
        )
        maps = self._grid + field
        self._open_mouth(maps, opening)
        picture = self._closed.copy()
        shade = float(np.clip(opening / 3.5, 0.0, 1.0))
        source = cv2.addWeighted(
            self._closed[self._window], 1.0 - shade, self._open[self._window], shade, 0.0
        )
        picture[self._window] = cv2.remap(
            source, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(picture, np.uint8)

    def pose(
        self, picture: NDArray[np.uint8], roll: float, shift: tuple[float, float], pan: float
    ) -> NDArray[np.uint8]:
        """Crop the posed face from the photograph: (SIDE, SIDE, 3) uint8.

        Args:
            picture: What ``expression`` returned.
            roll: Further tilt in degrees.
            shift: Movement to the right and downwards in pixels.
            pan: 0 for the face in the middle, 1 for the camera turned away from it.
        """
        style = self._style
        angle = np.deg2rad(style.roll + roll)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        matrix = turn @ np.diag([style.scale * style.aspect, style.scale / style.aspect])
        centre = np.array([CENTRE[0] + 190.0 * pan, CENTRE[1]]) * ZOOM
        offset = SIDE / 2 + np.array(shift) - matrix @ centre
        affine = np.column_stack([matrix, offset])
        return cv2.warpAffine(
            picture, affine, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        ).astype(np.uint8, copy=False)

    def light(self, frame: NDArray[np.uint8], drift: float) -> NDArray[np.uint8]:
        """Gain, gamma and colour, and a slope of light whose direction drifts (degrees)."""
        angle = np.deg2rad(self._style.light_from + drift)
        along = np.linspace(-1.0, 1.0, SIDE, dtype=np.float32)
        slope = np.float32(self._style.light_slope)
        shade = 1 + slope * (np.cos(angle) * along[None] + np.sin(angle) * along[:, None])
        lit = cv2.LUT(frame, self._lut)
        return cv2.multiply(lit, cv2.merge([shade.astype(np.float32)] * 3), dtype=cv2.CV_8U).astype(
            np.uint8, copy=False
        )


def displacement_fields(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> dict[str, NDArray[np.float32]]:
    """Unit displacements (where an output pixel looks in the photograph), faded at the edges.

    Args:
        x: (h, w) column of each pixel of ``REGION``.
        y: (h, w) row of each.

    Returns:
        Name to (2, h, w) float32, x and y.
    """
    left, top, right, bottom = REGION
    inside = np.minimum.reduce([x - left, right - x, y - top, bottom - y])
    fade = np.clip(inside / 15.0, 0.0, 1.0)

    def bump(centre: tuple[float, float], wide: float, high: float) -> NDArray[np.float64]:
        return np.exp(-0.5 * ((x - centre[0]) / wide) ** 2 - 0.5 * ((y - centre[1]) / high) ** 2)

    zero = np.zeros_like(x)
    across = (x - MOUTH[0]) / 19.0
    at_mouth = bump(MOUTH, 26.0, 14.0)
    inner = bump((214.0, 90.0), 7.0, 6.0), bump((239.0, 93.0), 7.0, 6.0)
    eyes = [(y - eye[1]) * bump(eye, 10.0, 6.5) for eye in (RIGHT_EYE, LEFT_EYE)]
    apart = bump(LEFT_EYE, 14.0, 12.0) - bump(RIGHT_EYE, 14.0, 12.0)
    moves = {
        "smile": (zero, (np.minimum(across**2, 1.8) - 0.3) * at_mouth),
        "stretch": (-across * at_mouth, zero),
        "cheeks": (zero, bump((203.0, 124.0), 11.0, 9.0) + bump((247.0, 125.0), 11.0, 9.0)),
        "frown": (inner[1] - inner[0], -inner[0] - inner[1]),
        "brows": (zero, bump(RIGHT_BROW, 13.0, 6.5) + bump(LEFT_BROW, 13.0, 6.5)),
        "eyes": (zero, eyes[0] + eyes[1]),
        "turn": (-bump(CENTRE, 26.0, 38.0), zero),
        "nod": (zero, -bump(CENTRE, 30.0, 30.0)),
        "jaw": (-0.05 * (x - CENTRE[0]) * bump((CENTRE[0], 160.0), 34.0, 20.0), zero),
        "eyes_apart": (-1.4 * apart, zero),
        "nose": (zero, -1.6 * bump((225.0, 124.0), 12.0, 10.0)),
    }
    return {name: (np.stack(move) * fade).astype(np.float32) for name, move in moves.items()}


def lip_line(across: NDArray[np.float32]) -> NDArray[np.float32]:
    """Row where the upper teeth meet the lower lip, ``across`` pixels from ``LIP_CENTRE``."""
    line: NDArray[np.float32] = np.float32(149.0) - np.float32(0.019) * across**2
    return line


def chin_window(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float32]:
    """How much of the jaw's drop a pixel follows: all at the lips, none at ears and collar."""
    wide = np.exp(-0.5 * ((x - LIP_CENTRE) / 13.0) ** 2)
    high = np.exp(-0.5 * (np.maximum(y - 165.0, 0.0) / 10.0) ** 2)
    return (wide * high).astype(np.float32)


def darken_mouth(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The enlarged photograph with a dark gap between the upper teeth and the lower lip."""
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    across = columns / np.float32(ZOOM) - np.float32(LIP_CENTRE)
    off = np.abs(rows / np.float32(ZOOM) - lip_line(across) + 0.6)
    weight = np.clip(1.9 - off, 0, 1) * np.clip((18 - np.abs(across)) / 4, 0, 1)
    dark = np.array([52.0, 16.0, 18.0])
    return np.asarray(picture * (1 - weight[..., None]) + dark * weight[..., None], np.uint8)


def tint_background(photograph: NDArray[np.uint8], hue: float) -> NDArray[np.uint8]:
    """Colour what lies around the head, softly and outside of the face."""
    rows, columns = np.mgrid[: photograph.shape[0], : photograph.shape[1]]
    distance = np.hypot((columns - CENTRE[0]) / 82.0, (rows - 105.0) / 95.0)
    weight = 0.45 * np.clip((distance - 1.0) / 0.25, 0.0, 1.0)[..., None]
    pixel = np.array([[[hue / 2, 120, 190]]], np.uint8)
    colour = cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0].astype(np.float64)
    return np.asarray(photograph * (1 - weight) + colour * weight, np.uint8)


def lighting_table(style: FaceStyle) -> NDArray[np.uint8]:
    """(1, 256, 3) uint8: what gain, gamma and colour temperature make of each value."""
    value = np.linspace(0.0, 1.0, 256)[:, None] ** style.gamma
    balance = np.array([1.0 + style.warmth, 1.0, 1.0 - style.warmth])
    return np.asarray(np.clip(value * style.gain * balance, 0.0, 1.0) * 255, np.uint8)[None]


def draw_cover(frame: NDArray[np.uint8], kind: str, level: float) -> None:
    """Hide the face behind a hand or a board that comes in from below, in place.

    Args:
        frame: (SIDE, SIDE, 3) uint8.
        kind: ``hand`` or ``board``.
        level: 0 outside of the picture, 1 right before the face.
    """
    lift = round((1.0 - level) * SIDE)
    if kind == "board":
        cv2.rectangle(frame, (28, 14 + lift), (212, SIDE + lift), (96, 104, 112), -1)
        cv2.rectangle(frame, (40, 26 + lift), (200, SIDE + lift), (120, 128, 134), -1)
        return
    skin, crease = (196, 148, 122), (150, 104, 84)
    cv2.ellipse(frame, (120, 148 + lift), (76, 82), 0, 0, 360, skin, -1, cv2.LINE_AA)
    for x, tip in ((66, 44), (100, 22), (134, 20), (168, 36)):
        cv2.line(frame, (x, tip + lift), (x, 130 + lift), crease, 38, cv2.LINE_AA)
        cv2.line(frame, (x, tip + lift), (x, 150 + lift), skin, 34, cv2.LINE_AA)


def film(
    style: FaceStyle, motion: FaceMotion, hidden: list[Span], rng: np.random.Generator, fps: float
) -> Iterator[NDArray[np.uint8]]:
    """The frames of one clip.

    Args:
        style: The persona's looks.
        motion: What the face does, T values.
        hidden: When the face is hidden; ``kind`` is one of ``COVERS``.
        rng: Source of randomness for blinks.
        fps: Frames per second.

    Yields:
        T frames, (SIDE, SIDE, 3) uint8 RGB.
    """
    portrait = Portrait(style)
    time = np.arange(len(motion.valence)) / fps
    covered = {
        kind: presence([span for span in hidden if span.kind == kind], time, COVER_RAMP)
        for kind in COVERS
    }
    blinking = rng.random(len(time)) < 0.25 / fps
    beat = np.cumsum(2 * np.pi * (0.5 + 0.35 * motion.arousal) / fps)
    sway = (0.6 + 0.4 * motion.arousal) * np.sin(beat)
    for i, (valence, arousal, mouth) in enumerate(
        zip(motion.valence, motion.arousal, motion.mouth, strict=True)
    ):
        wander = np.clip(motion.wander[:, i], -2.0, 2.0)
        picture = portrait.expression(
            valence,
            arousal,
            mouth,
            float(blinking[i]),
            turn=(1.5 * wander[0] + 1.5 * sway[i], 1.2 * wander[1]),
        )
        frame = portrait.pose(
            picture,
            roll=1.5 * wander[0] + 2.0 * sway[i],
            shift=(4.0 * wander[0] + 3.0 * sway[i], 3.0 * wander[1]),
            pan=covered["pan"][i],
        )
        for kind in ("hand", "board"):
            if covered[kind][i] > 0:
                draw_cover(frame, kind, covered[kind][i])
        yield portrait.light(frame, drift=15.0 * wander[1])
