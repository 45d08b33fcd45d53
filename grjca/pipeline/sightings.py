"""The first pass over a clip's pictures: every face of every frame, and who is who."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from grjca.pipeline.ahead import Ahead
from grjca.pipeline.config import Components
from grjca.pipeline.early import EarlyFaces
from grjca.pipeline.pictures import Media
from grjca.pipeline.row_times import RowTimes
from grjca.stages.catalog import Detector, VisualEmbedder
from grjca.stages.faces import align
from grjca.stages.people import Choice, choose, find_people
from grjca.stages.shots import ShotDetector
from grjca.stages.tracking import SIGHTING, Tracker, distinct
from grjca.stages.types import Detections, FrameBatch


@dataclass(frozen=True)
class Seen:
    """What the first pass tells.

    Attributes:
        time: (T,) float64 seconds.
        index: (T,) int64 source frame of each row; None where row i is frame i.
        sightings: Every face of every row, a structured array of ``tracking.SIGHTING``, on disk.
        people: For each chosen person the numbers of the tracks that show them.
        left_out: People beyond the most that are kept apart.
    """

    time: NDArray[np.float64]
    index: NDArray[np.int64] | None
    sightings: NDArray[Any]
    people: tuple[tuple[int, ...], ...]
    left_out: int


def look(
    media: Media,
    components: Components,
    choice: Choice,
    log: IO[bytes],
    early: EarlyFaces | None = None,
    rows: RowTimes | None = None,
    progress: Callable[[int], None] | None = None,
) -> Seen:
    """Decode once, find all faces, follow them, and choose.

    Decoding, finding, and all that follows are three threads.

    Args:
        media: The clip.
        components: Detector and embedders.
        choice: Whose face is wanted.
        log: An empty file for the sightings, so that memory does not grow with the clip.
        early: Embeds the faces meanwhile, if they are wanted and as far as that is worth it.
        rows: Told the rows' times as they come.
        progress: Called with a number of rows whenever that many are finished.

    Raises:
        GrjcaError: The pictures cannot be decoded.
    """
    shots, tracker = ShotDetector(), Tracker()
    times: list[NDArray[np.float64]] = []
    indices: list[NDArray[np.int64]] = []
    with (
        media.frames() as frames,
        Ahead(_found(components.detector, frames), frames.stop) as searched,
    ):
        for batch, found in searched:
            looks = _looks(components.visual, batch, found)
            seen = tracker.update(batch, found, shots.update(batch), looks)
            log.write(seen.tobytes())
            if early is not None:
                early.take(batch, seen, looks)
            times.append(batch.time)
            if rows is not None:
                rows.add(batch.time)
            if batch.index is not None:
                indices.append(batch.index)
            if progress:
                progress(len(batch))
    log.flush()
    sightings = np.memmap(log, SIGHTING, "r") if log.tell() else np.zeros(0, SIGHTING)
    time = np.concatenate(times)
    appearance = tracker.appearance if components.visual.appearance else None
    chosen = choose(find_people(sightings, time, appearance), choice)
    return Seen(
        time,
        np.concatenate(indices) if indices else None,
        sightings,
        chosen.people,
        chosen.left_out,
    )


def temporary_log() -> IO[bytes]:
    """A file without a name, gone with this process."""
    return tempfile.TemporaryFile(prefix="grjca-")


def _found(
    detector: Detector, frames: Iterable[FrameBatch]
) -> Iterator[tuple[FrameBatch, list[Detections]]]:
    for batch in frames:
        yield batch, _detect(detector, batch)


def _detect(detector: Detector, batch: FrameBatch) -> list[Detections]:
    """The faces of each frame that have a place, each once; none where there is no picture."""
    if batch.present is None:
        return [_distinct(faces) for faces in detector.detect(batch.frames)]
    found = iter(detector.detect(batch.frames[batch.present]))
    return [_distinct(next(found)) if there else _nothing() for there in batch.present]


def _distinct(found: Detections) -> Detections:
    kept = distinct(found)
    return Detections(found.box[kept], found.landmarks[kept], found.score[kept])


def _nothing() -> Detections:
    return Detections(
        np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32)
    )


def _looks(
    embedder: VisualEmbedder, batch: FrameBatch, found: list[Detections]
) -> list[NDArray[np.float32]] | None:
    """(K, D) for each frame, where the embedder tells people apart."""
    if not embedder.appearance:
        return None
    crops = [
        align(frame, landmarks, embedder.template, embedder.crop_size)
        for frame, faces in zip(batch.frames, found, strict=True)
        for landmarks in faces.landmarks
    ]
    empty = np.zeros((0, embedder.dim), np.float32)
    vectors = embedder.embed(np.stack(crops)) if crops else empty
    return np.split(vectors, np.cumsum([len(faces) for faces in found])[:-1])
