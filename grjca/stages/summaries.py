"""The tracks of a clip, summed up from the log of its sightings in one pass and bounded memory."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from grjca.stages.tracking import centre, face_side
from grjca.stages.types import SOUND_ONLY_RATE

BLOCK: Final = 1 << 14
"""Sightings read at a time."""

SUMMARY: Final = np.dtype(
    [
        ("track", "<i4"),
        ("shot", "<i4"),
        ("first", "<i8"),
        ("last", "<i8"),
        ("rows", "<i8"),
        ("seconds", "<f8"),
        ("presence", "<f8"),
        ("moment", "<f8", (2,)),
        ("begin", "<f4", (4,)),
        ("end", "<f4", (4,)),
    ]
)
"""A track: first and last row, rows seen, their seconds, the face's side (pixels) and its centre
integrated over these, and the first and the last box."""


def summaries(sightings: NDArray[np.void], time: NDArray[np.float64]) -> NDArray[np.void]:
    """Sum up each track.

    Args:
        sightings: All of the clip's, an array of ``SIGHTING`` sorted by row; may be a memory map.
        time: (T,) float64, seconds of the clip's rows.

    Returns:
        An array of ``SUMMARY`` in the order of the tracks' numbers.
    """
    total = np.zeros(0, SUMMARY)
    for begin in range(0, len(sightings), BLOCK):
        block = np.asarray(sightings[begin : begin + BLOCK])
        single = np.zeros(len(block), SUMMARY)
        lasting = _durations(time, block["row"])
        single["track"], single["shot"] = block["track"], block["shot"]
        single["first"] = single["last"] = block["row"]
        single["rows"], single["seconds"] = 1, lasting
        single["presence"] = face_side(block["box"]) * lasting
        single["moment"] = centre(block["box"]) * lasting[:, None]
        single["begin"] = single["end"] = block["box"]
        total = _merged(np.concatenate((total, single)))
    return total


def _merged(parts: NDArray[np.void]) -> NDArray[np.void]:
    """One summary for each track, from several in the order of time."""
    parts = parts[np.argsort(parts["track"], kind="stable")]
    starts = np.flatnonzero(np.diff(parts["track"], prepend=-1))
    total = parts[starts]
    ends = np.append(starts[1:], len(parts)) - 1
    total["last"], total["end"] = parts["last"][ends], parts["end"][ends]
    for name in ("rows", "seconds", "presence", "moment"):
        total[name] = np.add.reduceat(parts[name], starts, axis=0)
    return total


def _durations(time: NDArray[np.float64], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Seconds from each row to the next; the last lasts as long as the one before it."""
    if len(time) < 2:
        return np.full(len(rows), 1 / SOUND_ONLY_RATE)
    rows = np.minimum(rows, len(time) - 2)
    return np.asarray(time[rows + 1] - time[rows])
