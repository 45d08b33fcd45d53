"""Digests: what a group of features was made from, and by what."""

from __future__ import annotations

import errno
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REVISION = 1
"""Raised when the extraction's own arithmetic changes, so that old groups no longer count."""

IMPORTED = "imported"
"""In the identity of a group: its features were made elsewhere."""


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(value: Any) -> str:
    """SHA-256 of a JSON-able value, hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


@dataclass(frozen=True)
class SourceId:
    """What a clip was made from: size in bytes, time of change in ns, and SHA-256 of the content.

    A clip made from several files (images of a folder, sound from another recorder) has the sum
    of their sizes, the latest time of change, and a digest over the digests of all.
    """

    size: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, *paths: Path) -> SourceId:
        """Read one or several files, in an order that counts, and hash them.

        Raises:
            OSError: A file cannot be read.
        """
        size, mtime_ns = stat_of(*paths)
        for path in paths:
            # A device or a pipe could be read for ever.
            if not path.is_file():
                raise OSError(errno.EINVAL, "this is not a regular file", str(path))
        contents = [_content(path) for path in paths]
        return cls(size, mtime_ns, contents[0] if len(contents) == 1 else digest(contents))

    def looks_unchanged(self, *paths: Path) -> bool:
        """Whether size and time of change are still those recorded; the content is not read.

        Raises:
            OSError: A file cannot be read.
        """
        return stat_of(*paths) == (self.size, self.mtime_ns)


def stat_of(*paths: Path) -> tuple[int, int]:
    """Size in bytes of all files together, and the latest time of change in ns.

    Raises:
        OSError: A file is not there.
    """
    stats = [path.stat() for path in paths]
    return sum(stat.st_size for stat in stats), max(stat.st_mtime_ns for stat in stats)


def _content(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class GroupKey:
    """What a group of features is made by, for its reader, and the digest over all that decides.

    Attributes:
        config: JSON-able identity of the stage.
        digest: SHA-256, hexadecimal; equal digests mean equal features.
    """

    config: dict[str, Any]
    digest: str


def parent_of(path: str, config: Mapping[str, Any]) -> str | None:
    """The group that a group is made from; None for ``frames``, made from the source."""
    kind = path.partition("/")[0]
    if kind == "frames":
        return None
    return "frames" if kind in ("faces", "audio") or IMPORTED in config else "faces"


def group_digest(path: str, config: Mapping[str, Any], parent: str) -> str:
    """The digest of a group, which follows from what it is made by and what it is made from.

    Args:
        path: Path of the group, for example ``visual/fer``.
        config: Its recorded identity.
        parent: The digest of the group named by :func:`parent_of`; for ``frames`` that of the
            source's content.

    Raises:
        KeyError: The configuration lacks what a group of this kind records.
    """
    kind = path.partition("/")[0]
    if kind == "frames":
        return digest([REVISION, parent, config])
    if kind == "audio" and IMPORTED not in config:
        embedder = {name: value for name, value in config.items() if name != "sound"}
        return digest([parent, config["sound"], embedder])
    if kind == "crops":
        return digest([parent, config["template"], config["crop_size"]])
    return digest([parent, config])


@dataclass(frozen=True)
class Recipe:
    """All that decides a clip's features, stage by stage, as JSON-able identities.

    A stage's digest covers the source's content and every stage before it, so that a change
    invalidates what follows from it and nothing else: another visual embedder leaves ``faces``
    and ``audio`` as they are.

    Attributes:
        video: The decoder, and which frames of the source are rows.
        sound: The decoder, and which sound belongs to the rows.
        faces: Detector, tracking, and whose face.
        visual: The visual embedder, with ``template`` and ``crop_size`` of its crops.
        audio: The audio embedder.
        keep_crops: Whether the face crops are stored too.
    """

    video: dict[str, Any]
    sound: dict[str, Any]
    faces: dict[str, Any]
    visual: dict[str, Any]
    audio: dict[str, Any]
    keep_crops: bool = False

    @property
    def visual_group(self) -> str:
        """Path of the visual features in a clip's file."""
        return f"visual/{self.visual['name']}"

    @property
    def audio_group(self) -> str:
        """Path of the audio features in a clip's file."""
        return f"audio/{self.audio['name']}"

    @property
    def crops_group(self) -> str:
        """Path of the face crops that the visual embedder wants, in a clip's file."""
        return f"crops/{self.visual['template']}-{self.visual['crop_size']}"

    def groups(self, source_sha256: str) -> dict[str, GroupKey]:
        """The key of each group for a source of this content, by the group's path."""
        configs = {
            "frames": self.video,
            "faces": self.faces,
            self.visual_group: self.visual,
            self.audio_group: {"sound": self.sound, **self.audio},
        }
        if self.keep_crops:
            configs[self.crops_group] = self._crops
        keys: dict[str, GroupKey] = {}
        for path, config in configs.items():
            before = parent_of(path, config)
            parent = keys[before].digest if before else source_sha256
            keys[path] = GroupKey(config, group_digest(path, config, parent))
        return keys

    def crops_digest(self, source_sha256: str) -> str:
        """The digest that stored crops must carry to stand in for decoding."""
        faces = self.groups(source_sha256)["faces"].digest
        return group_digest(self.crops_group, self._crops, faces)

    @property
    def _crops(self) -> dict[str, Any]:
        return {key: self.visual[key] for key in ("template", "crop_size")}

    def group_digests(self, source_sha256: str) -> dict[str, str]:
        """The digest each group must carry for a source of this content, by the group's path."""
        return {path: key.digest for path, key in self.groups(source_sha256).items()}


def average_rate(first: float, last: float, rows: int) -> float:
    """Rows per second between the first and the last row's time; NaN for fewer than two rows."""
    return (rows - 1) / (last - first) if rows > 1 else math.nan
