"""A picture of how predictions agree with labels, over all frames and clip by clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from grjca.report.canvas import COLOURS, DPI, tidy, write_png

_CELLS = 40
_MOST_NAMES = 30


def plot_agreement(
    path: Path,
    *,
    title: str,
    prediction: NDArray[np.float64],
    labels: NDArray[np.float64],
    names: Sequence[str],
    overall: Mapping[str, tuple[float, float, float]],
    clips: Mapping[str, Mapping[str, float]],
) -> None:
    """Draw predictions against labels, and each clip's CCC beside that of all frames.

    A row per dimension. On the left how many frames lie where, with the line of agreement; on the
    right a dot per clip in the order of their CCC, with the overall CCC and its interval as a
    line and a band. Clips whose CCC is undefined have no dot.

    Args:
        path: The PNG to write, whole or not at all.
        title: Any text.
        prediction: (N, K) over all frames of all clips.
        labels: (N, K), NaN where not labelled.
        names: K names of the dimensions.
        overall: CCC and the ends of its interval, NaN where undefined, by dimension.
        clips: CCC by clip and dimension.

    Raises:
        ValueError: Shapes do not belong together.
        GrjcaError: The file cannot be written.
    """
    if prediction.shape != labels.shape or labels.ndim != 2 or labels.shape[1] != len(names):
        raise ValueError(f"predictions {prediction.shape}, labels {labels.shape}, names {names}")
    figure = Figure(figsize=(9, 0.8 + 3.4 * len(names)), dpi=DPI, layout="constrained")
    figure.suptitle(title, fontsize=12, parse_math=False)
    grid = figure.subplots(len(names), 2, squeeze=False, width_ratios=[1, 1.6])
    for k, name in enumerate(names):
        counted = ~np.isnan(labels[:, k])
        _frames(grid[k, 0], labels[counted, k], prediction[counted, k], name)
        own = {clip: scores[name] for clip, scores in clips.items()}
        _clips(grid[k, 1], own, overall[name], name, COLOURS[k])
    write_png(figure, path)


def _frames(
    axis: Axes, labels: NDArray[np.float64], prediction: NDArray[np.float64], name: str
) -> None:
    edges = np.linspace(-1, 1, _CELLS + 1)
    count, _, _ = np.histogram2d(labels, np.clip(prediction, -1, 1), bins=[edges, edges])
    # Logarithmic, since a few cells near the mean would leave the rest white.
    shade = np.log1p(count.T)
    axis.imshow(shade, origin="lower", extent=(-1, 1, -1, 1), cmap="Greys", aspect="equal",
                interpolation="nearest")  # fmt: skip
    axis.plot([-1, 1], [-1, 1], color="#808080", linewidth=0.8)
    axis.set_xlabel(f"{name}, label")
    axis.set_ylabel("predicted")
    axis.set_xticks([-1, 0, 1])
    axis.set_yticks([-1, 0, 1])


def _clips(
    axis: Axes,
    scores: Mapping[str, float],
    overall: tuple[float, float, float],
    name: str,
    colour: str,
) -> None:
    defined = (clip for clip, ccc in scores.items() if np.isfinite(ccc))
    order = sorted(defined, key=scores.__getitem__)
    place = np.arange(len(order))
    axis.plot(place, [scores[clip] for clip in order], "o", color=colour, markersize=4)
    value, low, high = overall
    if np.isfinite(value):
        axis.axhline(value, color=colour, linewidth=1.2)
    if np.isfinite(low):
        axis.axhspan(low, high, color=colour, alpha=0.12, linewidth=0)
    axis.axhline(0, color="#808080", linewidth=0.8)
    axis.set_title(f"{name}: CCC {value:.3f}, and clip by clip", fontsize=10)
    if not order:
        axis.text(0.5, 0.6, "no clip's own CCC is defined", transform=axis.transAxes, ha="center")
    if len(order) <= _MOST_NAMES:
        short = [clip if len(clip) <= 18 else f"\u2026{clip[-17:]}" for clip in order]
        axis.set_xticks(place, short, rotation=90, fontsize=7, parse_math=False)
    else:
        axis.set_xticks([])
        axis.set_xlabel(f"{len(order)} clips")
    tidy(axis)
