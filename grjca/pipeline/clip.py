"""One clip through the stages, streamed: decode, find faces, crop, embed, hear, write."""

from __future__ import annotations

import contextlib
import math
import time as clock
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from grjca.cache import FeatureStore
from grjca.cache.claims import Claim, ClaimLostError, claim
from grjca.cache.layout import clip_path, person_clip
from grjca.cache.writer import ClipWriter
from grjca.errors import GrjcaError
from grjca.pipeline import crops
from grjca.pipeline.config import Components
from grjca.pipeline.early import EarlyFaces
from grjca.pipeline.early_sound import EarlySound, Heard
from grjca.pipeline.outcome import ClipOutcome
from grjca.pipeline.pictures import Media
from grjca.pipeline.plan import ClipTask, check_content, lacking, read_source, stored_clips
from grjca.pipeline.sightings import Seen, look, temporary_log
from grjca.pipeline.sound import embed_sound
from grjca.stages.face_rows import FaceRows
from grjca.stages.types import SOUND_ONLY_RATE, FaceBatch

ROWS_AT_ONCE = 4096


def attempt(
    task: ClipTask,
    components: Components,
    store: Path,
    progress: Callable[[int], None] | None = None,
) -> ClipOutcome:
    """Extract one clip; what goes wrong with it becomes its outcome and stops nothing else.

    A clip that another run has in hand is left to it: the outcome is ``busy``.
    """
    began = clock.perf_counter()
    try:
        held = claim(store, task.clip)
        if held is None:
            return ClipOutcome(task.clip, "busy")
        with held:
            return extract_clip(task, components, store, held, progress)
    except ClaimLostError:
        return ClipOutcome(task.clip, "busy")
    except GrjcaError as error:
        return ClipOutcome.failure(task.clip, error, clock.perf_counter() - began)


def extract_clip(
    task: ClipTask,
    components: Components,
    store: Path,
    held: Claim,
    progress: Callable[[int], None] | None = None,
) -> ClipOutcome:
    """Compute what the store lacks of a clip and put it there in one step.

    Memory does not grow with the clip's length: frames and sound stream, features are written
    as they come.

    Args:
        task: The clip.
        components: Detector and embedders.
        store: The store's folder.
        held: The right to write the clip.
        progress: Called with a number of rows whenever that many are finished.

    Raises:
        GrjcaError: The clip cannot be read or decoded, or the store cannot be written.
    """
    began = clock.perf_counter()
    source = read_source(task.source)
    features = FeatureStore(store)
    # Another run may have written since this one was planned.
    known = stored_clips(task, features)
    missing = task.missing
    if not task.overwrite:
        there = {clip for clip in known if clip_path(store, clip).is_file()}
        check_content(task, [features.source(clip) for clip in there], source.sha256)
        digests = [features.digests(clip) if clip in there else {} for clip in known]
        missing = lacking(task, digests, source.sha256)
    if not missing:
        people = len(known) if task.everyone else None
        rows = features.summary(known[0]).rows
        return ClipOutcome(task.clip, "skipped", rows=rows, people=people)
    run = _ClipRun(task, missing, components, features, progress)
    with contextlib.ExitStack() as stack:
        keys = task.recipe.groups(source.sha256)
        writers: list[ClipWriter] = []

        def open_writers(clips: Sequence[str]) -> list[ClipWriter]:
            writers.extend(
                stack.enter_context(ClipWriter(store, clip, source, keys, held)) for clip in clips
            )
            return writers

        run.write(open_writers, known, source.sha256)
        # The first person's file says how many there are, so it is the last to change.
        for writer in reversed(writers):
            writer.commit(
                run.media.describe(),
                about=task.source.about,
                people=len(writers) if task.everyone else None,
            )
    if task.everyone:
        _remove_surplus(store, task.clip, len(writers))
    return run.outcome(clock.perf_counter() - began, len(writers))


