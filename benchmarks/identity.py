"""Who is who: five faces side by side, shot cuts, and two faces that cross."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import grjca
from benchmarks.clips import steady, write_clip
from benchmarks.faces import Path2D, astronaut, backdrop, film, mirrored
from benchmarks.figures import Cell, Figures
from grjca.errors import GrjcaError

NAME = "identity"

GOAL = (
    "five people on the five-face strip, each in the own fifth of the picture throughout; no "
    "track through a shot cut; two faces that cross keep their identities"
)

STRIP = "av/pdfgc_test1_five_faces.mp4"

STRIP_FACES = 5

CUT_CLIP = "av/short_hamilton_clip.mp4"

CUTS = (20, 82, 211)
"""First frames of its further shots, read off a sheet of all frames."""

FACE = 120
"""Side of the faces that cross, in pixels."""

FPS = 25

CROSSINGS: Mapping[str, tuple[float, float]] = {
    "slow, one before the other": (3.0, 0.0),
    "quick, one before the other": (1.2, 0.0),
    "quick, half a face apart": (1.2, 0.5),
    "slow, half a face apart": (3.0, 0.5),
    "quick, a face apart": (1.2, 1.0),
}
"""Seconds that the two take to change places, and how far apart they pass, in faces."""


@dataclass(frozen=True)
class StoredFaces:
    """One person's rows of a clip.

    Attributes:
        centre: (T, 2) float64 pixels; NaN where there is no face.
        track: (T,) int32, -1 where there is no face.
        valid: (T,) bool.
        width: Width of the picture.
    """

    centre: NDArray[np.float64]
    track: NDArray[np.int32]
    valid: NDArray[np.bool_]
    width: int


def run(media: Path, scratch: Path) -> Figures:
    """Extract every person of the clips and hold their places against the truth.

    Args:
        media: Folder of the real clips.
        scratch: Empty folder for made clips and stores.

    Raises:
        GrjcaError: A clip cannot be extracted.
    """
    table = [
        judge_strip(people_of(media / STRIP, scratch / "strip"), STRIP_FACES),
        judge_cuts(people_of(media / CUT_CLIP, scratch / "cuts"), CUTS),
    ]
    for number, (name, (seconds, apart)) in enumerate(CROSSINGS.items()):
        path = scratch / f"crossing{number}.mp4"
        paths = make_crossing(path, seconds, apart)
        people = people_of(path, scratch / f"crossing{number}")
        table.append(judge_crossing(people, paths, f"crossing: {name}"))
    reached = all(bool(row["right"]) for row in table)
    switches = sum(int(row["switches"] or 0) for row in table)
    return Figures(NAME, GOAL, reached, table, {"switches": switches})


def people_of(path: Path, store: Path) -> list[StoredFaces]:
    """Extract a clip with a file per person, and read their faces.

    Raises:
        GrjcaError: It cannot be extracted.
    """
    config = grjca.ExtractConfig(visual="hog", audio="logmel", faces="all")
    report = grjca.extract([path], store, config, workers=1)
    for outcome in report.failed:
        told = outcome.error or {}
        raise GrjcaError("benchmark", path, told.get("message", "failed"))
    features = grjca.FeatureStore(store)
    return [_read(features, clip) for clip in report.outcomes[0].clips]


def judge_strip(people: Sequence[StoredFaces], parts: int) -> dict[str, Cell]:
    """Whether each person stays in an own part of the picture's width."""
    strips = [
        np.floor(person.centre[person.valid, 0] * parts / person.width).astype(int)
        for person in people
    ]
    homes = {int(np.bincount(strip).argmax()) for strip in strips if len(strip)}
    switches = sum(_changes(strip) for strip in strips)
    right = len(people) == parts and homes == set(range(parts)) and switches == 0
    return _row("five faces", people, parts, switches, right=right)


def judge_cuts(people: Sequence[StoredFaces], cuts: Sequence[int]) -> dict[str, Cell]:
    """Whether no track of anybody has rows on both sides of a cut."""
    through = 0
    for person in people:
        for track in np.unique(person.track[person.valid]):
            rows = np.flatnonzero(person.track == track)
            through += len(set(np.searchsorted(cuts, rows, side="right").tolist())) - 1
    return _row("shot cuts", people, None, through, right=through == 0 and len(people) > 1)


def judge_crossing(
    people: Sequence[StoredFaces], paths: Sequence[Path2D], name: str
) -> dict[str, Cell]:
    """Whether each person is on the same path before and after, wherever the paths are apart."""
    apart = np.linalg.norm(paths[0] - paths[1], axis=1) > FACE
    labels = []
    for person in people:
        away = np.stack([np.linalg.norm(person.centre - path, axis=1) for path in paths])
        labels.append(away[:, person.valid & apart].argmin(axis=0))
    switches = sum(_changes(label) for label in labels)
    homes = sorted(int(label[0]) for label in labels if len(label))
    right = homes == list(range(len(paths))) and switches == 0
    return _row(name, people, len(paths), switches, right=right)


def make_crossing(path: Path, seconds: float, apart: float) -> list[Path2D]:
    """A clip in which two faces change places, after and before a second at rest.

    Args:
        path: Where to.
        seconds: How long they take.
        apart: How far apart they pass, in faces; with 0 the one covers the other.

    Returns:
        Where each face's centre is in each frame.
    """
    width, height = 640, 360
    rest = np.full(FPS, 0.5)
    # Standing still, gathering speed, slowing down: (1 - cos) / 2.
    way = np.cos(np.linspace(0, np.pi, round(seconds * FPS))) / 2
    x = np.concatenate([rest, way, -rest]) * (width - 1.5 * FACE)
    y = np.full(len(x), apart * FACE / 2)
    middle = np.array([width, height]) / 2
    paths = [middle + np.stack([x, y], 1), middle - np.stack([x, y], 1)]
    pictures = film(backdrop(width, height), [mirrored(FACE), astronaut(FACE)], paths)
    write_clip(path, pictures, steady(len(x), FPS))
    return paths


def _read(features: grjca.FeatureStore, clip: str) -> StoredFaces:
    width = features.summary(clip).media["video"]["width"]
    with features.open(clip) as file:
        box = file["faces/box"][:].astype(np.float64)
        track, valid = file["faces/track"][:], file["faces/valid"][:]
    return StoredFaces((box[:, :2] + box[:, 2:]) / 2, track, valid, width)


def _changes(labels: NDArray[np.int64]) -> int:
    return sum(before != after for before, after in pairwise(labels.tolist()))


def _row(
    name: str, people: Sequence[StoredFaces], expected: int | None, switches: int, *, right: bool
) -> dict[str, Cell]:
    seen = [float(person.valid.mean()) for person in people]
    return {
        "clip": name,
        "rows": len(people[0].valid),
        "people": len(people),
        "expected": expected,
        "tracks": sum(len(np.unique(person.track[person.valid])) for person in people),
        "least seen": round(min(seen), 3),
        "switches": switches,
        "right": right,
    }
