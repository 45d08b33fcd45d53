"""A range of rows out of a clip's group, by few calls of HDF5.

A training reads windows of many clips at random. h5py's own slicing asks for types, shapes and
spaces at every step, which takes longer than reading the rows; here types are known, and of small
arrays, which lie in one piece, all is read at once.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from h5py import h5d, h5g, h5s, h5t
from numpy.typing import NDArray

from grjca.cache.records import ClipFeatures
from grjca.cache.shards import COMPACT_BYTES

_TIME, _INDEX, _FEATURES, _MASK = "<f8", "<i8", "<f4", "|b1"


def read_rows(
    node: h5g.GroupID, clip: str, visual: str | None, audio: str | None, rows: slice
) -> ClipFeatures | None:
    """Features of a range of rows.

    Args:
        node: The clip's group.
        clip: Its identity.
        visual: Name of the visual embedder, None for no visual features.
        audio: Name of the audio embedder, None for no audio features.
        rows: Range of rows; of large arrays only those are read, and what shares a chunk with them.

    Returns:
        The rows; None where the clip has no features of that name.

    Raises:
        OSError, RuntimeError, KeyError, ValueError: The file is damaged.
    """
    frames = h5g.open(node, b"frames")
    time = h5d.open(frames, b"time")
    (count,) = time.shape
    start, stop, step = rows.indices(count)
    if step != 1:
        raise ValueError(f"rows in steps of {step}")
    stop = max(start, stop)
    index = None
    if frames.links.exists(b"index"):
        index = _read(h5d.open(frames, b"index"), _INDEX, count, start, stop)
    sides: list[tuple[NDArray[np.float32] | None, NDArray[np.bool_]]] = []
    for kind, name in ((b"visual", visual), (b"audio", audio)):
        if name is None:
            sides.append((None, np.zeros(stop - start, dtype=bool)))
            continue
        path = b"%b/%b" % (kind, name.encode())
        try:
            group = h5g.open(node, path)
        except (KeyError, ValueError):
            if kind in node and path in node:
                raise
            return None
        features = _read(h5d.open(group, b"features"), _FEATURES, count, start, stop)
        valid = _read(h5d.open(group, b"valid"), _MASK, count, start, stop)
        sides.append((features, valid))
    (seen, seen_valid), (heard, heard_valid) = sides
    times = _read(time, _TIME, count, start, stop)
    return ClipFeatures(clip, times, seen, seen_valid, heard, heard_valid, index)


@cache
def _stored_as(kind: str) -> h5t.TypeID:
    return h5t.py_create(np.dtype(kind), logical=True)


def _read(dataset: h5d.DatasetID, kind: str, count: int, start: int, stop: int) -> NDArray[Any]:
    shape = dataset.shape
    if shape[0] != count:
        raise ValueError(f"{shape[0]} rows, but {count} times")
    width = 1
    for size in shape[1:]:
        width *= size
    if count * width * np.dtype(kind).itemsize <= COMPACT_BYTES:
        values = np.empty(shape, kind)
        if values.size:
            dataset.read(h5s.ALL, h5s.ALL, values, _stored_as(kind))
        return values[start:stop]
    values = np.empty((stop - start, *shape[1:]), kind)
    if values.size:
        there = h5s.create_simple(shape)
        there.select_hyperslab((start, *[0] * (len(shape) - 1)), values.shape)
        dataset.read(h5s.create_simple(values.shape), there, values, _stored_as(kind))
    return values
