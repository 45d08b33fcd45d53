"""Removing a person from a store."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from grjca.cache import FeatureStore, forget_packed
from grjca.cache.claims import claim, owner_of, remove_stale
from grjca.cache.index import NAME, forget_entries
from grjca.cache.layout import (
    HOUSE,
    check_identity,
    claimed_as,
    clip_path,
    identity_of,
    open_clip,
    person_clip,
)
from grjca.cache.leftovers import clip_files, remove, strays
from grjca.cache.shards import INDEX, is_packed
from grjca.errors import GrjcaError
from grjca.files import sync

_ODD = (OSError, RuntimeError, KeyError, ValueError, TypeError)


@dataclass
class Search:
    """What a store holds of a person.

    Attributes:
        clips: The clip of each file, by the clip it is claimed as.
        unknown: Clips that say nothing about their subject, of those not found.
        unreadable: Files that cannot be read, of which it is not known whose they are.
    """

    clips: dict[str, list[str]] = field(default_factory=dict)
    unknown: int = 0
    unreadable: list[GrjcaError] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Every clip found."""
        return [clip for clips in self.clips.values() for clip in clips]


@dataclass
class Forgotten:
    """What was removed from a store.

    Attributes:
        clips: Clips whose file is gone.
        notes: Other files that are gone: reports of runs, remains of killed ones.
        failed: Clips that are still there, and why.
    """

    clips: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: list[GrjcaError] = field(default_factory=list)


def search(root: Path, *, subjects: Collection[str] = (), clips: Sequence[str] = ()) -> Search:
    """Find a person's clips.

    Args:
        root: The store's folder.
        subjects: Values of the attribute ``subject``; compared as they are, case included.
        clips: Names of clips; one of which each person has a file stands for all of them.

    Raises:
        GrjcaError: There is no such store, or no such clip in it.
    """
    store = FeatureStore(root)
    if store.packed is not None:
        return _search_packed(store.root, subjects, clips)
    found = Search()
    for clip in clips:
        for name in _files_of(clip, lambda name: clip_path(store.root, name).is_file()):
            _add(found, store.root, name)
    for path in clip_files(store.root) if subjects else ():
        try:
            with open_clip(path) as file:
                subject = file.attrs.get("subject")
                clip = identity_of(store.root, path)
        except GrjcaError as error:
            found.unreadable.append(error)
            continue
        except _ODD as error:
            cause = f"damaged file ({error})"
            found.unreadable.append(
                GrjcaError(
                    "store",
                    path.relative_to(store.root),
                    cause,
                    "See what is wrong with: grjca verify.",
                )
            )
            continue
        if subject is not None and str(subject) in subjects:
            _add(found, store.root, clip)
        elif not subject and clip not in found.names:
            found.unknown += 1
    return found


def _search_packed(root: Path, subjects: Collection[str], clips: Sequence[str]) -> Search:
    found, there = Search(), forget_packed.names(root)
    asked = {name for clip in clips for name in _files_of(clip, there.__contains__)}
    unknown: set[str] = set()
    for seen in forget_packed.look(root):
        if isinstance(seen, GrjcaError):
            if subjects:
                found.unreadable.append(seen)
        elif seen.clip in asked or seen.subject in subjects:
            names = found.clips.setdefault(seen.whole, [])
            if seen.clip not in names:
                names.append(seen.clip)
        elif subjects and seen.subject is None:
            unknown.add(seen.clip)
    for clip in asked.difference(found.names):
        # Damaged, and to be removed all the same.
        found.clips[clip] = [clip]
    found.unknown = len(unknown.difference(found.names))
    return found


def forget(root: Path, found: Search) -> Forgotten:
    """Remove what was found: the files, their lines in the index, and all reports of runs.

    Shards of a packed store are written anew without the clips. What another run has in hand
    stays, and is reported. Files are unlinked; see
    ``docs/privacy.md`` for what that does not reach.

    Raises:
        GrjcaError: The index cannot be written.
    """
    done = Forgotten()
    if is_packed(root):
        try:
            done.clips, done.failed = forget_packed.remove(root, found.names)
        except GrjcaError as error:
            done.failed.append(error)
        _remove_notes(root, done)
        return done
    for whole, clips in found.clips.items():
        try:
            _remove_clips(root, whole, clips, done)
        except GrjcaError as error:
            done.failed.append(error)
        except OSError as error:
            cause = f"cannot be removed: {error.strerror or error}"
            done.failed.append(GrjcaError("forget", whole, cause, "Check its permissions."))
    forget_entries(root, found.names)
    _remove_notes(root, done)
    return done


def _add(found: Search, root: Path, clip: str) -> None:
    try:
        with open_clip(clip_path(root, clip)) as file:
            whole = claimed_as(clip, file)
    except (GrjcaError, *_ODD):
        # Damaged: whoever would write it claims it by the name it lies under.
        whole = clip
    names = found.clips.setdefault(whole, [])
    if clip not in names:
        names.append(clip)


def _files_of(clip: str, is_there: Callable[[str], bool]) -> list[str]:
    """The clips that a name stands for: itself and its people.

    Raises:
        GrjcaError: Not a clip's name, or none of them is there.
    """
    check_identity(clip)
    files = [clip] if is_there(clip) else []
    number = 1
    while is_there(person := person_clip(clip, number)):
        files.append(person)
        number += 1
    if not files:
        raise GrjcaError(
            "forget", clip, "no such clip in the store",
            "grjca inspect STORE lists them; nothing was removed.",
        )  # fmt: skip
    return files


def _remove_clips(root: Path, whole: str, clips: Sequence[str], done: Forgotten) -> None:
    held = claim(root, whole)
    if held is None:
        raise GrjcaError(
            "forget", whole, f"in the hands of {owner_of(root, whole)}",
            "Run forget again when that run has ended.",
        )  # fmt: skip
    with held:
        for clip in clips:
            path = clip_path(root, clip)
            path.unlink(missing_ok=True)
            sync(path.parent)
            done.clips.append(clip)


def _remove_notes(root: Path, done: Forgotten) -> None:
    """Remove all that can name a clip: reports, remains, and folders that have become empty."""
    remove_stale(root)
    house = root / HOUSE
    notes = [
        path
        for path in house.rglob("*")
        if path.is_file()
        and path not in (house / NAME, house / INDEX)
        and path.relative_to(house).parts[0] != "claims"
    ]
    for path in notes:
        path.unlink(missing_ok=True)
        done.notes.append(path.relative_to(root).as_posix())
    # Removing the last file of a folder makes another one empty.
    while sum(remove(stray, root) for stray in strays(root) if stray.kind != "foreign"):
        pass
