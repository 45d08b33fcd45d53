"""Kernels that go over a modality's rows once: what an iteration adds, and gradients beside it.

All tensors are (B T, C) and contiguous where nothing else is said; ``real`` is (B T,) bool, false
in padding. Grid: (tiles of rows, tiles of columns).
"""

from __future__ import annotations

import triton
import triton.language as tl

from grjca.fusion.kernels.device_functions import kept, relu


@triton.jit
def add(
    x, added, real, seed, out, through, rows, width, stream, dropout,
    DROP: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """out = x + dropout(ReLU(added)), 0 in padding.

    through is bool and tells where the added was let through by ReLU, dropout and mask. stream is
    added to the seed, so that the modalities draw independently.
    """
    row = tl.program_id(0) * R + tl.arange(0, R)
    first = tl.program_id(1) * C
    column = first + tl.arange(0, C)
    inside = (row < rows)[:, None] & (column < width)[None, :]
    place = row.to(tl.int64)[:, None] * width + column[None, :]
    frame = tl.load(real + row, mask=row < rows, other=0).to(tl.int1)[:, None]
    y = tl.load(added + place, mask=inside, other=0.0).to(tl.float32)
    passes = (y > 0) & frame
    y = relu(y)
    if DROP:
        keep = kept(tl.load(seed) + stream, row, first, width, dropout, R, C)
        passes = passes & keep
        y = tl.where(keep, y / (1.0 - dropout), 0.0)
    total = tl.load(x + place, mask=inside, other=0.0).to(tl.float32) + y
    tl.store(out + place, tl.where(frame, total, 0.0).to(out.dtype.element_ty), mask=inside)
    tl.store(through + place, passes, mask=inside)


@triton.jit
def added_gradient(
    gradient, through, out, rows, width, factor, R: tl.constexpr, C: tl.constexpr
):  # fmt: skip
    """The gradient of the added: factor times the output's, where it was let through."""
    row = tl.program_id(0) * R + tl.arange(0, R)
    column = tl.program_id(1) * C + tl.arange(0, C)
    inside = (row < rows)[:, None] & (column < width)[None, :]
    place = row.to(tl.int64)[:, None] * width + column[None, :]
    passes = tl.load(through + place, mask=inside, other=0).to(tl.int1)
    g = tl.load(gradient + place, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + place, tl.where(passes, g * factor, 0.0).to(out.dtype.element_ty), mask=inside)


@triton.jit
def input_gradient(
    gradient, real, joint, out, rows, width, joint_width, first, R: tl.constexpr, C: tl.constexpr
):  # fmt: skip
    """out = gradient + the modality's columns of joint, 0 in padding.

    joint is (B T, d), of which the columns from ``first`` on are this modality's.
    """
    row = tl.program_id(0) * R + tl.arange(0, R)
    column = tl.program_id(1) * C + tl.arange(0, C)
    inside = (row < rows)[:, None] & (column < width)[None, :]
    place = row.to(tl.int64)[:, None] * width + column[None, :]
    frame = tl.load(real + row, mask=row < rows, other=0).to(tl.int1)[:, None]
    g = tl.load(gradient + place, mask=inside, other=0.0).to(tl.float32)
    beside = row.to(tl.int64)[:, None] * joint_width + first + column[None, :]
    j = tl.load(joint + beside, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + place, tl.where(frame, g + j, 0.0).to(out.dtype.element_ty), mask=inside)
