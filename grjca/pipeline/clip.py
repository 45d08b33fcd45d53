"""One clip through the stages, streamed: decode, face, crop, embed, hear, write."""

from __future__ import annotations

import dataclasses
import math
import time as clock
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from grjca.cache import FeatureStore
from grjca.cache.keys import Recipe, SourceId
from grjca.cache.layout import clip_path
from grjca.cache.writer import ClipWriter
from grjca.errors import GrjcaError
from grjca.pipeline.config import Components
from grjca.pipeline.sound import embed_sound
from grjca.stages.audio import AudioDecoder
from grjca.stages.faces import FaceTracker, align
from grjca.stages.probe import probe
from grjca.stages.types import (
    AUDIO_RATE,
    SOUND_ONLY_RATE,
    FaceBatch,
    FrameBatch,
    MediaInfo,
)
from grjca.stages.video import VideoDecoder

BATCH = 32


@dataclass(frozen=True)
class ClipTask:
    """One clip to extract: its identity, its file, and which groups the store lacks."""

    clip: str
    path: Path
    missing: frozenset[str]


@dataclass(frozen=True)
class ClipOutcome:
    """What became of one clip.

    Attributes:
        clip: The clip's identity.
        status: ``done`` (computed now), ``skipped`` (nothing was missing) or ``failed``.
        rows: Rows of the clip in the store.
        seconds: Wall time spent.
        computed: Paths of the groups computed now.
        faces: Share of rows with a face, in [0, 1]; None unless computed or read now.
        sound: Share of rows with sound, in [0, 1]; None unless computed now.
        warnings: The decoders' own words about what they could not decode, and repairs made.
        error: For a failure its stage, cause and remedy.
    """

    clip: str
    status: Literal["done", "skipped", "failed"]
    rows: int = 0
    seconds: float = 0.0
    computed: tuple[str, ...] = ()
    faces: float | None = None
    sound: float | None = None
    warnings: tuple[str, ...] = ()
    error: dict[str, str] | None = None

    @classmethod
    def failure(cls, clip: str, error: GrjcaError, seconds: float = 0.0) -> ClipOutcome:
        """The outcome of a clip that could not be extracted."""
        told = {"stage": error.stage, "cause": error.cause, "remedy": error.remedy}
        return cls(clip, "failed", seconds=seconds, error={**told, "message": str(error)})


def extract_clip(
    task: ClipTask,
    components: Components,
    recipe: Recipe,
    store: Path,
    progress: Callable[[int], None] | None = None,
) -> ClipOutcome:
    """Compute what the store lacks of a clip and put it there in one step.

    Memory does not grow with the clip's length: frames and sound stream, features are written
    as they come.

    Args:
        task: The clip.
        components: Detector and embedders.
        recipe: Their identities, as recorded in the store.
        store: The store's folder.
        progress: Called with a number of rows whenever that many are finished.

    Raises:
        GrjcaError: The clip cannot be read or decoded, or the store cannot be written.
    """
    began = clock.perf_counter()
    try:
        source = SourceId.of(task.path)
    except OSError as error:
        cause = error.strerror or str(error)
        raise GrjcaError("read", task.path, cause, "Check the path and its permissions.") from error
    run = _ClipRun(task, components, recipe, store, probe(task.path), progress)
    with ClipWriter(store, task.clip, source, recipe) as writer:
        run.write(writer)
        writer.commit(dataclasses.asdict(run.info))
    return ClipOutcome(
        clip=task.clip,
        status="done",
        rows=run.rows,
        seconds=clock.perf_counter() - began,
        computed=tuple(sorted(task.missing)),
        faces=run.faces / run.rows if run.looked and run.rows else None,
        sound=run.heard / run.rows if run.listened and run.rows else None,
        warnings=tuple(run.warnings),
    )


def attempt(
    task: ClipTask,
    components: Components,
    recipe: Recipe,
    store: Path,
    progress: Callable[[int], None] | None = None,
) -> ClipOutcome:
    """Extract one clip; what goes wrong with it becomes its outcome and stops nothing else."""
    began = clock.perf_counter()
    try:
        return extract_clip(task, components, recipe, store, progress)
    except GrjcaError as error:
        return ClipOutcome.failure(task.clip, error, clock.perf_counter() - began)


