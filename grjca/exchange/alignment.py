"""Features on one time axis brought to the rows of another."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Align = Literal["nearest", "linear"]
"""How a modality is brought to other rows."""

ALIGNS: tuple[Align, ...] = get_args(Align)

_LONGEST_STEP = 1.5
_ROUNDING = 1e-6


def step(time: NDArray[np.float64]) -> float:
    """Median seconds between rows; 0 for a single row."""
    return float(np.median(np.diff(time))) if len(time) > 1 else 0.0


def agree(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether two time axes have the same rows: as many, and none more than half a row away."""
    if len(one) != len(other):
        return False
    return bool((np.abs(one - other) <= step(other) / 2 + _ROUNDING).all())


def bring(
    values: NDArray[np.float32],
    valid: NDArray[np.bool_],
    own: NDArray[np.float64],
    rows: NDArray[np.float64],
    how: Align,
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Bring features to other rows; rows that agree (see :func:`agree`) are taken as they are.

    ``nearest`` takes the row next in time if it lies within half a step of the coarser axis.
    ``linear`` weighs the two rows around, if both are valid and no more than 1.5 steps apart; at
    a row's own time, and up to half a step before the first and after the last, that row alone.
    Everything else is not valid.

    Args:
        values: (N, D) features.
        valid: (N,) where they are.
        own: (N,) their times in seconds, strictly increasing.
        rows: (T,) the wanted times in seconds, strictly increasing.
        how: ``nearest`` or ``linear``.

    Returns:
        (T, D) float32 and (T,) bool; the former is anything where the latter is false.
    """
    if agree(own, rows):
        return values, valid
    right = np.searchsorted(own, rows).clip(min(1, len(own) - 1), len(own) - 1)
    left = np.maximum(right - 1, 0)
    nearest = np.where(rows - own[left] <= own[right] - rows + _ROUNDING, left, right)
    distance = np.abs(own[nearest] - rows)
    near = distance <= max(step(own), step(rows)) / 2 + _ROUNDING
    if how == "nearest":
        return values[nearest], valid[nearest] & near
    gap = own[right] - own[left]
    inside = (rows > own[0]) & (rows < own[-1]) & (distance > _ROUNDING)
    between = inside & valid[left] & valid[right] & (gap <= _LONGEST_STEP * step(own) + _ROUNDING)
    share = np.zeros(len(rows), np.float32)
    np.divide(rows - own[left], gap, out=share, where=between, casting="same_kind")
    brought = values[nearest]
    weight = share[between, None]
    brought[between] = values[left[between]] * (1 - weight) + values[right[between]] * weight
    return brought, np.where(inside, between, valid[nearest] & near)
