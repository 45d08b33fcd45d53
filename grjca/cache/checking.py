"""One clip's file looked into from end to end: every chunk, every mask, every digest.

The HDF5 library may crash on a damaged file, so :mod:`grjca.cache.verify` runs this in a process
of its own, :mod:`grjca.cache.checking_child`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from grjca.cache.keys import SourceId, group_digest, parent_of
from grjca.cache.layout import (
    ANY,
    FORMS,
    OPTIONAL,
    DamagedError,
    Form,
    group_paths,
    identity_of,
    open_clip,
)
from grjca.errors import GrjcaError

Kind = Literal["damaged", "stale", "foreign"]

AGAIN = "Delete it and run extract again."
ANEW = "Run extract again: it makes this group anew."
OUT = "Move it out of the store."

_BLOCK_ROWS = 4096
_BLOCK_BYTES = 1 << 24
_CHUNK_BYTES = 1 << 26
_ODD = (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError)
"""What h5py raises on damaged files."""


@dataclass
class Checked:
    """What was found out about a clip's file.

    Attributes:
        clip: The clip it says it holds.
        found: Kind, what is wrong, and what to do, for each finding.
        people: How many people of its source have a file, if they have.
        faces: Digest of its faces.
        source: SHA-256 of the one file it was made from; None if it was made from several.
    """

    clip: str | None = None
    found: list[tuple[Kind, str, str]] = field(default_factory=list)
    people: int | None = None
    faces: str | None = None
    source: str | None = None

    def add(self, kind: Kind, what: str, remedy: str) -> None:
        """Add a finding."""
        self.found.append((kind, what, remedy))


def check_clip(root: Path, path: Path) -> Checked:
    """Read a clip's file whole and compare it with what the store promises.

    Memory stays bounded whatever the file claims.

    Args:
        root: The store's folder.
        path: The file, below it.
    """
    checked = Checked()
    try:
        file = open_clip(path)
    except DamagedError as error:
        checked.add("damaged", error.cause, error.remedy)
        return checked
    except GrjcaError as error:
        checked.add("foreign", error.cause, error.remedy)
        return checked
    with file:
        check_node(file, lambda: identity_of(root, path), checked)
    return checked


def check_node(
    file: h5py.Group,
    place: Callable[[], str],
    checked: Checked,
    *,
    packed: bool = False,
) -> bool:
    """Read an open clip whole, see :func:`check_clip`; false where it could not be read.

    Args:
        file: The clip's own file, or its group in a shard.
        place: Tells which clip should lie there.
        checked: Told of what is wrong.
        packed: It is a group in a shard.
    """
    try:
        _check_attributes(file, place(), checked)
        rows = _check_groups(file, checked, packed=packed)
        _check_digests(file, checked)
    except _ODD as error:
        checked.add("damaged", f"{error}", AGAIN)
        return False
    if rows is not None and all(kind != "damaged" for kind, _, _ in checked.found):
        _check_rows(file, rows, checked)
    return True


def _check_attributes(file: h5py.Group, place: str, checked: Checked) -> None:
    checked.clip = str(file.attrs["clip"])
    for name, read in _ATTRIBUTES.items():
        try:
            read(file.attrs[name])
        except _ODD as error:
            checked.add("damaged", f"attribute {name} missing or unreadable ({error})", AGAIN)
    if "people" in file.attrs:
        checked.people = int(file.attrs["people"])
    if checked.clip != place:
        checked.add(
            "foreign", f"it holds the clip {checked.clip} but lies in the place of {place}",
            "Move it back, or delete it.",
        )  # fmt: skip


def _text(value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{type(value).__name__}")  # noqa: TRY004


_ATTRIBUTES: dict[str, Callable[[Any], object]] = {
    "rows": int,
    "fps": float,
    "source": lambda text: SourceId(**json.loads(text)),
    "media": json.loads,
    "written_by": _text,
}


def _check_groups(file: h5py.Group, checked: Checked, *, packed: bool) -> int | None:
    """Types and shapes; the number of rows, if there are any to compare with."""
    for name in file:
        if name not in FORMS:
            checked.add("foreign", f"/{name} does not belong into a clip's file", AGAIN)
    if "frames/time" not in file:
        checked.add("damaged", "frames/time is missing", AGAIN)
        return None
    rows = len(file["frames/time"])
    if rows != int(file.attrs["rows"]):
        checked.add("damaged", f"{rows} times, but {file.attrs['rows']} rows", AGAIN)
    for path in group_paths(file):
        node = file[path]
        form = FORMS[path.partition("/")[0]]
        for name in sorted(set(node) | set(form)):
            if name not in form:
                checked.add("foreign", f"{path}/{name} does not belong there", AGAIN)
            elif name not in node:
                if f"{path}/{name}" not in OPTIONAL:
                    checked.add("damaged", f"{path}/{name} is missing", AGAIN)
            elif wrong := _wrong_form(node[name], form[name], rows, packed=packed):
                checked.add("damaged", f"{path}/{name}: {wrong}", AGAIN)
    return rows


def _wrong_form(node: Any, form: Form, rows: int, *, packed: bool) -> str | None:
    types, tail = form
    if not isinstance(node, h5py.Dataset):
        return "no dataset"
    if node.dtype.str not in types:
        return f"type {node.dtype.str}, not {' or '.join(types)}"
    if len(node.shape) != 1 + len(tail) or any(
        have != want for have, want in zip(node.shape[1:], tail, strict=True) if want != ANY
    ):
        return f"shape {node.shape}"
    if len(node) != rows:
        return f"{len(node)} rows, but {rows} times"
    if packed and node.id.get_create_plist().get_layout() == h5py.h5d.COMPACT:
        # In the object's header, which has a checksum of its own.
        return None
    if node.chunks is None or not node.fletcher32:
        return "no checksums"
    if _bytes(node, node.chunks[0]) > _CHUNK_BYTES:
        return f"chunks of {node.chunks}"
    # Chunks that are not there read as zeros.
    if node.id.get_num_chunks() != -(-rows // node.chunks[0]):
        return f"{node.id.get_num_chunks()} chunks for {rows} rows"
    return None


def _bytes(node: h5py.Dataset, rows: int) -> int:
    return int(np.prod((rows, *node.shape[1:]), dtype=object)) * int(node.dtype.itemsize)


def _check_digests(file: h5py.Group, checked: Checked) -> None:
    """Whether each group follows from what it records and from the group it was made from."""
    source = SourceId(**json.loads(file.attrs["source"]))
    several = False
    for path in group_paths(file):
        attributes = file[path].attrs
        try:
            made, config = str(attributes["digest"]), json.loads(attributes["config"])
        except _ODD as error:
            checked.add("damaged", f"{path}: digest or config unreadable ({error})", AGAIN)
            continue
        if path == "faces":
            checked.faces = made
        before = parent_of(path, config)
        if before is not None and before not in file:
            checked.add("damaged", f"{path} without the {before} it was made from", AGAIN)
            continue
        parent = str(file[before].attrs["digest"]) if before else source.sha256
        if made != group_digest(path, config, parent):
            origin = f"the {before} beside it" if before else "its source"
            checked.add(
                "stale", f"{path} does not follow from {origin} and from what it records", ANEW
            )
        several |= _from_several(config)
    checked.source = None if several else source.sha256


def _from_several(config: Mapping[str, Any]) -> bool:
    """Whether images of a folder, sound from another file, or imported files are in it."""
    sound = config.get("sound", {}).get("part", {})
    return "images" in config.get("part", {}) or "separate" in sound or "content" in config


def _check_rows(file: h5py.Group, rows: int, checked: Checked) -> None:
    for path in group_paths(file):
        try:
            wrong = _wrong_rows(file[path], path.partition("/")[0], rows)
        except _ODD as error:
            wrong = f"cannot be read ({error})"
        if wrong:
            checked.add("damaged", f"{path}: {wrong}", AGAIN)


def _wrong_rows(node: h5py.Group, kind: str, rows: int) -> str | None:
    """The first thing wrong in the rows of a group, read block by block."""
    last: dict[str, float] = {"time": -np.inf, "index": -1}
    for start, block in _blocks(node, rows):
        if kind == "frames":
            wrong = _wrong_frames(block, last)
        elif kind == "faces":
            wrong = _wrong_faces(block)
        elif kind == "crops":
            wrong = None
        else:
            features = block["features"]
            wrong = _wrong_mask("features", features, block["valid"])
        if wrong:
            return f"{wrong} between rows {start} and {start + len(next(iter(block.values())))}"
    return None


def _blocks(node: h5py.Group, rows: int) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
    nodes = dict(node.items())
    largest = max(1, *(_bytes(dataset, 1) for dataset in nodes.values()))
    step = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // largest))
    for start in range(0, rows, step):
        yield start, {name: dataset[start : start + step] for name, dataset in nodes.items()}


def _wrong_frames(block: Mapping[str, NDArray[Any]], last: dict[str, float]) -> str | None:
    time = block["time"]
    if not np.isfinite(time).all() or (np.diff(time, prepend=last["time"]) <= 0).any():
        return "times do not increase"
    last["time"] = float(time[-1])
    if "index" in block:
        if (np.diff(block["index"], prepend=np.int64(last["index"])) < 0).any():
            return "numbers of frames fall"
        last["index"] = int(block["index"][-1])
    return None


def _wrong_faces(block: Mapping[str, NDArray[Any]]) -> str | None:
    valid, interpolated = block["valid"], block["interpolated"]
    if (interpolated & ~valid).any():
        return "faces interpolated but not valid"
    if ((block["track"] >= 0) != valid).any():
        return "tracks where no face is valid, or none where one is"
    return (
        _wrong_mask("box", block["box"], valid)
        or _wrong_mask("landmarks", block["landmarks"], valid)
        or _wrong_mask("score", block["score"], valid & ~interpolated)
    )


def _wrong_mask(name: str, values: NDArray[Any], valid: NDArray[Any]) -> str | None:
    """Numbers must be finite where valid, and NaN everywhere else."""
    flat = values.reshape(len(values), -1)
    if not np.isfinite(flat[valid]).all():
        return f"{name} not finite where valid"
    if not np.isnan(flat[~valid]).all():
        return f"{name} not NaN where not valid"
    return None
