"""All the faces of a clip, followed from frame to frame within each shot.

A track predicts where its face is now by the velocity it had. Every pair of a track and a
detection that can be the same face has a gain, and the assignment with the greatest sum of gains is
taken: a pair that cannot be the same face, or a face left to itself, gains nothing, so that no
face is passed from track to track only to have more of them assigned.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from grjca.stages.faces import area, overlap
from grjca.stages.types import Detections, FrameBatch, check_array

SIGHTING: Final = np.dtype(
    [
        ("row", "<i8"),
        ("track", "<i4"),
        ("shot", "<i4"),
        ("box", "<f4", (4,)),
        ("landmarks", "<f4", (5, 2)),
        ("score", "<f4"),
    ]
)
"""One face seen in one frame: the clip's row, the number of the track and of the shot, both
counted from 0, and what the detector said, as in ``Detections``."""

MAX_GAP: Final = 0.5
"""Seconds without a sighting after which a track ends, and over which its face is interpolated."""

TOLERANCE: Final = 1e-6
"""Seconds within which a gap counts as no longer than MAX_GAP, against rounding of the times."""

MEMORY: Final = 0.15
"""Seconds over which a track's velocity is averaged."""

SAME_FACE: Final = 0.2
"""Two detections of a frame, whose landmarks lie apart by less than this share of the smaller
face's side on average, are the same face detected twice. Different faces stay further apart: the
detector's own suppression leaves boxes whose centres differ by more than 0.4 sides."""


@dataclass(frozen=True)
class TrackerConfig:
    """How far a face can be from where its track expects it.

    Attributes:
        reach: Sides of the face between prediction and detection, at once.
        speed: Sides of the face per second unseen, on top of ``reach``.
        growth: Ratio of the sides of two boxes, larger to smaller, that can show the same face.
    """

    reach: float = 0.6
    speed: float = 2.0
    growth: float = 2.0

    def __post_init__(self) -> None:
        if not (self.reach > 0 and self.speed >= 0 and self.growth >= 1):
            raise ValueError(f"a face cannot be followed with {self}")


@dataclass(frozen=True)
class Live:
    """A track that may go on.

    Attributes:
        track: Its number.
        box: (4,) float32, where the face was last seen.
        velocity: (2,) float64 of the box's centre, pixels per second.
        time: Seconds of the last sighting.
        seen: Number of sightings.
    """

    track: int
    box: NDArray[np.float32]
    velocity: NDArray[np.float64]
    time: float
    seen: int

    def predicted(self, time: float) -> NDArray[np.float32]:
        """Where the box would be at a later time, with the same size and velocity."""
        shift = self.velocity * (time - self.time)
        return self.box + np.tile(shift, 2).astype(np.float32)

    def seen_again(self, box: NDArray[np.float32], time: float) -> Live:
        """The track after another sighting."""
        passed = time - self.time
        now = (centre(box) - centre(self.box)) / passed
        # A plain mean to begin with: the first step is all that is known.
        share = max(1 - math.exp(-passed / MEMORY), 1 / self.seen)
        velocity = self.velocity + share * (now - self.velocity)
        return Live(self.track, box, velocity, time, self.seen + 1)


class Tracker:
    """Follows every face of one clip.

    A track ends at a shot cut, and when its face has not been seen for more than ``MAX_GAP``. The
    state runs on from batch to batch, so the batches' sizes do not matter; it holds the live
    tracks only and, where appearance is given, one vector for each track there was.

    Args:
        config: How far a face can be from where its track expects it.
    """

    def __init__(self, config: TrackerConfig | None = None) -> None:
        self._config = config or TrackerConfig()
        self._live: list[Live] = []
        self._looks: dict[int, NDArray[np.float64]] = {}
        self._tracks = 0
        self._shot = 0
        self._time = -math.inf

    @property
    def appearance(self) -> MappingProxyType[int, NDArray[np.float32]]:
        """Mean appearance of each track so far that was given any: (D,) float32 of length 1."""
        return MappingProxyType(
            {track: unit(look).astype(np.float32) for track, look in self._looks.items()}
        )

    def update(
        self,
        frames: FrameBatch,
        found: Sequence[Detections],
        cuts: NDArray[np.bool_],
        appearance: Sequence[NDArray[np.float32]] | None = None,
    ) -> NDArray[np.void]:
        """Follow the faces through the clip's next frames.

        A face detected twice is taken once, with its better score; a detection without a place
        (not finite, or with landmarks that coincide) is no face; rows that are not ``present``
        are passed over.

        Args:
            frames: The next N frames, later than those before.
            found: The faces of each of them.
            cuts: (N,) bool, true where a new shot starts.
            appearance: For each frame a (K, D) float32 array, one vector of length 1 for each of
                its faces; two faces are the more alike the greater the product of theirs.

        Returns:
            The sightings, an array of ``SIGHTING`` in the order of the rows.

        Raises:
            ValueError: The arguments do not fit each other, or the frames follow no others.
        """
        check_array("cuts", cuts, (len(frames),), "bool")
        looks = [None] * len(frames) if appearance is None else appearance
        if not len(found) == len(looks) == len(frames):
            raise ValueError(
                f"{len(frames)} frames, detections of {len(found)}, {len(looks)} looks"
            )
        if len(frames) and frames.time[0] <= self._time:
            raise ValueError(f"frames at {frames.time[0]} s come after those at {self._time} s")
        present = np.ones(len(frames), bool) if frames.present is None else frames.present
        parts = [np.zeros(0, SIGHTING)]
        for row, (faces, look) in enumerate(zip(found, looks, strict=True)):
            self._time = float(frames.time[row])
            if cuts[row]:
                self._live = []
                self._shot += 1
            if present[row] and len(faces):
                parts.append(self._sightings(frames.first + row, faces, look))
        return np.concatenate(parts)

    def _sightings(
        self, row: int, found: Detections, look: NDArray[np.float32] | None
    ) -> NDArray[np.void]:
        """Assign the faces of one frame."""
        if look is not None:
            check_array("appearance", look, (len(found), None), "float32")
        kept = distinct(found)
        box = found.box[kept]
        oldest = self._time - MAX_GAP - TOLERANCE
        self._live = [track for track in self._live if track.time >= oldest]
        match = dict(assign(self._gains(box, None if look is None else look[kept])))
        sightings = np.zeros(len(kept), SIGHTING)
        for face in range(len(kept)):
            if face in match:
                track = self._live[match[face]]
                self._live[match[face]] = track.seen_again(box[face], self._time)
            else:
                track = Live(self._tracks, box[face], np.zeros(2), self._time, 1)
                self._live.append(track)
                self._tracks += 1
            sightings["track"][face] = track.track
            if look is not None:
                known = self._looks.get(track.track, 0.0)
                self._looks[track.track] = known + look[kept[face]].astype(np.float64)
        sightings["row"], sightings["shot"] = row, self._shot
        sightings["box"], sightings["score"] = box, found.score[kept]
        sightings["landmarks"] = found.landmarks[kept]
        return sightings

    def _gains(
        self, box: NDArray[np.float32], look: NDArray[np.float32] | None
    ) -> NDArray[np.float64]:
        """(L, K) gains of the live tracks with the faces of a frame."""
        predicted = [track.predicted(self._time) for track in self._live]
        alike = None
        if look is not None:
            nothing = np.zeros(look.shape[1])
            known = [unit(self._looks.get(track.track, nothing)) for track in self._live]
            alike = np.array(known).reshape(len(known), -1) @ look.T if known else None
        return gains(
            np.array(predicted, np.float32).reshape(-1, 4),
            np.array([self._time - track.time for track in self._live]),
            box,
            self._config,
            alike,
        )


