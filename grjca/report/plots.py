"""A picture of a prediction, as a PNG file.

Drawn on a canvas of its own, so that nothing here touches matplotlib's global state or needs a
display. Colours are those of Okabe and Ito, which people with any colour vision tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MultipleLocator
from numpy.typing import NDArray

from grjca.errors import one_line
from grjca.report.canvas import COLOURS, DPI, finish, legend, lone_points, write_png
from grjca.report.training import plot_training

__all__ = ["POINTS", "plot_prediction", "plot_training"]

POINTS = 4000
"""Most points drawn along the time axis; longer clips are reduced, see ``plot_prediction``."""

_LAYERS = ("#BFBFBF", "#56B4E9", COLOURS[2], "#F0E442", COLOURS[1], "#CC79A7")
_PRESENT, _NO_FACE, _NO_SOUND = "#E8EEF2", "#CC79A7", "#E69F00"
_TITLE_LENGTH = 90
_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)

Array = NDArray[Any]


def plot_prediction(
    path: Path,
    *,
    title: str,
    time: Array,
    prediction: Array,
    names: Sequence[str] = ("valence", "arousal"),
    face_valid: Array,
    audio_valid: Array,
    gates: Mapping[str, Array] | None = None,
    labels: Array | None = None,
) -> None:
    """Draw a clip's prediction over time, with what the model had to go on below it.

    From the top: the predicted dimensions in [-1, 1], the labels as thin dashed lines; a strip
    each for frames without a face and without sound; one panel per gate with its weights as
    stacked bands. Clips of more than 4000 rows are reduced to 2000 stretches of equally many
    rows: lines by their smallest and largest value, strips by "missing anywhere", gates by mean.

    Args:
        path: The PNG to write, whole or not at all.
        title: Any text; shown as it is, on one line.
        time: (T,) seconds, strictly increasing, T at least 1.
        prediction: (T, K) values in [-1, 1], NaN where there is none.
        names: K names of the dimensions.
        face_valid: (T,) bool, a face was seen.
        audio_valid: (T,) bool, there is sound.
        gates: Name to (T, n) weights that add up to 1; column 0 weighs the features that were not
            attended, column l those of iteration l. A name that ends in ``_across`` is a gate over
            iterations 1 to n, without the features that were not attended.
        labels: (T, K) true values, NaN where not labelled.

    Raises:
        ValueError: Shapes do not belong together, or there is no row.
        GrjcaError: The file cannot be written.
    """
    gates = gates or {}
    _check_rows(time, prediction, names, face_valid, audio_valid, gates, labels)
    share = 1.25 if len(gates) <= 2 else 0.95
    figure = Figure(figsize=(11, 3.9 + share * len(gates)), dpi=DPI, layout="constrained")
    grid = figure.add_gridspec(2 + len(gates), 1, height_ratios=[3.2, 0.45] + [1.1] * len(gates))
    panels = [figure.add_subplot(grid[0])]
    panels += [figure.add_subplot(grid[i], sharex=panels[0]) for i in range(1, 2 + len(gates))]
    figure.suptitle(_shown(title), fontsize=12, parse_math=False)

    edges = _row_edges(time)
    starts = _stretches(len(time))
    borders = np.append(edges[starts], edges[-1])
    _draw_lines(panels[0], time, starts, prediction, names, labels)
    _draw_strips(panels[1], borders, starts, face_valid, audio_valid)
    for panel, (name, weights) in zip(panels[2:], gates.items(), strict=True):
        _draw_gate(panel, borders, starts, name, weights)

    margin = 0.004 * (edges[-1] - edges[0])
    panels[0].set_xlim(edges[0] - margin, edges[-1] + margin)
    _time_axis(panels[-1], edges[-1] - edges[0])
    for panel in panels[:-1]:
        panel.tick_params(labelbottom=False)
    write_png(figure, path)


def _check_rows(
    time: Array,
    prediction: Array,
    names: Sequence[str],
    face_valid: Array,
    audio_valid: Array,
    gates: Mapping[str, Array],
    labels: Array | None,
) -> None:
    rows, wide = len(time), (len(time), len(names))
    if rows == 0:
        raise ValueError("a clip without rows cannot be drawn")
    if not np.isfinite(time).all() or (np.diff(time) <= 0).any():
        raise ValueError("times must be finite and strictly increasing")
    wanted: list[tuple[str, Array, tuple[int, ...]]] = [
        ("prediction", prediction, wide),
        ("face_valid", face_valid, (rows,)),
        ("audio_valid", audio_valid, (rows,)),
    ]
    wanted += [] if labels is None else [("labels", labels, wide)]
    for name, array, shape in wanted:
        if array.shape != shape:
            raise ValueError(f"{name}: wanted {shape}, got {array.shape}")
    for name, weights in gates.items():
        if weights.ndim != 2 or len(weights) != rows or weights.shape[1] < 1:
            raise ValueError(f"gates of {name}: wanted ({rows}, n), got {weights.shape}")


def _row_edges(time: Array) -> Array:
    """(T + 1,) seconds: a row lasts until the next, the last as long as rows usually do."""
    usual = float(np.median(np.diff(time))) if len(time) > 1 else 0.04
    return np.append(np.asarray(time, dtype=float), time[-1] + usual)


def _stretches(rows: int) -> NDArray[np.int64]:
    """First row of each stretch that is drawn as one; every row for all but long clips."""
    if rows <= POINTS:
        return np.arange(rows)
    return np.arange(POINTS // 2) * rows // (POINTS // 2)


def _extremes(time: Array, starts: Array, values: Array) -> tuple[Array, Array]:
    """Points of a line: every row or, of a long clip, each stretch's smallest and largest."""
    values = np.where(np.isfinite(values), values, np.nan)
    if len(starts) == len(time):
        return time, values
    middle = (starts + np.append(starts[1:], len(time))) // 2
    low, high = np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)
    return np.stack([time[starts], time[middle]], 1).ravel(), np.stack([low, high], 1).ravel()


