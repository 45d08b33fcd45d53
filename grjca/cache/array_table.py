"""Where the small arrays of a shard's clips lie in its file, so that one read gets them.

Opening five arrays through HDF5 takes ten times as long as reading them. Beside the clips' groups a
shard has a group :data:`TABLE`, for this program alone; whoever ignores it misses nothing. It says
of each clip where in the file the numbers lie that a training reads, with a checksum of each array.
What is not in it is read through HDF5.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5o
from numpy.typing import NDArray

from grjca.cache.records import ClipFeatures
from grjca.cache.shards import TABLE, place_of

_KINDS = ("visual", "audio")
_HEADER_BYTES = 4096
_SPAN_BYTES = 1 << 17

Column = tuple[str, str, tuple[int, ...]]
"""Path of an array in a clip's group, its type (NumPy's) and its shape behind the rows."""


@dataclass(frozen=True)
class ArrayTable:
    """The table of one shard.

    Attributes:
        columns: Number of each array's column, with type and shape, by its path.
        clip: (N,) uint64, sorted: :func:`clip_key` of each clip.
        rows: (N,) int64, rows of each clip.
        offset: (N, C) int64, where an array begins in the file; 0 where that is not told.
        checksum: (N, C) uint32, CRC-32 of its bytes.
    """

    columns: dict[str, tuple[int, np.dtype[Any], tuple[int, ...]]]
    clip: NDArray[np.uint64]
    rows: NDArray[np.int64]
    offset: NDArray[np.int64]
    checksum: NDArray[np.uint32]

    def read(
        self, handle: int, clip: str, visual: str | None, audio: str | None, rows: slice
    ) -> ClipFeatures | None:
        """Features of a range of rows; None where the table does not tell where they lie.

        Args:
            handle: The shard's file.
            clip: The clip's identity.
            visual: Name of the visual embedder, None for no visual features.
            audio: Name of the audio embedder, None for no audio features.
            rows: Range of rows.

        Raises:
            ValueError: The bytes there are not those that were packed.
            OSError: The file cannot be read.
        """
        place = self._place(clip)
        if place is None:
            return None
        paths = ["frames/time"]
        named = dict(zip(_KINDS, (visual, audio), strict=True))
        for kind, name in named.items():
            if name is not None:
                paths += [f"{kind}/{name}/features", f"{kind}/{name}/valid"]
        if any(path not in self.columns for path in paths):
            return None
        offsets, checksums = self.offset[place], self.checksum[place]
        if "frames/index" in self.columns and offsets[self.columns["frames/index"][0]]:
            paths.append("frames/index")
        if not all(offsets[self.columns[path][0]] for path in paths):
            return None
        arrays = self._arrays(handle, paths, int(self.rows[place]), offsets, checksums)
        start, stop, step = rows.indices(int(self.rows[place]))
        if step != 1:
            return None
        window = slice(start, max(start, stop))
        time = arrays["frames/time"][window]
        sides = []
        for kind, name in named.items():
            features, valid = None, np.zeros(len(time), dtype=bool)
            if name is not None:
                features = arrays[f"{kind}/{name}/features"][window].astype(np.float32, copy=False)
                valid = arrays[f"{kind}/{name}/valid"][window]
            sides.append((features, valid))
        (seen, seen_valid), (heard, heard_valid) = sides
        index = arrays["frames/index"][window] if "frames/index" in arrays else None
        return ClipFeatures(clip, time, seen, seen_valid, heard, heard_valid, index)

    def _arrays(
        self,
        handle: int,
        paths: Iterable[str],
        rows: int,
        offsets: NDArray[np.int64],
        checksums: NDArray[np.uint32],
    ) -> dict[str, NDArray[Any]]:
        wanted = {}
        for path in paths:
            column, dtype, shape = self.columns[path]
            size = rows * dtype.itemsize * int(np.prod(shape, dtype=int))
            wanted[path] = (int(offsets[column]), size, int(checksums[column]), dtype, shape)
        first = min(offset for offset, *_ in wanted.values())
        last = max(offset + size for offset, size, *_ in wanted.values())
        # Most clips' arrays lie near each other: one read gets them all.
        near = _read(handle, first, last - first) if last - first <= _SPAN_BYTES else None
        arrays = {}
        for path, (offset, size, checksum, dtype, shape) in wanted.items():
            if near is not None:
                data = near[offset - first : offset - first + size]
            else:
                data = _read(handle, offset, size)
            if zlib.crc32(data.data) != checksum:
                raise ValueError(f"{path} is not what was packed")
            arrays[path] = data.view(dtype).reshape(rows, *shape)
        return arrays

    def wrong(self, handle: int, clip: str) -> str | None:
        """What is wrong with the arrays of a clip that the table tells of; None if nothing is."""
        place = self._place(clip)
        if place is None:
            return None
        offsets, rows = self.offset[place], int(self.rows[place])
        paths = [path for path, (column, _, _) in self.columns.items() if offsets[column]]
        try:
            self._arrays(handle, paths, rows, offsets, self.checksum[place])
        except (ValueError, OSError) as error:
            return str(error)
        return None

    def _place(self, clip: str) -> int | None:
        key = clip_key(clip)
        place = int(np.searchsorted(self.clip, key))
        return place if place < len(self.clip) and self.clip[place] == key else None


def clip_key(clip: str) -> np.uint64:
    """The first eight bytes of the SHA-256 of a clip's name, the lowest first."""
    return np.uint64(int.from_bytes(hashlib.sha256(clip.encode()).digest()[:8], "little"))


