"""Many clips: what to call them, and what the store still lacks of each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from grjca.cache.index import StoreIndex
from grjca.cache.keys import Recipe, SourceId
from grjca.cache.layout import check_identity
from grjca.errors import GrjcaError, UsageError
from grjca.pipeline.clip import ClipOutcome, ClipTask

MEDIA_SUFFIXES = frozenset(
    {
        ".3gp",
        ".aac",
        ".asf",
        ".avi",
        ".flac",
        ".flv",
        ".m2ts",
        ".m4a",
        ".m4v",
        ".mkv",
        ".mov",
        ".mp3",
        ".mp4",
        ".mpeg",
        ".mpg",
        ".mts",
        ".mxf",
        ".oga",
        ".ogg",
        ".ogv",
        ".opus",
        ".ts",
        ".vob",
        ".wav",
        ".webm",
        ".wma",
        ".wmv",
    }
)
"""Endings looked for in folders; a file named on its own is tried whatever its ending."""


@dataclass(frozen=True)
class Inputs:
    """Clips by identity, and how many files in folders were passed over for their ending."""

    files: dict[str, Path]
    passed_over: int


@dataclass(frozen=True)
class Plan:
    """What to do: clips to extract (longest file first), and outcomes already known."""

    tasks: list[ClipTask]
    known: list[ClipOutcome] = field(default_factory=list)


def find_inputs(paths: Sequence[str | Path], root: Path | None = None) -> Inputs:
    """All clips that files, folders and ``@lists`` name.

    A clip in a folder is called by its path under that folder, a file named on its own by its
    name, a line of a list by itself (relative lines are looked for beside the list). With
    ``root`` every clip is called by its path under ``root``.

    Raises:
        UsageError: A path does not exist, two files would get the same name, a file lies
            outside ``root``, or nothing was found.
    """
    found: list[tuple[str, Path]] = []
    passed_over = 0
    for given in map(str, paths):
        if given.startswith("@"):
            found += _listed(Path(given[1:]))
        elif Path(given).is_dir():
            media, others = _in_folder(Path(given))
            found += media
            passed_over += others
        else:
            found.append((Path(given).name, Path(given)))
    files: dict[str, Path] = {}
    for clip, path in found:
        name = _name(clip, path, root)
        other = files.setdefault(name, path)
        if os.path.realpath(other) != os.path.realpath(path):
            raise UsageError(
                "inputs", path, f"two inputs are called {name}, the other is {other}",
                "Name the folder above both with --root.",
            )  # fmt: skip
    if not files:
        raise UsageError(
            "inputs", ", ".join(map(str, paths)) or "(nothing)", "no media files found",
            f"Endings looked for in folders: {' '.join(sorted(MEDIA_SUFFIXES))}.",
        )  # fmt: skip
    return Inputs(files, passed_over)


def _in_folder(folder: Path) -> tuple[list[tuple[str, Path]], int]:
    """Names and paths of the media below a folder, and how many other files there are."""
    media: list[tuple[str, Path]] = []
    others = 0
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for path in (Path(where, name) for name in sorted(names)):
            if path.suffix.lower() in MEDIA_SUFFIXES and not path.name.startswith("."):
                media.append((path.relative_to(folder).as_posix(), path))
            else:
                others += 1
    return media, others


def _listed(listing: Path) -> list[tuple[str, Path]]:
    try:
        lines = listing.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "inputs", listing, str(error), "A list is a text file with a path per line."
        ) from error
    paths = [Path(line) for line in map(str.strip, lines) if line]
    return [
        (path.name, path)
        if path.is_absolute()
        else (Path(os.path.normpath(path)).as_posix(), listing.parent / path)
        for path in paths
    ]


def _name(clip: str, path: Path, root: Path | None) -> str:
    if root is not None:
        try:
            clip = Path(os.path.abspath(path)).relative_to(os.path.abspath(root)).as_posix()
        except ValueError:
            raise UsageError(
                "inputs", path, f"not under --root {root}", "Choose a folder above all inputs."
            ) from None
    try:
        return check_identity(clip)
    except GrjcaError as error:
        raise UsageError(
            "inputs", path, f"{clip} cannot name a clip", "Name a folder above it with --root."
        ) from error


def make_plan(inputs: Inputs, index: StoreIndex, recipe: Recipe, *, overwrite: bool) -> Plan:
    """Compare what is wanted with what the store holds.

    A source of unchanged size and time of change is trusted; otherwise its content is hashed.
    A clip whose source has another content than the one in the store is refused, not replaced,
    unless ``overwrite`` is given: it may be another clip of the same name.
    """
    plan = Plan([])
    wanted = frozenset(recipe.group_configs())
    for clip, path in inputs.files.items():
        try:
            missing = wanted if overwrite else frozenset(_missing(clip, path, index, recipe))
        except GrjcaError as error:
            plan.known.append(ClipOutcome.failure(clip, error))
            continue
        if missing:
            plan.tasks.append(ClipTask(clip, path, missing))
        else:
            entry = index.lookup(clip)
            plan.known.append(ClipOutcome(clip, "skipped", rows=entry.rows if entry else 0))
    plan.tasks.sort(key=_size, reverse=True)
    return plan


def _missing(clip: str, path: Path, index: StoreIndex, recipe: Recipe) -> set[str]:
    entry = index.lookup(clip)
    everything = set(recipe.group_configs())
    if entry is None:
        return everything
    try:
        if not entry.source.looks_unchanged(path):
            source = SourceId.of(path)
            if source.sha256 != entry.source.sha256:
                raise GrjcaError(
                    "inputs", path, "the store holds a clip of this name made from another file",
                    "If the file was replaced, use --overwrite; if it is another clip, --root.",
                )  # fmt: skip
            index.confirm_source(clip, source)
    except OSError as error:
        cause = error.strerror or str(error)
        raise GrjcaError("read", path, cause, "Check the path and its permissions.") from error
    digests = recipe.group_digests(entry.source.sha256)
    missing = {group for group, wanted in digests.items() if entry.digests.get(group) != wanted}
    # Rows that no longer count take everything with them that was made at these rows.
    return everything if "frames" in missing else missing


def _size(task: ClipTask) -> int:
    try:
        return task.path.stat().st_size
    except OSError:
        return 0
