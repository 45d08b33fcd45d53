"""Faces embedded while they are found are those that a second decoding would give."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from face_makers import paste, portrait, write_clip
from numpy.typing import NDArray
from stores import arrays

import grjca
from grjca.pipeline import early as module
from grjca.pipeline.early import EarlyFaces
from grjca.pipeline.pictures import Media
from grjca.pipeline.sightings import temporary_log
from grjca.stages.face_rows import FaceRows, crop_faces, person_rows
from grjca.stages.hog import Hog
from grjca.stages.tracking import SIGHTING
from grjca.stages.types import FrameBatch

ROWS, BLOCK = 40, 8
LOST = {0: {5, 6, 7, 8, 9}, 1: {20}, 2: set(range(30))}
"""Rows in which each of three tracks is not seen; the last two are of one person."""


@pytest.fixture(scope="module")
def clip() -> tuple[list[FrameBatch], NDArray[np.void]]:
    """Frames of noise at 25 Hz, row 7 without a picture, and where three tracks are seen."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (ROWS, 90, 120, 3), np.uint8)
    present = np.arange(ROWS) != 7
    batches = [
        FrameBatch(
            pictures[first : first + BLOCK], np.arange(first, first + BLOCK) / 25, first,
            present=present[first : first + BLOCK],
        )
        for first in range(0, ROWS, BLOCK)
    ]  # fmt: skip
    sightings = []
    for row in range(ROWS):
        for track, lost in LOST.items():
            if row in lost or (track == 1 and row > 28):
                continue
            sighting = np.zeros((), SIGHTING)
            sighting["row"], sighting["track"] = row, track
            middle = (30 + 40 * (track % 2) + row / 2, 40 + row / 3)
            points = np.array([(-8, -8), (8, -8), (0, 0), (-6, 8), (6, 8)]) + middle
            sighting["landmarks"] = points + rng.normal(0, 0.5, (5, 2))
            sighting["box"] = (*np.subtract(middle, 15), *np.add(middle, 15))
            sightings.append(sighting)
    return batches, np.array(sightings)


def taken(
    clip: tuple[list[FrameBatch], NDArray[np.void]],
    log: IO[bytes],
    *,
    everyone: bool = True,
    looks: bool = False,
) -> EarlyFaces:
    early = EarlyFaces(Hog(), log, everyone=everyone)
    for batch in clip[0]:
        rows = clip[1]["row"]
        here = clip[1][(rows >= batch.first) & (rows < batch.first + len(batch))]
        known = None
        if looks:
            parts = [here[here["row"] == batch.first + i] for i in range(len(batch))]
            known = [embedded(batch, part) for part in parts]
        early.take(batch, here, known)
    return early


def embedded(batch: FrameBatch, sightings: NDArray[np.void]) -> NDArray[np.float32]:
    hog = Hog()
    crops = [
        module.align(
            batch.frames[s["row"] - batch.first], s["landmarks"], hog.template, hog.crop_size
        )
        for s in sightings
    ]
    return hog.embed(np.stack(crops)) if crops else np.zeros((0, hog.dim), np.float32)


def decoded_again(
    clip: tuple[list[FrameBatch], NDArray[np.void]], tracks: tuple[int, ...]
) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32]]:
    """What cropping all frames once it is known who is wanted gives."""
    batches, sightings = clip
    time, hog = np.arange(ROWS) / 25, Hog()
    blocks, features = [], np.full((ROWS, hog.dim), np.nan, np.float32)
    for batch in batches:
        stop = batch.first + len(batch)
        rows = person_rows(sightings, tracks, time, batch.first, stop)
        faces = crop_faces(batch, rows, hog.template, hog.crop_size)
        blocks.append(faces)
        if faces.valid.any():
            at = batch.first + np.flatnonzero(faces.valid)
            features[at] = hog.embed(faces.crops[faces.valid])
    names = [name for name in FaceRows.__dataclass_fields__ if name != "first"]
    return {n: np.concatenate([getattr(b, n) for b in blocks]) for n in names}, features


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("tracks", [(0,), (1, 2), ()])
def test_rows_and_embeddings_are_those_of_a_second_decoding(
    clip: tuple[list[FrameBatch], NDArray[np.void]], tracks: tuple[int, ...], looks: bool
) -> None:
    expected, features = decoded_again(clip, tracks)
    if 0 in tracks:
        assert expected["interpolated"].sum() == 4  # Five rows are lost, one has no picture.
    with temporary_log() as log:
        early = taken(clip, log, looks=looks)
        assert early.complete
        for first in range(0, ROWS, 16):
            stop = min(first + 16, ROWS)
            rows, found = early.rows(clip[1], tracks, np.arange(ROWS) / 25, first, stop)
            np.testing.assert_array_equal(found, features[first:stop])
            for name, column in expected.items():
                np.testing.assert_array_equal(getattr(rows, name), column[first:stop])


def test_it_gives_up_where_more_faces_are_in_view_than_are_worth_it(
    clip: tuple[list[FrameBatch], NDArray[np.void]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPARE_FACES", 0)
    with temporary_log() as log:
        assert not taken(clip, log, everyone=False).complete
        assert log.tell() == 0
        # Embeddings that are there for another reason cost nothing.
        assert taken(clip, log, everyone=False, looks=True).complete


def test_frames_are_held_in_bounded_memory(
    clip: tuple[list[FrameBatch], NDArray[np.void]], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = clip[0][0].frames[0].nbytes
    monkeypatch.setattr(module, "HELD_BYTES", 3 * frame)
    with temporary_log() as log:
        assert not taken(clip, log).complete
    monkeypatch.setattr(module, "HELD_BYTES", 14 * frame)
    with temporary_log() as log:
        assert taken(clip, log).complete


def test_a_full_disk_for_temporary_files_costs_only_another_decoding(
    clip: tuple[list[FrameBatch], NDArray[np.void]],
) -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        assert not taken(clip, full).complete


def test_a_clip_with_one_face_is_decoded_once_and_comes_out_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = []
    for row in range(24):
        picture = np.tile(np.linspace(20, 230, 320)[None, :, None], (240, 1, 3)).astype(np.uint8)
        if row not in (10, 11):
            paste(picture, portrait(120), 130 + 2 * row, 120)
        pictures.append(picture)
    path = write_clip(tmp_path / "one.mp4", pictures)
    decoded: list[object] = []
    frames = Media.frames
    monkeypatch.setattr(Media, "frames", lambda media: (decoded.append(media), frames(media))[1])
    config = grjca.ExtractConfig(visual="fer", audio="logmel")
    grjca.extract([path], tmp_path / "once", config, workers=1)
    assert len(decoded) == 1
    monkeypatch.setattr(module, "HELD_BYTES", 0)
    grjca.extract([path], tmp_path / "twice", config, workers=1)
    assert len(decoded) == 3
    once, twice = (arrays(tmp_path / name) for name in ("once", "twice"))
    hidden = np.frombuffer(once["one.mp4.h5/faces/interpolated"], bool)
    assert np.flatnonzero(hidden).tolist() == [10, 11]
    assert once == twice
