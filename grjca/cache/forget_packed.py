"""Removing a person from a packed store: the shards are written anew without the person's clips."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from grjca.cache.layout import DamagedError, claimed_as
from grjca.cache.shard_folder import shard_folder
from grjca.cache.shard_index import list_shards
from grjca.cache.shards import open_shard, place_of
from grjca.errors import GrjcaError

_ODD = (OSError, RuntimeError, KeyError, ValueError, TypeError)


@dataclass(frozen=True)
class PackedClip:
    """A copy of a clip in a shard: whom it says it shows, and the clip whose person it is."""

    clip: str
    subject: str | None
    whole: str


def look(root: Path) -> Iterator[PackedClip | GrjcaError]:
    """Every copy of every clip, old ones too; an error for what cannot be read.

    Raises:
        GrjcaError: The folder cannot be read.
    """
    for shard in list_shards(root):
        if shard.error is not None:
            yield shard.error
            continue
        try:
            file = open_shard(root / shard.name)
        except GrjcaError as error:
            yield error
            continue
        with file:
            for clip in shard.clips:
                try:
                    node = file[place_of(clip)]
                    subject, whole = node.attrs.get("subject"), claimed_as(clip, node)
                except _ODD as error:
                    yield GrjcaError(
                        "store",
                        clip,
                        f"damaged in {shard.name} ({error})",
                        "See what is wrong with: grjca verify.",
                    )
                    continue
                yield PackedClip(clip, str(subject) if subject else None, whole)


def names(root: Path) -> set[str]:
    """The clips of all shards of which that is known.

    Raises:
        GrjcaError: The folder cannot be read.
    """
    return {clip for shard in list_shards(root) for clip in shard.clips}


def remove(root: Path, clips: Sequence[str]) -> tuple[list[str], list[GrjcaError]]:
    """Write the shards anew that hold any of these clips, and the index.

    Returns:
        Clips of which nothing is left, and why others may still be there.

    Raises:
        GrjcaError: Another run has the store in hand, or the disk is full.
    """
    failed: list[GrjcaError] = []
    with shard_folder(root, "forget") as folder:
        failed += folder.damaged
        for shard in folder.shards:
            try:
                folder.remove(frozenset(clips), [shard.name])
            except DamagedError as error:
                failed.append(error)
        left = {clip for shard in folder.shards for clip in shard.clips}
    return [clip for clip in clips if clip not in left], failed
