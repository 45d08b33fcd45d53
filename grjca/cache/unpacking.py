"""A packed store back into one of a file per clip, to which features can be added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import h5py

from grjca.cache.claims import claim, owner_of
from grjca.cache.layout import (
    append_rows,
    claimed_as,
    clip_path,
    create_dataset,
    group_paths,
    open_clip,
)
from grjca.cache.shards import CONTENT, STATE, Content, blocks, state_of
from grjca.cache.spool import Spool
from grjca.cache.store import FeatureStore
from grjca.errors import GrjcaError, UsageError
from grjca.files import cannot_write, sync

_ODD = (OSError, RuntimeError, KeyError, ValueError, TypeError)


@dataclass
class UnpackReport:
    """What became of a packed store's clips.

    Attributes:
        unpacked: Clips that got a file now.
        kept: How many had an equal one.
        failed: What is wrong with the others.
    """

    unpacked: list[str] = field(default_factory=list)
    kept: int = 0
    failed: list[GrjcaError] = field(default_factory=list)

    def summary(self) -> str:
        """One line for a person."""
        return (
            f"{len(self.unpacked)} unpacked, {self.kept} already there, {len(self.failed)} failed"
        )


def unpack(
    packed: str | Path, out: str | Path, *, progress: Callable[[int], object] | None = None
) -> UnpackReport:
    """Give every clip of a packed store a file of its own, as ``extract`` would have written it.

    Args:
        packed: The packed store's folder; nothing in it is changed.
        out: The other store's folder; made if it is not there. A clip that it holds in another
            state is left as it is and reported.
        progress: Called with a number of clips whenever that many are finished.

    Raises:
        UsageError: ``packed`` is not packed, or ``out`` is.
        GrjcaError: The disk is full, or the folder cannot be written.
    """
    store, target = FeatureStore(packed), Path(out)
    if store.packed is None:
        raise UsageError("unpack", packed, "not a packed store", "Leave out --unpack to pack it.")
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(target, error) from error
    if FeatureStore(target).packed is not None:
        raise UsageError("unpack", out, "a packed store itself", "Choose another --out.")
    report = UnpackReport(failed=store.packed.errors())
    for clip in store.packed.readable():
        try:
            if _unpack_clip(store, clip, target):
                report.unpacked.append(clip)
            else:
                report.kept += 1
        except _DiskError:
            raise
        except GrjcaError as error:
            report.failed.append(error)
        if progress is not None:
            progress(1)
    return report


class _DiskError(GrjcaError):
    """Nothing more can be written."""


def _unpack_clip(store: FeatureStore, clip: str, root: Path) -> bool:
    """Write a clip's file; false where an equal one is there."""
    path = clip_path(root, clip)
    with store.open(clip) as node:
        if path.is_file():
            with open_clip(path) as file:
                if state_of(file) == state_of(node):
                    return False
            raise GrjcaError("unpack", clip, "the store holds it in another state",
                             "Choose another --out, or delete its file.")  # fmt: skip
        whole = claimed_as(clip, node)
        held = claim(root, whole)
        if held is None:
            raise GrjcaError("unpack", clip, f"in the hands of {owner_of(root, whole)}",
                             "Run it again when that run has ended.")  # fmt: skip
        with held:
            temporary = held.temporary(path)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                _write(node, temporary, clip)
                sync(temporary)
                held.confirm()
                temporary.replace(path)
                sync(path.parent)
            except OSError as error:
                raise _DiskError("unpack", path, f"cannot write it: {error.strerror or error}",
                                 "Free some space; what is finished stays.") from error  # fmt: skip
            finally:
                temporary.unlink(missing_ok=True)
    return True


def _write(node: h5py.Group, path: Path, clip: str) -> None:
    spool = Spool(path)
    try:
        with h5py.File(spool, "w", libver="v110") as file:
            try:
                _copy(node, file)
            except _ODD as error:
                spool.check()
                raise GrjcaError("store", clip, f"damaged in its shard ({error})",
                                 "Run verify on the packed store.") from error  # fmt: skip
        spool.check()
    finally:
        spool.close()


def _copy(node: h5py.Group, file: h5py.File) -> None:
    _copy_attributes(node, file)
    for path in group_paths(node):
        group = file.create_group(path)
        _copy_attributes(node[path], group)
        content = Content()
        for name in sorted(node[path]):
            source = node[path][name]
            content.array(name, source.dtype, source.shape)
            copy = create_dataset(group, name, source.shape[1:], source.dtype.str)
            for rows in blocks(source):
                values = source[rows]
                content.block(values)
                append_rows(copy, values)
        if content.digest() != node[path].attrs[CONTENT]:
            raise ValueError(f"{path} is not what was packed")


def _copy_attributes(source: h5py.Group, target: h5py.Group) -> None:
    for name, value in source.attrs.items():
        if name not in (STATE, CONTENT):
            target.attrs[name] = value
