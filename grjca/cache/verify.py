"""Looking a whole store through for damaged, stale and foreign files; nothing is changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grjca.cache.checker import COMMAND, Checker
from grjca.cache.checking import AGAIN, ANEW, OUT, Kind
from grjca.cache.checking_shards import AGAIN as PACK_AGAIN
from grjca.cache.keys import SourceId
from grjca.cache.leftovers import clip_files, strays
from grjca.cache.shards import is_packed, shard_number
from grjca.errors import GrjcaError, one_line

_NUMBERED = re.compile(r"(.*)@(\d+)", re.DOTALL)


@dataclass(frozen=True)
class Finding:
    """Something wrong in a store.

    Attributes:
        path: Where, relative to the store.
        kind: ``damaged`` (cannot be read, or contradicts itself), ``stale`` (does not belong to
            what it says it was made from, or was left behind) or ``foreign`` (not a file of
            this program, or not in its place).
        what: What is wrong.
        remedy: What to do about it.
    """

    path: str
    kind: Kind
    what: str
    remedy: str

    def __str__(self) -> str:
        return one_line(f"{self.kind:8} {self.path}: {self.what}. {self.remedy}")


def verify(root: Path, *, sources: Mapping[str, Path] | None = None) -> list[Finding]:
    """Everything wrong in a store; see :func:`findings`."""
    return list(findings(root, sources=sources))


def findings(
    root: Path,
    *,
    sources: Mapping[str, Path] | None = None,
    progress: Callable[[int], object] | None = None,
    command: Sequence[str] = COMMAND,
) -> Iterator[Finding]:
    """Everything wrong in a store, as it is found; every chunk of every clip is read.

    Each file is read in a child process, so that one which crashes the HDF5 library, or makes it
    run for ever, is a finding as others are.

    Args:
        root: The store's folder.
        sources: The file each clip was made from, as far as it is at hand, to compare contents.
        progress: Called with a number of clips whenever that many are finished.
        command: What checks a file: reads requests and prints answers.

    Raises:
        GrjcaError: There is no such store, or it cannot be read.
    """
    if not root.is_dir():
        raise GrjcaError("store", root, "no such folder", "Make a store with: grjca extract.")
    people: dict[str, dict[int, tuple[int, str | None]]] = {}
    with Checker(command) as checker:
        looks = _look_packed if is_packed(root) else _look
        for answer in looks(root, checker, progress or (lambda _: None)):
            if isinstance(answer, Finding):
                yield answer
                continue
            clip = answer["clip"]
            numbered = _NUMBERED.fullmatch(clip or "") if answer["people"] is not None else None
            if numbered:
                known = people.setdefault(numbered[1], {})
                known[int(numbered[2])] = (answer["people"], answer["faces"])
                clip = numbered[1]
            if sources and clip in sources and answer["source"] is not None:
                yield from _compare(answer["place"], sources[clip], answer["source"])
    yield from _incomplete(people)
    for stray in strays(root):
        place = stray.path.relative_to(root).as_posix()
        if stray.kind == "foreign":
            yield Finding(place, "foreign", stray.what, OUT)
        elif stray.kind != "empty":
            yield Finding(place, "stale", stray.what, "Remove it with: grjca gc STORE --delete.")


def _look(
    root: Path, checker: Checker, progress: Callable[[int], object]
) -> Iterator[Finding | dict[str, Any]]:
    """What is wrong in each clip's file, and what is known of it."""
    for path in clip_files(root):
        place = path.relative_to(root).as_posix()
        answer = checker.ask(root, path)
        progress(1)
        yield from _told(place, answer, AGAIN)


def _look_packed(
    root: Path, checker: Checker, progress: Callable[[int], object]
) -> Iterator[Finding | dict[str, Any]]:
    """The same for each clip of each shard."""
    before: dict[str, str] = {}
    for path in clip_files(root):
        name = path.relative_to(root).as_posix()
        if shard_number(name) is None:
            yield Finding(name, "foreign", "not a shard of this packed store", OUT)
            continue
        listed = checker.ask(root, path, shard=True)
        if isinstance(listed, str):
            yield Finding(name, "damaged", listed, PACK_AGAIN)
            continue
        yield from (Finding(name, *found) for found in listed["found"])
        for clip in listed["clips"]:
            if clip in before:
                old = f"{before[clip]}:{clip}"
                remedy = "Run pack again: it removes the old one."
                yield Finding(old, "stale", f"there is a newer copy in {name}", remedy)
            before[clip] = name
            answer = checker.ask(root, path, clip=clip)
            progress(1)
            yield from _told(f"{name}:{clip}", answer, PACK_AGAIN)


def _told(
    place: str, answer: dict[str, Any] | str, remedy: str
) -> Iterator[Finding | dict[str, Any]]:
    if isinstance(answer, str):
        yield Finding(place, "damaged", answer, remedy)
        return
    yield from (Finding(place, *found) for found in answer["found"])
    yield answer | {"place": place}


def _compare(place: str, source: Path, sha256: str) -> Iterator[Finding]:
    try:
        changed = SourceId.of(source).sha256 != sha256
    except OSError as error:
        cause = f"its source cannot be read ({error.strerror})"
        yield Finding(place, "stale", cause, "Check the path and its permissions.")
        return
    if changed:
        remedy = "Run extract --overwrite to make it anew."
        yield Finding(place, "stale", "its source has another content now", remedy)


def _incomplete(people: Mapping[str, Mapping[int, tuple[int, str | None]]]) -> Iterator[Finding]:
    """Clips of several people of whom some have no file, or files that were not made together."""
    for clip, files in people.items():
        count = max(count for count, _ in files.values())
        missing = sorted(set(range(1, count + 1)) - set(files))
        if missing:
            what = f"of {count} people, no file of {', '.join(f'@{n}' for n in missing)}"
            remedy = "Run extract again; after a forget, remove the others too if that is meant."
            yield Finding(clip, "stale", what, remedy)
        elif len(set(files.values())) > 1:
            yield Finding(clip, "stale", "its people's files were not made together", ANEW)
