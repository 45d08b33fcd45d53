"""Digests: what a group of features was made from, and by what."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REVISION = 1
"""Raised when the extraction's own arithmetic changes, so that old groups no longer count."""


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(value: Any) -> str:
    """SHA-256 of a JSON-able value, hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


@dataclass(frozen=True)
class SourceId:
    """A source file: its size in bytes, time of change in ns, and SHA-256 of its content."""

    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> SourceId:
        """Read a file and hash it.

        Raises:
            OSError: The file cannot be read.
        """
        stat = path.stat()
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        return cls(stat.st_size, stat.st_mtime_ns, content)

    def looks_unchanged(self, path: Path) -> bool:
        """Whether size and time of change are still those recorded; the content is not read."""
        stat = path.stat()
        return (stat.st_size, stat.st_mtime_ns) == (self.size, self.mtime_ns)


@dataclass(frozen=True)
class Recipe:
    """All that decides a clip's features, stage by stage, as JSON-able identities.

    A stage's digest covers the source's content and every stage before it, so that a change
    invalidates what follows from it and nothing else: another visual embedder leaves ``faces``
    and ``audio`` as they are.
    """

    video: dict[str, Any]
    sound: dict[str, Any]
    faces: dict[str, Any]
    visual: dict[str, Any]
    audio: dict[str, Any]

    @property
    def visual_group(self) -> str:
        """Path of the visual features in a clip's file."""
        return f"visual/{self.visual['name']}"

    @property
    def audio_group(self) -> str:
        """Path of the audio features in a clip's file."""
        return f"audio/{self.audio['name']}"

    def group_configs(self) -> dict[str, dict[str, Any]]:
        """The identity to store with each group, by the group's path."""
        return {
            "frames": self.video,
            "faces": self.faces,
            self.visual_group: self.visual,
            self.audio_group: {"sound": self.sound, **self.audio},
        }

    def group_digests(self, source_sha256: str) -> dict[str, str]:
        """The digest each group must carry for a source of this content, by the group's path."""
        frames = digest([REVISION, source_sha256, self.video])
        faces = digest([frames, self.faces])
        return {
            "frames": frames,
            "faces": faces,
            self.visual_group: digest([faces, self.visual]),
            self.audio_group: digest([frames, self.sound, self.audio]),
        }


def average_rate(first: float, last: float, rows: int) -> float:
    """Rows per second between the first and the last row's time; NaN for fewer than two rows."""
    return (rows - 1) / (last - first) if rows > 1 else math.nan
