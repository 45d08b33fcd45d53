"""Who is who in a clip, once all its faces are tracked, and which of them to keep.

Tracks are summed up in one pass over the log of sightings, block by block. Tracks of one shot that
follow each other at one place are one person; where the tracks' appearance is known, tracks of any
shot and place that look alike are. Without it nothing tells who is who across a shot cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from grjca.stages.shots import MIN_CHANGE
from grjca.stages.summaries import summaries
from grjca.stages.tracking import MAX_GAP, TrackerConfig, centre, face_side, unit

Choice = Literal["main", "left", "right", "all"]
"""Whom to keep; see :func:`choose`."""

REVISION: Final = 1
"""To be raised when tracks or people come out otherwise with the same settings."""

MIN_SECONDS: Final = 0.5
"""Seconds in view below which a face is nobody, unless there is nobody else."""

MIN_SHARE: Final = 0.2
"""Share of the main person's presence from which on a person can be the left or the right one."""

MAX_PEOPLE: Final = 64
"""People that ``all`` keeps at most."""

SAME_PLACE: Final = 1.0
"""Sides of the face within which a track begins where another ended."""

SAME_SIZE: Final = 1.5
"""Ratio of the sides of such two boxes at most."""

SAME_LOOKS: Final = 0.4
"""Cosine of two mean appearances from which on they are one person's (embeddings trained to tell
people apart, such as ArcFace's, lie well above for one person and near 0 for two)."""


@dataclass(frozen=True)
class Person:
    """One person's face in a clip.

    Attributes:
        tracks: Numbers of the tracks, in the order of time; no two overlap.
        shot: The shot the person is known in; None where appearance tells people apart across
            the clip.
        presence: The side of the face in pixels integrated over the seconds it is seen, each row
            lasting until the next: whoever is large and long in the picture has the most.
        place: Mean centre of the face, x and y in pixels.
        rows: Rows in which the face was seen.
        seconds: How long these last.
        first: The first of them.
        last: The last of them.
    """

    tracks: tuple[int, ...]
    shot: int | None
    presence: float
    place: tuple[float, float]
    rows: int
    seconds: float
    first: int
    last: int

    def __post_init__(self) -> None:
        if not (self.tracks and 0 <= self.first <= self.last and self.rows > 0):
            raise ValueError(f"a person who is never seen: {self}")


@dataclass(frozen=True)
class Chosen:
    """The people to keep.

    Attributes:
        people: The tracks of each; an empty tuple stands for nobody.
        left_out: Number of people that ``all`` would have kept beyond ``MAX_PEOPLE``.
    """

    people: tuple[tuple[int, ...], ...]
    left_out: int = 0

    def __post_init__(self) -> None:
        if not self.people or self.left_out < 0:
            raise ValueError("nobody was chosen; that is one person without tracks")


def tracking_identity() -> dict[str, Any]:
    """All that decides tracks and people, apart from the detections; JSON values."""
    return {
        "revision": REVISION,
        "tracker": asdict(TrackerConfig()),
        "max_gap": MAX_GAP,
        "min_seconds": MIN_SECONDS,
        "min_share": MIN_SHARE,
        "same_place": SAME_PLACE,
        "same_size": SAME_SIZE,
        "same_looks": SAME_LOOKS,
        "max_people": MAX_PEOPLE,
        "cut": MIN_CHANGE,
    }


def find_people(
    sightings: NDArray[np.void],
    time: NDArray[np.float64],
    appearance: Mapping[int, NDArray[np.float32]] | None = None,
) -> list[Person]:
    """Join a clip's tracks into people, the greatest presence first.

    Args:
        sightings: All of the clip's, an array of ``SIGHTING`` sorted by row; may be a memory map.
        time: (T,) float64, seconds of the clip's rows.
        appearance: The mean appearance of each track, a vector of length 1; tracks without one
            are known by their place alone.

    Returns:
        The people; none of them has two tracks at the same time.
    """
    tracks = summaries(sightings, time)
    groups = _by_place(tracks, appearance or {})
    if appearance is not None:
        groups = _by_looks(tracks, groups, appearance)
    people = [_person(tracks[group], appearance is not None) for group in groups]
    return sorted(people, key=lambda person: (-person.presence, person.tracks))


def choose(people: Sequence[Person], choice: Choice) -> Chosen:
    """Choose whom to keep.

    People known in one shot only are chosen in each shot, and joined into one. Of those in view
    at the same time nobody counts who is seen for less than ``MIN_SECONDS``, unless all are.

    Args:
        people: Those of one clip.
        choice: ``main`` is whoever has the greatest presence; ``left`` and ``right`` are the
            outermost, by mean place, of those with at least ``MIN_SHARE`` of that presence;
            ``all`` is each person, the greatest presence first.

    Returns:
        One person for ``main``, ``left`` and ``right``, without tracks where there is nobody; for
        ``all`` at least that one and at most ``MAX_PEOPLE``.

    Raises:
        ValueError: There is no such choice.
    """
    if choice not in get_args(Choice):
        raise ValueError(f"no choice {choice}; known: {', '.join(get_args(Choice))}")
    if not people:
        return Chosen(((),))
    if choice == "all":
        ranked = sorted(_noticed(people), key=lambda person: -person.presence)
        kept = tuple(person.tracks for person in ranked[:MAX_PEOPLE])
        return Chosen(kept, len(ranked) - len(kept))
    shots: dict[int | None, list[Person]] = {}
    for person in people:
        shots.setdefault(person.shot, []).append(person)
    picked = [_pick(_noticed(present), choice) for present in shots.values()]
    picked.sort(key=lambda person: person.first)
    return Chosen((tuple(track for person in picked for track in person.tracks),))


