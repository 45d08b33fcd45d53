"""Smoothing of predictions: a moving mean, its width chosen on validation clips."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from grjca.evaluation.scores import Trace
from grjca.evaluation.sums import clip_sums, metrics
from grjca.labels.records import DIMENSIONS
from grjca.labels.smoothing import moving_mean

WIDTHS = (0.0, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds that are tried; 0 leaves predictions as they are."""


def check_widths(widths: object) -> None:
    """Refuse what is neither seconds nor seconds by dimension.

    Raises:
        ValueError: A width is negative or not finite, or of no dimension.
    """
    named = widths if isinstance(widths, Mapping) else {"": widths}
    unknown = [name for name in named if name not in ("", *DIMENSIONS)]
    if unknown:
        raise ValueError(f"smooth names {', '.join(map(str, unknown))}; known: {DIMENSIONS}")
    for width in named.values():
        if not isinstance(width, int | float) or not 0 <= width < math.inf:
            raise ValueError(f"smooth must be none, auto or seconds from 0 on, got {width!r}")


def widths_of(widths: float | Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """Seconds for each dimension; 0 for one that a mapping does not name."""
    if isinstance(widths, Mapping):
        return {name: float(widths.get(name, 0.0)) for name in names}
    return dict.fromkeys(names, float(widths))


def smoothed(trace: Trace, widths: Mapping[str, float], names: Sequence[str]) -> Trace:
    """A trace whose predictions are smoothed, each dimension by its own width in seconds."""
    columns = [
        moving_mean(trace.prediction[:, k], trace.time, widths[name])
        for k, name in enumerate(names)
    ]
    return replace(trace, prediction=np.stack(columns, axis=1)) if columns else trace


def best_widths(traces: Sequence[Trace], names: Sequence[str]) -> dict[str, float]:
    """Of ``WIDTHS`` the one with the highest CCC over all frames, for each dimension.

    Of equally good ones the narrowest is taken; where CCC is undefined, 0.

    Args:
        traces: Validation clips.
        names: K names of the dimensions.
    """
    tried = []
    for width in WIDTHS:
        sums = [
            clip_sums(moving_mean(trace.prediction, trace.time, width), trace.labels)
            for trace in traces
        ]
        tried.append(metrics(np.sum(sums, axis=0))["ccc"])
    best = np.argmax(np.nan_to_num(np.stack(tried), nan=-2.0), axis=0)
    return {name: WIDTHS[best[k]] for k, name in enumerate(names)}
