"""The training loss: 1 - CCC (concordance correlation coefficient), masked and always defined."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

CONSTANT_VARIANCE = 1e-6
"""Labels that vary less than this (a deviation of 0.001 in [-1, 1], about the step in which
annotations are written) count as constant."""


def ccc_loss(
    prediction: Tensor,
    target: Tensor,
    mask: Tensor,
    over: Literal["window", "batch"] = "batch",
) -> Tensor:
    """1 - CCC, averaged over the outputs.

    CCC = 2 cov / (var_x + var_y + (mean_x - mean_y)^2) with population moments (Lin 1989), for
    which 1 - CCC is the mean squared error over that denominator. Where labels are constant, or
    there is only one, it is 1 whatever is predicted (or 0 / 0) and nothing can be learned from
    it; the mean squared error itself takes its place there, which is 0 for a perfect prediction.

    Args:
        prediction: (B, T, K) float.
        target: (B, T, K) float; anything, NaN included, where not ``mask``.
        mask: (B, T, K) bool, the labelled frames.
        over: ``batch`` takes one CCC over all labelled frames of the batch, ``window`` one per
            window, averaged over the windows that have a label.

    Returns:
        A scalar. Outputs without any label are left out of the average; without any label at all
        it is 0, with a gradient of 0.

    Raises:
        ValueError: Shapes or dtypes do not fit, or ``over`` is neither.
    """
    if prediction.ndim != 3 or not prediction.shape == target.shape == mask.shape:
        shapes = tuple(prediction.shape), tuple(target.shape), tuple(mask.shape)
        raise ValueError(f"prediction, target and mask must be (B, T, K) alike, got {shapes}")
    if mask.dtype != torch.bool:
        raise ValueError(f"mask must be bool, got {mask.dtype}")
    if over not in ("window", "batch"):
        raise ValueError(f"over must be window or batch, got {over!r}")
    time = (0, 1) if over == "batch" else (1,)
    # Half precision cannot hold sums over a batch.
    wide = torch.promote_types(prediction.dtype, torch.float32)
    x = prediction.to(wide).masked_fill(~mask, 0.0)
    y = target.to(wide).masked_fill(~mask, 0.0)
    labelled = mask.sum(time, keepdim=True)
    size = labelled.clamp(min=1).to(wide)

    def mean(values: Tensor) -> Tensor:
        return values.sum(time, keepdim=True) / size

    mean_x, mean_y = mean(x), mean(y)
    var_x = mean((x - mean_x).masked_fill(~mask, 0.0).square())
    var_y = mean((y - mean_y).masked_fill(~mask, 0.0).square())
    error = mean((x - y).square())
    varies = var_y > CONSTANT_VARIANCE
    spread = var_x + var_y + (mean_x - mean_y).square()
    loss = error / torch.where(varies, spread, 1.0)
    has_label = labelled > 0
    # (1 or B, 1, K): first over the windows of an output, then over the outputs.
    windows = has_label.sum(0, keepdim=True)
    per_output = loss.masked_fill(~has_label, 0.0).sum(0, keepdim=True) / windows.clamp(min=1)
    return per_output.sum() / (windows > 0).sum().clamp(min=1)