def gains(
    predicted: NDArray[np.float32],
    unseen: NDArray[np.float64],
    box: NDArray[np.float32],
    config: TrackerConfig,
    alike: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """How much speaks for each track and each detection being the same face.

    With d the distance of the centres in sides of the face (geometric mean of both) and u the
    seconds unseen, the parts, each in [0, 1], are the boxes' overlap, 1 - d / (reach + speed u)
    and, where given, the likeness. Their mean is reduced by the share u / (2 MAX_GAP), so that a
    face in view keeps its own detection when one that it hides is expected at the same place.

    Args:
        predicted: (L, 4) float32, where the tracks expect their faces.
        unseen: (L,) float64, seconds since each was seen.
        box: (K, 4) float32, the detections.
        config: What can be the same face at all.
        alike: (L, K) float64, cosines between the faces' appearances.

    Returns:
        (L, K) float64 in [0, 1], 0 where the two cannot be the same face.
    """
    side, sides = face_side(predicted)[:, None], face_side(box)
    apart = np.linalg.norm(centre(predicted)[:, None] - centre(box), axis=2)
    apart /= np.sqrt(side * sides) * (config.reach + config.speed * unseen[:, None])
    parts = [overlap(predicted[:, None], box).astype(np.float64), 1 - apart]
    if alike is not None:
        parts.append(np.clip(alike, 0, 1))
    gain = np.mean(parts, axis=0) * (1 - unseen[:, None] / (2 * MAX_GAP))
    possible = (apart < 1) & (np.abs(np.log(side / sides)) <= math.log(config.growth))
    return np.where(possible, np.maximum(gain, 0), 0)


def assign(gain: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """Pairs of a detection and its track, each used once, with the greatest sum of gains.

    Args:
        gain: (L, K) gains, not negative; pairs without gain are not made.

    Yields:
        (detection, track), indices into the columns and the rows.
    """
    if not gain.size:
        return
    if 1 in gain.shape:
        # A lone face, or a lone track, needs no solver; loading it takes a third of a second.
        track, face = np.unravel_index(np.argmax(gain), gain.shape)
        if gain[track, face] > 0:
            yield int(face), int(track)
        return
    from scipy.optimize import linear_sum_assignment

    tracks, faces = linear_sum_assignment(gain, maximize=True)
    for track, face in zip(tracks.tolist(), faces.tolist(), strict=True):
        if gain[track, face] > 0:
            yield face, track


def distinct(found: Detections) -> NDArray[np.intp]:
    """Which detections of a frame are faces with a place, each taken once, best score first."""
    points = found.landmarks.astype(np.float64)
    finite = np.isfinite(points).all(axis=(1, 2)) & np.isfinite(found.box).all(axis=1)
    placed = np.array(finite, dtype=bool)
    placed[placed] = np.ptp(points[placed], axis=1).any(axis=1)
    kept: list[int] = []
    for face in np.argsort(-found.score, kind="stable"):
        if not placed[face]:
            continue
        away = np.linalg.norm(points[kept] - points[face], axis=2).mean(axis=1)
        smaller = np.minimum(face_side(found.box[kept]), face_side(found.box[face]))
        if (away >= SAME_FACE * smaller).all():
            kept.append(int(face))
    return np.array(kept, np.intp)


def centre(box: NDArray[np.float32]) -> NDArray[np.float64]:
    """Centres (..., 2) of (..., 4) boxes, x and y."""
    return (box[..., :2].astype(np.float64) + box[..., 2:]) / 2


def face_side(box: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sides of the squares as large as (..., 4) boxes, in pixels; at least 1."""
    return np.sqrt(np.maximum(area(box), 1).astype(np.float64))


def unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vector at length 1; one of length 0 as it is."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector
