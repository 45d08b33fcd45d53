"""Reading back what ``grjca predict`` wrote: CSV, JSON or Parquet, a row per frame."""

from __future__ import annotations

import csv
import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError, UsageError
from grjca.labels.records import DIMENSIONS

FORMS = (".csv", ".json", ".parquet")
"""Endings of tables; of a clip that has several, the first here is read."""

MASKS = ("face_valid", "audio_valid")

_GATE = re.compile(r"gate_(.+)_(\d+)")
_SHOWN = 5

Columns = Mapping[str, Sequence[Any] | NDArray[np.float64]]


@dataclass(frozen=True)
class PredictionTable:
    """Predictions of one clip, a row per row of the clip.

    Attributes:
        path: The table's file.
        time: (T,) float64 seconds, increasing, T at least 1.
        values: (T, K) float64; NaN where there is none.
        names: K names, of ``valence`` and ``arousal``.
        face_valid: (T,) bool, a face was seen; true everywhere where the table does not say.
        audio_valid: (T,) bool, there is sound; the same.
        gates: (T, n) float64 by the gate's name.
    """

    path: Path
    time: NDArray[np.float64]
    values: NDArray[np.float64]
    names: tuple[str, ...]
    face_valid: NDArray[np.bool_]
    audio_valid: NDArray[np.bool_]
    gates: dict[str, NDArray[np.float64]]

    def __len__(self) -> int:
        return len(self.time)


def read_table(path: Path) -> PredictionTable:
    """Read a table of predictions, as its ending says.

    Needed are the columns ``time`` and ``valence`` or ``arousal``; columns that it does not know
    are left alone.

    Raises:
        GrjcaError: It cannot be read or is no such table; the message says what is wrong where.
        UsageError: Another ending, or a Parquet file and pyarrow is not installed.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        cause = f"{path.suffix or 'a name without an ending'} is no form of predictions"
        raise UsageError("predictions", path, cause, f"Known: {', '.join(FORMS)}.")
    try:
        columns = reader(path)
    except OSError as error:
        raise GrjcaError(
            "predictions", path, error.strerror or str(error), "Check the path and its permissions."
        ) from error
    names = tuple(name for name in DIMENSIONS if name in columns)
    if "time" not in columns or not names:
        needed = f"time and {' or '.join(DIMENSIONS)}"
        raise _wrong(path, f"no columns {needed}; there are: {some(list(columns))}")
    gates = _gate_columns(columns)
    known = ("time", *names, *MASKS, *(column for own in gates.values() for column in own))
    numbers = {name: _numbers(path, name, columns[name]) for name in known if name in columns}
    time = numbers["time"]
    if len({len(column) for column in numbers.values()}) > 1:
        raise _wrong(path, "its columns differ in length")
    if not len(time):
        raise _wrong(path, "the table has no rows")
    if not np.isfinite(time).all() or (np.diff(time) <= 0).any():
        raise _wrong(path, "its times are missing or do not increase from row to row")
    there = np.ones(len(time))
    masks = {name: numbers.get(name, there) == 1 for name in MASKS}
    return PredictionTable(
        path,
        time,
        np.stack([numbers[name] for name in names], axis=1),
        names,
        **masks,
        gates={
            gate: np.stack([numbers[column] for column in own], axis=1)
            for gate, own in gates.items()
        },
    )


def is_table(path: Path) -> bool:
    """Whether a file looks, by its ending and heading, like a table of predictions.

    One that cannot be read counts as one, so that whoever reads it says what is wrong.
    """
    # Parquet's ending says enough; the others are common.
    if path.suffix == ".parquet":
        return True
    try:
        with path.open("rb") as stream:
            head = stream.read(4096)
    except OSError:
        return True
    if path.suffix == ".csv":
        first = head.partition(b"\n")[0].decode(errors="replace").strip().split(",")
        return {"time", *MASKS} <= set(first)
    return head.lstrip().startswith(b"{") and b'"columns"' in head


def some(names: Sequence[str]) -> str:
    """The first few of many names, for a message."""
    more = len(names) - _SHOWN
    return (", ".join(names[:_SHOWN]) or "none") + (f" and {more} more" if more > 0 else "")


def _csv(path: Path) -> Columns:
    """Columns of numbers where all cells are some, which is quick; else of texts."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream, warnings.catch_warnings():
            # A table without rows is refused by the caller, in words.
            warnings.simplefilter("ignore", UserWarning)
            names = next(csv.reader(stream), [])
            table = np.loadtxt(stream, delimiter=",", ndmin=2, comments=None)
        if table.shape[1] == len(names):
            return dict(zip(names, table.T, strict=True))
    except (ValueError, csv.Error):
        # Cells that are empty or no numbers; or what is told with its line below.
        pass
    return _texts(path)


def _texts(path: Path) -> dict[str, list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            names = next(reader, [])
            columns: dict[str, list[str]] = {name: [] for name in names}
            for row in reader:
                if len(row) != len(names):
                    cause = f"line {reader.line_num} has {len(row)} cells, the header {len(names)}"
                    raise _wrong(path, cause)
                for name, cell in zip(names, row, strict=True):
                    columns[name].append(cell)
    except (UnicodeDecodeError, csv.Error) as error:
        raise _wrong(path, str(error)) from error
    return columns


def _json(path: Path) -> Columns:
    try:
        told = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _wrong(path, str(error)) from error
    columns = told.get("columns") if isinstance(told, dict) else None
    if not isinstance(columns, dict) or not all(isinstance(c, list) for c in columns.values()):
        raise _wrong(path, "no object with lists under columns")
    return columns


def _parquet(path: Path) -> Columns:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        cause = f"Parquet needs the package pyarrow ({error})"
        remedy = "Install it with: pip install 'grjca[parquet]'; or predict to csv."
        raise UsageError("predictions", path, cause, remedy) from error
    try:
        table = parquet.ParquetFile(path).read()
    except pyarrow.ArrowException as error:
        raise _wrong(path, str(error)) from error
    columns: dict[str, Sequence[Any] | NDArray[np.float64]] = {}
    for name in table.column_names:
        cells = table.column(name).to_numpy()
        numeric = cells.dtype.kind in "fiub"
        columns[name] = cells.astype(np.float64) if numeric else cells.tolist()
    return columns


_READERS: Mapping[str, Callable[[Path], Columns]] = {
    ".csv": _csv,
    ".json": _json,
    ".parquet": _parquet,
}


def _numbers(
    path: Path, name: str, cells: Sequence[Any] | NDArray[np.float64]
) -> NDArray[np.float64]:
    if isinstance(cells, np.ndarray):
        return cells
    numbers = np.empty(len(cells))
    for row, cell in enumerate(cells):
        try:
            numbers[row] = np.nan if cell is None or cell == "" else float(cell)
        except (TypeError, ValueError, OverflowError):
            raise _wrong(path, f"row {row} holds no number under {name} ({cell!r:.40})") from None
    return numbers


def _gate_columns(columns: Columns) -> dict[str, list[str]]:
    """The columns of each gate's weights, in the order of their numbers."""
    found: dict[str, dict[int, str]] = {}
    for name in columns:
        if match := _GATE.fullmatch(name):
            found.setdefault(match[1], {})[int(match[2])] = name
    return {gate: [own[i] for i in sorted(own)] for gate, own in found.items()}


def _wrong(path: Path, cause: str) -> GrjcaError:
    return GrjcaError("predictions", path, cause, "Give a table that grjca predict wrote.")
