"""Reading a feature store: which clips, what they hold, and their rows."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from grjca.cache.keys import SourceId
from grjca.cache.layout import (
    ABOUT,
    SUFFIX,
    DamagedError,
    clip_path,
    group_paths,
    identity_of,
    open_clip,
)
from grjca.cache.packed import PackedClips
from grjca.cache.records import ClipFeatures
from grjca.cache.shards import is_packed
from grjca.errors import GrjcaError


@dataclass(frozen=True)
class GroupSummary:
    """One embedder's features in a clip: numbers per row, share of valid rows, digest, config."""

    path: str
    dim: int
    valid: float
    digest: str
    config: dict[str, Any]


@dataclass(frozen=True)
class ClipSummary:
    """What one clip of a store holds.

    Attributes:
        clip: The clip's identity.
        rows: Decoded frames.
        seconds: From the first row to one average step after the last.
        fps: Average rows per second; NaN for a single row.
        faces: Share of rows in which a face was seen, in [0, 1]; without faces of its own, as in
            an imported clip, the share of valid rows by the visual embedder that sees most.
        groups: Every embedder's features.
        source: The source file as it was when extracted.
        media: What the container told: codecs, sizes, rates.
        interpolated: Share of rows in which the face's place lies between two sightings.
        about: What a manifest said of the clip, by the names in ``layout.ABOUT``.
        people: Where each person of a source has a file, how many there are; else None.
        crops: Kept face crops, as ``template-size``.
    """

    clip: str
    rows: int
    seconds: float
    fps: float
    faces: float
    groups: tuple[GroupSummary, ...]
    source: SourceId
    media: dict[str, Any]
    interpolated: float = 0.0
    about: dict[str, str] = field(default_factory=dict)
    people: int | None = None
    crops: tuple[str, ...] = ()

    @property
    def sound(self) -> float:
        """Share of rows with sound, in [0, 1], by the audio embedder that sees most."""
        return max((g.valid for g in self.groups if g.path.startswith("audio/")), default=0.0)