def _draw_lines(
    panel: Axes,
    time: Array,
    starts: Array,
    prediction: Array,
    names: Sequence[str],
    labels: Array | None,
) -> None:
    panel.axhline(0, color="#808080", linewidth=0.8, zorder=0)
    for k, name in enumerate(names):
        colour = COLOURS[k % len(COLOURS)]
        if labels is not None:
            x, y = _extremes(time, starts, labels[:, k])
            panel.plot(x, y, color=colour, linewidth=1, linestyle=(0, (4, 2)), alpha=0.75)
            lone_points(panel, x, y, colour, "x")
        x, y = _extremes(time, starts, prediction[:, k])
        panel.plot(x, y, color=colour, linewidth=1.6 if len(x) <= 1500 else 0.8, label=name)
        lone_points(panel, x, y, colour, "o")
    if labels is not None:
        panel.plot([], [], color="#404040", linewidth=1, linestyle=(0, (4, 2)), label="label")
    if not np.isfinite(prediction).any():
        panel.text(0.5, 0.75, "no prediction", transform=panel.transAxes, ha="center")
    panel.set_ylim(-1.05, 1.05)
    panel.set_yticks([-1, -0.5, 0, 0.5, 1])
    panel.set_ylabel("predicted")
    finish(panel)


def _draw_strips(
    panel: Axes, borders: Array, starts: Array, face_valid: Array, audio_valid: Array
) -> None:
    strips = ((1, face_valid, _NO_FACE), (0, audio_valid, _NO_SOUND))
    for height, valid, colour in strips:
        missing = np.logical_or.reduceat(~np.asarray(valid, dtype=bool), starts)
        change = np.flatnonzero(np.diff(np.concatenate([[0], missing, [0]])))
        begin, end = borders[change[::2]], borders[change[1::2]]
        spans = list(zip(begin.tolist(), (end - begin).tolist(), strict=True))
        whole = [(borders[0], borders[-1] - borders[0])]
        panel.broken_barh(whole, (height + 0.1, 0.8), color=_PRESENT, linewidth=0)
        # The outline keeps a single missing frame of an hour visible.
        panel.broken_barh(spans, (height + 0.1, 0.8), color=colour, linewidth=0.6)
    panel.set_ylim(0, 2)
    panel.set_yticks([0.5, 1.5], ["sound", "face"])
    panel.tick_params(axis="y", length=0)
    panel.spines[["top", "right", "left"]].set_visible(False)
    handles = [Patch(color=_NO_FACE, label="no face"), Patch(color=_NO_SOUND, label="no sound")]
    legend(panel, handles=handles)


def _draw_gate(panel: Axes, borders: Array, starts: Array, name: str, weights: Array) -> None:
    finite = np.isfinite(weights)
    count = np.add.reduceat(finite, starts, axis=0, dtype=np.int64)
    total = np.add.reduceat(np.where(finite, weights, 0.0), starts, axis=0)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    # The last stretch is repeated at the end of the clip, where its step stops.
    upper = np.cumsum(np.concatenate([mean, mean[-1:]]), axis=1)
    first = 1 if name.endswith("_across") else 0
    layers = first + upper.shape[1]
    colours: Sequence[Any] = _LAYERS
    if layers > len(_LAYERS):
        colours = [matplotlib.colormaps["cividis"](i / (layers - 1)) for i in range(layers)]
    lower = np.zeros(len(upper))
    for i, top in enumerate(upper.T, start=first):
        label = f"iteration {i}" if i else "unattended"
        panel.fill_between(
            borders, lower, top, step="post", color=colours[i], linewidth=0, label=label
        )
        lower = top
    panel.set_ylim(0, 1)
    panel.set_yticks([0, 0.5, 1])
    words = [f"gate {word}" if word.isdecimal() else word for word in name.split("_")]
    panel.set_ylabel("\n".join(words if len(words) > 1 else [*words, "gate"]))
    finish(panel)


def _time_axis(panel: Axes, seconds: float) -> None:
    step = next((s for s in _STEPS if seconds <= 12 * s), 3600 * float(np.ceil(seconds / 43_200)))
    panel.xaxis.set_major_locator(MultipleLocator(step))

    def clock(at: float, _: int | None = None) -> str:
        minutes, rest = divmod(round(at), 60)
        if seconds < 3600:
            return f"{minutes}:{rest:02d}"
        return f"{minutes // 60}:{minutes % 60:02d}" + (f":{rest:02d}" if step % 60 else "")

    unit = "s"
    if step >= 10:
        panel.xaxis.set_major_formatter(FuncFormatter(clock))
        unit = "min:s" if seconds < 3600 else "h:min:s" if step % 60 else "h:min"
    panel.set_xlabel(f"time ({unit})")


def _shown(title: str) -> str:
    """A title on one line of bearable length, in characters that the font has."""
    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    line = "".join(c if font.get_char_index(ord(c)) else "\u25a1" for c in one_line(title))
    if len(line) <= _TITLE_LENGTH:
        return line
    half = _TITLE_LENGTH // 2
    return f"{line[:half]} \u2026 {line[-half:]}"
