"""What a packed store looks like: shards, plain HDF5 files with a group for each of many clips.

The group of a clip holds what the clip's own file would, under the same names and with the same
attributes; small arrays lie inside their object's header, which HDF5 protects by a checksum.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5g, h5p, h5s, h5t

import grjca
from grjca.cache import layout
from grjca.cache.keys import canonical_json
from grjca.cache.layout import (
    CHUNK_BYTES,
    CHUNK_ROWS,
    HOUSE,
    SHARD_SCHEMA,
    DamagedError,
    group_paths,
)
from grjca.errors import GrjcaError, UsageError

VERSION = 1
INDEX = "shards.jsonl"
"""Name of the index in the store's folder ``.grjca``."""

FIRST = "shard-00000.h5"
"""A shard that every packed store has; a folder is known by it."""

CLIPS = "clips"
"""Group of a shard that holds a group for each clip."""

TABLE = "arrays"
"""Group of a shard that is for this program alone: see ``array_table``."""

STATE = "state"
"""Attribute of a clip's group: see :func:`state_of`."""

CONTENT = "content"
"""Attribute of a group of features: see :class:`Content`."""

COMPACT_BYTES = 60_000
"""Largest array that lies in its object's header; HDF5 takes up to 64 KiB."""

AGAIN = "Delete the shard and run pack again: it packs those clips anew."

_NAME = re.compile(r"shard-(\d{5,})\.h5")
_BLOCK_BYTES = 1 << 24
_METADATA_BYTES = 4 << 20
_ODD = (OSError, RuntimeError, KeyError, ValueError, TypeError)


class NoShardError(GrjcaError):
    """A shard that was there is gone: another run has put its clips elsewhere."""


def shard_name(number: int) -> str:
    """A shard's file name: ``shard-00012.h5``."""
    return f"shard-{number:05d}.h5"


def shard_number(name: str) -> int | None:
    """The number in a shard's file name; None for any other name."""
    found = _NAME.fullmatch(name)
    return int(found[1]) if found and shard_name(int(found[1])) == name else None


def group_name(clip: str) -> str:
    """A clip's identity as the name of its group, ``%`` and ``/`` as in a URL."""
    return clip.replace("%", "%25").replace("/", "%2F")


def place_of(clip: str) -> str:
    """Path of a clip's group in a shard."""
    return f"{CLIPS}/{group_name(clip)}"


def clip_of(name: str) -> str:
    """The clip whose group has this name; inverse of :func:`group_name`."""
    return name.replace("%2F", "/").replace("%25", "%")


def is_packed(root: Path) -> bool:
    """Whether a folder is a packed store; one of a file per clip is told by a look at two names."""
    if (root / HOUSE / INDEX).is_file():
        return True
    if not (root / FIRST).is_file():
        return False
    # A clip may be called like a shard, and a shard may be damaged.
    for path in [root / FIRST, *sorted(root.glob("shard-*.h5"))]:
        with suppress(OSError, RuntimeError), h5py.File(path, "r", locking=False) as file:
            return bool(file.attrs.get("schema") == SHARD_SCHEMA)
    return False


def refuse_packed(root: Path, stage: str) -> None:
    """Refuse to write single clips into a packed store.

    Raises:
        UsageError: It is one.
    """
    if is_packed(root):
        raise UsageError(
            stage, root, "a packed store, into which only grjca pack writes",
            "Work on the store it was packed from and pack again; if that is gone, make it anew "
            "with: grjca pack --unpack.",
        )  # fmt: skip


def open_shard(path: Path) -> h5py.File:
    """Open a shard for reading, without HDF5's file locks.

    Raises:
        DamagedError: It cannot be read.
        NoShardError: It is not there.
        GrjcaError: No shard, or of a newer schema.
    """
    if not path.is_file():
        raise NoShardError("store", path.name, "no such shard", "Run pack again.")
    try:
        file = h5py.File(path, "r", locking=False)
    except (OSError, RuntimeError) as error:
        raise DamagedError(
            "store", path.name, f"not a readable HDF5 file ({error})", AGAIN
        ) from error
    try:
        told = [file.attrs.get(name) for name in ("schema", "version", "clip_version")]
        # Many shards are held open, and most of what is read from them is read once.
        config = file.id.get_mdc_config()
        config.max_size = _METADATA_BYTES
        file.id.set_mdc_config(config)
    except _ODD as error:
        file.close()
        raise DamagedError("store", path.name, f"damaged file ({error})", AGAIN) from error
    if told[0] != SHARD_SCHEMA or not all(isinstance(v, int | np.integer) for v in told[1:]):
        file.close()
        raise GrjcaError(
            "store", path.name, "an HDF5 file, but not a shard that this program wrote",
            "Keep other files out of the store's folder.",
        )  # fmt: skip
    if told[1] > VERSION or told[2] > layout.VERSION:
        file.close()
        raise GrjcaError(
            "store", path.name,
            f"schema version {told[1]} of shards with version {told[2]} of clips, this program "
            f"reads up to {VERSION} and {layout.VERSION}", "Update grjca.",
        )  # fmt: skip
    return file


def handle_of(file: h5py.File) -> int:
    """The system's handle of a shard that is open."""
    return int(file.id.get_vfd_handle())


