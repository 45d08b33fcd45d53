"""A model that starts as ridge regression: its linear path fitted, its head silent.

On small sets linear regression is hard to beat: a network that has to find the line by descent
fits the training clips instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from grjca.fusion.data import collate
from grjca.fusion.dataset import BLOCK_ROWS, LabelledClip
from grjca.fusion.linear import LinearPath
from grjca.fusion.model import FusionModel

PENALTIES = tuple(float(value) for value in np.logspace(-2, 6, 33))
"""Tried on the validation clips; in units of the standardised features' sum of squares."""


def start_as_ridge(
    model: FusionModel,
    train: Sequence[LabelledClip],
    val: Sequence[LabelledClip],
    *,
    clip_level: bool = False,
) -> None:
    """Make a model with a linear path predict what ridge regression does.

    The path minimises |y - W x - b|^2 + p |w|^2 over the training rows, for each output with the p
    of ``PENALTIES`` whose predictions have the best CCC over all validation rows; the last layer of
    the head gets zero weights. Where labels are those of whole clips, a row is a clip: the mean
    over its rows that show or sound something. Memory holds a block of rows and, for each output,
    a matrix of the inputs' width squared.

    Args:
        model: The model, with its inputs' standardisation set; changed. A model without a linear
            path stays as it is.
        train: Training clips.
        val: Validation clips.
        clip_level: Labels are those of whole clips.
    """
    names = list(model.config.outputs)
    parts = model.models() or dict.fromkeys(names, model)
    one = next(iter(parts.values()))
    if one.linear is None:
        return
    sums: list[_Sums] = []
    for x, y in _rows(one, train, clip_level):
        sums = sums or [_Sums(x.shape[1]) for _ in names]
        for own, target in zip(sums, y.T, strict=True):
            own.add(x, target)
    tried = [own.solve(PENALTIES) for own in sums]
    agreements = [_Agreement(len(PENALTIES)) for _ in names]
    for x, y in _rows(one, val, clip_level):
        for agreement, lines, target in zip(agreements, tried, y.T, strict=True):
            agreement.add(x @ lines[:, :-1].T + lines[:, -1], target)
    with torch.no_grad():
        for name, lines, agreement in zip(names, tried, agreements, strict=True):
            part = parts[name]
            if part.linear is None:
                continue
            line = torch.as_tensor(lines[agreement.best()])
            row = part.config.outputs.index(name)
            part.linear.weight[row], part.linear.bias[row] = line[:-1], line[-1]
            nn.init.zeros_(part.head.out.weight)


def _rows(
    model: FusionModel, clips: Sequence[LabelledClip], clip_level: bool
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Blocks of the path's inputs (n, D) with labels (n, K), NaN where not labelled."""
    for clip in clips:
        size = len(clip.sequence)
        total, shown = np.zeros(1), 0
        for start in range(0, size, BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, size)
            window = clip.sequence.window(start, stop)
            batch = collate([window], stop - start)
            with torch.no_grad():
                visual, audio = (
                    encoder.input.standardised(x, here)
                    for encoder, x, here in (
                        (model.visual, batch.visual, batch.visual_valid),
                        (model.audio, batch.audio, batch.audio_valid),
                    )
                )
                inputs = LinearPath.inputs(visual, audio, batch.visual_valid, batch.audio_valid)
            x = inputs[0].double().numpy()
            if not clip_level:
                yield x, clip.target[start:stop]
                continue
            here = window.visual_valid | window.audio_valid
            total = total + x[here].sum(axis=0)
            shown += int(here.sum())
        if clip_level and shown:
            yield total[None] / shown, clip.target[:1]


class _Sums:
    """What ridge regression of one output needs to know of rows that come in blocks."""

    def __init__(self, width: int) -> None:
        self.count = 0
        self.x = np.zeros(width)
        self.y = 0.0
        self.xx = np.zeros((width, width))
        self.xy = np.zeros(width)

    def add(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        known = ~np.isnan(y)
        x, y = x[known], y[known]
        self.count += len(y)
        self.x += x.sum(axis=0)
        self.y += float(y.sum())
        self.xx += x.T @ x
        self.xy += x.T @ y

    def solve(self, penalties: Sequence[float]) -> NDArray[np.float64]:
        """(P, D + 1): weights by penalty, the intercept last."""
        count = max(self.count, 1)
        centre, level = self.x / count, self.y / count
        sizes, axes = np.linalg.eigh(self.xx - count * np.outer(centre, centre))
        along = axes.T @ (self.xy - count * centre * level)
        # Rounding can make the size of an axis along which nothing varies negative.
        shares = [along / (np.maximum(sizes, 0.0) + penalty) for penalty in penalties]
        weights = np.stack(shares) @ axes.T
        return np.column_stack([weights, level - weights @ centre])


class _Agreement:
    """CCC of several predictions of one output, from rows that come in blocks."""

    def __init__(self, predictions: int) -> None:
        self._sums = np.zeros((3, predictions))
        self._labels = np.zeros(3)

    def add(self, predicted: NDArray[np.float64], y: NDArray[np.float64]) -> None:
        """Take in (n, P) predictions and (n,) labels."""
        known = ~np.isnan(y)
        x, y = predicted[known], y[known]
        self._sums += np.stack([x.sum(axis=0), (x**2).sum(axis=0), y @ x])
        self._labels += np.array([len(y), y.sum(), y @ y])

    def best(self) -> int:
        """Which prediction agrees best; the last, most cautious one where none is defined."""
        count, y, yy = self._labels
        x, xx, xy = self._sums
        if not count:
            return len(x) - 1
        spread = xx + yy - 2 * x * y / count
        agreement = np.where(
            spread > 0, 2 * (xy - x * y / count) / np.where(spread > 0, spread, 1), -1
        )
        return int(np.argmax(agreement)) if spread.max() > 0 else len(x) - 1
