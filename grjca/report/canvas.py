"""What pictures share: colours, axes without clutter, a PNG written in one step."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from grjca.files import written_in_one_step

DPI = 150

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
"""Of Okabe and Ito, which people with any colour vision tell apart; valence first, then arousal."""


def tidy(panel: Axes) -> None:
    """Faint horizontal lines behind the data, no box around it."""
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="y", color="#D9D9D9", linewidth=0.6)
    panel.set_axisbelow(True)


def write_png(figure: Figure, path: Path) -> None:
    """Draw into memory first: a figure that cannot be drawn touches no file.

    Raises:
        GrjcaError: The file cannot be written.
    """
    drawn = io.BytesIO()
    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(drawn)
    with written_in_one_step(path) as temporary:
        temporary.write_bytes(drawn.getbuffer())


def lone_points(panel: Axes, x: NDArray[Any], y: NDArray[Any], colour: str, marker: str) -> None:
    """Mark values between two gaps, of which a line would show nothing."""
    gap = np.concatenate([[True], np.isnan(y), [True]])
    lone = ~gap[1:-1] & gap[:-2] & gap[2:]
    panel.plot(x[lone], y[lone], marker, color=colour, markersize=4)


def finish(panel: Axes) -> None:
    """Tidy, with a legend where lines have names."""
    tidy(panel)
    if panel.get_legend_handles_labels()[0]:
        legend(panel)


def legend(panel: Axes, **what: Any) -> None:
    """A legend beside the panel, where it hides no data; small where it has many lines."""
    many = len(panel.get_legend_handles_labels()[0]) > 4
    panel.legend(
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        fontsize=7 if many else 10,
        labelspacing=0.2 if many else 0.5,
        **what,
    )
