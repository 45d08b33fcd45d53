"""Functions that several kernels share: tanh, its ReLU, and the draws of dropout."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def tanh(x):
    """tanh in float32, within 3e-7 of the value itself, relative.

    (1 - e) / (1 + e) with e = exp(-2 |x|) loses digits near 0, so the Taylor series serves there:
    its first left-out term is below 1e-8 of x at a quarter.
    """
    e = tl.exp(-2.0 * tl.abs(x))
    far = (1.0 - e) / (1.0 + e)
    s = x * x
    near = x * (1.0 + s * (-1 / 3 + s * (2 / 15 + s * (-17 / 315 + s * (62 / 2835)))))
    return tl.where(tl.abs(x) < 0.25, near, tl.where(x < 0, -far, far))


@triton.jit
def relu(x):
    """max(x, 0); NaN stays NaN, so that the trainer sees it."""
    return tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def through_tanh_and_relu(gradient, attended):
    """The gradient of z from that of h = ReLU(tanh(z)), z not kept: 1 - h^2 where h > 0."""
    h = attended.to(tl.float32)
    return tl.where(h > 0, gradient.to(tl.float32) * (1.0 - h * h), 0.0)


@triton.jit
def kept(seed, row, first, width, dropout, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """What dropout keeps of a tile: (ROWS, COLUMNS) bool.

    One draw of Philox serves four neighbouring columns. It depends on seed, row and column alone,
    so that another kernel, with other tiles, finds the same.

    Args:
        seed: int64, a number.
        row: (ROWS,) int32, the tile's rows in the matrix.
        first: The tile's first column, a multiple of 4.
        width: Columns of the matrix.
        dropout: Share dropped.
        ROWS: Rows of the tile.
        COLUMNS: Columns of the tile, a multiple of 4.
    """
    fours = first // 4 + tl.arange(0, COLUMNS // 4)
    place = row[:, None] * tl.cdiv(width, 4) + fours[None, :]
    a, b, c, d = tl.randint4x(seed, place)
    drawn = tl.reshape(tl.join(tl.join(a, b), tl.join(c, d)), (ROWS, COLUMNS))
    return tl.uint_to_uniform_float(drawn) >= dropout
