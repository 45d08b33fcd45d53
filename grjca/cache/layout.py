"""Where a clip's file lies in a store, and what the file looks like inside."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePosixPath
from typing import Any

import h5py
import numpy as np

from grjca.errors import GrjcaError

SCHEMA = "grjca.clip"
VERSION = 1
SUFFIX = ".h5"
HOUSE = ".grjca"
"""Folder inside a store for what can be rebuilt or thrown away: index, lock, last report."""

CHUNK_ROWS = 256
TEMPORARY = ".tmp"

_LONGEST_NAME = 240
_SHORTENED = re.compile(r"~[0-9a-f]{16}\.h5$")


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


def identity_of(root: Path, path: Path) -> str:
    """The clip that a store's file holds; inverse of :func:`clip_path`."""
    if _SHORTENED.search(path.name):
        with open_clip(path) as file:
            return str(file.attrs["clip"])
    return path.relative_to(root).as_posix().removesuffix(SUFFIX)


def open_clip(path: Path) -> h5py.File:
    """Open a clip's file for reading, without HDF5's file locks (they fail on network disks).

    Raises:
        GrjcaError: Not there, damaged, not of this project, or of a newer schema.
    """
    if not path.is_file():
        raise GrjcaError("store", path.name, "no such clip in the store", "Extract it first.")
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise GrjcaError(
            "store", path.name, f"not a readable HDF5 file ({error})",
            "Delete it and run extract again.",
        ) from error  # fmt: skip
    schema, version = file.attrs.get("schema"), file.attrs.get("version")
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


def create_dataset(
    group: h5py.Group, name: str, shape: tuple[int, ...], dtype: str
) -> h5py.Dataset:
    """An empty dataset that grows along rows, chunked, each chunk with a checksum."""
    return group.create_dataset(
        name,
        shape=(0, *shape),
        maxshape=(None, *shape),
        chunks=(CHUNK_ROWS, *shape),
        dtype=dtype,
        fletcher32=True,
    )


def append_rows(dataset: h5py.Dataset, rows: Any) -> None:
    """Add rows at the end of a growing dataset."""
    start = len(dataset)
    dataset.resize(start + len(rows), axis=0)
    dataset[start:] = rows
