"""Launches of the kernels of joint cross-attention, each with the tensors that it fills.

B clips, T frames, d = d_v + d_a; "rows" are the B T frames of a batch.
"""

from __future__ import annotations

import torch
from torch import Tensor

from grjca.fusion.kernels import joint_kernels, row_kernels
from grjca.fusion.kernels.tiles import product_precision, row_tiles, tiles

Pair = tuple[Tensor, Tensor]
"""The same of both modalities, visual before audio."""


def correlate(
    keys: Tensor, query: Tensor, scale: Tensor, seed: Tensor | None, dropout: float
) -> Tensor:
    """C after dropout, (B, d, d), of keys and query (B, T, d); 0 where dropped."""
    batch, length, width = keys.shape
    out = query.new_empty(batch, width, width)
    m, n, k, count = tiles(width, width, batch, keys.dtype)
    joint_kernels.correlate[(count, batch)](
        keys, query, scale, scale if seed is None else seed, out, length, width, dropout,
        DROP=seed is not None, PRECISION=product_precision(keys.dtype), M=m, N=n, K=k,
    )  # fmt: skip
    return out


def attend(values: Pair, correlation: Tensor) -> Tensor:
    """H of both modalities, (2, B, T, d), of values (B, T, d_m) and C (B, d, d)."""
    batch, length, width = len(correlation), values[0].shape[1], correlation.shape[1]
    out = correlation.new_empty(2, batch, length, width)
    m, n, k, count = tiles(length, width, 2 * batch, out.dtype)
    joint_kernels.attend[(count, batch, 2)](
        *values, correlation, out, batch, length, *_widths(values),
        PRECISION=product_precision(out.dtype), M=m, N=n, K=k,
    )  # fmt: skip
    return out


def value_gradient(gradient: Tensor, attended: Tensor, correlation: Tensor, like: Pair) -> Pair:
    """The gradients of the values, from that of H, (2, B, T, d); shaped ``like`` these."""
    _, batch, length, _ = attended.shape
    out = torch.empty_like(like[0]), torch.empty_like(like[1])
    widths = _widths(like)
    m, n, k, count = tiles(length, max(widths), 2 * batch, attended.dtype)
    joint_kernels.value_gradient[(count, batch, 2)](
        gradient, attended, correlation, *out, batch, length, *widths,
        PRECISION=product_precision(attended.dtype), M=m, N=n, K=k,
    )  # fmt: skip
    return out


def correlation_gradient(
    gradient: Tensor,
    attended: Tensor,
    values: Pair,
    correlation: Tensor,
    scale: Tensor,
    seed: Tensor | None,
    dropout: float,
) -> Tensor:
    """The gradient of K^T Q, (B, d, d), from that of H, (2, B, T, d)."""
    _, batch, length, width = attended.shape
    out = torch.empty_like(correlation)
    widths = _widths(values)
    m, n, k, count = tiles(max(widths), width, 2 * batch, attended.dtype)
    joint_kernels.correlation_gradient[(count, batch, 2)](
        gradient, attended, *values, correlation, scale, scale if seed is None else seed, out,
        batch, length, *widths, dropout,
        DROP=seed is not None, PRECISION=product_precision(attended.dtype), M=m, N=n, K=k,
    )  # fmt: skip
    return out


def add(
    x: Tensor, added: Tensor, frames: Tensor, seed: Tensor | None, dropout: float, stream: int
) -> Pair:
    """x + dropout(ReLU(added)), 0 in padding, and where something was added, bool."""
    width = x.shape[-1]
    rows = frames.numel()
    out, through = torch.empty_like(x), torch.empty_like(x, dtype=torch.bool)
    height, columns, grid = row_tiles(rows, width)
    row_kernels.add[grid](
        x, added, frames, frames if seed is None else seed, out, through,
        rows, width, stream, dropout, DROP=seed is not None, R=height, C=columns,
    )  # fmt: skip
    return out, through


def added_gradient(gradient: Tensor, through: Tensor, dropout: float, dtype: torch.dtype) -> Tensor:
    """The gradient of what was added, (rows, d_m), from that of the sum, (B, T, d_m)."""
    width = gradient.shape[-1]
    rows = gradient.numel() // width
    out = gradient.new_empty(rows, width, dtype=dtype)
    height, columns, grid = row_tiles(rows, width)
    row_kernels.added_gradient[grid](
        gradient, through, out, rows, width, 1 / (1 - dropout), R=height, C=columns
    )
    return out


def input_gradient(gradient: Tensor, frames: Tensor, joint: Tensor, first: int) -> Tensor:
    """The gradient of x, (B, T, d_m), of that of the sum and columns of the joint one (rows, d)."""
    width = gradient.shape[-1]
    rows = frames.numel()
    out = torch.empty_like(gradient)
    height, columns, grid = row_tiles(rows, width)
    row_kernels.input_gradient[grid](
        gradient, frames, joint, out, rows, width, joint.shape[1], first, R=height, C=columns
    )
    return out


def _widths(pair: Pair) -> tuple[int, int]:
    return pair[0].shape[-1], pair[1].shape[-1]
