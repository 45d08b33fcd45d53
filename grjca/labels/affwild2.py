"""Aff-Wild2's annotations: a text file per video, in one folder or in the data set's own tree."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError
from grjca.labels.lines import check_width, files_below, read_lines, repeats, unit_value
from grjca.labels.records import DIMENSIONS, ClipLabels, Labels

NOT_LABELLED = -5.0
"""What Aff-Wild2 writes for a frame without an annotation."""

MAPPING = "Aff-Wild2: values in [-1, 1] taken as they are; -5: not labelled"

SUFFIXES = (".txt",)
"""Ends of the names of these annotations."""

# Challenges since 2022 and before; other challenges' folders (expressions, action units) lie
# beside these.
_TREES = ("va_estimation_challenge", "va_set")
_PARTITIONS = {
    "train_set": "train",
    "training_set": "train",
    "validation_set": "val",
    "test_set": "test",
}

_REMEDY = "Wanted: a header 'valence,arousal' and a row per frame, -5 for not labelled."


def find_tree(folder: Path) -> Path | None:
    """The folder with ``Train_Set``, ``Validation_Set`` and ``Test_Set`` (any of them).

    It is ``folder`` itself, or a ``VA_Estimation_Challenge`` or ``VA_Set`` anywhere below it;
    ``Training_Set``, as the data set was first published, is known too.

    Returns:
        The folder, or None where there is no such tree.

    Raises:
        GrjcaError: There are several.
    """
    if _sets(folder):
        return folder
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.name.lower() in _TREES and path.is_dir() and _sets(path)
    ]
    if len(found) > 1:
        names = ", ".join(path.relative_to(folder).as_posix() for path in found)
        raise GrjcaError("labels", folder, f"several sets of annotations: {names}",
                         "Give the folder of one of them.")  # fmt: skip
    return found[0] if found else None


def _sets(folder: Path) -> dict[Path, str]:
    return {
        path: _PARTITIONS[path.name.lower()]
        for path in sorted(folder.iterdir())
        if path.name.lower() in _PARTITIONS and path.is_dir()
    }


def read_tree(tree: Path) -> Labels:
    """Read the data set's own tree; the folder a file lies in is its clip's partition.

    Args:
        tree: What :func:`find_tree` gives.

    Raises:
        GrjcaError: No file in it, a clip in two partitions, or a file that :func:`read_texts`
            refuses.
    """
    placed: dict[str, tuple[Path, str]] = {}
    for folder, partition in _sets(tree).items():
        for file in files_below(folder, SUFFIXES):
            clip = _name(file, folder)
            if clip in placed:
                other = placed[clip][0].relative_to(tree)
                cause = f"clip {clip} is also in {other}"
                raise GrjcaError("labels", file, cause, "A clip has one partition.")
            placed[clip] = (file, partition)
    if not placed:
        names = ", ".join(folder.name for folder in _sets(tree))
        raise GrjcaError("labels", tree, f"no .txt file in {names}", _REMEDY)
    return read_texts([(clip, file, partition) for clip, (file, partition) in placed.items()])


def read_folder(folder: Path) -> Labels:
    """Read text files in a folder and its folders; the path below it, without end, is the clip.

    Raises:
        GrjcaError: No file, or one that :func:`read_texts` refuses.
    """
    files = files_below(folder, SUFFIXES)
    if not files:
        raise GrjcaError("labels", folder, "the folder holds no .txt file", _REMEDY)
    return read_texts([(_name(file, folder), file, None) for file in files])


def _name(file: Path, folder: Path) -> str:
    return file.relative_to(folder).with_suffix("").as_posix()


def read_texts(files: Iterable[tuple[str, Path, str | None]]) -> Labels:
    """Read text files: a header ``valence,arousal`` (either may be missing), row i for frame i.

    -5 in a dimension means that it is not labelled in that frame.

    Args:
        files: Clip, file and partition of each.

    Raises:
        GrjcaError: Wrong columns, not numbers, or values outside [-1, 1]; the message names the
            file and the line.
    """
    read = [(clip, file, partition, _read_text(file)) for clip, file, partition in files]
    names = tuple(name for name in DIMENSIONS if any(name in columns for *_, columns in read))
    clips = {}
    for clip, file, partition, columns in read:
        missing = np.full(len(next(iter(columns.values()))), np.nan)
        values = np.stack([columns.get(name, missing) for name in names], axis=1)
        clips[clip] = ClipLabels(clip, values, None, None, None, file, partition)
    return Labels(clips, names, MAPPING)


def _read_text(file: Path) -> dict[str, NDArray[np.float64]]:
    lines = read_lines(file)
    header = next(lines, (1, []))[1]
    if not header or any(name not in DIMENSIONS for name in header) or repeats(header):
        raise GrjcaError("labels", file, f"the header is '{','.join(header)}'", _REMEDY)
    rows = []
    for line, cells in lines:
        check_width(file, line, cells, header, _REMEDY)
        rows.append(
            [unit_value(file, line, cell, _REMEDY, sentinel=NOT_LABELLED) for cell in cells]
        )
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(header))
    return {name: table[:, i] for i, name in enumerate(header)}
