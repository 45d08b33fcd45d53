"""Writing one clip: streamed into a temporary file, merged, synced and renamed in one step."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

import grjca
from grjca.cache.keys import Recipe, SourceId, average_rate
from grjca.cache.layout import (
    HOUSE,
    SCHEMA,
    TEMPORARY,
    VERSION,
    append_rows,
    clip_path,
    create_dataset,
    open_clip,
)
from grjca.cache.spool import Spool
from grjca.errors import GrjcaError
from grjca.files import sync


class ClipWriter:
    """Writes groups of one clip; nothing is seen in the store before :meth:`commit`.

    Use as a context manager: leaving it without a commit throws the temporary file away. On
    commit, groups that the store already has for the same source and that were not written now
    are carried over, so that two runs adding different embedders both land.

    Args:
        root: The store's folder; made if it is not there.
        clip: The clip's identity.
        source: The source file's size, time of change and content.
        recipe: What the groups are made by.

    Raises:
        GrjcaError: The store cannot be written (no permission, full disk).
    """

    def __init__(self, root: Path, clip: str, source: SourceId, recipe: Recipe) -> None:
        self._root = root
        self._clip = clip
        self._source = source
        self._configs = recipe.group_configs()
        self._digests = recipe.group_digests(source.sha256)
        self._final = clip_path(root, clip)
        owner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._temporary = self._final.parent / f".{owner}{TEMPORARY}"
        self._spool: Spool | None = None
        self._file: h5py.File | None = None

    def __enter__(self) -> ClipWriter:
        with self._disk_errors():
            self._final.parent.mkdir(parents=True, exist_ok=True)
            self._spool = Spool(self._temporary)
            self._file = h5py.File(self._spool, "w", libver="v110")
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
            group: Path of the group, one of those the recipe names.
            rows: Arrays of equal length by dataset name.

        Raises:
            GrjcaError: The disk is full or the store cannot be written.
        """
        with self._disk_errors():
            node = self._open_file.get(group)
            if node is None:
                node = self._open_file.create_group(group)
                node.attrs["digest"] = self._digests[group]
                node.attrs["config"] = json.dumps(self._configs[group])
                for name, values in rows.items():
                    create_dataset(node, name, values.shape[1:], values.dtype.str)
            for name, values in rows.items():
                append_rows(node[name], values)
            self._spool_checked()

    def commit(self, media: Mapping[str, Any]) -> None:
        """Finish the file and put it in its place, whole, in one step.

        Args:
            media: What probing told about the source, JSON-able, stored for the reader.

        Raises:
            GrjcaError: Groups of unequal length, or the disk is full.
        """
        with self._disk_errors(), _store_lock(self._root):
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
            file.attrs["written_by"] = f"grjca {grjca.__version__}"
            file.close()
            self._file = None
            self._spool_checked()
            sync(self._temporary)
            self._temporary.replace(self._final)
            sync(self._final.parent)

    def _carry_over(self, file: h5py.File) -> None:
        """Copy the groups the store already holds and this run did not write.

        Only groups of the same rows count: the same source content and the same decoding.
        """
        if not self._final.is_file():
            return
        with open_clip(self._final) as old:
            if old["frames"].attrs["digest"] != self._digests["frames"]:
                return
            wanted = [path for path in ("frames", "faces") if path not in file]
            # Embeddings of faces found another way do not belong beside the new faces.
            same_faces = (
                "faces" in wanted or old["faces"].attrs["digest"] == file["faces"].attrs["digest"]
            )
            kinds = ("visual", "audio") if same_faces else ("audio",)
            for kind in kinds:
                known = file.get(kind, {})
                wanted += [f"{kind}/{name}" for name in old.get(kind, {}) if name not in known]
            for path in wanted:
                parent, _, name = path.rpartition("/")
                old.copy(path, file.require_group(parent) if parent else file, name=name)

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            cause = error.strerror or str(error)
            raise GrjcaError(
                "store", self._clip, f"cannot write {self._final.name}: {cause}",
                "Free some space or choose another --store; what is finished stays valid.",
            ) from error  # fmt: skip


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
        raise GrjcaError("store", clip, f"groups of unequal length: {rows} frames, but {odd}")


@contextlib.contextmanager
def _store_lock(root: Path) -> Iterator[None]:
    """Only one process at a time merges into a store; the system frees the lock of a dead one."""
    house = root / HOUSE
    house.mkdir(parents=True, exist_ok=True)
    with (house / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def remove_leftovers(root: Path) -> int:
    """Delete temporary files whose writer on this host is no longer alive.

    Returns:
        How many were deleted.
    """
    host = socket.gethostname()
    removed = 0
    for path in root.rglob(f".*{TEMPORARY}"):
        owner, _, rest = path.name.removeprefix(".").rpartition("-")
        name, _, pid = owner.rpartition("-")
        if rest and name == host and pid.isdigit() and not Path(f"/proc/{pid}").exists():
            path.unlink(missing_ok=True)
            removed += 1
    return removed
