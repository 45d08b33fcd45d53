"""Shards looked into from end to end; beside what holds for clips' files, the digests of arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import h5py

from grjca.cache.checking import Checked, Kind, check_node
from grjca.cache.layout import DamagedError, group_paths
from grjca.cache.open_files import OpenShards
from grjca.cache.shards import (
    CLIPS,
    CONTENT,
    STATE,
    clip_of,
    content_of,
    group_name,
    place_of,
    state_of,
)
from grjca.errors import GrjcaError

AGAIN = (
    "Delete the shard and run pack again; where the store it was packed from is gone, save the "
    "other clips first with pack --unpack."
)
ANEW = "Run extract on the store it was packed from, and pack again."

_ODD = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError)


@dataclass
class CheckedShard:
    """What was found out about a shard's file.

    Attributes:
        clips: The clips in it.
        found: Kind, what is wrong, and what to do, for each finding.
    """

    clips: list[str] = field(default_factory=list)
    found: list[tuple[Kind, str, str]] = field(default_factory=list)


def check_shard(shards: OpenShards, path: Path) -> CheckedShard:
    """Open a shard and list its clips."""
    checked = CheckedShard()
    try:
        with shards.use(path) as shard:
            for name in shard.file[CLIPS]:
                if group_name(clip_of(name)) == name:
                    checked.clips.append(clip_of(name))
                else:
                    checked.found.append(("foreign", f"{name!r} does not belong there", AGAIN))
            if shard.table is None:
                checked.found.append(("damaged", "its table of arrays cannot be read", AGAIN))
    except DamagedError as error:
        checked.found.append(("damaged", error.cause, AGAIN))
    except GrjcaError as error:
        checked.found.append(("foreign", error.cause, error.remedy))
    except _ODD as error:
        checked.found.append(("damaged", f"its clips cannot be listed ({error})", AGAIN))
    return checked


def check_packed(shards: OpenShards, path: Path, clip: str) -> Checked:
    """Read a clip of a shard whole and compare it with what it promises.

    Memory stays bounded whatever the file claims.
    """
    checked = Checked()
    try:
        with shards.use(path) as shard:
            node = shard.file[place_of(clip)]
            if check_node(node, lambda: clip, checked, packed=True) and not checked.found:
                _check_contents(node, checked)
            if shard.table is not None and not checked.found:
                wrong = shard.table.wrong(shard.handle, clip)
                if wrong:
                    checked.add("damaged", f"in the table of arrays, {wrong}", AGAIN)
    except GrjcaError as error:
        checked.add("damaged", error.cause, AGAIN)
    except _ODD as error:
        checked.add("damaged", f"{error}", AGAIN)
    remedies = {"damaged": AGAIN, "stale": ANEW, "foreign": AGAIN}
    checked.found = [(kind, what, remedies[kind]) for kind, what, _ in checked.found]
    return checked


def _check_contents(node: h5py.Group, checked: Checked) -> None:
    for path in group_paths(node):
        if content_of(node[path]) != node[path].attrs[CONTENT]:
            checked.add("damaged", f"{path} is not what was packed", AGAIN)
    if state_of(node) != node.attrs[STATE]:
        checked.add("damaged", "its attributes are not those that were packed", AGAIN)
