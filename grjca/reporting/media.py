"""Finding a clip's video and naming it in a page: by a relative link, or embedded whole."""

from __future__ import annotations

import base64
import mimetypes
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from grjca.cache.layout import whole_clip
from grjca.errors import GrjcaError, one_line
from grjca.report.html import Media

MOST_EMBEDDED = 256 << 20
"""Largest file that is embedded: browsers refuse ``data:`` URLs of 512 MB, a third is base64."""

LARGE = 50 << 20
"""Size from which on an embedded file is warned of: pages as large open slowly."""


@dataclass(frozen=True)
class Played:
    """What a clip was made from.

    Attributes:
        path: The file; one that is not there, or a folder of images, is not played.
        start: Seconds on its clock at which the clip begins.
        video_stream: Which of several picture streams, counted from 0; None for the default one.
    """

    path: Path
    start: float = 0.0
    video_stream: int | None = None


class MediaFinder:
    """Finds what is played for a clip.

    Args:
        videos: The folder in which videos lie at their clips' paths, or files by clip, or None.
        embed: Whether pages hold the videos.

    Raises:
        GrjcaError: There is no such folder.
    """

    def __init__(self, videos: str | Path | Mapping[str, Played] | None, *, embed: bool) -> None:
        self._known = videos if isinstance(videos, Mapping) else {}
        self._folder = None if videos is None or isinstance(videos, Mapping) else Path(videos)
        self._embed = embed
        if self._folder is not None and not self._folder.is_dir():
            raise GrjcaError("report", self._folder, "no such folder", "Correct --videos.")

    def find(self, clip: str) -> Played | None:
        """The file that a clip was made from; each of a clip's people has the clip's."""
        for name in dict.fromkeys((clip, whole_clip(clip))):
            known = self._known.get(name)
            if known is None and self._folder is not None:
                known = Played(self._folder / name)
            if known is not None and known.path.is_file():
                return known
        return None

    def media(self, played: Played, folder: Path) -> tuple[Media, list[str]]:
        """A file as a page in a folder names it, and what to say about it.

        Raises:
            GrjcaError: The file cannot be read.
        """
        path, notes = played.path, []
        kind = mimetypes.guess_type(path.name)[0] or "video/mp4"
        try:
            size = path.stat().st_size
            if self._embed and size <= MOST_EMBEDDED:
                text = base64.b64encode(path.read_bytes()).decode("ascii")
                url = f"data:{kind};base64,{text}"
                if size >= LARGE:
                    notes.append(f"{size >> 20} MB of video in the page; it will open slowly")
            else:
                url = link(path, folder)
                if self._embed:
                    notes.append(f"not embedded but linked: {size >> 20} MB are more than the "
                                 f"{MOST_EMBEDDED >> 20} MB a page can hold")  # fmt: skip
        except OSError as error:
            raise GrjcaError(
                "report", path, error.strerror or str(error), "Check the path and its permissions."
            ) from error
        name = one_line(path.name)
        return Media(url, name, kind.startswith("audio/"), played.start), notes


def link(path: Path, folder: Path) -> str:
    """The relative URL of a file for a page in a folder; any file name becomes one."""
    relative = os.path.relpath(os.path.abspath(path), os.path.abspath(folder))
    return quote(os.fsencode(relative))
