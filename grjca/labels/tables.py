"""Annotations in CSV tables: by frame, by time, or one value per clip; by one rater or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from grjca.errors import GrjcaError
from grjca.labels.lines import bad_line, check_width, read_lines, repeats, unit_value
from grjca.labels.raters import combine, with_names
from grjca.labels.records import DIMENSIONS, ClipLabels, Labels

NOT_LABELLED = -5.0
"""What stands for a value that is not there, besides an empty cell and ``nan``."""

MAPPING = "values in [-1, 1] taken as they are; -5 or an empty cell: not labelled"

_REMEDY = (
    "Wanted columns: clip, valence and/or arousal; frame or time for labels along the clip; "
    "optionally subject, rater."
)


def read_table(file: Path) -> Labels:
    """Read one table with the columns ``clip``, ``valence`` and/or ``arousal``.

    ``frame`` (0-based) or ``time`` (seconds on the clip's clock) says where in the clip a row
    belongs; with both, ``frame`` counts; with neither, a clip has one row, which is a label of
    the whole clip. ``subject`` names who is seen, ``rater`` who rated: several raters' values
    become their evaluator-weighted mean. Rows come in any order, other columns are ignored. An
    empty cell, ``nan`` or -5 means not labelled.

    Raises:
        GrjcaError: Wrong columns, not numbers, values outside [-1, 1], or a row given twice; the
            message names the file and the line.
    """
    return combine(_read(file, None))


def read_tables(folder: Path, files: Sequence[Path]) -> Labels:
    """Read the tables of a folder: one per rater, or one per clip.

    Tables with a column ``clip`` are raters' files, each as :func:`read_table` has it but for
    the column ``rater``; the file's path below the folder, without end, names the rater. Tables
    without it are clips' files, named likewise; without ``frame`` and ``time`` too, their row i
    belongs to frame i.

    Raises:
        GrjcaError: As :func:`read_table`; or both kinds in one folder.
    """
    named = {_stem(file, folder): file for file in files}
    if len(named) < len(files):
        twice = next(file for file in files if named[_stem(file, folder)] != file)
        raise GrjcaError("labels", twice, f"stands beside {named[_stem(twice, folder)].name}",
                         "Keep one of them.")  # fmt: skip
    with_clip = {name for name, file in named.items() if "clip" in _header(file)}
    if not with_clip:
        return _clips_tables(named)
    if len(with_clip) < len(named):
        without = next(file for name, file in named.items() if name not in with_clip)
        raise GrjcaError("labels", without, "has no column 'clip', other tables beside it have",
                         "Either all tables are raters', or all are clips'.")  # fmt: skip
    if len(named) == 1:
        return read_table(files[0])
    raters = {}
    for rater, file in named.items():
        if "rater" in _header(file):
            raise GrjcaError("labels", file, "has a column 'rater' and is one of several tables",
                             "Give one table of all raters, or a table of each.")  # fmt: skip
        raters[rater] = _read(file, None)[""]
    return combine(raters)


def _clips_tables(files: Mapping[str, Path]) -> Labels:
    raters: dict[str, list[Labels]] = {}
    for clip, file in files.items():
        for rater, labels in _read(file, clip).items():
            raters.setdefault(rater, []).append(labels)
    return combine({rater: _joined(parts) for rater, parts in raters.items()})


def _joined(parts: Sequence[Labels]) -> Labels:
    names = tuple(name for name in DIMENSIONS if any(name in part.names for part in parts))
    clips = {n: clip for part in parts for n, clip in with_names(part, names).clips.items()}
    return Labels(clips, names, MAPPING)


def _stem(file: Path, folder: Path) -> str:
    path = file.relative_to(folder)
    return path.with_name(path.name[: path.name.lower().rindex(".csv")]).as_posix()


def _header(file: Path) -> list[str]:
    return next(iter(read_lines(file)), (1, []))[1]


@dataclass
class _ClipRows:
    """One rater's rows of a clip while they are collected; ``axis`` holds frames or seconds."""

    axis: list[float] = field(default_factory=list)
    values: list[list[float]] = field(default_factory=list)


def _read(file: Path, clip: str | None) -> dict[str, Labels]:
    """Each rater's labels; the rater is '' where there is no such column.

    Args:
        file: The table.
        clip: The clip that all of it is about; None for a column ``clip``.
    """
    lines = read_lines(file)
    header = next(lines, (1, []))[1]
    names = tuple(name for name in DIMENSIONS if name in header)
    if (clip is None and "clip" not in header) or not names or repeats(header):
        raise GrjcaError("labels", file, f"the header is '{','.join(header)}'", _REMEDY)
    axis = next((name for name in ("frame", "time") if name in header), None)
    collected: dict[str, dict[str, _ClipRows]] = {}
    subjects: dict[str, str] = {}
    for line, cells in lines:
        check_width(file, line, cells, header, _REMEDY)
        row = dict(zip(header, cells, strict=True))
        for column in ("clip", "rater"):
            if row.get(column) == "" and (column == "rater" or clip is None):
                raise bad_line(file, line, f"the cell '{column}' is empty", _REMEDY)
        name = row["clip"] if clip is None else clip
        _check_subject(file, line, name, row.get("subject", ""), subjects)
        rows = collected.setdefault(row.get("rater", ""), {}).setdefault(name, _ClipRows())
        if axis is not None:
            rows.axis.append(_position(file, line, axis, row[axis]))
        elif clip is None and rows.values:
            raise bad_line(file, line, f"a second row for clip {name}",
                           "Without a column 'frame' or 'time' a clip has one row.")  # fmt: skip
        rows.values.append([_value(file, line, row[n]) for n in names])
    if not collected:
        raise GrjcaError("labels", file, "no row below the header", _REMEDY)
    return {
        rater: Labels(
            {n: _clip_labels(file, n, axis, rows, subjects[n], clip is None)
             for n, rows in clips.items()},
            names, MAPPING,
        )
        for rater, clips in collected.items()
    }  # fmt: skip


def _check_subject(
    file: Path, line: int, clip: str, subject: str, subjects: dict[str, str]
) -> None:
    before = subjects.setdefault(clip, subject)
    if subject != before:
        cause = f"clip {clip} is of subject '{subject}' here, of '{before}' before"
        raise bad_line(file, line, cause, "A clip has one subject.")


def _clip_labels(
    file: Path, clip: str, axis: str | None, rows: _ClipRows, subject: str, whole: bool
) -> ClipLabels:
    values = np.array(rows.values, dtype=np.float64)
    if axis is None:
        return ClipLabels(clip, values, None, None, subject or None, file, clip_level=whole)
    position = np.array(rows.axis, dtype=np.float64)
    order = np.argsort(position, kind="stable")
    position = position[order]
    twice = np.flatnonzero(np.diff(position) == 0)
    if twice.size:
        cause = f"clip {clip} has two rows for {axis} {position[twice[0]]:g}"
        remedy = "Keep one row for each; several raters need a column 'rater'."
        raise GrjcaError("labels", file, cause, remedy)
    by_frame = axis == "frame"
    return ClipLabels(
        clip,
        values[order],
        position.astype(np.int64) if by_frame else None,
        None if by_frame else position,
        subject or None,
        file,
    )


def _value(file: Path, line: int, cell: str) -> float:
    if cell.lower() in ("", "nan"):
        return float("nan")
    return unit_value(file, line, cell, _REMEDY, sentinel=NOT_LABELLED)


def _position(file: Path, line: int, axis: str, cell: str) -> float:
    try:
        position = float(int(cell)) if axis == "frame" else float(cell)
    except (ValueError, OverflowError):
        wanted = "a whole number" if axis == "frame" else "a number of seconds"
        raise bad_line(file, line, f"{axis} '{cell}' is not {wanted}", _REMEDY) from None
    if not 0 <= position < float("inf"):
        raise bad_line(file, line, f"{axis} {cell} is before the clip's start or not finite")
    return position
