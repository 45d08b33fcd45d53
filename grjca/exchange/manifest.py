"""A table that says which files of features make which clip."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from grjca.cache.layout import ABOUT, check_identity
from grjca.errors import GrjcaError, UsageError
from grjca.exchange.refs import ArrayRef

Kind = Literal["visual", "audio"]

KINDS: tuple[Kind, ...] = ("visual", "audio")
_PARTS = ("valid", "time", "fps", "name")

COLUMNS = (
    "clip",
    *KINDS,
    "fps",
    "time",
    *(f"{kind}_{part}" for kind in KINDS for part in _PARTS),
    *ABOUT,
)
"""Columns that may stand in a manifest, in any order; ``clip`` and ``visual`` or ``audio`` must."""


@dataclass(frozen=True)
class Side:
    """One modality of a line.

    Attributes:
        kind: ``visual`` or ``audio``.
        name: The embedder's name in the store.
        features: Where the features are.
        valid: Where the mask is, if there is one.
        time: Where the modality's own times are, if they are in a file.
        fps: The modality's own rows a second.
    """

    kind: Kind
    name: str
    features: ArrayRef
    valid: ArrayRef | None = None
    time: ArrayRef | None = None
    fps: float | None = None

    def __post_init__(self) -> None:
        if self.name in ("", ".", "..") or "/" in self.name or not self.name.isprintable():
            raise ValueError(f"{self.name!r} cannot name an embedder")
        if self.time is not None and self.fps is not None:
            raise ValueError(f"{self.kind}_time and {self.kind}_fps: one of them is enough")

    @property
    def group(self) -> str:
        """Path of the features in a clip's file."""
        return f"{self.kind}/{self.name}"

    def files(self) -> list[Path]:
        """Every file that decides the features, in an order that counts."""
        return [ref.path for ref in (self.features, self.valid, self.time) if ref is not None]


@dataclass(frozen=True)
class ImportLine:
    """One clip, or some of its features.

    Attributes:
        clip: The clip's identity.
        where: The line of the manifest, for messages.
        sides: One or two modalities, visual first.
        time: Where the times of the clip's rows are, if they are in a file.
        fps: The clip's rows a second.
        about: What is known of the clip, by the names in ``layout.ABOUT``.
    """

    clip: str
    where: str
    sides: tuple[Side, ...]
    time: ArrayRef | None
    fps: float | None
    about: Mapping[str, str]

    def __post_init__(self) -> None:
        if not self.sides:
            raise ValueError("neither visual nor audio features named")
        if self.time is not None and self.fps is not None:
            raise ValueError("time and fps: one of them is enough")

    def files(self) -> list[Path]:
        """Every file that decides what is imported, in an order that counts."""
        own = [path for side in self.sides for path in side.files()]
        return own + ([self.time.path] if self.time is not None else [])


def read_manifest(path: Path, names: Mapping[Kind, str]) -> Iterator[ImportLine | GrjcaError]:
    """The lines of a manifest: a CSV file with a header, a line per clip.

    Args:
        path: The manifest; relative paths in it start at its folder.
        names: Names of the embedders where a line gives none.

    Yields:
        A line, or what is wrong with it.

    Raises:
        UsageError: The file cannot be read, or its header makes no sense.
    """
    try:
        # Spreadsheets write a byte order mark.
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header)
            for row in reader:
                cells = [cell.strip() for cell in row]
                if any(cells):
                    yield _line(header, cells, path, f"{path}:{reader.line_num}", names)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        cause = error.strerror if isinstance(error, OSError) else str(error)
        remedy = "A manifest is a CSV file in UTF-8 with a header."
        raise UsageError("manifest", path, cause or str(error), remedy) from error


def _check_header(path: Path, header: list[str]) -> None:
    unknown = [name for name in header if name not in COLUMNS]
    twice = sorted({name for name in header if header.count(name) > 1})
    if unknown or twice or "clip" not in header or not set(KINDS) & set(header):
        wrong = (
            f"unknown columns: {', '.join(unknown)}" if unknown
            else f"columns twice: {', '.join(twice)}" if twice
            else "no column clip" if "clip" not in header
            else "no column visual or audio"
        )  # fmt: skip
        raise UsageError("manifest", path, wrong, f"Known: {', '.join(COLUMNS)}.")


def _line(
    header: list[str], cells: list[str], path: Path, where: str, names: Mapping[Kind, str]
) -> ImportLine | GrjcaError:
    if len(cells) != len(header):
        cause = f"{len(cells)} cells, the header has {len(header)}"
        return GrjcaError("manifest", where, cause, "Correct this line.")
    try:
        row = {name: cell for name, cell in zip(header, cells, strict=True) if cell}
        return ImportLine(
            clip=check_identity(row.get("clip", "")),
            where=where,
            sides=tuple(_side(kind, row, path.parent, names) for kind in KINDS if kind in row),
            time=_ref(row, "time", path.parent),
            fps=_rate(row, "fps"),
            about={name: row[name] for name in ABOUT if name in row},
        )
    except (ValueError, GrjcaError) as error:
        cause = error.cause if isinstance(error, GrjcaError) else str(error)
        return GrjcaError("manifest", where, cause, "Correct this line.")


def _side(kind: Kind, row: Mapping[str, str], folder: Path, names: Mapping[Kind, str]) -> Side:
    return Side(
        kind,
        row.get(f"{kind}_name", names[kind]),
        ArrayRef.parse(row[kind], folder),
        _ref(row, f"{kind}_valid", folder),
        _ref(row, f"{kind}_time", folder),
        _rate(row, f"{kind}_fps"),
    )


def _ref(row: Mapping[str, str], column: str, folder: Path) -> ArrayRef | None:
    return ArrayRef.parse(row[column], folder) if column in row else None


def _rate(row: Mapping[str, str], column: str) -> float | None:
    if column not in row:
        return None
    try:
        rate = float(row[column])
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise ValueError(f"{column} {row[column]!r} is not a rate in rows per second")
    return rate
