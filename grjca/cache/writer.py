"""Writing one clip: streamed into a temporary file, merged, synced and renamed in one step."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

import grjca
from grjca.cache.claims import Claim, remove_stale
from grjca.cache.keys import GroupKey, SourceId, average_rate, group_digest, parent_of
from grjca.cache.layout import (
    ABOUT,
    CHUNK_BYTES,
    HOUSE,
    SCHEMA,
    VERSION,
    DamagedError,
    append_rows,
    clip_path,
    create_dataset,
    group_paths,
    open_clip,
    whole_clip,
)
from grjca.cache.shards import refuse_packed
from grjca.cache.spool import Spool
from grjca.errors import GrjcaError
from grjca.files import is_left_over, sync


class ClipWriter:
    """Writes groups of one clip; nothing is seen in the store before :meth:`commit`.

    Use as a context manager: leaving it without a commit throws the temporary file away. On
    commit, groups that the store already has for the same source and that were not written now
    are carried over, so that two runs adding different embedders both land.

    Args:
        root: The store's folder; made if it is not there.
        clip: The clip's identity.
        source: The source file's size, time of change and content.
        groups: The key of every group that may be written, by the group's path.
        claim: The right to write the clip.
        drop: Paths of groups that are not carried over.

    Raises:
        UsageError: The store is a packed one.
        GrjcaError: The store cannot be written (no permission, full disk).
        ClaimLostError: Another run has taken the clip over.
        ValueError: The claim is one of another clip.
    """

    def __init__(
        self,
        root: Path,
        clip: str,
        source: SourceId,
        groups: Mapping[str, GroupKey],
        claim: Claim,
        *,
        drop: Collection[str] = (),
    ) -> None:
        if claim.clip not in (clip, whole_clip(clip)):
            raise ValueError(f"{clip} written under a claim of {claim.clip}")
        self._root = root
        self._clip = clip
        self._claim = claim
        self._drop = drop
        self._source = source
        self._groups = groups
        self._final = clip_path(root, clip)
        self._temporary = claim.temporary(self._final)
        self._datasets: dict[str, h5py.Dataset] = {}
        self._spool: Spool | None = None
        self._file: h5py.File | None = None

    def __enter__(self) -> ClipWriter:
        refuse_packed(self._root, "store")
        with self._disk_errors():
            self._spool = self._open_spool()
            self._file = h5py.File(
                self._spool, "w", libver="v110", rdcc_nbytes=2 * CHUNK_BYTES, rdcc_w0=1.0
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._spool is not None:
            self._spool.close()
        self._temporary.unlink(missing_ok=True)

    def _open_spool(self) -> Spool:
        while True:
            self._final.parent.mkdir(parents=True, exist_ok=True)
            # An empty folder may be cleaned away between these two lines.
            with contextlib.suppress(FileNotFoundError):
                return Spool(self._temporary)

    @property
    def _open_file(self) -> h5py.File:
        if self._file is None:
            raise ValueError("the writer is used outside its 'with' block")
        return self._file

    def _spool_checked(self) -> None:
        if self._spool is not None:
            self._spool.check()

    def append(self, group: str, rows: Mapping[str, NDArray[Any]]) -> None:
        """Add rows to a group's datasets, which are made at the first call.

        Args:
            group: Path of the group, one of those named at the beginning.
            rows: Arrays of equal length by dataset name.

        Raises:
            GrjcaError: The disk is full or the store cannot be written.
        """
        with self._disk_errors():
            node = self._open_file.get(group)
            if node is None:
                node = self._open_file.create_group(group)
                node.attrs["digest"] = self._groups[group].digest
                node.attrs["config"] = json.dumps(self._groups[group].config)
                for name, values in rows.items():
                    create_dataset(node, name, values.shape[1:], values.dtype.str)
            for name, values in rows.items():
                path = f"{group}/{name}"
                # Kept open: closing a dataset would write its last chunk out, half filled, and
                # the next rows would have it read and written again.
                if path not in self._datasets:
                    self._datasets[path] = node[name]
                append_rows(self._datasets[path], values)
            self._spool_checked()

    def commit(
        self,
        media: Mapping[str, Any],
        *,
        about: Mapping[str, str] | None = None,
        people: int | None = None,
    ) -> None:
        """Finish the file and put it in its place, whole, in one step.

        Args:
            media: What probing told about the source, JSON-able, stored for the reader.
            about: What is known of the clip by the names in ``layout.ABOUT``; what the store
                already knows stays where nothing new is said.
            people: Where each person of a source has a file: how many there are.

        Raises:
            GrjcaError: Groups of unequal length, or the disk is full.
            ClaimLostError: Another run has taken the clip over; its work stays.
        """
        self._claim.confirm()
        with self._disk_errors():
            file = self._open_file
            self._carry_over(file)
            _check_rows(file, self._clip)
            time = file["frames/time"]
            rows = len(time)
            file.attrs["schema"] = SCHEMA
            file.attrs["version"] = VERSION
            file.attrs["clip"] = self._clip
            file.attrs["rows"] = rows
            file.attrs["fps"] = average_rate(time[0], time[-1], rows) if rows else np.nan
            file.attrs["source"] = json.dumps(asdict(self._source))
            file.attrs["media"] = json.dumps(media)
            for name in ABOUT:
                if about and about.get(name):
                    file.attrs[name] = about[name]
            if people is not None:
                file.attrs["people"] = people
            file.attrs["written_by"] = f"grjca {grjca.__version__}"
            file.close()
            self._file = None
            self._spool_checked()
            sync(self._temporary)
            self._claim.confirm()
            self._temporary.replace(self._final)
            sync(self._final.parent)

    def _carry_over(self, file: h5py.File) -> None:
        """Copy what the store already holds and this run did not write.

        Only groups of the same rows count: the same source content and the same decoding. A file
        that is damaged beyond reading is replaced, if this run wrote the rows itself.
        """
        if not self._final.is_file():
            return
        try:
            with open_clip(self._final) as old:
                for name in (*ABOUT, "people"):
                    if name in old.attrs:
                        file.attrs[name] = old.attrs[name]
                if old["frames"].attrs["digest"] == self._groups["frames"].digest:
                    for path in group_paths(old):
                        if path not in file and path not in self._drop:
                            _copy_group(old, file, path)
        except (DamagedError, OSError, RuntimeError, KeyError, ValueError) as error:
            self._spool_checked()
            if "frames" not in file:
                raise GrjcaError(
                    "store", self._clip, f"damaged file ({error})",
                    "Delete it and run extract again.",
                ) from error  # fmt: skip

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                # Who takes a clip over removes the temporary file.
                self._claim.confirm()
            cause = error.strerror or str(error)
            raise GrjcaError(
                "store", self._clip, f"cannot write {self._final.name}: {cause}",
                "Free some space or choose another --store; what is finished stays valid.",
            ) from error  # fmt: skip


def _copy_group(old: h5py.File, file: h5py.File, path: str) -> None:
    """Copy a group, unless it was made from another that was made anew, differently."""
    node = old[path]
    config = json.loads(node.attrs["config"])
    before = parent_of(path, config)
    if before is not None and before in old and before in file:
        was, now = (str(holder[before].attrs["digest"]) for holder in (old, file))
        if was != now and node.attrs["digest"] == group_digest(path, config, was):
            return
    parent, _, name = path.rpartition("/")
    old.copy(path, file.require_group(parent) if parent else file, name=name)


def _check_rows(file: h5py.File, clip: str) -> None:
    if "frames/time" not in file:
        raise GrjcaError(
            "store", clip, "the clip's file vanished or changed while features were added to it",
            "Run extract again.",
        )  # fmt: skip
    rows = len(file["frames/time"])
    lengths: dict[str, int] = {}
    file.visititems(
        lambda name, node: (
            lengths.update({name: len(node)}) if isinstance(node, h5py.Dataset) else None
        )
    )
    odd = {name: length for name, length in lengths.items() if length != rows}
    if odd:
        raise GrjcaError(
            "store",
            clip,
            f"groups of unequal length: {rows} frames, but {odd}",
            "Give every group a row per frame.",
        )


def remove_leftovers(root: Path) -> int:
    """Delete what stopped runs left: files by their claims, halves of index and reports, keys.

    Only the store's own folder is looked through, so that it costs nothing where clips are many.

    Returns:
        How many were deleted.

    Raises:
        GrjcaError: The store cannot be written.
    """
    try:
        removed = remove_stale(root)
        for folder in (root / HOUSE, root / HOUSE / "claims"):
            left = [path for path in folder.glob(".*") if is_left_over(path.name)]
            for path in left:
                # A folder holds the keys of a cluster's encrypted traffic.
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            removed += len(left)
    except OSError as error:
        raise GrjcaError(
            "store", root, f"cannot remove what a stopped run left: {error.strerror or error}",
            "Check the folder's permissions.",
        ) from error  # fmt: skip
    return removed
