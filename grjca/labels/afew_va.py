"""AFEW-VA's annotations: a JSON file per clip with values from -10 to 10."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from grjca.errors import GrjcaError
from grjca.labels.lines import files_below
from grjca.labels.matching import shown
from grjca.labels.records import DIMENSIONS, ClipLabels, Labels

LARGEST = 10.0
"""AFEW-VA rates from -10 to 10 (Kossaifi et al. 2017, doi:10.1016/j.imavis.2017.02.001)."""

MAPPING = "AFEW-VA: values in [-10, 10] divided by 10; null or no value: not labelled"

SUFFIXES = (".json",)
"""Ends of the names of these annotations."""

_REMEDY = (
    'Wanted: {"frames": {"00001": {"valence": 2, "arousal": 3}}}, values from -10 to 10, '
    "frames by their numbers."
)


def read_folder(folder: Path) -> Labels:
    """Read the JSON files of a folder and its folders.

    ``001/001.json``, as the data set has them, are the annotations of clip ``001``; any other
    file is of the clip of its own name, without end.

    Raises:
        GrjcaError: No file, two files of one clip, or one that :func:`read_files` refuses.
    """
    files: dict[str, Path] = {}
    for file in files_below(folder, SUFFIXES):
        path = file.relative_to(folder).with_suffix("")
        clip = (path.parent if path.name == path.parent.name else path).as_posix()
        if clip in files:
            cause = f"clip {clip} is also in {files[clip].relative_to(folder)}"
            raise GrjcaError("labels", file, cause, "Keep one of them.")
        files[clip] = file
    if not files:
        raise GrjcaError("labels", folder, "the folder holds no .json file", _REMEDY)
    return read_files(files)


def read_files(files: dict[str, Path]) -> Labels:
    """Read JSON files; the actor is the clip's subject.

    Frames are numbered from 0 if there is a frame 0, else from 1, as folders of images are;
    frames that are not in the file are not labelled.

    Args:
        files: The file of each clip.

    Raises:
        GrjcaError: Not such a JSON file, a value that is no number or outside [-10, 10], a frame
            without a number; the message names the file and the frame.
    """
    read = {clip: _read_file(file) for clip, file in files.items()}
    names = tuple(
        name for name in DIMENSIONS
        if any(name in frame for _, frames in read.values() for frame in frames.values())
    )  # fmt: skip
    if not names:
        cause = f"no valence and no arousal in {shown([str(file) for file in files.values()])}"
        raise GrjcaError("labels", next(iter(files.values())).parent, cause, _REMEDY)
    clips = {}
    for clip, (actor, frames) in read.items():
        number = np.array(sorted(frames), dtype=np.int64)
        values = np.array(
            [[frames[int(i)].get(name, math.nan) for name in names] for i in number],
            dtype=np.float64,
        ).reshape(len(number), len(names))
        first = 0 if 0 in frames else 1
        clips[clip] = ClipLabels(clip, values, number - first, None, actor, files[clip])
    return Labels(clips, names, MAPPING)


def _read_file(file: Path) -> tuple[str | None, dict[int, dict[str, float]]]:
    """The actor, and the values in [-1, 1] that each numbered frame has."""
    try:
        read = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise GrjcaError("labels", file, f"not a readable JSON file ({error})", _REMEDY) from error
    frames = read.get("frames") if isinstance(read, dict) else None
    if not isinstance(frames, dict) or not frames:
        raise GrjcaError("labels", file, "no frames in it", _REMEDY)
    result: dict[int, dict[str, float]] = {}
    for key, frame in frames.items():
        # Not str.isdigit alone: it is true of digits that int does not read.
        if not (key.isascii() and key.isdigit() and len(key) <= 12):
            raise GrjcaError("labels", file, f"frame '{key}' has no number", _REMEDY)
        if int(key) in result:
            raise GrjcaError("labels", file, f"two frames are number {int(key)}", "Keep one.")
        if not isinstance(frame, dict):
            raise GrjcaError("labels", file, f"frame {key} holds {_json(frame)}", _REMEDY)
        result[int(key)] = {
            name: _value(file, key, name, frame[name]) for name in DIMENSIONS if name in frame
        }
    actor = read.get("actor")
    return (actor if isinstance(actor, str) and actor.strip() else None), result


def _value(file: Path, frame: str, name: str, value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise GrjcaError("labels", file, f"{name} of frame {frame} is {_json(value)}", _REMEDY)
    if not -LARGEST <= value <= LARGEST:
        cause = f"{name} of frame {frame} is {value}, outside [-10, 10]"
        raise GrjcaError("labels", file, cause, "AFEW-VA's values go from -10 to 10.")
    return value / LARGEST


def _json(value: Any) -> str:
    return json.dumps(value)[:40]
