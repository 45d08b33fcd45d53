"""Reading columns of numbers from csv files."""

from __future__ import annotations

import csv
import fnmatch
from array import array
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError
from grjca.exchange.refs import ArrayRef, listed, refused


def read_csv(
    ref: ArrayRef, pattern: str, also: Sequence[str] = ()
) -> tuple[list[str] | None, NDArray[np.float64]]:
    """Numbers of a csv file, with or without a line of names; an empty cell is NaN.

    Args:
        ref: The file.
        pattern: What wanted columns match; empty for all.
        also: Columns wanted besides, if they are there; lower case.

    Returns:
        Names of the wanted columns, if the file gives any, and (rows, columns) float64.

    Raises:
        GrjcaError: Not there, not a table, or with a cell that is not a number.
    """
    numbers = array("d")
    names: list[str] | None = None
    wanted: list[int] = []
    width = 0
    for line, row in _lines(ref):
        if not width:
            width = len(row)
            names = None if _are_numbers(row) else [name.strip() for name in row]
            wanted = _wanted(ref, names, width, pattern, also)
            if names is not None:
                continue
        if len(row) != width:
            raise refused(ref, f"line {line} has {len(row)} cells, the first {width}")
        try:
            numbers.extend([float(row[i].strip() or "nan") for i in wanted])
        except ValueError:
            i = next(i for i in wanted if not _are_numbers([row[i]]))
            column = names[i] if names else str(i + 1)
            raise refused(
                ref, f"line {line}, column {column}: {row[i][:40]!r} is not a number",
                f"Choose columns of numbers with a pattern, {ref.path.name}:AU*_r; leave cells of "
                "missing numbers empty.",
            ) from None  # fmt: skip
    if not numbers:
        raise refused(ref, "no rows")
    values = np.frombuffer(numbers, dtype=np.float64).reshape(-1, len(wanted))
    return None if names is None else [names[i] for i in wanted], values


def _lines(ref: ArrayRef) -> Iterator[tuple[int, list[str]]]:
    try:
        # Spreadsheets write a byte order mark.
        with ref.path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            for row in reader:
                if any(cell.strip() for cell in row):
                    yield reader.line_num, row
    except FileNotFoundError as error:
        raise GrjcaError("read", ref.path, "no such file", "Check the manifest.") from error
    except OSError as error:
        raise refused(ref, error.strerror or str(error), "Check the file.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise refused(ref, f"not a CSV file ({error})", "Write it in UTF-8.") from error


def _wanted(
    ref: ArrayRef, names: Sequence[str] | None, width: int, pattern: str, also: Sequence[str]
) -> list[int]:
    if not pattern:
        return list(range(width))
    if names is None:
        raise refused(ref, f"no line of names to look for {pattern} in",
                       "Add one, or name no columns.")  # fmt: skip
    exactly = [i for i, name in enumerate(names) if name == pattern]
    matching = exactly or [i for i, name in enumerate(names) if fnmatch.fnmatchcase(name, pattern)]
    if not matching:
        raise refused(ref, f"no column called {pattern}; there are: {listed(names)}",
                       "Check the manifest.")  # fmt: skip
    return sorted({*matching, *(i for i, name in enumerate(names) if name.lower() in also)})


def _are_numbers(cells: Sequence[str]) -> bool:
    try:
        return all(float(cell.strip() or "nan") is not None for cell in cells)
    except ValueError:
        return False
