"""Finding the table of a video's predictions."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from grjca.cache.layout import HOUSE
from grjca.errors import UsageError
from grjca.fusion.tables import FORMS, some


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
        for ending in reversed(FORMS)
        for path in sorted(predictions.rglob(f"*{ending}"))
        if path.stem.partition("@")[0] == video.name or path.stem == video.name
    }
    if len(found) == 1:
        return next(iter(found.values()))
    several = some([path.relative_to(predictions).as_posix() for path in found.values()])
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
    return [stem.with_name(stem.name + ending) for ending in FORMS]
