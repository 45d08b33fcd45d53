"""Lines and cells of annotation files; whatever is wrong with them is told with its line."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from grjca.errors import GrjcaError

TABLE_SUFFIXES = (".csv", ".csv.gz")
"""Ends of the names of tables, in lower case."""


def files_below(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files of a folder and its folders whose names end so, in any case; none hidden."""
    return [
        file
        for file in sorted(folder.rglob("*"))
        if file.name.lower().endswith(tuple(suffixes))
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and file.is_file()
    ]


def read_lines(file: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file with their line numbers; a file called ``.gz`` is unpacked.

    Cells are stripped, empty lines at the end dropped.

    Raises:
        GrjcaError: Not a readable text file, or an empty line between the rows.
    """
    opened = gzip.open if file.suffix.lower() == ".gz" else open
    try:
        with opened(file, "rt", encoding="utf-8-sig", newline="") as stream:
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
                    raise bad_line(file, empty, "an empty line between the rows", "Remove it.")
                yield reader.line_num, stripped
    except (OSError, UnicodeDecodeError, EOFError, zlib.error, csv.Error) as error:
        raise GrjcaError(
            "labels",
            file,
            f"not a readable text file ({error})",
            "Check the path; annotations are text files in UTF-8.",
        ) from error


def number(file: Path, line: int, cell: str, remedy: str) -> float:
    """A cell as a number, NaN and infinity among them.

    Raises:
        GrjcaError: It is none.
    """
    try:
        return float(cell)
    except ValueError:
        raise bad_line(file, line, f"'{cell}' is not a number", remedy) from None


def unit_value(
    file: Path, line: int, cell: str, remedy: str, *, sentinel: float | None = None
) -> float:
    """A cell as a value in [-1, 1].

    Args:
        file: The file, for the message.
        line: Its line.
        cell: The text.
        remedy: What a number should be, for the message.
        sentinel: The number that stands for "not labelled", if there is one.

    Returns:
        The value; NaN for the sentinel.

    Raises:
        GrjcaError: It is no number, or outside the range.
    """
    value = number(file, line, cell, remedy)
    if value == sentinel:
        return float("nan")
    if not -1 <= value <= 1:
        meaning = "" if sentinel is None else f"; {sentinel:g} means not labelled"
        raise bad_line(file, line, f"the value {cell} lies outside [-1, 1]",
                       f"Map the values to [-1, 1] first{meaning}.")  # fmt: skip
    return value


def check_width(
    file: Path, line: int, cells: Sequence[str], header: Sequence[str], remedy: str
) -> None:
    """Refuse a row with more or fewer cells than the header has.

    Raises:
        GrjcaError: It has.
    """
    if len(cells) != len(header):
        raise bad_line(file, line, f"{len(cells)} cells under {len(header)} columns", remedy)


def repeats(header: Collection[str]) -> bool:
    """Whether a column stands in a header twice."""
    return len(set(header)) != len(header)


def bad_line(file: Path, line: int, cause: str, remedy: str = "") -> GrjcaError:
    """The error about one line of a file."""
    return GrjcaError("labels", file, f"line {line}: {cause}", remedy)
