"""The page of a training: curves, what was reached, and with which settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from grjca.errors import one_line
from grjca.report.html.rendering import render

Bounds = tuple[float | None, float | None, float | None]
"""A value and the ends of its interval; None where undefined."""

_CURVES = ("train_loss", "val_ccc_valence", "val_ccc_arousal", "val_ccc", "lr")
_PANELS: tuple[tuple[str, str, str], ...] = (
    ("picture noise", "Noise on the picture", "standard deviations"),
    ("sound noise", "Noise on the sound", "standard deviations"),
    ("late sound", "Lag", "sound late by (s)"),
    ("faces missing", "Faces missing in bursts", "share of the clip"),
)
_CATEGORIES = ("no sound", "no picture")


@dataclass(frozen=True)
class EvaluationPart:
    """What ``grjca evaluate`` found for the run.

    Attributes:
        source: The file's name.
        partition: Which clips: ``val``, ``test``, ...
        names: The dimensions.
        overall: CCC over all frames by dimension, and ``mean``.
        clips: CCC and RMSE by clip and dimension.
        stress: Kind, level and CCC by dimension of each condition; empty where it was not run.
        notes: What a reader should know.
    """

    source: str
    partition: str
    names: tuple[str, ...]
    overall: Mapping[str, Bounds]
    clips: Mapping[str, Mapping[str, tuple[float | None, float | None]]]
    stress: Sequence[tuple[str, float, Mapping[str, Bounds]]] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class RunPage:
    """A training.

    Attributes:
        name: The run's name; any text.
        rows: A mapping per epoch, as ``plot_training`` takes them; at least one.
        settings: The resolved configuration as text.
        facts: What to say first, by name: fusion, features, seed, ...
        evaluations: What was found when the run was evaluated.

    Raises:
        ValueError: There is no epoch.
    """

    name: str
    rows: Sequence[Mapping[str, float]]
    settings: str
    facts: Mapping[str, str] = field(default_factory=dict)
    evaluations: Sequence[EvaluationPart] = ()

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError("a training without epochs cannot be shown")

    @property
    def best(self) -> Mapping[str, float] | None:
        """The row of the epoch with the highest validation CCC; None without validation."""
        able = [row for row in self.rows if math.isfinite(row.get("val_ccc", math.nan))]
        return max(able, key=lambda row: row["val_ccc"]) if able else None


def run_html(page: RunPage) -> str:
    """A page that shows how a training went."""
    epochs = [row.get("epoch", float(i)) for i, row in enumerate(page.rows, start=1)]
    best = page.best
    return render(
        "run",
        ("charts", "table", "run"),
        charts=True,
        data={
            "epoch": epochs,
            "best": None if best is None else epochs[list(page.rows).index(best)],
            "curves": {
                key: [_finite(row.get(key)) for row in page.rows]
                for key in _CURVES
                if any(_finite(row.get(key)) is not None for row in page.rows)
            },
            "evaluations": [_evaluation(part) for part in page.evaluations],
        },
        name=one_line(page.name),
        facts={**page.facts},
        epochs=len(epochs),
        best=best,
        best_epoch=None if best is None else epochs[list(page.rows).index(best)],
        evaluations=page.evaluations,
        settings=page.settings,
    )


def _evaluation(part: EvaluationPart) -> dict[str, Any]:
    return {
        "names": list(part.names),
        "clips": [
            {
                "clip": one_line(clip),
                "ccc": {name: pair[0] for name, pair in own.items()},
                "rmse": {name: pair[1] for name, pair in own.items()},
            }
            for clip, own in part.clips.items()
        ],
        "stress": _stress(part),
    }


def _stress(part: EvaluationPart) -> list[dict[str, Any]]:
    """Panels of the sweep: which rows they draw, against what; the intact features are in each."""
    intact = next((row for row in part.stress if row[0] == "intact"), None)
    if intact is None:
        return []
    categories = [intact, *(row for row in part.stress if row[0] in _CATEGORIES)]
    panels = []
    if len(categories) > 1:
        ticks = [row[0] for row in categories]
        panels.append(_panel("What is missing", "", range(len(ticks)), categories, part, ticks))
    for kind, title, unit in _PANELS:
        own = sorted([row for row in part.stress if row[0] == kind] + [("", 0.0, intact[2])],
                     key=lambda row: row[1])  # fmt: skip
        if len(own) > 1:
            panels.append(_panel(title, unit, [row[1] for row in own], own, part, []))
    return panels


def _panel(
    title: str,
    unit: str,
    levels: Sequence[float],
    rows: Sequence[tuple[str, float, Mapping[str, Bounds]]],
    part: EvaluationPart,
    ticks: list[str],
) -> dict[str, Any]:
    return {
        "title": title,
        "unit": unit,
        "x": list(levels),
        "ticks": ticks,
        "ccc": {name: [list(map(_finite, row[2][name])) for row in rows] for name in part.names},
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
