"""Faces embedded while they are found, so that a clip need not be decoded once more for them.

Whose face is wanted is known at the clip's end only. Where few are in view at a time it costs less
to embed all of them as they are seen than to decode again, and the result is the same: a face's
crop depends on its own frame and landmarks alone.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
from numpy.typing import NDArray

from grjca.stages.catalog import VisualEmbedder
from grjca.stages.face_rows import FaceRows, person_rows
from grjca.stages.faces import align
from grjca.stages.tracking import MAX_GAP, TOLERANCE
from grjca.stages.types import FrameBatch

HELD_BYTES = 128 << 20
"""Most bytes of frames that wait for a face to be seen again."""

SPARE_FACES = 16
SPARE_SHARE = 0.25
"""Faces beyond one per row, at once and per row, that are embedded in vain at most."""

_TRACKS = 1 << 24


@dataclass(frozen=True)
class _Held:
    """A frame in which some track that may go on was not seen; None: the row has no picture."""

    row: int
    time: float
    frame: NDArray[np.uint8] | None


class EarlyFaces:
    """The embeddings of all faces of a clip, in a file, row by row.

    Faces between two sightings of a track are cropped once the second one has come; until then
    their frames are held. Where that takes too much memory, or more faces are in view than are
    worth it, it gives up, and the clip is to be decoded again.

    Args:
        embedder: What embeds.
        log: An empty file for the embeddings, so that memory does not grow with the clip.
        everyone: All people are wanted, so that no face is embedded in vain.

    Attributes:
        complete: Whether every face of the rows so far is there.
    """

    def __init__(self, embedder: VisualEmbedder, log: IO[bytes], *, everyone: bool) -> None:
        self.complete = True
        self._embedder, self._log, self._everyone = embedder, log, everyone
        self._keys: list[NDArray[np.int64]] = []
        self._absent: list[NDArray[np.int64]] = []
        self._rows = self._faces = self._held_bytes = 0
        self._held: deque[_Held] = deque()
        self._last: dict[int, tuple[np.void, float]] = {}
        self._sorted: tuple[NDArray[np.int64], NDArray[np.intp]] | None = None

    def take(
        self,
        batch: FrameBatch,
        sightings: NDArray[np.void],
        looks: Sequence[NDArray[np.float32]] | None = None,
    ) -> None:
        """Embed the faces of the clip's next frames.

        Args:
            batch: The frames.
            sightings: The tracker's of these frames.
            looks: Embeddings of these very sightings, frame by frame, where they are known.
        """
        if not self.complete:
            return
        self._rows += len(batch)
        self._faces += len(sightings)
        vain = self._faces - self._rows
        if not (self._everyone or looks is not None):
            self.complete = vain <= SPARE_FACES + SPARE_SHARE * self._rows
        keys: list[int] = []
        crops: list[NDArray[np.uint8]] = []
        if self.complete and looks is None:
            for seen in sightings:
                keys.append(_key(seen["row"], seen["track"]))
                frame = batch.frames[seen["row"] - batch.first]
                crops.append(self._crop(frame, seen["landmarks"]))
        elif self.complete and looks is not None and len(sightings):
            self._write([_key(s["row"], s["track"]) for s in sightings], np.concatenate(looks))
        if batch.present is not None:
            self._absent.append(np.flatnonzero(~batch.present) + batch.first)
        self._fill_gaps(batch, sightings, keys, crops)
        if not self.complete:
            self._give_up()
        elif crops:
            self._write(keys, self._embedder.embed(np.stack(crops)))

    def rows(
        self,
        sightings: NDArray[np.void],
        tracks: Sequence[int],
        time: NDArray[np.float64],
        first: int,
        stop: int,
    ) -> tuple[FaceRows, NDArray[np.float32]]:
        """One person's face in the rows [first, stop), as ``person_rows``, and its embeddings.

        Returns:
            The rows, and (N, D) float32, NaN where there is no face.
        """
        rows = person_rows(sightings, tracks, time, first, stop)
        if self._absent:
            absent = np.concatenate(self._absent)
            rows = rows.without(np.isin(np.arange(first, stop), absent))
        features = np.full((len(rows), self._embedder.dim), np.nan, np.float32)
        if rows.valid.any():
            wanted = (first + np.flatnonzero(rows.valid)) * _TRACKS + rows.track[rows.valid]
            features[rows.valid] = self._read(wanted)
        return rows, features

    def _fill_gaps(
        self,
        batch: FrameBatch,
        sightings: NDArray[np.void],
        keys: list[int],
        crops: list[NDArray[np.uint8]],
    ) -> None:
        """Crop the faces between two sightings, and hold frames that may lie between two."""
        ends = np.searchsorted(sightings["row"], batch.first + np.arange(len(batch) + 1))
        for i in range(len(batch)):
            time = float(batch.time[i])
            here = sightings[ends[i] : ends[i + 1]]
            self._forget(time)
            for seen in here:
                track = int(seen["track"])
                before = self._last.get(track)
                if before is not None and seen["row"] > before[0]["row"] + 1:
                    self._fill(before, (seen, time), keys, crops)
                self._last[track] = (seen.copy(), time)
            if len(here) < len(self._last):
                there = batch.present is None or bool(batch.present[i])
                frame = batch.frames[i].copy() if there else None
                self._held.append(_Held(batch.first + i, time, frame))
                self._held_bytes += frame.nbytes if frame is not None else 0
            if self._held_bytes > HELD_BYTES:
                self.complete = False
            if not self.complete:
                return

    def _fill(
        self,
        before: tuple[np.void, float],
        after: tuple[np.void, float],
        keys: list[int],
        crops: list[NDArray[np.uint8]],
    ) -> None:
        """Crop a track's face in the held rows between two sightings of it."""
        first, last = int(before[0]["row"]), int(after[0]["row"])
        between = [held for held in self._held if first < held.row < last]
        ends = np.array([before[0], after[0]])
        # As rows of a clip that begins with the first sighting.
        ends["row"] -= first
        time = np.array([before[1], *(held.time for held in between), after[1]])
        track = int(before[0]["track"])
        rows = person_rows(ends, [track], time, 1, len(time) - 1)
        for held, landmarks, valid in zip(between, rows.landmarks, rows.valid, strict=True):
            if valid and held.frame is not None:
                keys.append(_key(held.row, track))
                crops.append(self._crop(held.frame, landmarks))

    def _forget(self, time: float) -> None:
        """Let go of tracks that have ended, and of frames that lie in no gap any more."""
        oldest = time - MAX_GAP - TOLERANCE
        self._last = {track: seen for track, seen in self._last.items() if seen[1] >= oldest}
        begin = min((seen[1] for seen in self._last.values()), default=time)
        while self._held and self._held[0].time <= begin:
            frame = self._held.popleft().frame
            self._held_bytes -= frame.nbytes if frame is not None else 0

    def _crop(self, frame: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
        return align(frame, landmarks, self._embedder.template, self._embedder.crop_size)

    def _write(self, keys: Sequence[int], features: NDArray[np.float32]) -> None:
        try:
            self._log.write(np.ascontiguousarray(features, np.float32).tobytes())
        except OSError:
            # Where the disk for temporary files is full, the clip is decoded again instead.
            self.complete = False
            self._give_up()
        else:
            self._keys.append(np.array(keys, np.int64))

    def _give_up(self) -> None:
        self._keys, self._last = [], {}
        self._held.clear()

    def _read(self, wanted: NDArray[np.int64]) -> NDArray[np.float32]:
        """(n, D) embeddings by their keys, which lie close to each other in the file."""
        if self._sorted is None:
            self._log.flush()
            keys = np.concatenate(self._keys)
            order = np.argsort(keys, kind="stable")
            self._sorted = keys[order], order
        keys, order = self._sorted
        place = order[np.searchsorted(keys, wanted)]
        begin, stop = int(place.min()), int(place.max()) + 1
        size = 4 * self._embedder.dim
        data = os.pread(self._log.fileno(), (stop - begin) * size, begin * size)
        block = np.frombuffer(data, np.float32).reshape(-1, self._embedder.dim)
        return block[place - begin]


def _key(row: int, track: int) -> int:
    return int(row) * _TRACKS + int(track)
