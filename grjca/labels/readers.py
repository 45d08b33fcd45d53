"""Reading annotations from disk: a folder of Aff-Wild2 text files, or one CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError
from grjca.labels.records import DIMENSIONS, ClipLabels, Labels

NOT_LABELLED = -5.0
"""What Aff-Wild2 writes for a frame without an annotation."""

MAPPING = "values in [-1, 1] taken as they are; -5 or an empty cell: not labelled"

_TEXT_REMEDY = "Wanted: a header 'valence,arousal' and a row per frame, -5 for not labelled."
_TABLE_REMEDY = "Wanted columns: clip, frame or time, valence and/or arousal, optionally subject."


def read_labels(path: Path) -> Labels:
    """Read annotations.

    A folder holds one text file per clip, as Aff-Wild2 has them: a header ``valence,arousal``
    (either may be missing), then row i for frame i. The file's path below the folder, without
    ``.txt``, names the clip. -5 in a dimension means that it is not labelled in that frame.

    A file is one CSV with the columns ``clip``, ``frame`` (0-based) or ``time`` (seconds on the
    clip's clock), ``valence`` and/or ``arousal``, optionally ``subject``; rows in any order,
    other columns ignored. An empty cell, ``nan`` or -5 means not labelled; with both ``frame``
    and ``time``, ``frame`` counts.

    Args:
        path: The folder or the CSV file.

    Raises:
        GrjcaError: Nothing there, wrong columns, not numbers, values outside [-1, 1], or a row
            given twice; the message names the file and the line.
    """
    if path.is_dir():
        return _read_folder(path)
    if path.is_file():
        return _read_table(path)
    raise GrjcaError(
        "labels", path, "no such file or folder",
        "Give a folder of Aff-Wild2 text files or one CSV file.",
    )  # fmt: skip


def _read_folder(folder: Path) -> Labels:
    files = [
        file
        for file in sorted(folder.rglob("*.txt"))
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]
    if not files:
        raise GrjcaError("labels", folder, "the folder holds no .txt file", _TEXT_REMEDY)
    columns = {file: _read_text(file) for file in files}
    names = tuple(n for n in DIMENSIONS if any(n in read for read in columns.values()))
    clips = {}
    for file, read in columns.items():
        clip = file.relative_to(folder).as_posix().removesuffix(".txt")
        rows = len(next(iter(read.values())))
        missing = np.full(rows, np.nan)
        values = np.stack([read.get(name, missing) for name in names], axis=1)
        clips[clip] = ClipLabels(clip, values, None, None, None, file)
    return Labels(clips, names, MAPPING)


def _read_text(file: Path) -> dict[str, NDArray[np.float64]]:
    lines = _lines(file)
    header = next(lines, (1, []))[1]
    if not header or any(name not in DIMENSIONS for name in header) or _repeats(header):
        raise GrjcaError("labels", file, f"the header is '{','.join(header)}'", _TEXT_REMEDY)
    rows = []
    for line, cells in lines:
        _check_width(file, line, cells, header, _TEXT_REMEDY)
        rows.append([_value(file, line, cell, _TEXT_REMEDY) for cell in cells])
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(header))
    return {name: table[:, i] for i, name in enumerate(header)}


@dataclass
class _ClipRows:
    """A clip's rows of a table while they are collected; ``axis`` holds frames or seconds."""

    line: int
    subject: str
    axis: list[float] = field(default_factory=list)
    values: list[list[float]] = field(default_factory=list)


def _read_table(file: Path) -> Labels:
    lines = _lines(file)
    header = next(lines, (1, []))[1]
    names = tuple(name for name in DIMENSIONS if name in header)
    axis = next((name for name in ("frame", "time") if name in header), None)
    if "clip" not in header or axis is None or not names or _repeats(header):
        raise GrjcaError("labels", file, f"the header is '{','.join(header)}'", _TABLE_REMEDY)
    collected: dict[str, _ClipRows] = {}
    for line, cells in lines:
        _check_width(file, line, cells, header, _TABLE_REMEDY)
        row = dict(zip(header, cells, strict=True))
        subject = row.get("subject", "")
        rows = collected.setdefault(row["clip"], _ClipRows(line, subject))
        if not row["clip"]:
            raise _bad_line(file, line, "the cell 'clip' is empty", _TABLE_REMEDY)
        if subject != rows.subject:
            cause = f"clip {row['clip']} is of subject '{subject}' here, of '{rows.subject}' before"
            raise _bad_line(file, line, cause, "A clip has one subject.")
        rows.axis.append(_position(file, line, axis, row[axis]))
        rows.values.append(
            [_value(file, line, row[n], _TABLE_REMEDY, empty_allowed=True) for n in names]
        )
    if not collected:
        raise GrjcaError("labels", file, "no row below the header", _TABLE_REMEDY)
    clips = {clip: _sorted_clip(file, clip, axis, rows) for clip, rows in collected.items()}
    return Labels(clips, names, MAPPING)


def _sorted_clip(file: Path, clip: str, axis: str, rows: _ClipRows) -> ClipLabels:
    position = np.array(rows.axis, dtype=np.float64)
    order = np.argsort(position, kind="stable")
    position = position[order]
    twice = np.flatnonzero(np.diff(position) == 0)
    if twice.size:
        cause = f"clip {clip} has two rows for {axis} {position[twice[0]]:g}"
        raise GrjcaError("labels", file, cause, "Keep one row for each.")
    values = np.array(rows.values, dtype=np.float64)[order]
    by_frame = axis == "frame"
    return ClipLabels(
        clip,
        values,
        position.astype(np.int64) if by_frame else None,
        None if by_frame else position,
        rows.subject or None,
        file,
    )


def _lines(file: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV with their line numbers; cells stripped, empty lines at the end dropped."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            empty: int | None = None
            for cells in reader:
                stripped = [cell.strip() for cell in cells]
                if not any(stripped):
                    empty = empty or reader.line_num
                    continue
                # A row of text files stands for a frame: an empty one in between would shift
                # every later label by a frame.
                if empty is not None:
                    raise _bad_line(file, empty, "an empty line between the rows", "Remove it.")
                yield reader.line_num, stripped
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise GrjcaError("labels", file, f"not a readable text file ({error})") from error


def _value(file: Path, line: int, cell: str, remedy: str, *, empty_allowed: bool = False) -> float:
    if empty_allowed and cell.lower() in ("", "nan"):
        return float("nan")
    try:
        value = float(cell)
    except ValueError:
        raise _bad_line(file, line, f"'{cell}' is not a number", remedy) from None
    if value == NOT_LABELLED:
        return float("nan")
    if not -1 <= value <= 1:
        remedy = "Map the values to [-1, 1] first; -5 means not labelled."
        raise _bad_line(file, line, f"the value {cell} lies outside [-1, 1]", remedy)
    return value


def _position(file: Path, line: int, axis: str, cell: str) -> float:
    try:
        position = float(int(cell)) if axis == "frame" else float(cell)
    except ValueError:
        wanted = "a whole number" if axis == "frame" else "a number of seconds"
        raise _bad_line(file, line, f"{axis} '{cell}' is not {wanted}", _TABLE_REMEDY) from None
    if not 0 <= position < float("inf"):
        raise _bad_line(file, line, f"{axis} {cell} is before the clip's start or not finite")
    return position


def _check_width(file: Path, line: int, cells: list[str], header: list[str], remedy: str) -> None:
    if len(cells) != len(header):
        raise _bad_line(file, line, f"{len(cells)} cells under {len(header)} columns", remedy)


def _repeats(header: list[str]) -> bool:
    return len(set(header)) != len(header)


def _bad_line(file: Path, line: int, cause: str, remedy: str = "") -> GrjcaError:
    return GrjcaError("labels", file, f"line {line}: {cause}", remedy)
