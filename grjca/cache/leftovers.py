"""What lies in a store and is no clip: remains of runs that were killed, and files of others."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from grjca.cache import claims
from grjca.cache.layout import HOUSE, SUFFIX, TEMPORARY
from grjca.cache.owners import clock_of
from grjca.cache.shard_index import list_shards
from grjca.cache.shards import is_packed
from grjca.errors import GrjcaError
from grjca.files import TEMPORARY_NAME, is_left_over

DAY = 86400.0
"""Seconds after which a temporary file that names no claim counts as left behind."""

_CLAIMED = re.compile(rf"\.([0-9a-f]{{32}})-\d+{re.escape(TEMPORARY)}")


@dataclass(frozen=True)
class Stray:
    """Something in a store that is no clip's file.

    Attributes:
        path: Where it lies.
        kind: ``temporary``, ``claim``, ``empty`` (a folder) or ``foreign``.
        what: What it is, for people.
    """

    path: Path
    kind: Literal["temporary", "claim", "empty", "foreign"]
    what: str


def strays(root: Path) -> list[Stray]:
    """Remains of runs that are gone, empty folders, and files that this program did not write.

    What belongs to a living run is left out.

    Raises:
        GrjcaError: The store cannot be read.
    """
    try:
        # In this order: whose temporary file is found holds its claim until it is gone.
        found = list(_files_and_folders(root))
        living = set(_living_tokens(root))
        return [stray for stray in found if _is_left(stray, living)] + list(_stale_claims(root))
    except OSError as error:
        raise GrjcaError("store", root, str(error), "Check the folder's permissions.") from error


def remove(stray: Stray, root: Path) -> bool:
    """Remove a remain or an empty folder; False where it is gone or in use by now.

    Raises:
        OSError: It cannot be removed.
    """
    if stray.kind == "claim":
        claims.remove_stale(root)
        return not stray.path.exists()
    try:
        if stray.kind == "empty":
            stray.path.rmdir()
        elif stray.kind == "temporary":
            stray.path.unlink()
        else:
            return False
    except FileNotFoundError:
        return False
    except OSError:
        if stray.kind == "empty" and any(stray.path.iterdir()):
            return False
        raise
    return True


def clip_names(root: Path) -> Iterator[str]:
    """The name of every clip, by its file's name or by the packed store's index.

    Raises:
        GrjcaError: The store cannot be read.
    """
    if is_packed(root):
        for shard in list_shards(root):
            yield from shard.clips
        return
    for path in clip_files(root):
        yield path.relative_to(root).as_posix().removesuffix(SUFFIX)


def clip_files(root: Path) -> Iterator[Path]:
    """Every file that should be a clip's, folder by folder."""
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not (here == root and name == HOUSE))
        yield from (here / name for name in sorted(files) if name.endswith(SUFFIX))


def _files_and_folders(root: Path) -> Iterator[Stray]:
    now = None
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        inside = HOUSE in here.relative_to(root).parts[:1]
        if not folders and not files and here != root and not inside:
            yield Stray(here, "empty", "an empty folder")
        for name in sorted(folders):
            if (here / name).is_symlink():
                yield Stray(here / name, "foreign", "a link to a folder, which is not looked into")
        for name in sorted(files):
            path = here / name
            if _CLAIMED.fullmatch(name):
                yield Stray(path, "temporary", "a temporary file of a run that is gone")
            elif is_left_over(name):
                yield Stray(path, "temporary", "a temporary file of a process that is gone")
            elif TEMPORARY_NAME.fullmatch(name):
                now = clock_of(root / HOUSE) if now is None else now
                if _age(path, now) > DAY:
                    yield Stray(path, "temporary", "a temporary file older than a day")
            elif not inside and not name.endswith(SUFFIX):
                yield Stray(path, "foreign", "not a file of this program")


def _age(path: Path, now: float) -> float:
    try:
        return now - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _living_tokens(root: Path) -> Iterator[str]:
    for seen in claims.sightings(root):
        if seen.owner is not None and not seen.stale():
            yield seen.owner.token


def _stale_claims(root: Path) -> Iterator[Stray]:
    for seen in claims.sightings(root):
        if seen.stale():
            yield Stray(seen.path, "claim", f"a claim of {seen.owner or 'a run'} that is gone")


def _is_left(stray: Stray, living: set[str]) -> bool:
    claimed = _CLAIMED.fullmatch(stray.path.name)
    return claimed is None or stray.kind != "temporary" or claimed[1] not in living