def _read(handle: int, offset: int, size: int) -> NDArray[np.uint8]:
    data = np.empty(size, np.uint8)
    if size and os.preadv(handle, [data.data], offset) != size:
        raise ValueError("the file ends too early")
    return data


def load_table(file: h5py.File) -> ArrayTable | None:
    """The table of a shard, None where it has none or it is damaged: HDF5 is asked instead."""
    try:
        node = file[TABLE]
        told: list[Column] = json.loads(node.attrs["columns"])
        columns = {
            path: (number, np.dtype(dtype), tuple(shape))
            for number, (path, dtype, shape) in enumerate(told)
        }
        parts = [node[name][:] for name in ("clip", "rows", "offset", "checksum")]
        return ArrayTable(columns, *parts)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError):
        return None


def add_table(file: h5py.File, handle: int, clips: Iterable[str]) -> None:
    """Write the table into a shard that is otherwise finished.

    Args:
        file: The shard, open for writing.
        handle: The file it is written to.
        clips: The clips in it.
    """
    file.flush()
    found = {int(clip_key(clip)): dict(_places(file[place_of(clip)], handle)) for clip in clips}
    told = {key: places for key, places in found.items() if ("frames/time", "<f8", ()) in places}
    columns: list[Column] = sorted({column for places in told.values() for column in places})
    # Of an embedder that has features of several widths, one is told.
    columns = [*{column[0]: column for column in columns}.values()]
    keys = sorted(told)
    rows = np.array([told[key][("frames/time", "<f8", ())][2] for key in keys], np.int64)
    none = (0, 0, 0)
    places = [[told[key].get(column, none) for column in columns] for key in keys]
    shape = (len(keys), len(columns))
    node = file.create_group(TABLE)
    node.attrs["columns"] = json.dumps(columns)
    arrays: dict[str, NDArray[Any]] = {
        "clip": np.array(keys, np.uint64),
        "rows": rows,
        "offset": np.array([[p[0] for p in line] for line in places], np.int64).reshape(shape),
        "checksum": np.array([[p[1] for p in line] for line in places], np.uint32).reshape(shape),
    }
    for name, values in arrays.items():
        chunks = (min(len(keys), 4096), *values.shape[1:]) if values.size else None
        node.create_dataset(name, data=values, chunks=chunks, fletcher32=bool(values.size))


def _places(node: h5py.Group, handle: int) -> Iterator[tuple[Column, tuple[int, int, int]]]:
    """Offset, checksum and rows of each small array that a training reads."""
    rows = len(node["frames/time"])
    groups = ["frames", *(f"{kind}/{name}" for kind in _KINDS for name in node.get(kind, {}))]
    for group in groups:
        for name, dataset in node[group].items():
            place = _place(dataset, handle) if len(dataset) == rows else None
            if place is not None:
                yield (f"{group}/{name}", dataset.dtype.str, dataset.shape[1:]), (*place, rows)
            elif group == "frames":
                return


def _place(dataset: h5py.Dataset, handle: int) -> tuple[int, int] | None:
    """Offset and checksum of an array that lies in its object's header."""
    if dataset.id.get_create_plist().get_layout() != h5d.COMPACT or not dataset.nbytes:
        return None
    content = dataset[:].tobytes()
    start = h5o.get_info(dataset.id).addr
    # HDF5 does not tell where in a header the numbers are. Wherever the same bytes are found will
    # do: a shard is never changed.
    header = os.pread(handle, len(content) + _HEADER_BYTES, start)
    found = header.find(content)
    return (start + found, zlib.crc32(content)) if found >= 0 else None