class _ClipRun:
    """The state of one clip's way through the stages: counts, and what the decoders said."""

    def __init__(
        self,
        task: ClipTask,
        missing: frozenset[str],
        components: Components,
        store: FeatureStore,
        progress: Callable[[int], None] | None,
    ) -> None:
        self.task = task
        self.recipe = task.recipe
        self.missing = missing
        self.components = components
        self.store = store
        self.progress = progress
        self.media = Media(task.source, components.fps)
        self.rows = self.faces = self.heard = self.embedded = 0
        self.warnings: list[str] = []

    def write(
        self,
        open_writers: Callable[[Sequence[str]], list[ClipWriter]],
        known: Sequence[str],
        source_sha256: str,
    ) -> None:
        """Fill the writers of the clip's files, which are opened once it is known who is seen."""
        faces_known = self.missing.isdisjoint({"frames", "faces"})
        if self.media.has_picture and not faces_known:
            self._look(open_writers)
            return
        if faces_known:
            time, writers = self.store.read(known[0]).time, open_writers(known)
            self._embed(writers, self._stored(known, source_sha256))
        else:
            time, writers = self._no_picture(open_writers)
        self.rows = len(time)
        if self._listens:
            with self.media.sound() as sound:
                self._write_sound(writers, embed_sound(sound or (), self.components.audio, time))

    def outcome(self, seconds: float, people: int) -> ClipOutcome:
        return ClipOutcome(
            clip=self.task.clip,
            status="done",
            rows=self.rows,
            seconds=seconds,
            computed=tuple(sorted(self.missing)),
            faces=self.faces / self.embedded if self.embedded else None,
            sound=self.heard / self.rows if self._listens and self.rows else None,
            people=people if self.task.everyone else None,
            warnings=(*self.media.warnings, *self.warnings),
        )

    @property
    def _listens(self) -> bool:
        return self.recipe.audio_group in self.missing

    def _names(self, people: int) -> list[str]:
        if not self.task.everyone:
            return [self.task.clip]
        return [person_clip(self.task.clip, number) for number in range(1, people + 1)]

    def _look(self, open_writers: Callable[[Sequence[str]], list[ClipWriter]]) -> None:
        """Find out who is seen and meanwhile listen, then write all of it."""
        with contextlib.ExitStack() as stack:
            log, embeddings, heard = (stack.enter_context(temporary_log()) for _ in range(3))
            early = self._early(embeddings)
            sound = None
            if self._listens:
                audio = self.components.audio
                sound = stack.enter_context(EarlySound(self.media, audio, heard))
            choice = self.recipe.faces["choice"]
            rows = sound.time if sound is not None else None
            seen = look(self.media, self.components, choice, log, early, rows, self.progress)
            if sound is not None:
                sound.time.end()
            self.rows = len(seen.time)
            if seen.left_out:
                self.warnings.append(f"{seen.left_out} more people were left out")
            writers = open_writers(self._names(len(seen.people)))
            self._write_times(writers, seen)
            visual = self.components.visual
            if early is not None and early.complete:
                self._write_early(writers, early, seen)
            else:
                found = crops.of_seen(self.media, seen, visual.template, visual.crop_size)
                self._embed(writers, found)
            if sound is not None:
                self._write_sound(writers, sound.heard())

    def _early(self, log: IO[bytes]) -> EarlyFaces | None:
        """What embeds faces as they are found; None where crops are wanted, or no embeddings."""
        if self.recipe.crops_group in self.missing or self.recipe.visual_group not in self.missing:
            return None
        return EarlyFaces(self.components.visual, log, everyone=self.task.everyone)

    def _no_picture(
        self, open_writers: Callable[[Sequence[str]], list[ClipWriter]]
    ) -> tuple[NDArray[np.float64], list[ClipWriter]]:
        """Rows on a grid for a clip of sound only; nobody is seen in any of them."""
        rate = self.components.fps or SOUND_ONLY_RATE
        rows = max(1, math.floor(self.media.sound_length() * rate))
        time = np.arange(rows) / rate
        writers = open_writers(self._names(1))
        self._write_times(writers, Seen(time, None, np.zeros(0), ((),), 0))
        self._embed(writers, crops.nobody(rows, 1, self.components.visual.crop_size))
        return time, writers

    def _write_times(self, writers: Sequence[ClipWriter], seen: Seen) -> None:
        if "frames" not in self.missing:
            return
        for start in range(0, len(seen.time), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            columns: dict[str, NDArray[Any]] = {"time": seen.time[rows]}
            if seen.index is not None:
                columns["index"] = seen.index[rows]
            for writer in writers:
                writer.append("frames", columns)

    def _stored(self, known: Sequence[str], source_sha256: str) -> Iterator[list[FaceBatch]]:
        """Crops of faces that the store knows, kept or decoded again; none if none are needed."""
        recipe, visual = self.recipe, self.components.visual
        if self.missing.isdisjoint({recipe.visual_group, recipe.crops_group}):
            return iter(())
        wanted = recipe.crops_digest(source_sha256)
        if all(self.store.digests(clip).get(recipe.crops_group) == wanted for clip in known):
            return crops.of_stored_crops(self.store, known, recipe.crops_group)
        return crops.of_stored_faces(
            self.media, self.store, known, visual.template, visual.crop_size
        )

    def _embed(self, writers: Sequence[ClipWriter], blocks: Iterator[list[FaceBatch]]) -> None:
        """Write faces, crops and embeddings of every person, as far as they are missing."""
        recipe, missing = self.recipe, self.missing
        for block in blocks:
            for writer, faces in zip(writers, block, strict=True):
                self._write_faces(writer, faces)
                if recipe.crops_group in missing:
                    columns: dict[str, NDArray[Any]] = {"crops": faces.crops, "valid": faces.valid}
                    writer.append(recipe.crops_group, columns)
                if recipe.visual_group in missing:
                    columns = {"features": self._features(faces), "valid": faces.valid}
                    writer.append(recipe.visual_group, columns)

    def _write_early(self, writers: Sequence[ClipWriter], early: EarlyFaces, seen: Seen) -> None:
        """Write every person's faces, and the embeddings that were made of them already."""
        for start in range(0, len(seen.time), ROWS_AT_ONCE):
            stop = min(start + ROWS_AT_ONCE, len(seen.time))
            for writer, tracks in zip(writers, seen.people, strict=True):
                faces, features = early.rows(seen.sightings, tracks, seen.time, start, stop)
                self._write_faces(writer, faces)
                columns: dict[str, NDArray[Any]] = {"features": features, "valid": faces.valid}
                writer.append(self.recipe.visual_group, columns)

    def _write_faces(self, writer: ClipWriter, faces: FaceBatch | FaceRows) -> None:
        self.embedded += len(faces)
        self.faces += int(faces.valid.sum())
        if "faces" in self.missing:
            writer.append("faces", {name: getattr(faces, name) for name in crops.COLUMNS})

    def _features(self, faces: FaceBatch) -> NDArray[np.float32]:
        features = np.full((len(faces), self.components.visual.dim), np.nan, np.float32)
        if faces.valid.any():
            features[faces.valid] = self.components.visual.embed(faces.crops[faces.valid])
        return features

    def _write_sound(self, writers: Sequence[ClipWriter], pieces: Iterator[Heard]) -> None:
        for features, valid in pieces:
            self.heard += int(valid.sum())
            for writer in writers:
                writer.append(self.recipe.audio_group, {"features": features, "valid": valid})


def _remove_surplus(store: Path, clip: str, people: int) -> None:
    """Remove files of people whom an earlier extraction counted and this one does not."""
    number = people + 1
    while (path := clip_path(store, person_clip(clip, number))).is_file():
        path.unlink()
        number += 1
