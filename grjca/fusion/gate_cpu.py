"""A gate's weighted sum on a CPU, with a backward pass written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def weighted_sum(weights: Tensor, candidates: Sequence[Tensor]) -> Tensor:
    """ReLU(sum_i w[i] X^(i)).

    Args:
        weights: (B, T, n) float.
        candidates: n tensors (B, T, d_m) float.

    Returns:
        (B, T, d_m).
    """
    out: Tensor = _WeightedSum.apply(weights, *candidates)
    return out


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, *candidates: Tensor) -> Tensor:
        total = candidates[0] * weights[..., :1]
        for i, candidate in enumerate(candidates[1:], start=1):
            total.addcmul_(candidate, weights[..., i : i + 1])
        total.clamp_(min=0)
        ctx.save_for_backward(weights, total, *candidates)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, ...]:
        weights, total, *candidates = ctx.saved_tensors
        d_total = torch.ops.aten.threshold_backward(outer, total, 0)
        d_weights = torch.empty_like(weights)
        d_candidates = []
        for i, candidate in enumerate(candidates):
            # The product lies where the candidate's own gradient goes next.
            product = d_total * candidate
            torch.sum(product, -1, out=d_weights[..., i])
            d_candidates.append(torch.mul(d_total, weights[..., i : i + 1], out=product))
        return d_weights, *d_candidates
