"""The page over many clips: a table to sort and to search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grjca.errors import one_line
from grjca.report.html.records import ClipPage, ClipRow
from grjca.report.html.rendering import render

POINTS = 60
"""Points of a clip's outline in the table."""


def row_of(page: ClipPage, url: str) -> ClipRow:
    """A clip's line: what of its page stays when the page is written.

    Args:
        page: The clip's page.
        url: Where it lies, relative to the index, percent-encoded.
    """
    return ClipRow(
        clip=page.clip,
        url=url,
        seconds=page.seconds,
        rows=len(page.time),
        mean={name: page.mean(name) for name in page.names},
        face=float(page.face_valid.mean()),
        sound=float(page.audio_valid.mean()),
        ccc=dict(page.ccc),
        outline={name: _outline(page.values[:, k]) for k, name in enumerate(page.names)},
    )


def index_html(
    rows: Sequence[ClipRow],
    *,
    title: str,
    overall: Mapping[str, float],
    failed: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> str:
    """The table of clips, each with a link to its page.

    Args:
        rows: The clips, in the order in which they are shown at first.
        title: What they are, for example the folder's name.
        overall: CCC by dimension over all labelled frames of all clips; empty without labels.
        failed: A line for each clip that could not be shown.
        notes: What a reader should know.
    """
    names = tuple(dict.fromkeys(name for row in rows for name in row.mean))
    return render(
        "index",
        ("table", "index"),
        charts=False,
        data={"names": list(names), "labelled": bool(overall), "rows": [_row(r) for r in rows]},
        title=one_line(title),
        clips=len(rows),
        names=names,
        seconds=sum(row.seconds for row in rows),
        frames=sum(row.rows for row in rows),
        overall=overall,
        failed=failed,
        notes=notes,
    )


def _row(row: ClipRow) -> dict[str, Any]:
    return {
        "clip": one_line(row.clip),
        "url": row.url,
        "seconds": round(row.seconds, 2),
        "rows": row.rows,
        "mean": _defined(row.mean),
        "face": round(row.face, 4),
        "sound": round(row.sound, 4),
        "ccc": _defined(row.ccc),
        "outline": {name: list(points) for name, points in row.outline.items()},
    }


def _defined(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in values.items() if math.isfinite(value)}


def _outline(values: NDArray[np.float64]) -> tuple[int | None, ...]:
    points: list[int | None] = []
    for part in np.array_split(values, min(POINTS, len(values))):
        finite = part[np.isfinite(part)]
        points.append(round(100 * float(finite.mean())) if len(finite) else None)
    return tuple(points)
