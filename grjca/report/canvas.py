"""What pictures share: colours, axes without clutter, a PNG written in one step."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

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
