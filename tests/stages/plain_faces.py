"""Faces as plain boxes, for the tests of tracks and people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from grjca.stages.faces import TEMPLATES
from grjca.stages.tracking import SIGHTING
from grjca.stages.types import Detections, FrameBatch

Face = tuple[float, float, float]
"""Centre x, centre y and side."""


def box_of(face: Face) -> NDArray[np.float32]:
    x, y, side = face
    return np.array((x - side / 2, y - side / 2, x + side / 2, y + side / 2), np.float32)


def landmarks_of(face: Face) -> NDArray[np.float32]:
    return (TEMPLATES["face64"] * face[2] + box_of(face)[:2]).astype(np.float32)


def found(*faces: Face, score: Sequence[float] | None = None) -> Detections:
    """Detections with the template's landmarks in each box."""
    return Detections(
        np.array([box_of(face) for face in faces], np.float32).reshape(-1, 4),
        np.array([landmarks_of(face) for face in faces], np.float32).reshape(-1, 5, 2),
        np.array(score if score is not None else np.full(len(faces), 0.9), np.float32),
    )


def blank(time: NDArray[np.float64], first: int = 0) -> FrameBatch:
    """Frames of which only the times matter."""
    return FrameBatch(np.zeros((len(time), 4, 4, 3), np.uint8), time, first)


def log_of(*tracks: tuple[int, int, dict[int, Face]]) -> NDArray[np.void]:
    """A log from (track, shot, {row: face})."""
    log = np.array(
        [
            (row, track, shot, box_of(face), landmarks_of(face), 0.9)
            for track, shot, faces in tracks
            for row, face in faces.items()
        ],
        SIGHTING,
    )
    return log[np.argsort(log["row"], kind="stable")]


def still(face: Face, rows: range) -> dict[int, Face]:
    return dict.fromkeys(rows, face)
