"""Predictions in the form that the ABAW valence-arousal challenge wants.

One text file for all trials: a header ``image_location,valence,arousal`` and a line
``<trial>/<frame>.jpg,<valence>,<arousal>`` for every line of the organisers' sample list, frames
counted from 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError
from grjca.files import written_in_one_step
from grjca.labels.matching import shown

HEADER = "image_location,valence,arousal"
DIMENSIONS = ("valence", "arousal")

Fill = Literal["error", "nearest"]

_REMEDY = "Wanted: a line per frame such as 5-60-1920x1080-2/00001.jpg, as in the sample list."


@dataclass(frozen=True)
class Wanted:
    """One line of a sample list.

    Attributes:
        location: The line's first cell, as it is written.
        trial: The part of it before the last slash.
        frame: The frame's number, from 0.
    """

    location: str
    trial: str
    frame: int


def read_list(path: Path) -> list[Wanted]:
    """Read a sample list: a line per frame, only the first cell of which counts.

    A header that begins with ``image_location`` and empty lines at the end are passed over.

    Raises:
        GrjcaError: The file cannot be read or is empty, or a line names no frame of a trial.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise GrjcaError(
            "submit",
            path,
            f"not a readable text file ({error})",
            "Give the organisers' sample list.",
        ) from error
    wanted = []
    for number, line in enumerate(lines, start=1):
        location = line.split(",")[0].strip()
        if number == 1 and location == HEADER.split(",")[0]:
            continue
        trial, _, name = location.rpartition("/")
        stem = name.rpartition(".")[0]
        if not trial or not (stem.isascii() and stem.isdigit()) or int(stem) < 1:
            cause = f"line {number}: '{line}' names no frame of a trial"
            raise GrjcaError("submit", path, cause, _REMEDY)
        wanted.append(Wanted(location, trial, int(stem) - 1))
    if not wanted:
        raise GrjcaError("submit", path, "no line below the header", _REMEDY)
    return wanted


def rows_for(
    frames: NDArray[np.int64], wanted: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The row of a clip that shows each wanted frame, or the nearest one.

    Args:
        frames: (T,) the source's frame that each row shows, never decreasing, T at least 1.
        wanted: (N,) frames, from 0.

    Returns:
        (N,) rows, the earlier of two equally near, and (N,) whether the row shows the very frame.
    """
    right = np.searchsorted(frames, wanted).clip(0, len(frames) - 1)
    left = np.maximum(right - 1, 0)
    nearest = np.where(np.abs(frames[right] - wanted) < np.abs(wanted - frames[left]), right, left)
    return nearest, frames[nearest] == wanted


def fill_in(
    wanted: Sequence[Wanted],
    predictions: Mapping[str, NDArray[np.float64]],
    frames: Mapping[str, NDArray[np.int64]],
    fill: Fill,
) -> NDArray[np.float64]:
    """The numbers of every line of a list.

    Args:
        wanted: The lines.
        predictions: By trial, (T, 2) valence and arousal.
        frames: By trial, (T,) the source's frame that each row shows.
        fill: What a frame gets that a clip has no row of: ``error``, or ``nearest`` for the
            values of the nearest row.

    Returns:
        (N, 2) valence and arousal in [-1, 1].

    Raises:
        GrjcaError: Frames without a row, or a clip without any.
    """
    numbers = np.empty((len(wanted), len(DIMENSIONS)))
    lines: dict[str, list[int]] = {}
    for i, line in enumerate(wanted):
        lines.setdefault(line.trial, []).append(i)
    lacking = {}
    for trial, places in lines.items():
        if not len(frames[trial]):
            raise GrjcaError("submit", trial, "the clip has no rows", "Extract it again.")
        asked = np.array([wanted[i].frame for i in places])
        rows, exact = rows_for(frames[trial], asked)
        if not exact.all():
            first = int(asked[~exact][0]) + 1
            lacking[trial] = f"{trial} ({(~exact).sum()} of {len(exact)}, first {first:05d})"
        numbers[places] = predictions[trial][rows]
    if lacking and fill == "error":
        raise GrjcaError(
            "submit", f"{len(lacking)} of {len(lines)} trials",
            f"frames of the list that the store has no row of: {shown(list(lacking.values()))}",
            "Extract the videos that the list was made of, or say --fill nearest.",
        )  # fmt: skip
    return np.clip(numbers, -1.0, 1.0)


def write_submission(path: Path, wanted: Sequence[Wanted], numbers: NDArray[np.float64]) -> None:
    """Write the file, numbers with 6 decimals.

    Raises:
        GrjcaError: The file cannot be written.
    """
    with (
        written_in_one_step(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="\n") as stream,
    ):
        stream.write(f"{HEADER}\n")
        stream.writelines(
            f"{line.location},{valence:.6f},{arousal:.6f}\n"
            for line, (valence, arousal) in zip(wanted, numbers.tolist(), strict=True)
        )
