"""Kernels of the tempered gate: scores, softmax, weighted sum and ReLU in one pass over the rows.

Rows are the B T frames. Each program holds a tile of rows at their full width C.
"""

from __future__ import annotations

import triton
import triton.language as tl

from grjca.fusion.kernels.device_functions import relu


@triton.jit
def _tile(x, row, column, rows, width):
    inside = (row < rows)[:, None] & (column < width)[None, :]
    return tl.load(
        x + row.to(tl.int64)[:, None] * width + column[None, :], mask=inside, other=0.0
    ).to(tl.float32)


@triton.jit
def _pick(values, index, i):
    """Column i of (R, P) values, whose columns are numbered by index (P,): (R, 1)."""
    return tl.sum(tl.where(index[None, :] == i, values, 0.0), 1)[:, None]


@triton.jit
def choose(
    chooser, candidates, score, bias, out, weights, rows, width, temperature,
    COUNT: tl.constexpr, P: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """w = softmax((X G + g) / tau), out = ReLU(sum_i w[i] X^(i)).

    Grid: (tiles of rows,). candidates is a tuple of COUNT tensors, which like chooser and out are
    (rows, width); score is (COUNT, width), bias (COUNT,), weights (rows, COUNT) float32. P and C
    are the powers of two from COUNT and width on.
    """
    row = tl.program_id(0) * R + tl.arange(0, R)
    column, index = tl.arange(0, C), tl.arange(0, P)
    x = _tile(chooser, row, column, rows, width)
    scores = tl.full((R, P), float("-inf"), tl.float32)
    for i in tl.static_range(COUNT):
        g = tl.load(score + i * width + column, mask=column < width, other=0.0).to(tl.float32)
        s = (tl.sum(x * g[None, :], 1) + tl.load(bias + i).to(tl.float32)) / temperature
        scores = tl.where(index[None, :] == i, s[:, None], scores)
    e = tl.exp(scores - tl.max(scores, 1)[:, None])
    w = e / tl.sum(e, 1)[:, None]
    total = tl.zeros((R, C), tl.float32)
    for i in tl.static_range(COUNT):
        total += _pick(w, index, i) * _tile(candidates[i], row, column, rows, width)
    place = row.to(tl.int64)[:, None] * width + column[None, :]
    inside = (row < rows)[:, None] & (column < width)[None, :]
    tl.store(out + place, relu(total).to(out.dtype.element_ty), mask=inside)
    place = row.to(tl.int64)[:, None] * COUNT + index[None, :]
    tl.store(weights + place, w, mask=(row < rows)[:, None] & (index < COUNT)[None, :])


@triton.jit
def choose_gradient(
    gradient, weights_gradient, chooser, candidates, score, weights,
    chooser_gradient, candidate_gradients, score_sums, bias_sums, rows, width, temperature, tiles,
    GIVEN: tl.constexpr, COUNT: tl.constexpr, P: tl.constexpr, R: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    """All gradients of ``choose`` in one pass; the sum, whose sign ReLU needs, is made again.

    Grid: (programs,); each goes over ``tiles`` tiles of rows one after the other and leaves its
    share of the parameters' gradients in score_sums (programs, COUNT, width) and bias_sums
    (programs, COUNT), float32. With GIVEN there is a gradient of the gate's weights, (rows,
    COUNT), too.
    """
    program = tl.program_id(0)
    column, index = tl.arange(0, C), tl.arange(0, P)
    bias_sum = tl.zeros((P,), tl.float32)
    score_sum = tl.zeros((P, C), tl.float32)
    for tile in range(tiles):
        row = (program * tiles + tile) * R + tl.arange(0, R)
        inside = (row < rows)[:, None] & (column < width)[None, :]
        place = row.to(tl.int64)[:, None] * width + column[None, :]
        chosen = row.to(tl.int64)[:, None] * COUNT + index[None, :]
        there = (row < rows)[:, None] & (index < COUNT)[None, :]
        w = tl.load(weights + chosen, mask=there, other=0.0)
        total = tl.zeros((R, C), tl.float32)
        for i in tl.static_range(COUNT):
            total += _pick(w, index, i) * _tile(candidates[i], row, column, rows, width)
        g = tl.where(total > 0, _tile(gradient, row, column, rows, width), 0.0)
        d_w = tl.zeros((R, P), tl.float32)
        if GIVEN:
            d_w = tl.load(weights_gradient + chosen, mask=there, other=0.0).to(tl.float32)
        for i in tl.static_range(COUNT):
            along = tl.sum(g * _tile(candidates[i], row, column, rows, width), 1)
            d_w += tl.where(index[None, :] == i, along[:, None], 0.0)
            own = candidate_gradients[i]
            tl.store(own + place, (_pick(w, index, i) * g).to(own.dtype.element_ty), mask=inside)
        d_scores = w * (d_w - tl.sum(w * d_w, 1)[:, None]) / temperature
        bias_sum += tl.sum(d_scores, 0)
        x = _tile(chooser, row, column, rows, width)
        d_x = tl.zeros((R, C), tl.float32)
        for i in tl.static_range(COUNT):
            d_s = _pick(d_scores, index, i)
            weight = tl.load(score + i * width + column, mask=column < width, other=0.0)
            d_x += d_s * weight.to(tl.float32)[None, :]
            score_sum += tl.where(index[:, None] == i, tl.sum(d_s * x, 0)[None, :], 0.0)
        tl.store(chooser_gradient + place, d_x.to(chooser_gradient.dtype.element_ty), mask=inside)
    own = program * COUNT + index
    tl.store(bias_sums + own, bias_sum, mask=index < COUNT)
    tl.store(
        score_sums + own[:, None] * width + column[None, :], score_sum,
        mask=(index < COUNT)[:, None] & (column < width)[None, :],
    )  # fmt: skip
