"""What is drawn into a video, gathered from its predictions, a store and annotations."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grjca.cache import FeatureStore
from grjca.errors import GrjcaError, UsageError
from grjca.fusion.tables import PredictionTable
from grjca.labels.matching import ClipNames
from grjca.labels.readers import read_labels
from grjca.labels.rows import labels_for_rows
from grjca.overlay.tables import longest_end
from grjca.report.overlay import OverlayRows


@dataclass(frozen=True)
class Drawn:
    """Rows to draw and what is known of the pictures they belong to.

    Attributes:
        rows: The rows.
        index: (T,) int64, the frame that each row shows, for a resampled clip; else None.
        size: Width and height of the pictures that boxes were found in; None where not known.
        length: Bytes of the file that features were extracted from; None where not known.
    """

    rows: OverlayRows
    index: NDArray[np.int64] | None = None
    size: tuple[int, int] | None = None
    length: int | None = None


def from_table(table: PredictionTable) -> Drawn:
    """What a table of predictions alone tells: values, and what was missing."""
    rows = OverlayRows(
        table.time, table.values, table.names, table.face_valid, table.audio_valid
    )  # fmt: skip
    return Drawn(rows)


def with_faces(drawn: Drawn, table: PredictionTable, store: Path) -> tuple[Drawn, str]:
    """Add boxes and landmarks from a store, and the clip's identity there.

    The clip is the one that the table's path ends with: ``out/lab/a.mp4.csv`` is of ``lab/a.mp4``
    or of ``a.mp4``, whichever the store has.

    Raises:
        GrjcaError: No such store or clip, its file is damaged, or it has other rows.
    """
    features = FeatureStore(store)
    named = table.path.with_suffix("")
    clips = set(features.clips())
    clip = longest_end(named, clips.__contains__)
    if clip is None:
        raise GrjcaError(
            "store", store, f"no clip that {table.path} may be of",
            "Tables are named as clips are; 'grjca inspect' lists those of a store.",
        )  # fmt: skip
    with features.open(clip) as file:
        try:
            time = file["frames/time"][:]
            index = file["frames/index"][:] if "frames/index" in file else None
            names = ("box", "landmarks", "interpolated")
            faces = {name: file[f"faces/{name}"][:] for name in names if f"faces/{name}" in file}
            size = _size(json.loads(file.attrs["media"]))
            length = int(json.loads(file.attrs["source"])["size"])
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            remedy = "Delete it and run extract again."
            raise GrjcaError("store", clip, f"damaged file ({error})", remedy) from error
    if len(time) != len(table) or (np.abs(time - table.time) > 1e-3).any():
        same = "the same number of rows at other times" if len(time) == len(table) else ""
        cause = same or f"{len(table)} rows of predictions, {len(time)} rows in the store's {clip}"
        remedy = "Predict again with --store, or leave the store out."
        raise GrjcaError("overlay", table.path, cause, remedy)
    return Drawn(replace(drawn.rows, **faces), index, size, length), clip


def with_labels(drawn: Drawn, labels: Path, clip: str) -> Drawn:
    """Add annotations of the clip.

    Args:
        drawn: The rows.
        labels: Annotations in one of the forms that ``grjca.labels.readers`` knows.
        clip: The clip's identity, or its file's name.

    Raises:
        GrjcaError: They cannot be read, are of other clips, or do not fit the frames.
    """
    found = read_labels(labels)
    names = ClipNames([clip])
    named = [name for name in found.clips if names.find(name)]
    if len(named) != 1:
        cause = f"{len(named)} clips of the annotations may be {clip}"
        raise UsageError("labels", labels, cause, "Name exactly one as the video is named.")
    values = labels_for_rows(found.clips[named[0]], drawn.rows.time, index=drawn.index)
    own = np.full(drawn.rows.values.shape, np.nan)
    for k, name in enumerate(drawn.rows.names):
        if name in found.names:
            own[:, k] = values[:, found.names.index(name)]
    return replace(drawn, rows=replace(drawn.rows, labels=own))


def _size(media: dict[str, Any]) -> tuple[int, int] | None:
    video = media.get("video")
    return (int(video["width"]), int(video["height"])) if video else None
