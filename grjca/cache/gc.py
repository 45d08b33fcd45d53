"""Removing groups that nobody names any more, and what killed runs left behind."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import h5py

from grjca.cache import FeatureStore
from grjca.cache.claims import claim, owner_of
from grjca.cache.keys import GroupKey
from grjca.cache.layout import DamagedError, claimed_as, group_paths, identity_of, open_clip
from grjca.cache.leftovers import Stray, clip_files, remove, strays
from grjca.cache.shard_folder import shard_folder
from grjca.cache.writer import ClipWriter
from grjca.errors import GrjcaError, UsageError

ALWAYS = ("frames", "faces")
"""Groups that are never removed: everything else is made from them."""

_ODD = (OSError, RuntimeError, KeyError, ValueError, TypeError)


@dataclass
class Collected:
    """What is, or would be, removed from a store.

    Attributes:
        clips: In how many clips, by the path of each group that goes.
        bytes: Bytes of features that this frees, by the same.
        strays: Temporary files, claims and folders left behind.
        failed: Clips that could not be looked into, or not be written.
        deleted: It is done; false when it was only listed.
    """

    clips: Counter[str] = field(default_factory=Counter)
    bytes: Counter[str] = field(default_factory=Counter)
    strays: list[Stray] = field(default_factory=list)
    failed: list[GrjcaError] = field(default_factory=list)
    deleted: bool = False

    def count(self, groups: Mapping[str, int]) -> None:
        """Add one clip's groups with their bytes."""
        self.clips.update(groups.keys())
        self.bytes.update(groups)


def gc(
    root: Path,
    keep: Collection[str] = (),
    *,
    delete: bool = False,
    progress: Callable[[int], object] | None = None,
) -> Collected:
    """Remove groups that are not named, and what killed runs left behind.

    ``frames`` and ``faces`` always stay. A clip's file is written anew, in one step, while the
    clip is claimed; clips that another run has in hand are left alone and reported. Of a
    packed store, the shards are written anew.

    Args:
        root: The store's folder.
        keep: Paths of the groups that stay, for example ``visual/fer``; when empty, all stay and
            only leftovers go.
        delete: Do it; otherwise only tell what would go.
        progress: Called with a number of clips whenever that many are finished.

    Raises:
        UsageError: A name to keep that no clip has, or that is no group's.
        GrjcaError: There is no such store.
    """
    store = FeatureStore(root)
    collected = Collected(deleted=delete)
    if keep:
        _collect_groups(store, frozenset(keep), collected, progress)
    if not delete:
        collected.strays = _removable(root)
    # Removing the last file of a folder makes another one empty.
    while delete and (gone := [s for s in _removable(root) if _remove(s, root, collected)]):
        collected.strays += gone
    return collected


def _collect_groups(
    store: FeatureStore,
    keep: frozenset[str],
    collected: Collected,
    progress: Callable[[int], object] | None,
) -> None:
    known: set[str] = set()
    drops: dict[str, dict[str, int]] = {}
    for found in _all_groups(store):
        if isinstance(found, GrjcaError):
            collected.failed.append(found)
            continue
        clip, groups = found
        known |= set(groups)
        drop = {group: size for group, size in groups.items() if group not in keep}
        if drop:
            drops[clip] = drop
    unknown = sorted(keep - known - set(ALWAYS))
    if unknown:
        raise UsageError(
            "gc", store.root, f"no clip has {', '.join(unknown)}",
            f"There are: {', '.join(sorted(known)) or 'none'}.",
        )  # fmt: skip
    if not collected.deleted:
        for drop in drops.values():
            collected.count(drop)
    elif store.packed is not None:
        _drop_packed(store.root, drops, keep, collected, progress)
    else:
        _drop_all(store, drops, keep, collected, progress)


def _all_groups(store: FeatureStore) -> Iterator[tuple[str, dict[str, int]] | GrjcaError]:
    """Every clip with the bytes of each group that can go; an error for what cannot be read."""
    if store.packed is not None:
        yield from store.packed.errors()
        for clip in store.packed.readable():
            try:
                with store.open(clip) as node:
                    yield clip, _sizes(node)
            except _ODD as error:
                yield store.packed.damaged(clip, error)
            except GrjcaError as error:
                yield error
        return
    for path in clip_files(store.root):
        try:
            yield _named_groups(store.root, path)
        except GrjcaError as error:
            yield error


def _drop_all(
    store: FeatureStore,
    clips: Iterable[str],
    keep: frozenset[str],
    collected: Collected,
    progress: Callable[[int], object] | None,
) -> None:
    for clip in clips:
        try:
            collected.count(_drop(store, clip, keep))
        except GrjcaError as error:
            collected.failed.append(error)
        if progress is not None:
            progress(1)


def _drop_packed(
    root: Path,
    drops: Mapping[str, Mapping[str, int]],
    keep: frozenset[str],
    collected: Collected,
    progress: Callable[[int], object] | None,
) -> None:
    """Write the shards anew of which a clip has groups that are not kept."""
    with shard_folder(root, "gc") as folder:
        for shard in folder.shards:
            clips = folder.living(shard)
            mine = [clip for clip in clips if clip in drops]
            if mine:
                try:
                    folder.rewrite(shard, clips, keep | set(ALWAYS))
                except DamagedError as error:
                    collected.failed.append(error)
                else:
                    for clip in mine:
                        collected.count(drops[clip])
            if progress is not None:
                progress(len(mine))


def _named_groups(root: Path, path: Path) -> tuple[str, dict[str, int]]:
    """A file's clip, and the bytes of each group that can go."""
    try:
        with open_clip(path) as file:
            return identity_of(root, path), _sizes(file)
    except _ODD as error:
        raise GrjcaError(
            "store", path.relative_to(root), f"damaged file ({error})",
            "Delete it and run extract again.",
        ) from error  # fmt: skip


def _sizes(file: h5py.File) -> dict[str, int]:
    return {
        path: sum(int(node.id.get_storage_size()) for node in file[path].values())
        for path in group_paths(file)
        if path not in ALWAYS
    }


def _drop(store: FeatureStore, clip: str, keep: frozenset[str]) -> dict[str, int]:
    """Write a clip's file anew without the groups that are not kept; what went, with its bytes."""
    with store.open(clip) as file:
        whole = claimed_as(clip, file)
    held = claim(store.root, whole)
    if held is None:
        raise GrjcaError(
            "gc", clip, f"in the hands of {owner_of(store.root, whole)}", "Run gc again later."
        )
    with held:
        with store.open(clip) as file:
            drop = {path: size for path, size in _sizes(file).items() if path not in keep}
            keys = {
                path: GroupKey(json.loads(file[path].attrs["config"]), file[path].attrs["digest"])
                for path in group_paths(file)
            }
            media = json.loads(file.attrs["media"])
        with ClipWriter(store.root, clip, store.source(clip), keys, held, drop=drop) as writer:
            writer.commit(media)
    return drop


def _removable(root: Path) -> list[Stray]:
    return [stray for stray in strays(root) if stray.kind != "foreign"]


def _remove(stray: Stray, root: Path, collected: Collected) -> bool:
    try:
        return remove(stray, root)
    except OSError as error:
        cause = f"cannot be removed: {error.strerror or error}"
        collected.failed.append(GrjcaError("gc", stray.path, cause, "Check its permissions."))
        return False
