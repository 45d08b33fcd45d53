"""One value per recording, a file per dimension: ``valence.csv`` and ``arousal.csv``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from grjca.errors import GrjcaError
from grjca.labels.lines import bad_line, read_lines, unit_value
from grjca.labels.records import DIMENSIONS, ClipLabels, Labels

MAPPING = "values in [-1, 1] taken as they are; an empty cell or no line: not labelled"

_NAMES = {f"{name}.csv": name for name in DIMENSIONS}
_REMEDY = "Wanted: lines 'recording,value' without a header, values in [-1, 1]."


def is_pair(files: Sequence[Path]) -> bool:
    """Whether tables are such files: called by a dimension, and without a header that has a clip.

    Raises:
        GrjcaError: A file cannot be read.
    """
    return all(
        file.name.lower() in _NAMES and "clip" not in next(read_lines(file), (1, [""]))[1]
        for file in files
    )


def read_files(files: Sequence[Path]) -> Labels:
    """Read lines ``recording,value``, the form of pyAudioAnalysis' ``speechEmotion``.

    A recording that is in one file alone has the other dimension unlabelled.

    Raises:
        GrjcaError: Two files of a dimension, or a line that is not a name and a value in
            [-1, 1], or names a recording twice; the message names the file and the line.
    """
    read: dict[str, dict[str, float]] = {}
    source: dict[str, Path] = {}
    for file in files:
        name = _NAMES[file.name.lower()]
        if name in read:
            raise GrjcaError("labels", file, f"a second file of {name}", "Keep one of them.")
        read[name] = _read_file(file)
        source.update(dict.fromkeys(read[name], file))
    names = tuple(name for name in DIMENSIONS if name in read)
    clips = {}
    for clip in sorted(source):
        values = np.array([[read[name].get(clip, np.nan) for name in names]], dtype=np.float64)
        clips[clip] = ClipLabels(clip, values, None, None, None, source[clip], clip_level=True)
    return Labels(clips, names, MAPPING)


def _read_file(file: Path) -> dict[str, float]:
    values: dict[str, float] = {}
    for line, cells in read_lines(file):
        if len(cells) != 2 or not cells[0]:
            cause = f"'{','.join(cells)}' is not a recording and a value"
            raise bad_line(file, line, cause, _REMEDY)
        clip, cell = cells
        if clip in values:
            raise bad_line(file, line, f"{clip} is there twice", "Keep one of the lines.")
        values[clip] = unit_value(file, line, cell, _REMEDY) if cell else float("nan")
    if not values:
        raise GrjcaError("labels", file, "no line in it", _REMEDY)
    return values
