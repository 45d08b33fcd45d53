"""Pictures of a prediction and of a training, as PNG files.

Drawn on canvases of their own, so that nothing here touches matplotlib's global state or needs a
display. Colours are those of Okabe and Ito, which people with any colour vision tell apart.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator
from numpy.typing import NDArray

from grjca.errors import one_line
from grjca.files import written_in_one_step

DPI = 150
POINTS = 4000
"""Most points drawn along the time axis; longer clips are reduced, see ``plot_prediction``."""

_BLUE, _VERMILION, _GREEN, _BLACK = "#0072B2", "#D55E00", "#009E73", "#000000"
_LINES = (_BLUE, _VERMILION, _GREEN, "#CC79A7", _BLACK)
_LAYERS = ("#BFBFBF", "#56B4E9", _GREEN, "#F0E442", _VERMILION, "#CC79A7")
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
    _write(figure, path)


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
        _finish(panel)
        panel.tick_params(labelbottom=panel is panels[-1])
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    panels[-1].set_xlabel("epoch")
    _write(figure, path)


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
        colour = _LINES[k % len(_LINES)]
        if labels is not None:
            x, y = _extremes(time, starts, labels[:, k])
            panel.plot(x, y, color=colour, linewidth=1, linestyle=(0, (4, 2)), alpha=0.75)
            _lone_points(panel, x, y, colour, "x")
        x, y = _extremes(time, starts, prediction[:, k])
        panel.plot(x, y, color=colour, linewidth=1.6 if len(x) <= 1500 else 0.8, label=name)
        _lone_points(panel, x, y, colour, "o")
    if labels is not None:
        panel.plot([], [], color="#404040", linewidth=1, linestyle=(0, (4, 2)), label="label")
    if not np.isfinite(prediction).any():
        panel.text(0.5, 0.75, "no prediction", transform=panel.transAxes, ha="center")
    panel.set_ylim(-1.05, 1.05)
    panel.set_yticks([-1, -0.5, 0, 0.5, 1])
    panel.set_ylabel("predicted")
    _finish(panel)


def _lone_points(panel: Axes, x: Array, y: Array, colour: str, marker: str) -> None:
    """Mark values between two gaps, of which a line would show nothing."""
    gap = np.concatenate([[True], np.isnan(y), [True]])
    lone = ~gap[1:-1] & gap[:-2] & gap[2:]
    panel.plot(x[lone], y[lone], marker, color=colour, markersize=4)


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
    _legend(panel, handles=handles)


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
    _finish(panel)


def _curve(
    panel: Axes, x: Array, y: Array, label: str, colour: str, linewidth: float = 1.5
) -> None:
    if np.isfinite(y).any():
        panel.plot(x, y, color=colour, linewidth=linewidth, label=label)
        _lone_points(panel, x, y, colour, "o")


def _finish(panel: Axes) -> None:
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="y", color="#D9D9D9", linewidth=0.6)
    panel.set_axisbelow(True)
    if panel.get_legend_handles_labels()[0]:
        _legend(panel)


def _legend(panel: Axes, **what: Any) -> None:
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


def _write(figure: Figure, path: Path) -> None:
    """Draw into memory first: a figure that cannot be drawn touches no file."""
    drawn = io.BytesIO()
    canvas: Any = FigureCanvasAgg(figure)
    canvas.print_png(drawn)
    with written_in_one_step(path) as temporary:
        temporary.write_bytes(drawn.getbuffer())
