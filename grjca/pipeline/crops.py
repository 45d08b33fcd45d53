"""The second pass: face crops of the people that the first pass chose, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from grjca.cache import FeatureStore
from grjca.cache.layout import clip_path
from grjca.errors import GrjcaError
from grjca.pipeline.pictures import BATCH, Media
from grjca.pipeline.sightings import Seen
from grjca.stages.face_rows import crop_faces, person_rows
from grjca.stages.faces import align
from grjca.stages.types import FaceBatch, FrameBatch

COLUMNS = ("box", "landmarks", "score", "valid", "interpolated", "track")
"""The datasets of the group ``faces``, named as the fields of ``FaceBatch``."""

NOBODY_ROWS = 4096


def of_seen(media: Media, seen: Seen, template: str, size: int) -> Iterator[list[FaceBatch]]:
    """Decode again and crop: for each block of rows one ``FaceBatch`` per person.

    Raises:
        GrjcaError: The pictures cannot be decoded.
    """
    if not any(seen.people):
        yield from nobody(len(seen.time), len(seen.people), size)
        return
    with media.frames() as frames:
        for batch in frames:
            yield [
                crop_faces(
                    batch,
                    person_rows(
                        seen.sightings, tracks, seen.time, batch.first, batch.first + len(batch)
                    ),
                    template,
                    size,
                )
                for tracks in seen.people
            ]


def of_stored_faces(
    media: Media, store: FeatureStore, clips: Sequence[str], template: str, size: int
) -> Iterator[list[FaceBatch]]:
    """Decode again and crop where the store knows the faces; nothing is searched.

    Raises:
        GrjcaError: The pictures cannot be decoded, or are more than the store has rows.
    """
    files = [store.open(clip) for clip in clips]
    try:
        if not media.has_picture:
            yield from nobody(int(files[0].attrs["rows"]), len(clips), size)
            return
        with media.frames() as frames:
            for batch in frames:
                yield [_crop_stored(file, batch, template, size) for file in files]
    finally:
        for file in files:
            file.close()


def of_stored_crops(
    store: FeatureStore, clips: Sequence[str], group: str
) -> Iterator[list[FaceBatch]]:
    """Crops that were kept; nothing is decoded.

    Raises:
        GrjcaError: A clip's file is damaged.
    """
    files = [store.open(clip) for clip in clips]
    try:
        for start in range(0, int(files[0].attrs["rows"]), BATCH):
            rows = slice(start, start + BATCH)
            yield [
                FaceBatch(**_columns(file, rows), crops=file[f"{group}/crops"][rows])
                for file in files
            ]
    finally:
        for file in files:
            file.close()


def nobody(rows: int, people: int, size: int) -> Iterator[list[FaceBatch]]:
    """Rows in which no face is."""
    for start in range(0, rows, NOBODY_ROWS):
        n = min(NOBODY_ROWS, rows - start)
        yield [
            FaceBatch(
                box=np.full((n, 4), np.nan, np.float32),
                landmarks=np.full((n, 5, 2), np.nan, np.float32),
                score=np.full(n, np.nan, np.float32),
                valid=np.zeros(n, bool),
                interpolated=np.zeros(n, bool),
                track=np.full(n, -1, np.int32),
                crops=np.zeros((n, size, size, 3), np.uint8),
            )
        ] * people


def _columns(file: h5py.File, rows: slice) -> dict[str, Any]:
    return {name: file[f"faces/{name}"][rows] for name in COLUMNS}


def _crop_stored(file: h5py.File, batch: FrameBatch, template: str, size: int) -> FaceBatch:
    rows = slice(batch.first, batch.first + len(batch))
    if rows.stop > file.attrs["rows"]:
        clip = str(file.attrs["clip"])
        raise GrjcaError(
            "faces", clip, f"the store knows {file.attrs['rows']} rows, the decoder gives more",
            f"Run again with --overwrite to make {clip_path(Path(), clip).name} anew.",
        )  # fmt: skip
    part = _columns(file, rows)
    crops = np.zeros((len(batch), size, size, 3), np.uint8)
    for row in np.flatnonzero(part["valid"]):
        crops[row] = align(batch.frames[row], part["landmarks"][row], template, size)
    return FaceBatch(crops=crops, **part)