def mark_shard(file: h5py.File) -> None:
    """Say in a new file what it is."""
    file.attrs["schema"] = SHARD_SCHEMA
    file.attrs["version"] = VERSION
    file.attrs["clip_version"] = layout.VERSION
    file.attrs["written_by"] = f"grjca {grjca.__version__}"
    file.create_group(CLIPS)


class Content:
    """Digest of the arrays of a group, in the order of their names, fed block by block.

    SHA-256 over, for each array, a line of JSON with its name, its type (NumPy's, for example
    ``<f4``) and its shape, followed by its bytes in C order.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def array(self, name: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
        """Begin an array."""
        told = canonical_json([name, dtype.str, list(shape)])
        self._hash.update(told.encode() + b"\n")

    def block(self, values: Any) -> None:
        """Add rows of the array that was begun last."""
        self._hash.update(np.ascontiguousarray(values).data)

    def digest(self) -> str:
        """Hexadecimal."""
        return self._hash.hexdigest()


def content_of(group: h5py.Group) -> str:
    """Read the arrays of a group and give their digest.

    Raises:
        OSError: A checksum does not hold; other errors of h5py where the file is damaged.
    """
    content = Content()
    for name in sorted(group):
        dataset = group[name]
        content.array(name, dataset.dtype, dataset.shape)
        for rows in blocks(dataset):
            content.block(dataset[rows])
    return content.digest()


def state_of(node: h5py.Group) -> str:
    """Digest over all attributes of a clip and of its groups, the groups' digests among them.

    It is the same for a clip's own file and for its group in a shard: equal states mean that
    nothing was added to the clip and nothing made anew. SHA-256 of the canonical JSON of
    ``[attributes, {path of group: attributes}]`` without ``state`` and ``content``.
    """
    groups = {path: _plain(node[path].attrs) for path in group_paths(node)}
    told = canonical_json([_plain(node.attrs), groups])
    return hashlib.sha256(told.encode()).hexdigest()


def _plain(attributes: h5py.AttributeManager) -> dict[str, Any]:
    found = {name: value for name, value in attributes.items() if name not in (STATE, CONTENT)}
    return {
        name: value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)
        for name, value in found.items()
    }


def copy_clip(source: h5py.Group, file: h5py.File, clip: str) -> dict[str, str]:
    """Copy a clip's own file, open, into a group of a shard.

    Returns:
        The content of each of its groups, as it was read, by the group's path.

    Raises:
        OSError, RuntimeError, KeyError, ValueError: The source is damaged.
    """
    node = make_group(file[CLIPS], group_name(clip))
    for name, value in source.attrs.items():
        node.attrs[name] = value
    node.attrs[STATE] = state_of(source)
    contents = {}
    for path in group_paths(source):
        kind, _, name = path.rpartition("/")
        parent = node if not kind else node.get(kind) or make_group(node, kind)
        group = make_group(parent, name)
        for key, value in source[path].attrs.items():
            group.attrs[key] = value
        content = Content()
        for name in sorted(source[path]):
            _copy_array(source[path][name], group, name, content)
        contents[path] = group.attrs[CONTENT] = content.digest()
    return contents


def make_group(parent: h5py.Group, name: str) -> h5py.Group:
    """A new group that keeps its attributes in its header, however many they are."""
    made = h5p.create(h5p.GROUP_CREATE)
    # More than eight attributes would otherwise get a heap and a tree of their own.
    made.set_attr_phase_change(64, 32)
    return h5py.Group(h5g.create(parent.id, name.encode(), gcpl=made))


def _copy_array(source: h5py.Dataset, group: h5py.Group, name: str, content: Content) -> None:
    content.array(name, source.dtype, source.shape)
    if source.nbytes <= COMPACT_BYTES:
        values = source[:]
        content.block(values)
        made = h5p.create(h5p.DATASET_CREATE)
        made.set_layout(h5d.COMPACT)
        made.set_obj_track_times(False)
        kind = h5t.py_create(source.dtype, logical=True)
        node = h5d.create(group.id, name.encode(), kind, h5s.create_simple(values.shape), made)
        node.write(h5s.ALL, h5s.ALL, values)
        return
    row_bytes = max(1, source.nbytes // len(source))
    rows = max(1, min(len(source), CHUNK_ROWS, CHUNK_BYTES // row_bytes))
    copy = group.create_dataset(
        name,
        shape=source.shape,
        dtype=source.dtype,
        chunks=(rows, *source.shape[1:]),
        fletcher32=True,
    )
    for block in blocks(source):
        values = source[block]
        content.block(values)
        copy[block] = values


def blocks(dataset: h5py.Dataset) -> Iterator[slice]:
    """Ranges of rows that fit into memory, of whole chunks where they are small."""
    if not len(dataset):
        return
    if dataset.nbytes <= COMPACT_BYTES:
        yield slice(None)
        return
    step = max(1, _BLOCK_BYTES // max(1, dataset.nbytes // len(dataset)))
    if step > CHUNK_ROWS:
        step -= step % CHUNK_ROWS
    for start in range(0, len(dataset), step):
        yield slice(start, start + step)
