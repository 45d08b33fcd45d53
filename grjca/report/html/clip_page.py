"""The page of one clip."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grjca.errors import one_line
from grjca.report.html.encoding import packed_floats, packed_steps, runs
from grjca.report.html.records import ClipPage
from grjca.report.html.rendering import render

_COLOURS = 6
"""Colours there are for layers of a gate; further layers begin with the first again."""


def clip_html(page: ClipPage, index: str | None = None) -> str:
    """A page that plays the clip beside its predictions.

    Args:
        page: What to show.
        index: URL of the page over all clips, relative; None where there is none.
    """
    return render(
        "clip",
        ("charts", "player", "plane", "clip"),
        charts=True,
        data=_data(page),
        clip=one_line(page.clip),
        index=index,
        media=page.media,
        note=page.note,
        dimensions=[_dimension(page, name) for name in page.names],
        labelled=page.labels is not None,
        gates=[_gate(name, weights.shape[1]) for name, weights in page.gates.items()],
        with_faces=bool(page.faces),
        rows=len(page.time),
        seconds=page.seconds,
        rate=1 / page.step,
        face=float(page.face_valid.mean()),
        sound=float(page.audio_valid.mean()),
    )


def _data(page: ClipPage) -> dict[str, Any]:
    limit = _limit(page.values)
    labels = page.labels
    return {
        "names": list(page.names),
        "limit": limit,
        "end": float(page.time[-1]) + page.step,
        "time": packed_floats(page.time),
        "values": [packed_steps(column, limit) for column in page.values.T],
        "labels": None if labels is None else [packed_steps(column, limit) for column in labels.T],
        "gates": [
            [packed_steps(column, 1.0) for column in weights.T] for weights in page.gates.values()
        ],
        "missing": {"face": runs(~page.face_valid), "sound": runs(~page.audio_valid)},
        "faces": [
            {"time": face.time, "jpeg": base64.b64encode(face.jpeg).decode("ascii")}
            for face in page.faces
        ],
        "start": page.media.start if page.media else 0.0,
    }


def _limit(values: NDArray[np.float64]) -> float:
    """What the axis reaches to: 1, or what is predicted beyond it in steps of 0.1."""
    finite = values[np.isfinite(values)]
    most = float(np.abs(finite).max()) if len(finite) else 0.0
    return max(1.0, math.ceil(most * 10 - 1e-9) / 10)


def _dimension(page: ClipPage, name: str) -> dict[str, Any]:
    column = page.values[:, page.names.index(name)]
    finite = column[np.isfinite(column)]
    labels = None if page.labels is None else page.labels[:, page.names.index(name)]
    return {
        "name": name,
        "mean": page.mean(name),
        "deviation": float(finite.std()) if len(finite) else math.nan,
        "ccc": page.ccc.get(name),
        "labelled": 0 if labels is None else int(np.isfinite(labels).sum()),
    }


def _gate(name: str, layers: int) -> dict[str, Any]:
    """A gate in words, and its layers with their colours; what ``_across`` means is as in plots."""
    first = 1 if name.endswith("_across") else 0
    numbers = range(first, first + layers)
    words = [f"gate {word}" if word.isdecimal() else word for word in name.split("_")]
    return {
        "name": one_line(" ".join(words)),
        "across": first == 1,
        "layers": [
            {"name": f"iteration {i}" if i else "unattended", "colour": i % _COLOURS}
            for i in numbers
        ],
    }