class FeatureStore:
    """A folder of clips' features: one HDF5 file per clip, or packed into shards.

    Args:
        root: The store's folder.

    Attributes:
        root: The same.
        packed: The clips of a packed store; None where each has a file.

    Raises:
        GrjcaError: There is no such folder.

    Example:
        >>> store = FeatureStore("features")              # doctest: +SKIP
        >>> clip = store.read("a.mp4", visual="fer")      # doctest: +SKIP
        >>> clip.visual.shape                             # doctest: +SKIP
        (312, 256)
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise GrjcaError("store", root, "no such folder", "Make a store with: grjca extract.")
        self.packed = PackedClips(self.root) if is_packed(self.root) else None

    def __reduce__(self) -> tuple[type[FeatureStore], tuple[Path]]:
        # Another process opens a packed store's files for itself.
        return type(self), (self.root,)

    def __repr__(self) -> str:
        return f"FeatureStore({str(self.root)!r}, clips={len(self.clips())})"

    def files(self) -> Iterator[Path]:
        """Every clip's file, in the order of their names; none in a packed store."""
        if self.packed is not None:
            return iter(())
        return (
            path
            for path in sorted(self.root.rglob(f"*{SUFFIX}"))
            if path.is_file()
            and not any(part.startswith(".grjca") for part in path.relative_to(self.root).parts)
        )

    def clips(self) -> list[str]:
        """The identities of all clips, sorted, for example ``lab/monday/a.mp4``.

        Raises:
            GrjcaError: The clips of a damaged shard are not known.
        """
        if self.packed is not None:
            return self.packed.names()
        return [identity_of(self.root, path) for path in self.files()]

    def open(self, clip: str) -> h5py.File:
        """A clip's file, or its group in a shard, open for reading in a ``with`` statement.

        Raises:
            GrjcaError: No such clip, or its file is damaged or of a newer schema.
        """
        if self.packed is not None:
            return self.packed.open(clip)
        return open_clip(clip_path(self.root, clip))

    @contextlib.contextmanager
    def _looked_into(self, clip: str) -> Iterator[h5py.Group]:
        """As :meth:`open`; what h5py raises in the block means that the clip is damaged."""
        with self.open(clip) as file:
            try:
                yield file
            except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
                if self.packed is not None:
                    raise self.packed.damaged(clip, error) from error
                raise DamagedError(
                    "store", clip, f"damaged file ({error})", "Delete it and run extract again."
                ) from error

    def read(
        self,
        clip: str,
        visual: str | None = None,
        audio: str | None = None,
        rows: slice = slice(None),
    ) -> ClipFeatures:
        """A clip's features, or a range of its rows; only those rows are read from the disk.

        Args:
            clip: The clip's identity.
            visual: Name of the visual embedder, None for no visual features.
            audio: Name of the audio embedder, None for no audio features.
            rows: Half-open range of rows.

        Raises:
            GrjcaError: No such clip or embedder, or the file is damaged.
        """
        if self.packed is not None:
            found = self.packed.read(clip, visual, audio, rows)
            if found is not None:
                return found
        with self._looked_into(clip) as file:
            time = file["frames/time"][rows]
            index = file["frames/index"][rows] if "frames/index" in file else None
            seen, seen_valid = self._group(file, clip, "visual", visual, rows, len(time))
            heard, heard_valid = self._group(file, clip, "audio", audio, rows, len(time))
        return ClipFeatures(clip, time, seen, seen_valid, heard, heard_valid, index)

    def _group(
        self, file: h5py.File, clip: str, kind: str, name: str | None, rows: slice, count: int
    ) -> tuple[NDArray[np.float32] | None, NDArray[np.bool_]]:
        if name is None:
            return None, np.zeros(count, dtype=bool)
        if f"{kind}/{name}" not in file:
            have = ", ".join(file.get(kind, {})) or "none"
            raise GrjcaError(
                "store", clip, f"no {kind} features called {name}; there are: {have}",
                f"Extract them with: grjca extract --{kind} {name}; or import them.",
            )  # fmt: skip
        group = file[f"{kind}/{name}"]
        return group["features"][rows].astype(np.float32, copy=False), group["valid"][rows]

    def embedders(self, clip: str) -> dict[str, list[str]]:
        """Names of the embedders a clip has features of, under ``visual`` and ``audio``."""
        with self._looked_into(clip) as file:
            return {kind: list(file.get(kind, {})) for kind in ("visual", "audio")}

    def digests(self, clip: str) -> dict[str, str]:
        """The digest of each group of a clip, by the group's path."""
        with self._looked_into(clip) as file:
            return {path: str(file[path].attrs["digest"]) for path in group_paths(file)}

    def source(self, clip: str) -> SourceId:
        """The source file as it was when the clip was extracted."""
        with self._looked_into(clip) as file:
            return SourceId(**json.loads(file.attrs["source"]))

    def about(self, clip: str) -> dict[str, str]:
        """What a manifest said of the clip, by the names in ``layout.ABOUT``: subject and so on."""
        with self._looked_into(clip) as file:
            return _about(file)

    def people(self, clip: str) -> int | None:
        """How many people of the clip's source have a file each; None where none has its own."""
        with self._looked_into(clip) as file:
            return _people(file)

    def recipe(self, clip: str, visual: str | None, audio: str | None) -> dict[str, Any]:
        """What decided these features, stage by stage, as JSON-able identities.

        The version of ffmpeg, which part of a recording a clip is, whose face was chosen, and the
        content of imported files are part of a group's digest but not of the recipe: such
        features may be trained on together.
        """
        with self._looked_into(clip) as file:
            groups = {"video": "frames"} | ({"faces": "faces"} if "faces" in file else {})
            groups |= {"visual": f"visual/{visual}"} if visual else {}
            groups |= {"audio": f"audio/{audio}"} if audio else {}
            recipe = {key: json.loads(file[path].attrs["config"]) for key, path in groups.items()}
        for stage in (recipe["video"], recipe.get("audio", {}).get("sound", {})):
            stage.pop("ffmpeg", None)
            stage.pop("part", None)
        for stage in recipe.values():
            stage.pop("content", None)
        recipe.get("faces", {}).pop("choice", None)
        return recipe

    def summary(self, clip: str) -> ClipSummary:
        """What a clip holds: rows, seconds, rates, shares of valid rows, embedders, digests.

        Raises:
            GrjcaError: No such clip, or its file is damaged.
        """
        with self._looked_into(clip) as file:
            return _summarise(file)

    @staticmethod
    def summarise(file: h5py.File) -> ClipSummary:
        """The summary of an open clip's file.

        Raises:
            GrjcaError: The file is damaged.
        """
        try:
            return _summarise(file)
        except (OSError, KeyError) as error:
            raise GrjcaError(
                "store", file.filename, f"damaged file ({error})",
                "Delete it and run extract again.",
            ) from error  # fmt: skip


def _summarise(file: h5py.File) -> ClipSummary:
    time = file["frames/time"]
    rows = len(time)
    span = float(time[-1] - time[0]) if rows else 0.0
    groups = tuple(
        GroupSummary(
            path=path,
            dim=file[path]["features"].shape[1],
            valid=_share(file[path]["valid"]),
            digest=str(file[path].attrs["digest"]),
            config=json.loads(file[path].attrs["config"]),
        )
        for path in group_paths(file)
        if path.startswith(("visual/", "audio/"))
    )
    seen = [group.valid for group in groups if group.path.startswith("visual/")]
    faces = file.get("faces", {})
    return ClipSummary(
        clip=str(file.attrs["clip"]),
        rows=rows,
        seconds=span * rows / (rows - 1) if rows > 1 else 0.0,
        fps=float(file.attrs["fps"]),
        faces=_share(faces["valid"]) if "valid" in faces else max(seen, default=0.0),
        groups=groups,
        source=SourceId(**json.loads(file.attrs["source"])),
        media=json.loads(file.attrs["media"]),
        interpolated=_share(faces["interpolated"]) if "interpolated" in faces else 0.0,
        about=_about(file),
        people=_people(file),
        crops=tuple(file.get("crops", {})),
    )


def _about(file: h5py.File) -> dict[str, str]:
    return {name: str(file.attrs[name]) for name in ABOUT if name in file.attrs}


def _people(file: h5py.File) -> int | None:
    return int(file.attrs["people"]) if "people" in file.attrs else None


def _share(valid: h5py.Dataset) -> float:
    return float(np.mean(valid[:])) if len(valid) else 0.0
