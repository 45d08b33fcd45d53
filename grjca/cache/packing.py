"""A store of a file per clip gathered into shards; what is new is added on the next run."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py

from grjca.cache.layout import DamagedError, identity_of, open_clip
from grjca.cache.leftovers import clip_files
from grjca.cache.shard_folder import ShardFolder, shard_folder
from grjca.cache.shard_index import Known
from grjca.cache.shard_writer import ShardWriter
from grjca.cache.shards import STATE, is_packed, open_shard, place_of, refuse_packed, state_of
from grjca.errors import GrjcaError, UsageError

SHARD_BYTES = 1 << 30
"""Size of a shard, about."""

_ODD = (OSError, RuntimeError, KeyError, ValueError, TypeError)

Progress = Callable[[int], object]


@dataclass
class PackReport:
    """What became of a store's clips.

    Attributes:
        packed: Clips that were packed now.
        kept: How many were packed already, unchanged since.
        removed: Clips that are no longer in the store and were removed (``prune``).
        extra: How many are packed but not in the store, and stay.
        failed: What is wrong with the other clips, or with shards.
        shards: How many shards there are.
        size: Bytes of all shards.
    """

    packed: list[str] = field(default_factory=list)
    kept: int = 0
    removed: list[str] = field(default_factory=list)
    extra: int = 0
    failed: list[GrjcaError] = field(default_factory=list)
    shards: int = 0
    size: int = 0

    def summary(self) -> str:
        """One line for a person."""
        line = f"{len(self.packed)} packed, {self.kept} already there, {len(self.failed)} failed"
        if self.removed:
            line += f", {len(self.removed)} removed"
        if self.extra:
            line += f", {self.extra} no longer in the store and kept"
        count = "1 shard" if self.shards == 1 else f"{self.shards} shards"
        return f"{line}; {count}, {self.size / 1e6:.1f} MB"


def pack(
    store: str | Path,
    out: str | Path,
    *,
    shard_bytes: int = SHARD_BYTES,
    prune: bool = False,
    progress: Progress | None = None,
) -> PackReport:
    """Gather the clips of a store into shards, or add to them what is new.

    A clip is packed anew when anything was added to it or made anew. Each copy is read back and
    compared with what was read of the clip.

    Args:
        store: The store's folder, of a file per clip; nothing in it is changed.
        out: Folder of the packed store; made if it is not there.
        shard_bytes: Size of a shard, about; a longer clip gets one of its own.
        prune: Remove clips that are no longer in the store.
        progress: Called with a number of clips whenever that many are finished.

    Returns:
        What became of the clips. Clips that cannot be read are in ``failed``; they raise nothing.

    Raises:
        UsageError: ``store`` is packed, ``out`` holds something else, or one lies in the other.
        GrjcaError: Another run packs into ``out``, the disk is full, or a copy is not equal.
        KeyboardInterrupt: Stopped by the user; what is finished stays.
    """
    source, target = Path(store), Path(out)
    _check_places(source, target)
    with shard_folder(target, "pack") as folder:
        return _Packing(source, folder, shard_bytes, progress).run(prune)


def _check_places(store: Path, out: Path) -> None:
    if not store.is_dir():
        raise GrjcaError("store", store, "no such folder", "Make a store with: grjca extract.")
    refuse_packed(store, "pack")
    here, there = store.resolve(), out.resolve()
    if here.is_relative_to(there) or there.is_relative_to(here):
        raise UsageError("pack", out, "lies in the store, or the store in it",
                         "Choose another --out.")  # fmt: skip
    try:
        # What a run that was killed early left there is hidden.
        holds = out.exists() and [name for name in os.listdir(out) if name[0] != "."]
    except OSError as error:
        raise UsageError("pack", out, f"{error}", "Choose another --out.") from error
    if holds and not is_packed(out):
        raise UsageError("pack", out, "holds something else than a packed store",
                         "Choose another --out.")  # fmt: skip


class _ClipError(GrjcaError):
    """A clip that cannot be packed as it is; the others can."""


def _check_name(clip: str, file: h5py.File) -> None:
    told = file.attrs.get("clip")
    if told != clip:
        raise _ClipError(
            "store", clip, f"its file holds the clip {told}", "Move it back, or delete it."
        )
    try:
        clip.encode()
    except UnicodeEncodeError as error:
        raise _ClipError("store", clip, "its name is not UTF-8", "Rename the file.") from error


@dataclass(frozen=True)
class _Wanted:
    """A clip to pack: its file, and the size and time of change that it had."""

    clip: str
    path: Path
    known: Known


class _Packing:
    def __init__(
        self, store: Path, folder: ShardFolder, shard_bytes: int, progress: Progress | None
    ) -> None:
        self._store = store
        self._folder = folder
        self._shard_bytes = shard_bytes
        self._progress = progress or (lambda _: None)
        self._report = PackReport(failed=list(folder.damaged))
        self._there: set[str] = set()
        self._nameless = False
        self._begun = False

    def run(self, prune: bool) -> PackReport:
        report, folder = self._report, self._folder
        wanted = list(self._wanted())
        self._add(wanted)
        gone = set(folder.places) - self._there
        if prune and not self._nameless:
            report.removed = sorted(gone)
        report.extra = len(gone) - len(report.removed)
        self._clear(frozenset(report.removed))
        report.shards = len(folder.shards)
        report.size = sum(shard.size for shard in folder.shards)
        return report

    def _wanted(self) -> Iterator[_Wanted]:
        """The clips that have to be packed; the others are counted."""
        for path in clip_files(self._store):
            try:
                clip = identity_of(self._store, path)
            except (GrjcaError, *_ODD) as error:
                self._nameless = True
                self._fail(path.relative_to(self._store), error)
                continue
            self._there.add(clip)
            try:
                stat = path.stat()
                found = Known(None, stat.st_size, stat.st_mtime_ns)
                if self._is_kept(clip, path, found):
                    self._report.kept += 1
                    self._progress(1)
                else:
                    yield _Wanted(clip, path, found)
            except (GrjcaError, *_ODD) as error:
                self._fail(clip, error)

    def _is_kept(self, clip: str, path: Path, found: Known) -> bool:
        place = self._folder.places.get(clip)
        if place is None:
            return False
        clips = self._folder.shard(place).clips
        known = clips[clip]
        if (known.size, known.mtime_ns) == (found.size, found.mtime_ns):
            return True
        packed = known.state or self._packed_state(place, clip)
        with open_clip(path) as file:
            state = state_of(file)
        if state != packed:
            return False
        clips[clip] = Known(state, found.size, found.mtime_ns)
        return True

    def _packed_state(self, shard: str, clip: str) -> str | None:
        try:
            with open_shard(self._folder.root / shard) as file:
                return str(file[place_of(clip)].attrs[STATE])
        except (GrjcaError, *_ODD):
            # Damaged: to be packed anew.
            return None

    def _add(self, wanted: Sequence[_Wanted]) -> None:
        anew = {one.clip for one in wanted}
        with contextlib.ExitStack() as stack:
            writer: ShardWriter | None = None
            try:
                for one in wanted:
                    if writer is not None and self._is_full(writer, one):
                        self._commit(writer, anew)
                        writer = None
                    if writer is None:
                        writer = self._begin(stack, anew)
                    self._copy(one, writer)
            except KeyboardInterrupt:
                # Stopped in the midst of a write: the shard then proves not to be whole.
                with contextlib.suppress(GrjcaError):
                    self._commit(writer, anew)
                raise
            self._commit(writer, anew)

    def _is_full(self, writer: ShardWriter, one: _Wanted) -> bool:
        return bool(writer.clips) and writer.size + (one.known.size or 0) > self._shard_bytes

    def _begin(self, stack: contextlib.ExitStack, anew: set[str]) -> ShardWriter:
        """Go on with the last shard if the run found it less than half full, else begin another."""
        if self._begun or not self._folder.shards:
            return stack.enter_context(self._folder.writer())
        self._begun = True
        last = self._folder.shards[-1]
        if last.number == self._folder.last and 2 * last.size < self._shard_bytes:
            writer = stack.enter_context(self._folder.writer(last.name))
            try:
                writer.carry(last, [c for c in self._folder.living(last) if c not in anew])
            except DamagedError as error:
                self._report.failed.append(error)
            else:
                return writer
        return stack.enter_context(self._folder.writer())

    def _copy(self, one: _Wanted, writer: ShardWriter) -> None:
        try:
            file = open_clip(one.path)
        except GrjcaError as error:
            self._fail(one.clip, error)
            return
        with file:
            try:
                _check_name(one.clip, file)
                writer.add(one.clip, file, one.known)
                self._progress(1)
            except (_ClipError, DamagedError, *_ODD) as error:
                self._fail(one.clip, error)

    def _commit(self, writer: ShardWriter | None, anew: set[str]) -> None:
        if writer is not None and anew & writer.clips.keys():
            self._folder.commit(writer)
            self._report.packed += sorted(anew & writer.clips.keys())

    def _clear(self, gone: frozenset[str]) -> None:
        """Remove old copies, and the clips that are gone."""
        for shard in self._folder.shards:
            try:
                self._folder.remove(gone, [shard.name])
            except DamagedError as error:
                self._report.failed.append(error)

    def _fail(self, source: object, error: Exception) -> None:
        if not isinstance(error, GrjcaError):
            error = GrjcaError(
                "store", source, f"damaged file ({error})", "Delete it and run extract again."
            )
        self._report.failed.append(error)
        self._progress(1)
