"""Finding the tables of predictions that a report is about."""

from __future__ import annotations

from pathlib import Path

from grjca.errors import UsageError
from grjca.fusion.tables import FORMS, is_table

_REMEDY = "A report is made of the tables that grjca predict writes."


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
            if not hidden and path.is_file() and is_table(path):
                found.setdefault(below.as_posix().removesuffix(form), path)
    if not found:
        raise UsageError("report", source, "neither tables of predictions nor a run's metrics.csv",
                         _REMEDY)  # fmt: skip
    return dict(sorted(found.items()))