class _ClipRun:
    """The state of one clip's way through the stages: counts, and what the decoders said."""

    def __init__(
        self,
        task: ClipTask,
        components: Components,
        recipe: Recipe,
        store: Path,
        info: MediaInfo,
        progress: Callable[[int], None] | None,
    ) -> None:
        self.task = task
        self.components = components
        self.recipe = recipe
        self.store = store
        self.info = info
        self.progress = progress
        self.looked = not task.missing.isdisjoint({"frames", "faces", recipe.visual_group})
        self.listened = recipe.audio_group in task.missing
        self.rows = self.faces = self.heard = 0
        self.warnings: list[str] = []

    def write(self, writer: ClipWriter) -> None:
        if not self.looked:
            time = FeatureStore(self.store).read(self.task.clip).time
        elif self.info.video is not None:
            time = self._write_picture(writer)
        else:
            time = self._write_no_picture(writer)
        self.rows = len(time)
        if self.listened:
            self._write_sound(writer, time)

    def _write_picture(self, writer: ClipWriter) -> NDArray[np.float64]:
        times: list[NDArray[np.float64]] = []
        with VideoDecoder(self.task.path, self.info, batch=BATCH) as frames:
            for batch, faces in self._faces(frames):
                times.append(batch.time)
                self._append_rows(writer, batch.time, faces)
                if self.progress:
                    self.progress(len(batch))
            self.warnings += frames.warnings
            if frames.repaired:
                self.warnings.append(f"{frames.repaired} frame times were repaired")
        return np.concatenate(times)

    def _faces(self, frames: VideoDecoder) -> Iterator[tuple[FrameBatch, FaceBatch]]:
        """Faces of each batch: found now, or those the store already knows, cropped anew."""
        visual = self.components.visual
        if "faces" not in self.task.missing:
            yield from _stored_faces(frames, self.store, self.task.clip, visual.template,
                                     visual.crop_size)  # fmt: skip
            return
        tracker = FaceTracker(size=visual.crop_size, template=visual.template)
        for batch in frames:
            found = self.components.detector.detect(batch.frames)
            yield batch, tracker.update(batch, found)

    def _append_rows(self, writer: ClipWriter, time: NDArray[np.float64], faces: FaceBatch) -> None:
        self.faces += int(faces.valid.sum())
        features = np.full((len(faces), self.components.visual.dim), np.nan, np.float32)
        if faces.valid.any():
            features[faces.valid] = self.components.visual.embed(faces.crops[faces.valid])
        missing = self.task.missing
        if "frames" in missing:
            writer.append("frames", {"time": time})
        if "faces" in missing:
            columns = ("box", "landmarks", "score", "valid", "track")
            writer.append("faces", {name: getattr(faces, name) for name in columns})
        if self.recipe.visual_group in missing:
            writer.append(self.recipe.visual_group, {"features": features, "valid": faces.valid})

    def _write_no_picture(self, writer: ClipWriter) -> NDArray[np.float64]:
        """Rows on a grid for a clip of sound only; nobody is seen in any of them."""
        length = 0
        with AudioDecoder(self.task.path, self.info) as sound:
            for piece in sound:
                length = piece.stop
            said = sound.warnings
        if not length:
            raise GrjcaError(
                "audio", self.task.path, f"no sound could be decoded: {'; '.join(said)}",
                "The file may be truncated; re-encode it or leave it out.",
            )  # fmt: skip
        rows = max(1, math.floor(length / AUDIO_RATE * SOUND_ONLY_RATE))
        time = np.arange(rows) / SOUND_ONLY_RATE
        for begin in range(0, rows, 4096):
            part = time[begin : begin + 4096]
            self._append_rows(writer, part, _nobody(len(part), self.components.visual.crop_size))
        return time

    def _write_sound(self, writer: ClipWriter, time: NDArray[np.float64]) -> None:
        embedder = self.components.audio
        with AudioDecoder(self.task.path, self.info) as sound:
            for features, valid in embed_sound(sound, embedder, time):
                self.heard += int(valid.sum())
                writer.append(self.recipe.audio_group, {"features": features, "valid": valid})
            self.warnings += [text for text in sound.warnings if text not in self.warnings]


def _nobody(rows: int, size: int) -> FaceBatch:
    return FaceBatch(
        box=np.full((rows, 4), np.nan, np.float32),
        landmarks=np.full((rows, 5, 2), np.nan, np.float32),
        score=np.full(rows, np.nan, np.float32),
        valid=np.zeros(rows, bool),
        track=np.full(rows, -1, np.int32),
        crops=np.zeros((rows, size, size, 3), np.uint8),
    )


def _stored_faces(
    frames: VideoDecoder, store: Path, clip: str, template: str, size: int
) -> Iterator[tuple[FrameBatch, FaceBatch]]:
    with FeatureStore(store).open(clip) as file:
        known: dict[str, Any] = {
            name: file[f"faces/{name}"] for name in ("box", "landmarks", "score", "valid", "track")
        }
        rows = len(known["valid"])
        for batch in frames:
            if batch.first + len(batch) > rows:
                raise GrjcaError(
                    "faces", clip, f"the store knows {rows} rows, the decoder gives more",
                    f"Run again with --overwrite to make {clip_path(store, clip).name} anew.",
                )  # fmt: skip
            part = {name: data[batch.first : batch.first + len(batch)]
                    for name, data in known.items()}  # fmt: skip
            crops = np.zeros((len(batch), size, size, 3), np.uint8)
            for row in np.flatnonzero(part["valid"]):
                crops[row] = align(batch.frames[row], part["landmarks"][row], template, size)
            yield batch, FaceBatch(crops=crops, **part)
