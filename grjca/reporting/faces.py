"""Pictures of the face along a clip: from the crops a store kept, or cut out of the video again."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
from collections.abc import Iterator

import h5py
import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError
from grjca.report.html import Face
from grjca.reporting.media import Played
from grjca.stages.faces import align
from grjca.stages.probe import probe
from grjca.stages.types import MediaInfo
from grjca.stages.video import SEEKABLE, VideoDecoder

COUNT = 24
"""Most pictures of a clip."""

SIDE = 112
TEMPLATE = "face64"
_QUALITY = 80

_APART = 1500
"""Rows between two pictures from which on each is looked up, and not reached by decoding."""

_SAME = ("index", "width", "height", "frames")
"""What a container claims that must be the same where landmarks are to fit its pictures."""

Picture = NDArray[np.uint8]


def faces_of(file: h5py.File, played: Played | None) -> tuple[Face, ...]:
    """Up to 24 pictures of a clip's face, evenly over its time where a face was seen.

    Args:
        file: The clip in the store.
        played: Its video; needed where the store kept no crops.

    Returns:
        None at all where the store has no faces of its own, or neither crops nor a video.

    Raises:
        GrjcaError: The video cannot be decoded, or the store's file is damaged.
    """
    try:
        if "faces" not in file:
            return ()
        time, valid = file["frames/time"][:], file["faces/valid"][:]
        rows = spread(time, valid)
        if not len(rows):
            return ()
        kept = next((group for group in file.get("crops", {}).values() if "crops" in group), None)
        if kept is not None:
            return tuple(Face(float(time[i]), jpeg(kept["crops"][i])) for i in rows)
        if played is None:
            return ()
        index = file["frames/index"][:] if "frames/index" in file else np.arange(len(time))
        landmarks = file["faces/landmarks"][:]
        claimed = json.loads(file.attrs["media"]).get("video") or {}
    except OSError as error:
        raise GrjcaError("report", file.attrs["clip"], f"damaged file in the store ({error})",
                         "Delete it and run extract again.") from error  # fmt: skip
    info = probe(played.path, video_stream=played.video_stream)
    own = dataclasses.asdict(info.video) if info.video is not None else {}
    if any(own.get(name) != claimed.get(name) for name in _SAME):
        raise GrjcaError("report", played.path, "not the video the store's faces were found in",
                         "Correct --videos.")  # fmt: skip
    apart = info.container.split(",")[0] in SEEKABLE and index[rows[-1]] / len(rows) > _APART
    frames = _each(played, info, time, rows) if apart else _in_one_pass(played, info, index, rows)
    return tuple(
        Face(float(time[row]), jpeg(align(frame, landmarks[row], TEMPLATE, SIDE)))
        for row, frame in frames
    )


def spread(
    time: NDArray[np.float64], valid: NDArray[np.bool_], count: int = COUNT
) -> NDArray[np.int64]:
    """Rows for pictures: of ``count`` equal stretches of time, the valid row nearest the middle.

    A stretch without a valid row has no picture, so a gap in the pictures is a gap in the faces.

    Args:
        time: (T,) seconds, increasing.
        valid: (T,) bool.
        count: Number of stretches.
    """
    if not len(time):
        return np.empty(0, np.int64)
    usual = float(np.median(np.diff(time))) if len(time) > 1 else 0.04
    edges = np.linspace(time[0], time[-1] + usual, count + 1)
    rows = []
    for begin, end in itertools.pairwise(edges):
        own = np.flatnonzero(valid & (time >= begin) & (time < end))
        if len(own):
            rows.append(own[np.argmin(np.abs(time[own] - (begin + end) / 2))])
    return np.array(rows, np.int64)


def jpeg(crop: Picture) -> bytes:
    """An (S, S, 3) uint8 RGB picture as JPEG, at most 112 pixels wide."""
    from PIL import Image

    picture = Image.fromarray(crop)
    picture.thumbnail((SIDE, SIDE))
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=_QUALITY)
    return data.getvalue()


def _in_one_pass(
    played: Played, info: MediaInfo, index: NDArray[np.int64], rows: NDArray[np.int64]
) -> Iterator[tuple[int, Picture]]:
    wanted = {int(index[row]): int(row) for row in rows}
    last = max(wanted)
    with VideoDecoder(played.path, info, start=played.start) as frames:
        for batch in frames:
            for i in range(batch.first, batch.first + len(batch)):
                if i in wanted:
                    yield wanted[i], batch.frames[i - batch.first]
            if batch.first + len(batch) > last:
                return


def _each(
    played: Played, info: MediaInfo, time: NDArray[np.float64], rows: NDArray[np.int64]
) -> Iterator[tuple[int, Picture]]:
    for row in rows:
        # A hair early, so that rounding does not pass over the row's own frame.
        start = max(played.start + float(time[row]) - 1e-3, 0.0)
        with VideoDecoder(played.path, info, start=start, end=start + 1.0, batch=1) as frames:
            for batch in frames:
                yield int(row), batch.frames[0]
                break


def frame_index(file: h5py.File) -> NDArray[np.int64] | None:
    """(T,) the source's frame of each row of a clip that was stored at another rate; else None."""
    return np.asarray(file["frames/index"][:]) if "frames/index" in file else None


def rows_of(file: h5py.File) -> int:
    """How many rows a clip of a store has."""
    return int(file.attrs["rows"])
