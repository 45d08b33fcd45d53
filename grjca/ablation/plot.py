"""A picture of an ablation: every trial a dot, every variant a mean with its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grjca.ablation.comparison import Mean, VariantResult
from grjca.ablation.scores import TrialScore
from grjca.report.canvas import COLOURS, DPI, tidy, write_png


def plot_ablation(
    path: Path, scores: Sequence[TrialScore], results: Sequence[VariantResult], title: str
) -> None:
    """Draw the CCC of all trials on the left, paired differences to the reference on the right.

    Args:
        path: The PNG to write, whole or not at all.
        scores: Of all trials.
        results: By variant, in the order of the rows.
        title: Any text.

    Raises:
        GrjcaError: The file cannot be written.
    """
    figure = Figure(figsize=(9, 1.6 + 0.45 * len(results)), dpi=DPI, layout="constrained")
    figure.suptitle(title, fontsize=12, parse_math=False)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.3, 1])
    reference = next(result.variant for result in results if not result.difference)
    base = {(s.trial.seed, s.trial.fold): s.mean for s in scores if s.trial.variant == reference}
    for row, result in enumerate(results):
        own = [s for s in scores if s.trial.variant == result.variant]
        _row(left, row, [s.mean for s in own], result.ccc["mean"])
        if result.difference:
            pairs = [(s.mean, base.get((s.trial.seed, s.trial.fold), math.nan)) for s in own]
            _row(right, row, [one - other for one, other in pairs], result.difference["mean"])
    left.set_yticks(range(len(results)), [result.variant for result in results])
    left.set_ylim(len(results) - 0.5, -0.5)
    left.set_xlabel("CCC, mean of the dimensions")
    right.set_xlabel(f"less {reference}, same seed and fold")
    right.axvline(0, color="#808080", linewidth=0.8)
    for panel in (left, right):
        tidy(panel)
        panel.grid(axis="x", color="#D9D9D9", linewidth=0.6)
    write_png(figure, path)


def _row(panel: Axes, row: int, values: Sequence[float], mean: Mean) -> None:
    # Spread over the row's height in the order of the trials, so that equal ones are all seen.
    height = np.linspace(-0.22, 0.22, len(values)) if len(values) > 1 else np.zeros(1)
    panel.plot(values, row + height, "o", color=COLOURS[0], alpha=0.35, markersize=3.5)
    if not math.isnan(mean.low):
        panel.plot([mean.low, mean.high], [row, row], color=COLOURS[1], linewidth=2.2)
    panel.plot([mean.value], [row], "D", color=COLOURS[1], markersize=6)
