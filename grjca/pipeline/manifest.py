"""A table that says what each clip is made from, so that recordings need no cutting beforehand."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from grjca.cache.layout import ABOUT, check_identity
from grjca.errors import GrjcaError, UsageError
from grjca.pipeline.inputs import Inputs
from grjca.pipeline.source import ClipSource

COLUMNS = (
    "clip",
    "video",
    "audio",
    "offset",
    "start",
    "end",
    "video_stream",
    "audio_stream",
    "fps",
    "faces",
    *ABOUT,
)
"""Columns that may stand in a manifest, in any order; only ``video`` must."""

_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d*)?)")


def read_manifest(path: Path) -> Inputs:
    """The clips of a manifest: a CSV file with a header and a line per clip.

    ``video`` is a video, a sound file or a folder of numbered images; ``audio`` another file to
    take the sound from, which begins at ``offset`` on the video's clock; ``start`` and ``end``
    bound the part that is wanted. Times are seconds or ``[h:]mm:ss``; relative paths are looked
    for beside the manifest. A clip without a name is called by its ``video``, if that is relative.

    Raises:
        UsageError: The file cannot be read, a column is unknown, a value makes no sense, or two
            lines name one clip; the message says in which line.
    """
    clips: dict[str, ClipSource] = {}
    for line, row in _rows(path):
        try:
            clip, source = _clip(row, path.parent)
        except (ValueError, GrjcaError) as error:
            cause = error.cause if isinstance(error, GrjcaError) else str(error)
            raise UsageError("manifest", f"{path}:{line}", cause, "Correct this line.") from error
        if clip in clips:
            raise UsageError(
                "manifest", f"{path}:{line}", f"a second clip called {clip}",
                "Give each a name of its own in the column clip.",
            )  # fmt: skip
        clips[clip] = source
    if not clips:
        raise UsageError("manifest", path, "no clips in it", "Add a line per clip.")
    return Inputs(clips)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        # Spreadsheets write a byte order mark.
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, strict=True)
            header = [name.strip() for name in reader.fieldnames or []]
            _check_header(path, header)
            reader.fieldnames = header
            for row in reader:
                if None in row or None in row.values():
                    cause = f"not {len(header)} cells, as the header has"
                    raise UsageError(
                        "manifest", f"{path}:{reader.line_num}", cause, "Correct the line."
                    )
                cells = {name: cell.strip() for name, cell in row.items()}
                if any(cells.values()):
                    yield reader.line_num, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        remedy = "A manifest is a CSV file in UTF-8 with a header."
        raise UsageError("manifest", path, str(error), remedy) from error


def _check_header(path: Path, header: list[str]) -> None:
    unknown = [name for name in header if name not in COLUMNS]
    twice = sorted({name for name in header if header.count(name) > 1})
    if unknown or twice or "video" not in header:
        wrong = (
            f"unknown columns: {', '.join(unknown)}" if unknown
            else f"columns twice: {', '.join(twice)}" if twice
            else "no column video"
        )  # fmt: skip
        raise UsageError("manifest", path, wrong, f"Known: {', '.join(COLUMNS)}.")


def _clip(row: dict[str, str], folder: Path) -> tuple[str, ClipSource]:
    video = row["video"]
    if not video:
        raise ValueError("no video named")
    if not row.get("clip") and Path(video).is_absolute():
        raise ValueError("a video with an absolute path needs a name in the column clip")
    path = folder / video
    values: dict[str, Any] = {"path": path, "images": path.is_dir()}
    if row.get("audio"):
        values["sound"] = folder / row["audio"]
    elif row.get("offset"):
        raise ValueError("an offset, but no audio file that it belongs to")
    for name, read in _READERS.items():
        if row.get(name):
            values[name] = _value(name, row[name], read)
    values["about"] = {name: row[name] for name in ABOUT if row.get(name)}
    return check_identity(row.get("clip") or Path(video).as_posix()), ClipSource(**values)


def _value(name: str, text: str, read: Callable[[str], Any]) -> Any:
    try:
        return read(text)
    except ValueError as error:
        raise ValueError(f"{name} {text!r} is not {_WANTED[name]}") from error


def seconds(text: str) -> float:
    """A time in seconds, from seconds or ``[h:]mm:ss``, with a sign if it is negative.

    Raises:
        ValueError: The text is neither.
    """
    sign, rest = (-1.0, text[1:]) if text.startswith("-") else (1.0, text)
    clock = _CLOCK.fullmatch(rest)
    if not clock:
        return float(text)
    return sign * (int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3]))


_READERS: dict[str, Callable[[str], Any]] = {
    "offset": seconds,
    "start": seconds,
    "end": seconds,
    "video_stream": int,
    "audio_stream": int,
    "fps": float,
    "faces": str,
}
_WANTED = {
    "offset": "a time",
    "start": "a time",
    "end": "a time",
    "video_stream": "a whole number",
    "audio_stream": "a whole number",
    "fps": "a number",
}
