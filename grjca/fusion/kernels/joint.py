"""One iteration of joint cross-attention as an operator of PyTorch, with Triton kernels inside.

Symbols as in ``grjca.fusion.attention.JointCrossAttention``, whose equations these are. Kept for
the backward pass are C, H and a byte per added number; J, Q and V_m are made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from grjca.fusion.kernels import joint_launch as launch
from grjca.fusion.kernels.tiles import launching

Outputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
Gradients = list[Tensor]


@torch.library.custom_op("grjca::joint_attention", mutates_args=())
def joint_attention(
    visual: Tensor,
    audio: Tensor,
    keys: Tensor | None,
    frames: Tensor,
    scale: Tensor,
    seed: Tensor | None,
    dropout: float,
    weights: Sequence[Tensor],
) -> Outputs:
    """Attend once.

    Args:
        visual: (B, T, d_v) float, 0 in padding.
        audio: (B, T, d_a) float, 0 in padding.
        keys: (B, T, d) keys mixed along time, 0 in padding; None for [X_v ; X_a].
        frames: (B, T) bool, true for real frames.
        scale: (B,) float32, what correlations are multiplied by.
        seed: (1,) int64 that dropout's draws follow from; None for no dropout.
        dropout: Share dropped from C and from what is added, in [0, 1).
        weights: Weight and bias, as ``nn.Linear`` has them, of the query, the visual and the audio
            value, the visual and the audio projection. Products are in their dtype.

    Returns:
        The modalities after the iteration, shaped and typed as before, 0 in padding; and, for the
        backward pass, C (B, d, d) after dropout, H (2, B, T, d), and where something was added to
        either, (B, T, d_m) bool.
    """
    visual, audio, frames = visual.contiguous(), audio.contiguous(), frames.contiguous()
    with launching(visual.device):
        joint = _joined(visual, audio, weights[0].dtype)
        correlation = launch.correlate(
            joint if keys is None else keys.to(joint.dtype).contiguous(),
            _query(joint, weights), scale, seed, dropout,
        )  # fmt: skip
        attended = launch.attend(_values(joint, visual, audio, weights), correlation)
        sums, through = [], []
        for m, x in enumerate((visual, audio)):
            weight, bias = weights[6 + 2 * m : 8 + 2 * m]
            added = torch.addmm(bias, _rows(attended[m]), weight.t())
            total, passed = launch.add(x, added, frames, seed, dropout, stream=1 + m)
            sums.append(total)
            through.append(passed)
    return sums[0], sums[1], correlation, attended, through[0], through[1]


@torch.library.custom_op("grjca::joint_attention_backward", mutates_args=())
def joint_attention_backward(
    visual_gradient: Tensor,
    audio_gradient: Tensor,
    visual: Tensor,
    audio: Tensor,
    keys: Tensor | None,
    frames: Tensor,
    scale: Tensor,
    seed: Tensor | None,
    dropout: float,
    weights: Sequence[Tensor],
    correlation: Tensor,
    attended: Tensor,
    visual_through: Tensor,
    audio_through: Tensor,
) -> Gradients:
    """Gradients of ``visual``, ``audio``, each of ``weights``, and ``keys`` where there are any.

    They are 0 in padding. Arguments are those of ``joint_attention``, what it returned, and the
    gradients of the modalities after the iteration.
    """
    visual, audio, frames = visual.contiguous(), audio.contiguous(), frames.contiguous()
    outer = visual_gradient.contiguous(), audio_gradient.contiguous()
    with launching(visual.device):
        joint = _joined(visual, audio, weights[0].dtype)
        values = _values(joint, visual, audio, weights)
        d_attended = torch.empty_like(attended)
        projections: list[Tensor] = []
        for m, through in enumerate((visual_through, audio_through)):
            d_added = launch.added_gradient(outer[m], through, dropout, joint.dtype)
            projections += [d_added.t() @ _rows(attended[m]), d_added.sum(0)]
            torch.mm(d_added, weights[6 + 2 * m], out=_rows(d_attended[m]))
        d_values = launch.value_gradient(d_attended, attended, correlation, values)
        d_product = launch.correlation_gradient(
            d_attended, attended, values, correlation, scale, seed, dropout
        )
        used = joint if keys is None else keys.to(joint.dtype).contiguous()
        d_query = _rows(torch.bmm(used, d_product))
        d_joint = torch.mm(d_query, weights[0])
        query = _query(joint, weights)
        d_keys = []
        if keys is None:
            d_joint.view(joint.shape).baddbmm_(query, d_product.mT)
        else:
            d_key = torch.bmm(query, d_product.mT).to(keys.dtype)
            d_keys = [d_key.masked_fill_(~frames.unsqueeze(-1), 0.0)]
        value_weights, inputs = [], []
        first = 0
        for m, d_value in enumerate(d_values):
            flat, width = _rows(d_value), d_value.shape[-1]
            own = slice(first, first + width)
            value_weights += [flat.t() @ _rows(joint)[:, own], flat.sum(0)]
            d_joint[:, own].addmm_(flat, weights[2 + 2 * m])
            inputs.append(launch.input_gradient(outer[m], frames, d_joint, first))
            first += width
    query_weight = d_query.t() @ _rows(joint)
    return [*inputs, query_weight, d_query.sum(0), *value_weights, *projections, *d_keys]


@joint_attention.register_fake
def _(
    visual: Tensor,
    audio: Tensor,
    keys: Tensor | None,
    frames: Tensor,
    scale: Tensor,
    seed: Tensor | None,
    dropout: float,
    weights: Sequence[Tensor],
) -> Outputs:
    del keys, frames, scale, seed, dropout
    width = visual.shape[2] + audio.shape[2]
    batch, length = visual.shape[:2]
    return (
        visual.new_empty(visual.shape),
        audio.new_empty(audio.shape),
        weights[0].new_empty(batch, width, width),
        weights[0].new_empty(2, batch, length, width),
        visual.new_empty(visual.shape, dtype=torch.bool),
        audio.new_empty(audio.shape, dtype=torch.bool),
    )


@joint_attention_backward.register_fake
def _(
    visual_gradient: Tensor,
    audio_gradient: Tensor,
    visual: Tensor,
    audio: Tensor,
    keys: Tensor | None,
    frames: Tensor,
    scale: Tensor,
    seed: Tensor | None,
    dropout: float,
    weights: Sequence[Tensor],
    *kept: Tensor,
) -> Gradients:
    del visual_gradient, audio_gradient, frames, scale, seed, dropout, kept
    like = [visual, audio, *weights, *([] if keys is None else [keys])]
    return [x.new_empty(x.shape) for x in like]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Outputs) -> None:
    visual, audio, keys, frames, scale, seed, dropout, weights = inputs
    ctx.dropout = dropout
    ctx.save_for_backward(visual, audio, keys, frames, scale, seed, *output[2:], *weights)


def _backward(ctx: Any, visual: Tensor, audio: Tensor, *_: Tensor | None) -> tuple[Any, ...]:
    *inputs, correlation, attended, visual_through, audio_through = ctx.saved_tensors[:10]
    weights = list(ctx.saved_tensors[10:])
    d_visual, d_audio, *others = joint_attention_backward(
        visual, audio, *inputs, ctx.dropout, weights,
        correlation, attended, visual_through, audio_through,
    )  # fmt: skip
    d_weights, d_keys = others[: len(weights)], others[len(weights) :]
    return d_visual, d_audio, d_keys[0] if d_keys else None, None, None, None, None, d_weights


joint_attention.register_autograd(_backward, setup_context=_keep)


def _rows(x: Tensor) -> Tensor:
    return x.view(-1, x.shape[-1])


def _joined(visual: Tensor, audio: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.cat((visual.to(dtype), audio.to(dtype)), dim=-1)


def _query(joint: Tensor, weights: Sequence[Tensor]) -> Tensor:
    return torch.addmm(weights[1], _rows(joint), weights[0].t()).view(joint.shape)


def _values(joint: Tensor, visual: Tensor, audio: Tensor, weights: Sequence[Tensor]) -> launch.Pair:
    first = visual.shape[-1]
    parts = _rows(joint)[:, :first], _rows(joint)[:, first:]
    return (
        torch.addmm(weights[3], parts[0], weights[2].t()).view(visual.shape),
        torch.addmm(weights[5], parts[1], weights[4].t()).view(audio.shape),
    )
