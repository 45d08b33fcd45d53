"""One iteration of joint cross-attention on a CPU, with a backward pass written by hand.

The equations are those of ``grjca.fusion.attention.JointCrossAttention``; matrix products take most
of the time there, so what is saved here is everything else: random draws, copies, temporaries and
passes over memory between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from grjca.fusion.by_hand import keep_mask


@dataclass(frozen=True)
class JointWeights:
    """Parameters of an iteration, weights as ``nn.Linear`` has them: (numbers out, numbers in).

    Attributes:
        query: (d, d) and (d,).
        value: (d_v, d_v), (d_v,), (d_a, d_a) and (d_a,).
        project: (d_v, d), (d_v,), (d_a, d) and (d_a,).
        mix: (T, T), (T,), (T, T) and (T,) of visual and audio keys; empty without a time-mix.
    """

    query: tuple[Tensor, ...]
    value: tuple[Tensor, ...]
    project: tuple[Tensor, ...]
    mix: tuple[Tensor, ...] = ()


def joint_attention(
    visual: Tensor,
    audio: Tensor,
    frames: Tensor,
    scale: Tensor | float,
    dropout: float,
    weights: JointWeights,
) -> tuple[Tensor, Tensor]:
    """Attend once.

    Args:
        visual: (B, T, d_v) float, 0 in padding.
        audio: (B, T, d_a) float, 0 in padding.
        frames: (B, T) bool, true for real frames.
        scale: What the correlations are multiplied by, one number or (B, 1, 1).
        dropout: Share dropped from correlations and from what is added; 0 in evaluation.
        weights: The parameters.

    Returns:
        The two modalities after the iteration, shaped as before, 0 in padding.
    """
    flat = (*weights.query, *weights.value, *weights.project, *weights.mix)
    out: tuple[Tensor, Tensor] = _JointAttention.apply(visual, audio, frames, scale, dropout, *flat)
    return out


class _JointAttention(torch.autograd.Function):
    """Names as in the equations: C the correlations, V values, H attended, Y what is added.

    Factors of dropout are multiplied into the small weights instead of into activations. Y is
    positive exactly where both its ReLU and its dropout let something through, so that it is its
    own mask; C with its mask kept gives 1 - tanh^2 as mask - C^2.
    """

    @staticmethod
    def forward(
        ctx: Any,
        visual: Tensor,
        audio: Tensor,
        frames: Tensor,
        scale: Tensor | float,
        dropout: float,
        *weights: Tensor,
    ) -> tuple[Tensor, Tensor]:
        query_weight, query_bias, *others = weights
        values, projections, mixes = others[:4], others[4:8], others[8:]
        joint = torch.cat((visual, audio), dim=-1)
        batch, length, width = joint.shape
        rows = batch * length
        real = frames.unsqueeze(-1).to(joint.dtype)
        padded = not bool(frames.all())
        # Where it is one number the small weights take it, and else each row.
        rescale = None
        if isinstance(scale, Tensor):
            rescale = real * scale
        else:
            rescale = real if padded else None
            query_weight, query_bias = query_weight * scale, query_bias * scale
        query = torch.addmm(query_bias, joint.view(rows, width), query_weight.t())
        query = query.view(joint.shape)
        if rescale is not None:
            query.mul_(rescale)
        keys = _mixed(visual, audio, mixes) if mixes else joint
        correlation = torch.bmm(keys.mT, query).tanh_()
        factor, slope = 1.0, None
        if dropout:
            slope, factor = keep_mask(correlation.shape, dropout, joint.dtype)
            correlation.mul_(slope)
            # From here on the derivative of the masked tanh.
            slope.addcmul_(correlation, correlation, value=-1)
        out, saved = [], []
        first = 0
        for m, x in enumerate((visual, audio)):
            value_weight, value_bias = values[2 * m] * factor, values[2 * m + 1] * factor
            project_weight = projections[2 * m] * factor
            project_bias = projections[2 * m + 1] * factor
            last = first + x.shape[-1]
            value = torch.addmm(value_bias, x.reshape(rows, -1), value_weight.t()).view(x.shape)
            attended = torch.bmm(value, correlation[:, first:last]).tanh_().clamp_(min=0)
            added = torch.addmm(project_bias, attended.view(rows, width), project_weight.t())
            added = added.view(x.shape).clamp_(min=0)
            if dropout:
                added.mul_(keep_mask(added.shape, dropout, joint.dtype)[0])
            if padded:
                added.mul_(real)
            out.append(x + added)
            saved += [value, attended, added, value_weight, project_weight]
            first = last
        ctx.save_for_backward(
            frames, rescale, joint, query, keys, correlation, slope, query_weight, *saved, *mixes
        )
        ctx.widths = visual.shape[-1], audio.shape[-1]
        ctx.factor = factor
        ctx.scale = 1.0 if isinstance(scale, Tensor) else scale
        ctx.padded = padded
        return out[0], out[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        frames, rescale, joint, query, keys, correlation, slope, query_weight, *rest = (
            ctx.saved_tensors
        )
        parts, mixes = (rest[:5], rest[5:10]), rest[10:]
        factor: float = ctx.factor
        batch, length, width = joint.shape
        rows = batch * length
        d_correlation = torch.empty_like(correlation)
        d_values, d_projections, value_sides = [], [], []
        outer = tuple(
            g.masked_fill(~frames.unsqueeze(-1), 0.0) if ctx.padded else g.contiguous()
            for g in outer
        )
        slices = _slices(ctx.widths)
        for part, g, own in zip(parts, outer, slices, strict=True):
            value, attended, added, value_weight, project_weight = part
            d_added = torch.ops.aten.threshold_backward(g, added, 0).view(rows, -1)
            flat = attended.view(rows, width)
            d_projections += [
                torch.mm(d_added.t(), flat).mul_(factor), d_added.sum(0).mul_(factor)
            ]  # fmt: skip
            d_attended = torch.mm(d_added, project_weight)
            torch.ops.aten.tanh_backward.grad_input(d_attended, flat, grad_input=d_attended)
            torch.ops.aten.threshold_backward.grad_input(d_attended, flat, 0, grad_input=d_attended)
            d_attended = d_attended.view(joint.shape)
            torch.bmm(value.mT, d_attended, out=d_correlation[:, own])
            d_value = torch.bmm(d_attended, correlation[:, own].mT).view(rows, -1)
            x = joint.view(rows, width)[:, own]
            d_values += [torch.mm(d_value.t(), x).mul_(factor), d_value.sum(0).mul_(factor)]
            value_sides.append((d_value, value_weight))
        if slope is None:
            torch.ops.aten.tanh_backward.grad_input(
                d_correlation, correlation, grad_input=d_correlation
            )
        else:
            d_correlation.mul_(slope)
        d_query = torch.bmm(keys, d_correlation)
        if rescale is not None:
            d_query.mul_(rescale)
        d_query = d_query.view(rows, width)
        d_query_weight = torch.mm(d_query.t(), joint.view(rows, width)).mul_(ctx.scale)
        d_joint = torch.mm(d_query, query_weight)
        d_mixes: list[Tensor] = []
        if mixes:
            d_keys = torch.bmm(query, d_correlation.mT)
            for number, own in enumerate(slices):
                side, mix = d_keys[..., own], mixes[2 * number]
                d_mixes += [_outer_sum(side, joint[..., own]), side.sum((0, 2))]
                for b in range(batch):
                    d_joint.view(joint.shape)[b, :, own].addmm_(mix.t(), side[b])
        else:
            d_joint.view(joint.shape).baddbmm_(query, d_correlation.mT)
        d_inputs = []
        for (d_value, value_weight), g, own in zip(value_sides, outer, slices, strict=True):
            side = d_joint[:, own].addmm_(d_value, value_weight)
            d_inputs.append(side.view(g.shape).add(g))
        return (
            *d_inputs, None, None, None, d_query_weight, d_query.sum(0).mul_(ctx.scale), *d_values,
            *d_projections, *d_mixes,
        )  # fmt: skip


def _slices(widths: tuple[int, int]) -> tuple[slice, slice]:
    return slice(0, widths[0]), slice(widths[0], sum(widths))


def _mixed(visual: Tensor, audio: Tensor, mixes: list[Tensor]) -> Tensor:
    """Keys (B, T, d) mixed along time, each modality by its own (T, T) matrix and bias."""
    keys = []
    for x, weight, bias in zip((visual, audio), mixes[0::2], mixes[1::2], strict=True):
        keys.append(torch.bmm(weight.expand(len(x), -1, -1), x).add_(bias.unsqueeze(-1)))
    return torch.cat(keys, dim=-1)


def _outer_sum(left: Tensor, right: Tensor) -> Tensor:
    """(B, T, n) and (B, T, n) to the sum over clips and features of l r^T, (T, T)."""
    total = torch.mm(left[0], right[0].t())
    for l, r in zip(left[1:], right[1:], strict=True):  # noqa: E741
        total.addmm_(l, r.t())
    return total
