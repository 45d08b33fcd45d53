"""Reading back what ``grjca predict`` wrote: CSV, JSON or Parquet, a row per frame."""

from __future__ import annotations

import csv
import json
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError, UsageError
from grjca.labels.records import DIMENSIONS

FORMS = (".csv", ".json", ".parquet")
"""Endings of tables; of a clip that has several, the first here is read."""

_MASKS = ("face_valid", "audio_valid")
_GATE = re.compile(r"gate_(.+)_(\d+)")
_REMEDY = "A report is made of the tables that grjca predict writes."

Columns = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class PredictionTable:
    """A table of predictions.

    Attributes:
        time: (T,) float64 seconds, increasing.
        values: (T, K) float64.
        names: The dimensions.
        face_valid: (T,) bool.
        audio_valid: (T,) bool.
        gates: (T, n) float64 by the gate's name.
    """

    time: NDArray[np.float64]
    values: NDArray[np.float64]
    names: tuple[str, ...]
    face_valid: NDArray[np.bool_]
    audio_valid: NDArray[np.bool_]
    gates: dict[str, NDArray[np.float64]]


def find_tables(source: Path) -> dict[str, Path]:
    """The tables of a folder by clip, in the order of the clips' names; or one table.

    A clip is called by its table's path below the folder, without the table's ending. Files that
    are no tables of predictions by their heading are left alone, as are hidden ones.

    Raises:
        UsageError: There is none.
    """
    if source.is_file():
        return {source.name.removesuffix(source.suffix): source}
    if not source.is_dir():
        raise UsageError("report", source, "no such file or folder", _REMEDY)
    found: dict[str, Path] = {}
    for form in FORMS:
        for path in sorted(source.rglob(f"*{form}")):
            below = path.relative_to(source)
            hidden = any(part.startswith(".") for part in below.parts)
            if not hidden and path.is_file() and _is_table(path):
                found.setdefault(below.as_posix().removesuffix(form), path)
    if not found:
        raise UsageError("report", source, "neither tables of predictions nor a run's metrics.csv",
                         _REMEDY)  # fmt: skip
    return dict(sorted(found.items()))


def read_table(path: Path) -> PredictionTable:
    """Read a table.

    Raises:
        GrjcaError: It cannot be read, lacks a column, has no rows, or times do not increase.
        UsageError: pyarrow is not installed and the table is Parquet.
    """
    reader = _READERS.get(path.suffix)
    if reader is None:
        raise GrjcaError("report", path, f"no table: {', '.join(FORMS)} are known", _REMEDY)
    try:
        columns = reader(path)
    except (OSError, ValueError, TypeError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise GrjcaError("report", path, words, _REMEDY) from error
    return _checked(path, columns)


def _is_table(path: Path) -> bool:
    # Parquet's ending says enough; the others are common.
    if path.suffix == ".parquet":
        return True
    try:
        with path.open("rb") as stream:
            head = stream.read(4096)
    except OSError:
        # Whoever reads it will say what is wrong with it.
        return True
    if path.suffix == ".csv":
        first = head.partition(b"\n")[0].decode(errors="replace").strip().split(",")
        return {"time", *_MASKS} <= set(first)
    return head.lstrip().startswith(b"{") and b'"columns"' in head


def _read_csv(path: Path) -> Columns:
    with path.open(newline="", encoding="utf-8") as stream:
        header = next(csv.reader(stream), [])
        with warnings.catch_warnings():
            # A table without rows is refused below, in words.
            warnings.simplefilter("ignore", UserWarning)
            table = np.loadtxt(stream, delimiter=",", ndmin=2, comments=None)
    if not len(table):
        return {name: np.empty(0) for name in header}
    if table.shape[1] != len(header):
        raise ValueError(f"{len(header)} names of columns for {table.shape[1]} columns")
    return dict(zip(header, table.T, strict=True))


def _read_json(path: Path) -> Columns:
    found = json.loads(path.read_text(encoding="utf-8"))
    columns = found.get("columns") if isinstance(found, dict) else None
    if not isinstance(columns, dict):
        raise TypeError("it holds no columns")
    return {name: np.asarray(column, dtype=np.float64) for name, column in columns.items()}


def _read_parquet(path: Path) -> Columns:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError("report", path, f"Parquet needs the package pyarrow ({error})",
                         "Install it with: pip install 'grjca[parquet]'.") from error  # fmt: skip
    table = parquet.read_table(path)
    return {
        name: np.asarray(table[name].to_numpy(), dtype=np.float64) for name in table.column_names
    }


_READERS: Mapping[str, Callable[[Path], Columns]] = {
    ".csv": _read_csv,
    ".json": _read_json,
    ".parquet": _read_parquet,
}


def _checked(path: Path, columns: Columns) -> PredictionTable:
    names = tuple(name for name in DIMENSIONS if name in columns)
    lacking = [name for name in ("time", *_MASKS) if name not in columns]
    if lacking or not names:
        cause = f"no column {', '.join(lacking) or ' or '.join(DIMENSIONS)}"
        raise GrjcaError("report", path, cause, _REMEDY)
    time = columns["time"]
    if any(column.shape != time.shape for column in columns.values()) or time.ndim != 1:
        raise GrjcaError("report", path, "columns of different lengths", _REMEDY)
    if not len(time):
        raise GrjcaError("report", path, "the table has no rows", _REMEDY)
    if not np.isfinite(time).all() or (np.diff(time) <= 0).any():
        raise GrjcaError("report", path, "its times are missing or do not increase", _REMEDY)
    face, sound = (columns[name] == 1 for name in _MASKS)
    return PredictionTable(
        time, np.stack([columns[n] for n in names], axis=1), names, face, sound, _gates(columns)
    )


def _gates(columns: Columns) -> dict[str, NDArray[np.float64]]:
    layers: dict[str, dict[int, Any]] = {}
    for name, column in columns.items():
        if found := _GATE.fullmatch(name):
            layers.setdefault(found[1], {})[int(found[2])] = column
    return {gate: np.stack([own[i] for i in sorted(own)], axis=1) for gate, own in layers.items()}
