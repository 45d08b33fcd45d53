"""Features of length 1 on a CPU, with a backward pass written by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_SHORTEST = 1e-12
"""Below it a frame counts as this long, as in ``torch.nn.functional.normalize``."""


def normalised(x: Tensor, frames: Tensor) -> Tensor:
    """L2-normalise each real frame.

    Args:
        x: (B, T, C) float; anything in padding.
        frames: (B, T) bool, true for real frames.

    Returns:
        (B, T, C), 0 in padding, where no gradient flows either.
    """
    out: Tensor = _Normalised.apply(x, frames)
    return out


class _Normalised(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, frames: Tensor) -> Tensor:
        padding = None if bool(frames.all()) else ~frames.unsqueeze(-1)
        if padding is not None:
            x = x.masked_fill(padding, 0.0)
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        # A frame shorter than the shortest is only multiplied: its length has no derivative.
        turns = length > _SHORTEST
        length.clamp_(min=_SHORTEST)
        unit: Tensor = x / length
        ctx.save_for_backward(unit, length, turns, padding)
        return unit

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, None]:
        unit, length, turns, padding = ctx.saved_tensors
        if padding is not None:
            outer = outer.masked_fill(padding, 0.0)
        product = outer * unit
        along = product.sum(-1, keepdim=True).mul_(turns)
        torch.mul(unit, along, out=product)
        return torch.sub(outer, product, out=product).div_(length), None
