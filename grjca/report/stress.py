"""Pictures of an evaluation: the stress sweep, and predictions against labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from grjca.report.canvas import COLOURS, DPI, tidy, write_png

Bounds = tuple[float, float, float]
"""A value, and the ends of its interval (NaN where there is none)."""

_PANELS = (
    (("no sound", "no picture"), "what is missing", ""),
    (("picture noise",), "noise on the picture", "standard deviations"),
    (("sound noise",), "noise on the sound", "standard deviations"),
    (("late sound",), "lag", "sound late by (s)"),
    (("faces missing",), "faces missing in bursts", "share of the clip"),
)


def plot_stress(
    path: Path, rows: Sequence[tuple[str, float, Mapping[str, Bounds]]], title: str
) -> None:
    """Draw a stress sweep: CCC against how much was done, a panel per kind.

    Args:
        path: The PNG to write, whole or not at all.
        rows: The kind (``intact``, ``no sound``, ``no picture``, ``picture noise``, ``sound
            noise``, ``late sound``, ``faces missing``), its level, and the CCC by dimension. The
            intact features are level 0 of every panel and a dotted line across it.
        title: Any text.

    Raises:
        ValueError: There is no row of the intact features.
        GrjcaError: The file cannot be written.
    """
    intact = next((ccc for kind, _, ccc in rows if kind == "intact"), None)
    if intact is None:
        raise ValueError("a sweep without the intact features cannot be drawn")
    there = {kind for kind, _, _ in rows}
    panels = [panel for panel in _PANELS if there & set(panel[0])]
    figure = Figure(figsize=(3.1 * max(len(panels), 2), 3.6), dpi=DPI, layout="constrained")
    figure.suptitle(title, fontsize=12, parse_math=False)
    axes = figure.subplots(1, max(len(panels), 1), sharey=True, squeeze=False)[0]
    for axis, (kinds, name, unit) in zip(axes, panels, strict=False):
        own = [row for row in rows if row[0] in kinds]
        if kinds == _PANELS[0][0]:
            _categories(axis, own, intact)
        else:
            _sweep(axis, [*own, ("intact", 0.0, intact)], intact)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel(unit)
        tidy(axis)
    axes[0].set_ylabel("CCC")
    axes[-1].legend(*axes[0].get_legend_handles_labels(), frameon=False, fontsize=9,
                    loc="center left", bbox_to_anchor=(1.02, 0.5))  # fmt: skip
    write_png(figure, path)


def _categories(
    axis: Axes,
    rows: Sequence[tuple[str, float, Mapping[str, Bounds]]],
    intact: Mapping[str, Bounds],
) -> None:
    columns = [("intact", intact), *((kind, ccc) for kind, _, ccc in rows)]
    width = 0.8 / len(intact)
    for k, name in enumerate(intact):
        place = np.arange(len(columns)) + (k - (len(intact) - 1) / 2) * width
        values, errors = _values([ccc[name] for _, ccc in columns])
        axis.bar(place, values, 0.9 * width, color=COLOURS[k], label=name)
        axis.errorbar(place, values, errors, fmt="none", ecolor="#404040", linewidth=1)
    axis.axhline(0, color="#808080", linewidth=0.8)
    axis.set_xticks(range(len(columns)), [kind.replace(" ", "\n") for kind, _ in columns])


def _sweep(
    axis: Axes,
    rows: Sequence[tuple[str, float, Mapping[str, Bounds]]],
    intact: Mapping[str, Bounds],
) -> None:
    ordered = sorted(rows, key=lambda row: row[1])
    levels = [level for _, level, _ in ordered]
    for k, name in enumerate(intact):
        values, errors = _values([ccc[name] for _, _, ccc in ordered])
        axis.fill_between(levels, values - errors[0], values + errors[1],
                          color=COLOURS[k], alpha=0.15, linewidth=0)  # fmt: skip
        axis.plot(levels, values, "o-", color=COLOURS[k], markersize=3.5, linewidth=1.5, label=name)
        axis.axhline(intact[name][0], color=COLOURS[k], linewidth=0.8, linestyle=":")
    axis.axhline(0, color="#808080", linewidth=0.8)


def _values(bounds: Sequence[Bounds]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values, and the (2, N) distances to the ends of their intervals, 0 where there is none."""
    table = np.array(bounds)
    value = table[:, 0]
    distances = np.stack([value - table[:, 1], table[:, 2] - value])
    return value, np.maximum(np.nan_to_num(distances), 0.0)
