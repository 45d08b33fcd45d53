"""One shard written whole: clips put into a temporary file that is checked, synced and renamed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from types import TracebackType

import h5py

from grjca.cache.array_table import add_table, load_table
from grjca.cache.claims import Claim
from grjca.cache.layout import CHUNK_BYTES, DamagedError, group_paths
from grjca.cache.shard_index import UNKNOWN, Known, Shard
from grjca.cache.shards import (
    AGAIN,
    CLIPS,
    CONTENT,
    STATE,
    content_of,
    copy_clip,
    group_name,
    handle_of,
    make_group,
    mark_shard,
    open_shard,
    place_of,
    state_of,
)
from grjca.cache.spool import Spool
from grjca.errors import GrjcaError
from grjca.files import sync

_METADATA_BLOCK = 1 << 16
_ODD = (OSError, RuntimeError, KeyError, ValueError, TypeError)


class ShardWriter:
    """Writes a shard; nothing of it is seen before :meth:`commit`.

    Use as a context manager: leaving it without a commit throws the temporary file away.

    Args:
        root: The packed store's folder.
        name: The shard's file name; a shard of that name is replaced.
        claim: The right to write into the store.

    Raises:
        GrjcaError: The disk is full or the store cannot be written.
    """

    def __init__(self, root: Path, name: str, claim: Claim) -> None:
        self.name = name
        self.clips: dict[str, Known] = {}
        self._final = root / name
        self._claim = claim
        self._temporary = claim.temporary(self._final)
        self._contents: dict[str, dict[str, str]] = {}
        self._spool: Spool | None = None
        self._file: h5py.File | None = None

    def __enter__(self) -> ShardWriter:
        with self._disk_errors():
            self._spool = Spool(self._temporary)
            self._file = h5py.File(
                self._spool, "w", libver="v110", meta_block_size=_METADATA_BLOCK,
                rdcc_nbytes=2 * CHUNK_BYTES, rdcc_w0=1.0,
            )  # fmt: skip
            mark_shard(self._file)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()
        self._temporary.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._spool is not None:
            self._spool.close()

    @property
    def _open_file(self) -> h5py.File:
        if self._file is None:
            raise ValueError("the writer is used outside its 'with' block")
        return self._file

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return int(self._open_file.id.get_filesize())

    def add(self, clip: str, source: h5py.File, known: Known) -> None:
        """Copy a clip's own file into the shard.

        Args:
            clip: Its identity.
            source: The file, open.
            known: Size and time of change of the file.

        Raises:
            DamagedError: The file cannot be read; the shard is as before.
            GrjcaError: The disk is full.
        """
        with self._whole(clip):
            self._contents[clip] = copy_clip(source, self._open_file, clip)
            state = str(self._open_file[place_of(clip)].attrs[STATE])
        self.clips[clip] = Known(state, known.size, known.mtime_ns)

    def carry(self, old: Shard, clips: Iterable[str], keep: Collection[str] | None = None) -> None:
        """Copy clips of another shard, or of the one that is replaced.

        Args:
            old: The other shard.
            clips: Which of its clips.
            keep: Paths of the groups that are copied; None for all.

        Raises:
            GrjcaError: The shard is damaged, or the disk is full.
        """
        with open_shard(self._final.parent / old.name) as file:
            for clip in clips:
                with self._whole(clip, old.name):
                    node = file[place_of(clip)]
                    self._contents[clip] = _checked_contents(node)
                    state = self._copy_groups(node, clip, keep)
                known = old.clips[clip]
                if known.state not in (None, state):
                    # No longer what the clip's own file holds.
                    known = UNKNOWN
                self.clips[clip] = Known(state, known.size, known.mtime_ns)

    def _copy_groups(self, node: h5py.Group, clip: str, keep: Collection[str] | None) -> str:
        if keep is None or set(keep) >= set(group_paths(node)):
            node.file.copy(node, self._open_file, name=place_of(clip))
            return str(node.attrs[STATE])
        copy = make_group(self._open_file[CLIPS], group_name(clip))
        for name, value in node.attrs.items():
            copy.attrs[name] = value
        for path in group_paths(node):
            if path not in keep:
                del self._contents[clip][path]
                continue
            kind, _, name = path.rpartition("/")
            parent = copy.require_group(kind) if kind else copy
            node.copy(node[path], parent, name=name)
        copy.attrs[STATE] = state_of(copy)
        return str(copy.attrs[STATE])

    def commit(self) -> Shard:
        """Finish the shard, read every clip back, and put the file in its place in one step.

        Returns:
            The shard as it lies there now.

        Raises:
            GrjcaError: The disk is full, or a copy is not equal to what was copied.
            ClaimLostError: Another run writes into the store by now.
        """
        with self._disk_errors():
            self._add_table()
            self._open_file.close()
            self._file = None
            self._check_spool()
            sync(self._temporary)
        self._read_back()
        with self._disk_errors():
            self._claim.confirm()
            self._temporary.replace(self._final)
            sync(self._final.parent)
            stat = self._final.stat()
        return Shard(self.name, stat.st_size, stat.st_mtime_ns, self.clips)

    def _add_table(self) -> None:
        handle = os.open(self._temporary, os.O_RDONLY)
        try:
            self._check_spool()
            add_table(self._open_file, handle, self.clips)
        except _ODD:
            self._check_spool()
            raise
        finally:
            os.close(handle)

    def _read_back(self) -> None:
        with open_shard(self._temporary) as file:
            table = load_table(file)
            for clip, contents in self._contents.items():
                try:
                    node = file[place_of(clip)]
                    found = {path: content_of(node[path]) for path in group_paths(node)}
                    wrong = "no table" if table is None else table.wrong(handle_of(file), clip)
                    equal = (
                        wrong is None
                        and found == contents
                        and state_of(node) == self.clips[clip].state
                    )
                    cause = "its copy is not equal to it"
                except _ODD as error:
                    equal, cause = False, f"its copy cannot be read ({error})"
                if not equal:
                    raise GrjcaError(
                        "pack", clip, cause,
                        f"{self.name} is as it was; check the disk and memory, then run again.",
                    )  # fmt: skip

    def _check_spool(self) -> None:
        if self._spool is not None:
            self._spool.check()

    @contextlib.contextmanager
    def _whole(self, clip: str, shard: str | None = None) -> Iterator[None]:
        """Take back what was written of a clip, if not all of it was."""
        with self._disk_errors():
            try:
                yield
                self._check_spool()
            except _ODD as error:
                self._check_spool()
                self._take_back(clip)
                if shard is not None:
                    raise DamagedError(
                        "store", clip, f"damaged in {shard} ({error})", AGAIN
                    ) from error
                raise DamagedError(
                    "store", clip, f"damaged file ({error})", "Delete it and run extract again."
                ) from error
            except KeyboardInterrupt:
                self._take_back(clip)
                raise

    def _take_back(self, clip: str) -> None:
        self._contents.pop(clip, None)
        if place_of(clip) in self._open_file:
            del self._open_file[place_of(clip)]

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                # Who takes the store over removes the temporary file.
                self._claim.confirm()
            raise GrjcaError(
                "pack", self._final, f"cannot write it: {error.strerror or error}",
                "Free some space or choose another --out; what is finished stays valid.",
            ) from error  # fmt: skip


def _checked_contents(node: h5py.Group) -> dict[str, str]:
    """The content of each group of a packed clip, which has to be what the group says.

    Raises:
        ValueError: It is not; other errors of h5py where it cannot be read.
    """
    contents = {}
    for path in group_paths(node):
        contents[path] = content_of(node[path])
        if contents[path] != node[path].attrs[CONTENT]:
            raise ValueError(f"{path} is not what was packed")
    if state_of(node) != node.attrs[STATE]:
        raise ValueError("its attributes are not those that were packed")
    return contents
