"""The tempered gate as an operator of PyTorch, with Triton kernels inside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from grjca.fusion.kernels import gate_kernels
from grjca.fusion.kernels.tiles import ROW_ELEMENTS, launching, power_of_two

_PROGRAMS = 1024
"""At most this many programs sum up gradients of the gate's own parameters."""


@torch.library.custom_op("grjca::gate", mutates_args=())
def gate(
    chooser: Tensor, candidates: Sequence[Tensor], score: Tensor, bias: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """w = softmax((X G + g) / tau), out = ReLU(sum_i w[i] X^(i)).

    Args:
        chooser: (B, T, d_m) float, X.
        candidates: n tensors like it, X^(i).
        score: (n, d_m) float, G.
        bias: (n,) float, g.
        temperature: tau.

    Returns:
        The gated features, like a candidate, and the weights (B, T, n) float32. All arithmetic is
        in float32.
    """
    rows, width, count = _sizes(chooser, candidates)
    out = torch.empty_like(candidates[0], memory_format=torch.contiguous_format)
    weights = chooser.new_empty(*chooser.shape[:-1], count, dtype=torch.float32)
    height, columns = _tile(width)
    with launching(chooser.device):
        gate_kernels.choose[(-(-rows // height),)](
            chooser.contiguous(), _contiguous(candidates), score, bias, out, weights,
            rows, width, temperature,
            COUNT=count, P=power_of_two(count), R=height, C=columns,
        )  # fmt: skip
    return out, weights


@torch.library.custom_op("grjca::gate_backward", mutates_args=())
def gate_backward(
    gradient: Tensor,
    weights_gradient: Tensor | None,
    chooser: Tensor,
    candidates: Sequence[Tensor],
    score: Tensor,
    bias: Tensor,
    weights: Tensor,
    temperature: float,
) -> list[Tensor]:
    """Gradients of chooser, score, bias and each of the candidates.

    Arguments are those of ``gate``, its weights, and the gradients of what it returned.
    """
    rows, width, count = _sizes(chooser, candidates)
    height, columns = _tile(width)
    tiles = max(-(-rows // (height * _PROGRAMS)), 1)
    programs = -(-rows // (height * tiles))
    score_sums = chooser.new_empty(programs, count, width, dtype=torch.float32)
    bias_sums = chooser.new_empty(programs, count, dtype=torch.float32)
    d_chooser = torch.empty_like(chooser, memory_format=torch.contiguous_format)
    d_candidates = tuple(
        torch.empty_like(x, memory_format=torch.contiguous_format) for x in candidates
    )
    given = weights_gradient is not None
    with launching(chooser.device):
        gate_kernels.choose_gradient[(programs,)](
            gradient.contiguous(),
            weights if weights_gradient is None else weights_gradient.contiguous(),
            chooser.contiguous(), _contiguous(candidates), score, weights,
            d_chooser, d_candidates, score_sums, bias_sums, rows, width, temperature, tiles,
            GIVEN=given, COUNT=count, P=power_of_two(count), R=height, C=columns,
        )  # fmt: skip
    return [
        d_chooser, score_sums.sum(0).to(score.dtype), bias_sums.sum(0).to(bias.dtype), *d_candidates
    ]  # fmt: skip


@gate.register_fake
def _(
    chooser: Tensor, candidates: Sequence[Tensor], score: Tensor, bias: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    del score, bias, temperature
    weights = chooser.new_empty(*chooser.shape[:-1], len(candidates), dtype=torch.float32)
    return candidates[0].new_empty(candidates[0].shape), weights


@gate_backward.register_fake
def _(
    gradient: Tensor,
    weights_gradient: Tensor | None,
    chooser: Tensor,
    candidates: Sequence[Tensor],
    score: Tensor,
    bias: Tensor,
    weights: Tensor,
    temperature: float,
) -> list[Tensor]:
    del gradient, weights_gradient, weights, temperature
    return [x.new_empty(x.shape) for x in (chooser, score, bias, *candidates)]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    chooser, candidates, score, bias, temperature = inputs
    ctx.temperature = temperature
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(chooser, score, bias, output[1], *candidates)


def _backward(
    ctx: Any, gradient: Tensor | None, weights_gradient: Tensor | None
) -> tuple[Any, ...]:
    chooser, score, bias, weights, *candidates = ctx.saved_tensors
    if gradient is None:
        gradient = torch.zeros_like(candidates[0])
    d_chooser, d_score, d_bias, *d_candidates = gate_backward(
        gradient, weights_gradient, chooser, candidates, score, bias, weights, ctx.temperature
    )
    return d_chooser, d_candidates, d_score, d_bias, None


gate.register_autograd(_backward, setup_context=_keep)


def _sizes(chooser: Tensor, candidates: Sequence[Tensor]) -> tuple[int, int, int]:
    width = chooser.shape[-1]
    return chooser.numel() // width, width, len(candidates)


def _tile(width: int) -> tuple[int, int]:
    columns = power_of_two(width)
    return max(ROW_ELEMENTS // columns, 1), columns


def _contiguous(tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
    return tuple(x.contiguous() for x in tensors)
