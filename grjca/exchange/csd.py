"""CMU computational sequences: one HDF5 file per embedder, for programs around CMU-MultimodalSDK.

The layout is that of the SDK's ``write_CSD`` and ``read_CSD`` (``computational_sequence/file_ops``,
https://github.com/CMU-MultiComp-Lab/CMU-MultimodalSDK); the names in ``metadata`` are those its
``metadataconfigs`` asks for.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

import grjca
from grjca.cache.layout import append_rows, create_dataset
from grjca.cache.store import GroupSummary
from grjca.errors import GrjcaError
from grjca.exchange.formats import ExportClip, of
from grjca.exchange.manifest import Kind
from grjca.files import written_in_one_step


def root_name(kind: Kind, name: str) -> str:
    """The name of an embedder's sequence, and of its file: ``visual_fer``."""
    return f"{kind}_{name}"


def video_id(clip: str) -> str:
    """A clip's identity as the name of an entry.

    A slash would open a group in HDF5, and the SDK takes ``[`` for the number of a segment: both
    are written in hexadecimal, as in a URL (``urllib.parse.unquote`` gives the identity back).
    """
    for character in "%/[":
        clip = clip.replace(character, f"%{ord(character):02X}")
    return clip


def intervals(time: NDArray[np.float64]) -> NDArray[np.float64]:
    """When each row begins and ends.

    Args:
        time: (T,) seconds.

    Returns:
        (T, 2) float64 seconds: from the row's time to the next row's; the last one is as long as
        the one before it, a single one has no length.
    """
    steps = np.diff(time)
    last = time[-1] + (steps[-1] if len(steps) else 0.0)
    return np.stack([time, np.append(time[1:], last)], axis=1)


def write_csd(
    kind: Kind,
    clips: Sequence[ExportClip],
    path: Path,
    failed: Callable[[str, GrjcaError], object],
) -> list[str]:
    """Write the features of one embedder over all clips.

    A sequence has no masks: rows that are not valid are left out, and so are clips without a
    valid row.

    Args:
        kind: The modality.
        clips: Clips that have features of this embedder; the name is the same in all.
        path: The file.
        failed: Told of a clip that cannot be read; the others are written.

    Returns:
        Clips without a valid row.

    Raises:
        GrjcaError: No clip has a valid row, or the file cannot be written.
    """
    name = clips[0].names[kind]
    empty: list[str] = []
    done: dict[str, GroupSummary] = {}
    with written_in_one_step(path) as temporary, h5py.File(temporary, "w") as file:
        root = file.create_group(root_name(kind, name))
        data = root.create_group("data")
        for clip in clips:
            try:
                if not _write_clip(data, kind, clip):
                    empty.append(clip.clip)
                    continue
                groups = clip.store.summary(clip.clip).groups
            except GrjcaError as error:
                data.pop(video_id(clip.clip), None)
                failed(clip.clip, error)
                continue
            done[clip.clip] = next(group for group in groups if group.path == f"{kind}/{name}")
        if not done:
            raise GrjcaError("export", path, "no clip has a valid row", "Nothing is written.")
        _write_metadata(root, _metadata(kind, name, done))
    return empty


def _write_clip(data: h5py.Group, kind: Kind, clip: ExportClip) -> int:
    """Append the valid rows of a clip, which gets an entry at the first; how many there are."""
    spans, start, count = intervals(clip.time), 0, 0
    entry: h5py.Group | None = None
    for block in clip.blocks(kind):
        values, valid = of(block, kind)
        if valid.any():
            if entry is None:
                entry = data.create_group(video_id(clip.clip))
                create_dataset(entry, "features", values.shape[1:], "<f4")
                create_dataset(entry, "intervals", (2,), "<f8")
            append_rows(entry["features"], values[valid])
            append_rows(entry["intervals"], spans[start : start + len(block)][valid])
        start += len(block)
        count += int(valid.sum())
    return count


def _metadata(kind: Kind, name: str, done: Mapping[str, GroupSummary]) -> dict[str, Any]:
    first = next(iter(done.values()))
    stated = (first.config.get("imported") or {}).get("columns")
    told = {key: value for key, value in first.config.items() if key != "content"}
    dimensions = stated or [f"{name}_{i}" for i in range(first.dim)]
    content = json.dumps([kind, name, [[clip, group.digest] for clip, group in done.items()]])
    return {
        "root name": root_name(kind, name),
        "computational sequence description": f"{kind} features, a row per valid frame; "
        f"made by {json.dumps(told)}",
        "dimension names": dimensions,
        "computational sequence version": "1",
        # The SDK lacks a comma in its list of names and asks for these two as one.
        "dimension namescomputational sequence version": dimensions,
        "alignment compatible": True,
        "dataset name": "",
        "dataset version": "",
        "creator": f"grjca {grjca.__version__}",
        "contact": "",
        "featureset bib citation": "",
        "dataset bib citation": "",
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_OID, content)),
        "md5": None,
    }


def _write_metadata(root: h5py.Group, metadata: Mapping[str, Any]) -> None:
    group = root.create_group("metadata")
    for key, value in metadata.items():
        group.create_dataset(key, data=[json.dumps(value)], dtype=h5py.string_dtype())
