"""Which clips lie in which shard of a packed store, remembered in one file.

The index is only a memory: what it says of a shard counts while the shard's file has the size and
time of change it had then; otherwise the names of its groups are read. Of two shards with the same
clip the one of the higher number counts: a clip that is packed anew goes into a later shard before
its old copy is removed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from grjca.cache.layout import HOUSE, SUFFIX, clip_path
from grjca.cache.shards import CLIPS, INDEX, clip_of, open_shard, shard_number
from grjca.errors import GrjcaError
from grjca.files import written_in_one_step


@dataclass(frozen=True)
class Known:
    """What is known of a packed clip; nothing where the index was lost.

    Attributes:
        state: See ``shards.state_of``.
        size: Bytes of the clip's own file when it was packed or last compared.
        mtime_ns: Its time of change.
    """

    state: str | None = None
    size: int | None = None
    mtime_ns: int | None = None


UNKNOWN = Known()


@dataclass(frozen=True)
class Shard:
    """A shard and the clips in it.

    Attributes:
        name: Its file name.
        size: Bytes of its file.
        mtime_ns: Time of change of its file.
        clips: What is known of each clip.
        error: Why it cannot be read, if it was tried; ``clips`` is then what the index knew.
    """

    name: str
    size: int
    mtime_ns: int
    clips: dict[str, Known]
    error: GrjcaError | None = None

    @property
    def number(self) -> int:
        """The number in its name."""
        number = shard_number(self.name)
        if number is None:
            raise ValueError(f"{self.name} is no shard's name")
        return number


def list_shards(root: Path) -> list[Shard]:
    """All shards of a packed store, by number, with the clips in them.

    Raises:
        GrjcaError: The folder cannot be read.
    """
    known = _load(root / HOUSE / INDEX)
    return [_listed(root, stamp, known.get(stamp[0])) for stamp in stamps(root)]


def stamps(root: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of change of every shard's file, by number.

    Raises:
        GrjcaError: The folder cannot be read.
    """
    found = []
    try:
        with os.scandir(root) as entries:
            for entry in entries:
                number = shard_number(entry.name)
                if number is not None and entry.is_file():
                    stat = entry.stat()
                    found.append((number, (entry.name, stat.st_size, stat.st_mtime_ns)))
    except OSError as error:
        raise GrjcaError("store", root, str(error), "Check the folder's permissions.") from error
    return [stamp for _, stamp in sorted(found)]


def _listed(root: Path, stamp: tuple[str, int, int], known: Shard | None) -> Shard:
    if known is not None and (known.name, known.size, known.mtime_ns) == stamp:
        return known
    try:
        return Shard(*stamp, dict.fromkeys(names_in(root / stamp[0]), UNKNOWN))
    except GrjcaError as error:
        return Shard(*stamp, known.clips if known is not None else {}, error)


def names_in(path: Path) -> list[str]:
    """The clips in a shard.

    Raises:
        GrjcaError: It cannot be read.
    """
    with open_shard(path) as file:
        try:
            return [clip_of(name) for name in file[CLIPS]]
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise GrjcaError("store", path.name, f"damaged file ({error})",
                             "Delete the shard and run pack again.") from error  # fmt: skip


def in_order(clips: Iterable[str]) -> list[str]:
    """Clips in the order in which a store of a file per clip lists them."""
    return sorted(clips, key=_place)


def _place(clip: str) -> list[str]:
    if len(clip) > 40:
        # A long name is shortened on disk.
        return list(clip_path(Path(), clip).parts)
    return (clip + SUFFIX).split("/")


def save_shards(root: Path, shards: Sequence[Shard]) -> None:
    """Write the index in one step.

    Raises:
        GrjcaError: It cannot be written.
    """
    path = root / HOUSE / INDEX
    with written_in_one_step(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for shard in shards:
            if shard.error is not None:
                continue
            clips = [[clip, k.state, k.size, k.mtime_ns] for clip, k in shard.clips.items()]
            told = {
                "shard": shard.name, "size": shard.size, "mtime_ns": shard.mtime_ns, "clips": clips
            }  # fmt: skip
            stream.write(json.dumps(told, separators=(",", ":")) + "\n")


def _load(path: Path) -> dict[str, Shard]:
    shards = {}
    try:
        with path.open(encoding="utf-8") as stream:
            for line in stream:
                try:
                    told = json.loads(line)
                    clips = {clip: Known(*known) for clip, *known in told["clips"]}
                    shard = Shard(told["shard"], told["size"], told["mtime_ns"], clips)
                except (ValueError, TypeError, KeyError, AttributeError):
                    # Another release's or a torn line: the shard itself will be asked.
                    continue
                shards[shard.name] = shard
    except (OSError, UnicodeDecodeError):
        # As if it were lost.
        return shards
    return shards
