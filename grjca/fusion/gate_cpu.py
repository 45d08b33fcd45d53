"""A gate on a CPU, with a backward pass written by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def tempered_gate(
    chooser: Tensor, candidates: Sequence[Tensor], weight: Tensor, bias: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Choose: w = softmax((X G + g) / tau), out = ReLU(sum_i w[i] X^(i)).

    Args:
        chooser: X, (B, T, d_m) float.
        candidates: X^(i), n tensors (B, T, d_m) float.
        weight: G, (n, d_m).
        bias: g, (n,).
        temperature: tau.

    Returns:
        The gated features (B, T, d_m) and the weights (B, T, n).
    """
    out: tuple[Tensor, Tensor] = _TemperedGate.apply(
        temperature, weight, bias, chooser, *candidates
    )
    return out


class _TemperedGate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        temperature: float,
        weight: Tensor,
        bias: Tensor,
        chooser: Tensor,
        *candidates: Tensor,
    ) -> tuple[Tensor, Tensor]:
        flat = chooser.reshape(-1, chooser.shape[-1])
        scores = torch.addmm(bias, flat, weight.t()).div_(temperature)
        shares = torch.softmax(scores, dim=-1).view(*chooser.shape[:-1], -1)
        total = candidates[0] * shares[..., :1]
        for i, candidate in enumerate(candidates[1:], start=1):
            total.addcmul_(candidate, shares[..., i : i + 1])
        total.clamp_(min=0)
        ctx.save_for_backward(weight, chooser, shares, total, *candidates)
        ctx.temperature = temperature
        ctx.last_chooses = chooser is candidates[-1]
        return total, shares

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor, outer_shares: Tensor) -> tuple[Tensor | None, ...]:
        weight, chooser, shares, total, *candidates = ctx.saved_tensors
        d_total = torch.ops.aten.threshold_backward(outer, total, 0)
        d_shares = torch.empty_like(shares)
        d_candidates = []
        for i, candidate in enumerate(candidates):
            # The product lies where the candidate's own gradient goes next.
            product = d_total * candidate
            torch.sum(product, -1, out=d_shares[..., i])
            d_candidates.append(torch.mul(d_total, shares[..., i : i + 1], out=product))
        d_shares.add_(outer_shares)
        d_scores = torch.ops.aten._softmax_backward_data(d_shares, shares, -1, shares.dtype)
        d_scores = d_scores.view(-1, shares.shape[-1]).div_(ctx.temperature)
        flat = chooser.reshape(-1, chooser.shape[-1])
        d_weight = torch.mm(d_scores.t(), flat)
        d_bias = d_scores.sum(0)
        d_chooser = None
        if ctx.last_chooses:
            d_candidates[-1].view(flat.shape).addmm_(d_scores, weight)
        else:
            d_chooser = torch.mm(d_scores, weight).view(chooser.shape)
        return None, d_weight, d_bias, d_chooser, *d_candidates
