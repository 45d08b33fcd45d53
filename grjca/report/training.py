"""A picture of a training's curves, as a PNG file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from grjca.report.canvas import COLOURS, DPI, finish, lone_points, write_png

_BLUE, _VERMILION, _GREEN, _, _BLACK = COLOURS

Array = NDArray[Any]


def plot_training(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Draw a training's curves: loss, validation CCC with the best epoch marked, learning rate.

    Args:
        path: The PNG to write, whole or not at all.
        rows: One mapping per epoch with the keys ``epoch`` (its place in ``rows``, from 1, where
            missing), ``train_loss``, ``val_ccc_valence``, ``val_ccc_arousal``, ``val_ccc`` and
            ``lr``; any may be missing or NaN, and what is missing everywhere is left out.

    Raises:
        ValueError: There is no row.
        GrjcaError: The file cannot be written.
    """
    if not rows:
        raise ValueError("a training without epochs cannot be drawn")
    epoch = np.array([row.get("epoch", i) for i, row in enumerate(rows, start=1)], dtype=float)

    def column(key: str) -> Array:
        values = np.array([row.get(key, np.nan) for row in rows], dtype=float)
        return np.where(np.isfinite(values), values, np.nan)

    with_rate = bool(np.isfinite(column("lr")).any())
    ratios = [1.7, 2.4, 0.9] if with_rate else [1.7, 2.4]
    figure = Figure(figsize=(9, 1.4 + 1.25 * sum(ratios)), dpi=DPI, layout="constrained")
    grid = figure.add_gridspec(len(ratios), 1, height_ratios=ratios)
    panels = [figure.add_subplot(grid[0])]
    panels += [figure.add_subplot(grid[i], sharex=panels[0]) for i in range(1, len(ratios))]
    figure.suptitle("Training", fontsize=12)

    _curve(panels[0], epoch, column("train_loss"), "training", _BLACK)
    panels[0].set_ylabel("loss")
    score = column("val_ccc")
    _curve(panels[1], epoch, column("val_ccc_valence"), "valence", _BLUE)
    _curve(panels[1], epoch, column("val_ccc_arousal"), "arousal", _VERMILION)
    _curve(panels[1], epoch, score, "mean", _BLACK, linewidth=2.2)
    panels[1].set_ylabel("validation CCC")
    if not panels[1].lines:
        panels[1].text(0.5, 0.5, "no validation", transform=panels[1].transAxes, ha="center")
    if np.isfinite(score).any():
        best = int(np.nanargmax(score))
        text = f"best epoch {epoch[best]:g}: {score[best]:.3f}"
        panels[1].plot(epoch[best], score[best], "o", color=_GREEN, markersize=8, label=text)
        for panel in panels:
            panel.axvline(epoch[best], color=_GREEN, linewidth=1, linestyle=":")
    if with_rate:
        _curve(panels[2], epoch, column("lr"), "learning rate", _BLACK)
        if np.nanmin(column("lr")) > 0:
            panels[2].set_yscale("log")
        panels[2].set_ylabel("rate")
    for panel in panels:
        finish(panel)
        panel.tick_params(labelbottom=panel is panels[-1])
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    panels[-1].set_xlabel("epoch")
    write_png(figure, path)


def _curve(
    panel: Axes, x: Array, y: Array, label: str, colour: str, linewidth: float = 1.5
) -> None:
    if np.isfinite(y).any():
        panel.plot(x, y, color=colour, linewidth=linewidth, label=label)
        lone_points(panel, x, y, colour, "o")