def _by_place(
    tracks: NDArray[np.void], appearance: Mapping[int, NDArray[np.float32]]
) -> list[list[int]]:
    """Groups of tracks of one shot that follow each other at one place, as indices.

    Each track in turn goes on from the nearest that has ended and that no other goes on from.
    """
    groups: list[list[int]] = []
    for shot in np.unique(tracks["shot"]):
        members = np.flatnonzero(tracks["shot"] == shot)
        members = members[np.lexsort((tracks["track"][members], tracks["first"][members]))]
        # The groups of this shot, and the track that each ends with.
        offset, tails = len(groups), np.zeros(len(members), np.intp)
        for index in members.tolist():
            ends = tracks[tails[: len(groups) - offset]]
            away = _apart(tracks[index], ends)
            for place in np.argsort(away, kind="stable")[: np.sum(away <= SAME_PLACE)].tolist():
                if not _differ(appearance, int(tracks["track"][index]), int(ends["track"][place])):
                    groups[offset + place].append(index)
                    break
            else:
                place = len(groups) - offset
                groups.append([index])
            tails[place] = index
    return groups


def _apart(track: np.void, ends: NDArray[np.void]) -> NDArray[np.float64]:
    """How far a track begins from where others end, in sides; infinite where it cannot go on."""
    size, sizes = face_side(track["begin"]), face_side(ends["end"])
    away = np.linalg.norm(centre(ends["end"]) - centre(track["begin"]), axis=1)
    follows = (ends["last"] < track["first"]) & (np.maximum(size / sizes, sizes / size) < SAME_SIZE)
    return np.where(follows, away / np.sqrt(size * sizes), np.inf)


def _differ(appearance: Mapping[int, NDArray[np.float32]], one: int, other: int) -> bool:
    """Whether two tracks are known to look like different people."""
    if one not in appearance or other not in appearance:
        return False
    return float(appearance[one] @ appearance[other]) < SAME_LOOKS


def _by_looks(
    tracks: NDArray[np.void],
    groups: list[list[int]],
    appearance: Mapping[int, NDArray[np.float32]],
) -> list[list[int]]:
    """Join groups that look alike and are never in view together, the greatest presence first."""
    presence = [float(tracks["presence"][group].sum()) for group in groups]
    looks = np.array([_look(tracks[group], appearance) for group in groups])
    joined: list[list[int]] = []
    known = np.zeros_like(looks)
    for place in sorted(range(len(groups)), key=lambda place: (-presence[place], groups[place])):
        group = groups[place]
        alike = known[: len(joined)] @ unit(looks[place])
        alike /= np.maximum(np.linalg.norm(known[: len(joined)], axis=1), 1e-12)
        for person in np.argsort(-alike, kind="stable")[: np.sum(alike >= SAME_LOOKS)].tolist():
            if not _together(tracks[joined[person]], tracks[group]):
                joined[person] += group
                break
        else:
            person = len(joined)
            joined.append(list(group))
        known[person] += looks[place]
    return joined


def _look(
    tracks: NDArray[np.void], appearance: Mapping[int, NDArray[np.float32]]
) -> NDArray[np.float64]:
    """Sum of the tracks' appearances, weighted by the rows seen; zeros where none is known."""
    look = np.zeros(max((len(vector) for vector in appearance.values()), default=0))
    for track in tracks:
        if int(track["track"]) in appearance:
            look += track["rows"] * appearance[int(track["track"])].astype(np.float64)
    return look


def _together(some: NDArray[np.void], others: NDArray[np.void]) -> bool:
    """Whether any track of the one overlaps any of the other in time."""
    before = some["last"][:, None] < others["first"]
    after = some["first"][:, None] > others["last"]
    return not bool((before | after).all())


def _person(tracks: NDArray[np.void], everywhere: bool) -> Person:
    tracks = tracks[np.argsort(tracks["first"], kind="stable")]
    seconds = float(tracks["seconds"].sum())
    x, y = (tracks["moment"].sum(axis=0) / seconds).tolist()
    return Person(
        tracks=tuple(tracks["track"].tolist()),
        shot=None if everywhere else int(tracks["shot"][0]),
        presence=float(tracks["presence"].sum()),
        place=(x, y),
        rows=int(tracks["rows"].sum()),
        seconds=seconds,
        first=int(tracks["first"][0]),
        last=int(tracks["last"][-1]),
    )


def _noticed(people: Sequence[Person]) -> list[Person]:
    """The people who are seen long enough to count; all of them where nobody is."""
    return [person for person in people if person.seconds >= MIN_SECONDS] or list(people)


def _pick(people: Sequence[Person], choice: Choice) -> Person:
    """The main, left or right one of people who are in view together."""
    main = max(people, key=lambda person: person.presence)
    if choice == "main":
        return main
    large = [person for person in people if person.presence >= MIN_SHARE * main.presence]
    sign = 1 if choice == "left" else -1
    return min(large, key=lambda person: sign * person.place[0])
