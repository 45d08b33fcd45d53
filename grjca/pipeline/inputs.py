"""Which clips paths name, and what each is called."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from grjca.cache.layout import check_identity
from grjca.errors import GrjcaError, UsageError
from grjca.pipeline.source import ClipSource
from grjca.stages.images import is_image_folder

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


_TWO_PEOPLE = re.compile(r"(?P<video>.+)_(?:left|right)")
# Aff-Wild2 calls the two people of one video so.


@dataclass(frozen=True)
class Inputs:
    """Clips by identity, and how many files in folders were passed over for their ending."""

    clips: dict[str, ClipSource]
    passed_over: int = 0


def find_inputs(
    paths: Sequence[str | Path],
    root: Path | None = None,
    *,
    images: bool = False,
    sound: Path | None = None,
    video_stream: int | None = None,
    audio_stream: int | None = None,
) -> Inputs:
    """All clips that files, folders and ``@lists`` name.

    A clip in a folder is called by its path under that folder, a file named on its own by its
    name, a line of a list by itself (relative lines are looked for beside the list). With
    ``root`` every clip is called by its path under ``root``.

    Args:
        paths: Files, folders or ``@list.txt``.
        root: Folder that clips are named relative to.
        images: Clips are folders of numbered images, not files.
        sound: For folders of images: the raw video, or a folder in which each one's raw video is
            looked for by name (``video5``, ``video5_left`` and ``video5_right`` all belong to
            ``video5.*``); None: they have no sound.
        video_stream: Which picture stream of every file, see ``ClipSource``.
        audio_stream: Which sound stream of every file.

    Raises:
        UsageError: A path does not exist, two files would get the same name, a file lies
            outside ``root``, nothing was found, or a raw video is missing or not the only one.
    """
    found: list[tuple[str, Path]] = []
    passed_over = 0
    for given in map(str, paths):
        if given.startswith("@"):
            found += _listed(Path(given[1:]))
        elif images and is_image_folder(Path(given)):
            found.append((Path(os.path.abspath(given)).name, Path(given)))
        elif Path(given).is_dir():
            media, others = _in_folder(Path(given), images)
            found += media
            passed_over += others
        else:
            found.append((Path(given).name, Path(given)))
    videos = _RawVideos(sound) if sound is not None else None
    clips: dict[str, ClipSource] = {}
    for clip, path in found:
        name = _name(clip, path, root)
        other = clips.get(name)
        if other is not None and os.path.realpath(other.path) != os.path.realpath(path):
            raise UsageError(
                "inputs", path, f"two inputs are called {name}, the other is {other.path}",
                "Name the folder above both with --root.",
            )  # fmt: skip
        raw = videos.of(path) if videos else None
        clips[name] = ClipSource(
            path, images, raw, video_stream=video_stream, audio_stream=audio_stream
        )
    if not clips:
        looked_for = f"Endings looked for in folders: {' '.join(sorted(MEDIA_SUFFIXES))}; "
        raise UsageError(
            "inputs", ", ".join(map(str, paths)) or "(nothing)",
            "no folders of numbered images found" if images else "no media files found",
            "" if images else looked_for + "folders of numbered images are clips with --images.",
        )  # fmt: skip
    return Inputs(clips, passed_over)


def _in_folder(folder: Path, images: bool) -> tuple[list[tuple[str, Path]], int]:
    """Names and paths of the clips below a folder, and how many other files there are."""
    found: list[tuple[str, Path]] = []
    others = 0
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(where)
        if images and is_image_folder(here):
            found.append((here.relative_to(folder).as_posix(), here))
            folders[:] = []
            continue
        for path in (here / name for name in sorted(names)):
            if _is_media(path) and not images:
                found.append((path.relative_to(folder).as_posix(), path))
            else:
                others += 1
    return found, others


def _is_media(path: Path) -> bool:
    return path.suffix.lower() in MEDIA_SUFFIXES and not path.name.startswith(".")


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


class _RawVideos:
    """Finds the raw video of a folder of images by its name."""

    def __init__(self, given: Path) -> None:
        self._given = given
        self._single = given if given.is_file() else None
        self._by_stem: dict[str, list[Path]] = {}
        if self._single is None:
            for clip, path in _in_folder(given, images=False)[0]:
                self._by_stem.setdefault(Path(clip).stem, []).append(path)
        if self._single is None and not self._by_stem:
            raise UsageError("inputs", given, "no media files found", "Correct --sound.")

    def of(self, folder: Path) -> Path:
        if self._single is not None:
            return self._single
        name = Path(os.path.abspath(folder)).name
        pair = _TWO_PEOPLE.fullmatch(name)
        found: Iterable[Path] = self._by_stem.get(name) or (
            self._by_stem.get(pair["video"], []) if pair else []
        )
        videos = list(found)
        if len(videos) != 1:
            cause = f"{len(videos)} raw videos for it in {self._given}"
            remedy = "Have exactly one file with its name there, or use a manifest."
            raise UsageError("inputs", folder, cause, remedy)
        return videos[0]


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
