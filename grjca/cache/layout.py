"""Where a clip's file lies in a store, and what the file looks like inside."""

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import numpy as np

from grjca.errors import GrjcaError

SCHEMA = "grjca.clip"
VERSION = 1
SHARD_SCHEMA = "grjca.shard"
SUFFIX = ".h5"
HOUSE = ".grjca"
"""Folder inside a store for what can be rebuilt or thrown away: index, claims, last report."""

KINDS = ("crops", "visual", "audio")
"""Groups of groups in a clip's file; ``frames`` and ``faces`` stand beside them."""

ABOUT = ("subject", "session", "partition", "camera")
"""Attributes of a clip's file that a manifest may set; text."""

CHUNK_ROWS = 256
CHUNK_BYTES = 1 << 20
"""Most rows and bytes of a chunk, the piece that is read, written and checked as one."""

TEMPORARY = ".tmp"

ANY = -1
"""Any number, in a shape of :data:`FORMS`."""

Form = tuple[tuple[str, ...], tuple[int, ...]]
_MASK: Form = (("|b1",), ())
_EMBEDDING: dict[str, Form] = {"features": (("<f4", "<f2"), (ANY,)), "valid": _MASK}
FORMS: dict[str, dict[str, Form]] = {
    "frames": {"time": (("<f8",), ()), "index": (("<i8",), ())},
    "faces": {
        "box": (("<f4",), (4,)),
        "landmarks": (("<f4",), (5, 2)),
        "score": (("<f4",), ()),
        "valid": _MASK,
        "interpolated": _MASK,
        "track": (("<i4",), ()),
    },
    "crops": {"crops": (("|u1",), (ANY, ANY, 3)), "valid": _MASK},
    "visual": _EMBEDDING,
    "audio": _EMBEDDING,
}
"""Types and shapes behind the rows of every dataset, by kind of group; -1 is any number."""

OPTIONAL = frozenset({"frames/index"})
"""Datasets that a group may lack."""

_LONGEST_NAME = 240
_PERSON = re.compile(r"@\d+$")
_SHORTENED = re.compile(r"~[0-9a-f]{16}\.h5$")


class DamagedError(GrjcaError):
    """A clip's file cannot be read."""


def check_identity(clip: str) -> str:
    """Refuse a clip's name that could leave the store or hide inside it.

    Raises:
        GrjcaError: The name is empty, absolute, or has a part that is ``..``, ``.`` or hidden
            as the store's own folder.
    """
    parts = clip.split("/")
    if any(part in ("", ".", "..", HOUSE) for part in parts) or "\0" in clip:
        raise GrjcaError(
            "store", clip or "(empty name)", "not a clip's name",
            "A clip is named by its path under a folder, without '..'.",
        )  # fmt: skip
    return clip


def clip_path(root: Path, clip: str) -> Path:
    """The file of a clip: its own relative path under the store's root, with ``.h5`` added.

    A last part too long for a file system is shortened and told apart by a digest; the full
    name stays in the file's attribute ``clip``.
    """
    relative = PurePosixPath(check_identity(clip))
    name = relative.name
    raw = name.encode("utf-8", "surrogateescape")
    if len(raw) > _LONGEST_NAME:
        head = raw[: _LONGEST_NAME - 40].decode("utf-8", "ignore")
        name = f"{head}~{hashlib.sha256(raw).hexdigest()[:16]}"
    return root.joinpath(*relative.parts[:-1], name + SUFFIX)


def person_clip(clip: str, number: int) -> str:
    """The identity of one of a clip's people, counted from 1: ``talk.mp4@1``."""
    return f"{clip}@{number}"


def whole_clip(clip: str) -> str:
    """The clip that one of its people belongs to; inverse of :func:`person_clip`."""
    return _PERSON.sub("", clip)


def claimed_as(clip: str, file: h5py.File) -> str:
    """The clip under which a file is claimed: ``talk.mp4`` for that of ``talk.mp4@1``."""
    return whole_clip(clip) if "people" in file.attrs else clip


def identity_of(root: Path, path: Path) -> str:
    """The clip that a store's file holds; inverse of :func:`clip_path`."""
    if _SHORTENED.search(path.name):
        with open_clip(path) as file:
            return str(file.attrs["clip"])
    return path.relative_to(root).as_posix().removesuffix(SUFFIX)


def open_clip(path: Path) -> h5py.File:
    """Open a clip's file for reading, without HDF5's file locks (they fail on network disks).

    Raises:
        DamagedError: It cannot be read.
        GrjcaError: Not there, not of this project, or of a newer schema.
    """
    if not path.is_file():
        raise GrjcaError("store", path.name, "no such clip in the store", "Extract it first.")
    try:
        file = h5py.File(path, "r", locking=False)
    except (OSError, RuntimeError) as error:
        raise DamagedError(
            "store", path.name, f"not a readable HDF5 file ({error})",
            "Delete it and run extract again.",
        ) from error  # fmt: skip
    try:
        schema, version = file.attrs.get("schema"), file.attrs.get("version")
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        file.close()
        raise DamagedError(
            "store", path.name, f"damaged file ({error})", "Delete it and run extract again."
        ) from error
    if schema == SHARD_SCHEMA:
        file.close()
        raise GrjcaError(
            "store", path.name, "a shard of a packed store, not the file of one clip",
            "Name the folder that it lies in.",
        )  # fmt: skip
    if schema != SCHEMA or not isinstance(version, int | np.integer):
        file.close()
        raise GrjcaError(
            "store", path.name, "an HDF5 file, but not one this program wrote",
            "Keep other files out of the store's folder.",
        )  # fmt: skip
    if version > VERSION:
        file.close()
        raise GrjcaError(
            "store", path.name, f"schema version {version}, this program reads up to {VERSION}",
            "Update grjca.",
        )  # fmt: skip
    return file


def group_paths(file: h5py.File) -> list[str]:
    """Paths of all groups of a clip's file that carry a digest, those made from others last.

    Raises:
        KeyError: A group is damaged; h5py's ``get`` would say that it is not there.
    """
    there = set(file)
    named = [f"{kind}/{name}" for kind in KINDS if kind in there for name in file[kind]]
    return [path for path in ("frames", "faces") if path in there] + named


def create_dataset(
    group: h5py.Group, name: str, shape: tuple[int, ...], dtype: str
) -> h5py.Dataset:
    """An empty dataset that grows along rows, chunked, each chunk with a checksum."""
    row_bytes = max(1, math.prod(shape) * np.dtype(dtype).itemsize)
    return group.create_dataset(
        name,
        shape=(0, *shape),
        maxshape=(None, *shape),
        chunks=(max(1, min(CHUNK_ROWS, CHUNK_BYTES // row_bytes)), *shape),
        dtype=dtype,
        fletcher32=True,
    )


def append_rows(dataset: h5py.Dataset, rows: Any) -> None:
    """Add rows at the end of a growing dataset."""
    start = len(dataset)
    dataset.resize(start + len(rows), axis=0)
    dataset[start:] = rows
