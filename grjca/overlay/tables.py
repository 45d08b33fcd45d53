"""Reading the tables that ``grjca predict`` writes, and finding the one of a video."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grjca.cache.layout import HOUSE
from grjca.errors import GrjcaError, UsageError
from grjca.labels.records import DIMENSIONS

ENDINGS = (".csv", ".json", ".parquet")

_MASKS = ("face_valid", "audio_valid")
_SHOWN = 5


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
    """

    path: Path
    time: NDArray[np.float64]
    values: NDArray[np.float64]
    names: tuple[str, ...]
    face_valid: NDArray[np.bool_]
    audio_valid: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.time)


def read_predictions(path: Path) -> PredictionTable:
    """Read a table of predictions: CSV, JSON or Parquet, as its ending says.

    Needed are the columns ``time`` and ``valence`` or ``arousal``.

    Raises:
        GrjcaError: It cannot be read or is no such table; the message says what is wrong where.
        UsageError: A Parquet file, and pyarrow is not installed.
    """
    readers: Mapping[str, Callable[[Path], Mapping[str, Sequence[Any]]]] = {
        ".csv": _csv, ".json": _json, ".parquet": _parquet,
    }  # fmt: skip
    reader = readers.get(path.suffix.lower())
    if reader is None:
        cause = f"{path.suffix or 'a name without an ending'} is no form of predictions"
        raise UsageError("predictions", path, cause, f"Known: {', '.join(ENDINGS)}.")
    try:
        columns = reader(path)
    except OSError as error:
        raise GrjcaError("predictions", path, error.strerror or str(error)) from error
    names = tuple(name for name in DIMENSIONS if name in columns)
    if "time" not in columns or not names:
        cause = f"no columns time and {' or '.join(DIMENSIONS)}; there are: {_some(list(columns))}"
        raise _wrong(path, cause)
    numbers = {
        name: _numbers(path, name, columns[name])
        for name in ("time", *names, *_MASKS)
        if name in columns
    }
    time = numbers["time"]
    if len({len(column) for column in numbers.values()}) > 1:
        raise _wrong(path, "its columns differ in length")
    if not len(time):
        raise _wrong(path, "the table has no rows")
    if not np.isfinite(time).all() or (np.diff(time) <= 0).any():
        raise _wrong(path, "its times do not increase from row to row")
    there = np.ones(len(time))
    masks = {name: numbers.get(name, there) != 0 for name in _MASKS}
    return PredictionTable(
        path, time, np.stack([numbers[name] for name in names], axis=1), names, **masks
    )


def find_table(predictions: Path, video: Path) -> Path:
    """The table of a video: the file given, or the one in a folder that is named as the video is.

    In a folder, ``lab/monday/a.mp4.csv`` belongs to a video whose path ends in
    ``lab/monday/a.mp4``; where several fit, that of the longest path is meant. A video that lies
    elsewhere by now is found by its file's name, if only one table has it.

    Raises:
        UsageError: Nothing there, no table fits, or several fit equally well.
    """
    if predictions.is_file():
        return predictions
    if not predictions.is_dir():
        cause = "no such file or folder"
        raise UsageError("predictions", predictions, cause, "Make it with: grjca predict.")
    clip = longest_end(
        video, lambda name: any(map(Path.is_file, _tables(predictions / name)))
    )  # fmt: skip
    if clip is not None:
        return next(filter(Path.is_file, _tables(predictions / clip)))
    found = {
        path.with_suffix(""): path
        for ending in reversed(ENDINGS)
        for path in sorted(predictions.rglob(f"*{ending}"))
        if path.stem.partition("@")[0] == video.name or path.stem == video.name
    }
    if len(found) == 1:
        return next(iter(found.values()))
    several = _some([path.relative_to(predictions).as_posix() for path in found.values()])
    cause = f"several tables may be meant: {several}" if found else f"no table of {video.name}"
    raise UsageError("predictions", predictions, cause, "Name the table itself.")


def longest_end(path: Path, is_there: Callable[[str], bool]) -> str | None:
    """The longest end of a path that is the name of something that is there.

    Args:
        path: ``/data/lab/monday/a.mp4`` is tried whole (without its first slash), then as
            ``lab/monday/a.mp4``, ``monday/a.mp4``, ``a.mp4``.
        is_there: Whether such a thing is there.
    """
    parts = Path(os.path.abspath(path)).parts[1:]
    names = ("/".join(parts[first:]) for first in range(len(parts)))
    return next((name for name in names if HOUSE not in name.split("/") and is_there(name)), None)


def _tables(stem: Path) -> list[Path]:
    return [stem.with_name(stem.name + ending) for ending in ENDINGS]


def _csv(path: Path) -> dict[str, list[str]]:
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


def _json(path: Path) -> dict[str, list[Any]]:
    try:
        told = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise _wrong(path, str(error)) from error
    columns = told.get("columns") if isinstance(told, dict) else None
    if not isinstance(columns, dict) or not all(isinstance(c, list) for c in columns.values()):
        raise _wrong(path, "no object with lists under columns")
    return columns


def _parquet(path: Path) -> dict[str, Any]:
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
    return {name: table.column(name).to_pylist() for name in table.column_names}


def _numbers(path: Path, name: str, cells: Sequence[Any]) -> NDArray[np.float64]:
    numbers = np.empty(len(cells))
    for row, cell in enumerate(cells):
        try:
            numbers[row] = np.nan if cell is None or cell == "" else float(cell)
        except (TypeError, ValueError, OverflowError):
            raise _wrong(path, f"row {row} holds no number under {name} ({cell!r:.40})") from None
    return numbers


def _wrong(path: Path, cause: str) -> GrjcaError:
    return GrjcaError("predictions", path, cause, "Give a table that grjca predict wrote.")


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return (", ".join(names[:_SHOWN]) or "none") + (f" and {more} more" if more > 0 else "")
