"""Kernels of joint cross-attention: correlations, attended values, and their gradients.

Shapes: B clips, T frames, d = d_v + d_a features per frame of both modalities; all tensors
contiguous. Sums run in float32 and in one order, so that a result has the same bits each time.
Matrix products with the layers' weights are not here: nothing is to be gained on cuBLAS there.
"""

from __future__ import annotations

import triton
import triton.language as tl

from grjca.fusion.kernels.device_functions import kept, relu, tanh, through_tanh_and_relu


@triton.jit
def correlate(
    keys, query, scale, seed, out, length, width, dropout,
    DROP: tl.constexpr, PRECISION: tl.constexpr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    """C = dropout(tanh(scale K^T Q)), with sums over a clip's frames.

    Grid: (tiles of (d, d), B). keys and query are (B, T, d), keys 0 in padding; scale is (B,)
    float32; out is (B, d, d). A dropped correlation is 0, so no mask is written.
    """
    clip = tl.program_id(1)
    tiles = tl.cdiv(width, N)
    row = (tl.program_id(0) // tiles) * M + tl.arange(0, M)
    first = (tl.program_id(0) % tiles) * N
    column = first + tl.arange(0, N)
    start = clip.to(tl.int64) * length * width
    total = tl.zeros((M, N), dtype=tl.float32)
    for begin in range(0, length, K):
        time = begin + tl.arange(0, K)
        k = tl.load(
            keys + start + time[None, :] * width + row[:, None],
            mask=(time < length)[None, :] & (row < width)[:, None], other=0.0,
        )  # fmt: skip
        q = tl.load(
            query + start + time[:, None] * width + column[None, :],
            mask=(time < length)[:, None] & (column < width)[None, :], other=0.0,
        )  # fmt: skip
        total = tl.dot(k, q, total, input_precision=PRECISION)
    result = tanh(total * tl.load(scale + clip))
    if DROP:
        keep = kept(tl.load(seed), clip * width + row, first, width, dropout, M, N)
        result = tl.where(keep, result / (1.0 - dropout), 0.0)
    place = clip.to(tl.int64) * width * width + row[:, None] * width + column[None, :]
    inside = (row < width)[:, None] & (column < width)[None, :]
    tl.store(out + place, result.to(out.dtype.element_ty), mask=inside)


@triton.jit
def attend(
    visual, audio, correlation, out, batch, length, visual_width, audio_width,
    PRECISION: tl.constexpr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    """H_m = ReLU(tanh(V_m C_m)) of both modalities.

    Grid: (tiles of (T, d), B, 2). visual and audio are the values, (B, T, d_m); correlation is
    (B, d, d), C_v above C_a; out is (2, B, T, d).
    """
    clip, modality = tl.program_id(1).to(tl.int64), tl.program_id(2)
    width = visual_width + audio_width
    inner = tl.where(modality == 1, audio_width, visual_width)
    values = visual
    if modality == 1:
        values = audio
    tiles = tl.cdiv(width, N)
    time = (tl.program_id(0) // tiles) * M + tl.arange(0, M)
    column = (tl.program_id(0) % tiles) * N + tl.arange(0, N)
    values += clip * length * inner
    correlation += (clip * width + modality * visual_width) * width
    total = tl.zeros((M, N), dtype=tl.float32)
    for begin in range(0, inner, K):
        feature = begin + tl.arange(0, K)
        v = tl.load(
            values + time[:, None] * inner + feature[None, :],
            mask=(time < length)[:, None] & (feature < inner)[None, :], other=0.0,
        )  # fmt: skip
        c = tl.load(
            correlation + feature[:, None] * width + column[None, :],
            mask=(feature < inner)[:, None] & (column < width)[None, :], other=0.0,
        )  # fmt: skip
        total = tl.dot(v, c, total, input_precision=PRECISION)
    out += (modality * batch + clip) * length * width
    tl.store(
        out + time[:, None] * width + column[None, :], relu(tanh(total)).to(out.dtype.element_ty),
        mask=(time < length)[:, None] & (column < width)[None, :],
    )  # fmt: skip


@triton.jit
def value_gradient(
    gradient, attended, correlation, visual, audio, batch, length, visual_width, audio_width,
    PRECISION: tl.constexpr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    """dV_m = dZ_m C_m^T, with dZ_m from the gradient of H_m as it is read.

    Grid: (tiles of (T, max(d_v, d_a)), B, 2). gradient and attended are (2, B, T, d), correlation
    (B, d, d); visual and audio, (B, T, d_m), are written.
    """
    clip, modality = tl.program_id(1).to(tl.int64), tl.program_id(2)
    width = visual_width + audio_width
    inner = tl.where(modality == 1, audio_width, visual_width)
    out = visual
    if modality == 1:
        out = audio
    tiles = tl.cdiv(tl.maximum(visual_width, audio_width), N)
    time = (tl.program_id(0) // tiles) * M + tl.arange(0, M)
    feature = (tl.program_id(0) % tiles) * N + tl.arange(0, N)
    start = (modality * batch + clip) * length * width
    correlation += (clip * width + modality * visual_width) * width
    total = tl.zeros((M, N), dtype=tl.float32)
    for begin in range(0, width, K):
        column = begin + tl.arange(0, K)
        place = start + time[:, None] * width + column[None, :]
        inside = (time < length)[:, None] & (column < width)[None, :]
        h = tl.load(attended + place, mask=inside, other=0.0)
        z = through_tanh_and_relu(tl.load(gradient + place, mask=inside, other=0.0), h)
        c = tl.load(
            correlation + feature[None, :] * width + column[:, None],
            mask=(feature < inner)[None, :] & (column < width)[:, None], other=0.0,
        )  # fmt: skip
        total = tl.dot(z.to(c.dtype), c, total, input_precision=PRECISION)
    out += clip * length * inner
    tl.store(
        out + time[:, None] * inner + feature[None, :], total.to(out.dtype.element_ty),
        mask=(time < length)[:, None] & (feature < inner)[None, :],
    )  # fmt: skip


@triton.jit
def correlation_gradient(
    gradient, attended, visual, audio, correlation, scale, seed, out,
    batch, length, visual_width, audio_width, dropout,
    DROP: tl.constexpr, PRECISION: tl.constexpr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    """The gradient of K^T Q: scale (1 - tanh^2) V_m^T dZ_m where dropout kept something.

    Grid: (tiles of (max(d_v, d_a), d), B, 2). gradient and attended are (2, B, T, d), visual and
    audio the values (B, T, d_m), correlation and out (B, d, d). What dropout kept is drawn again.
    """
    clip, modality = tl.program_id(1), tl.program_id(2)
    width = visual_width + audio_width
    inner = tl.where(modality == 1, audio_width, visual_width)
    values = visual
    if modality == 1:
        values = audio
    tiles = tl.cdiv(width, N)
    feature = (tl.program_id(0) // tiles) * M + tl.arange(0, M)
    first = (tl.program_id(0) % tiles) * N
    column = first + tl.arange(0, N)
    values += clip.to(tl.int64) * length * inner
    start = (modality * batch + clip).to(tl.int64) * length * width
    total = tl.zeros((M, N), dtype=tl.float32)
    for begin in range(0, length, K):
        time = begin + tl.arange(0, K)
        v = tl.load(
            values + time[None, :] * inner + feature[:, None],
            mask=(time < length)[None, :] & (feature < inner)[:, None], other=0.0,
        )  # fmt: skip
        place = start + time[:, None] * width + column[None, :]
        inside = (time < length)[:, None] & (column < width)[None, :]
        h = tl.load(attended + place, mask=inside, other=0.0)
        z = through_tanh_and_relu(tl.load(gradient + place, mask=inside, other=0.0), h)
        total = tl.dot(v, z.to(v.dtype), total, input_precision=PRECISION)
    row = clip * width + modality * visual_width + feature
    place = row.to(tl.int64)[:, None] * width + column[None, :]
    inside = (feature < inner)[:, None] & (column < width)[None, :]
    c = tl.load(correlation + place, mask=inside, other=0.0).to(tl.float32)
    factor = tl.load(scale + clip)
    if DROP:
        keep = kept(tl.load(seed), row, first, width, dropout, M, N)
        c *= 1.0 - dropout
        total = tl.where(keep, total / (1.0 - dropout), 0.0)
    # Rounded to bfloat16, tanh may come out a little above 1.
    result = total * factor * tl.maximum(1.0 - c * c, 0.0)
    tl.store(out + place, result.to(out.dtype.element_ty), mask=inside)
