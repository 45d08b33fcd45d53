"""Layers of the model on the kernels: what a layer holds, put into the operators' arguments."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from grjca.fusion.attention import JointCrossAttention
from grjca.fusion.gates import TemperedGate
from grjca.fusion.kernels.gate import gate
from grjca.fusion.kernels.joint import joint_attention
from grjca.fusion.masked import zero_padding


def attend(
    layer: JointCrossAttention, visual: Tensor, audio: Tensor, frames: Tensor
) -> tuple[Tensor, Tensor]:
    """``JointCrossAttention.forward`` on the kernels.

    In mixed precision products are in bfloat16, as autocast has them; states stay as they are.
    """
    weights = layer.weights()
    flat = [*weights.query, *weights.value, *weights.project]
    kind = visual.device.type
    if torch.is_autocast_enabled(kind):
        flat = [weight.to(torch.get_autocast_dtype(kind)) for weight in flat]
    keys = None
    if weights.mix:
        mixed = (
            functional.linear(x.mT, *weights.mix[2 * m : 2 * m + 2])
            for m, x in enumerate((visual, audio))
        )
        keys = zero_padding(torch.cat(tuple(mixed), dim=1).mT, frames)
    dropout = layer.dropout.p if layer.training else 0.0
    seed = None
    if dropout:
        # From the device's default generator, which a training seeds, saves and restores.
        seed = torch.randint(torch.iinfo(torch.int64).max, (1,), device=visual.device)
    out = joint_attention(
        visual, audio, keys, frames, layer.scale(frames), seed, dropout, flat
    )  # fmt: skip
    return out[0], out[1]


def choose_weights(
    layer: TemperedGate, chooser: Tensor, candidates: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """``TemperedGate.forward`` on the kernels, in float32 whatever is around it."""
    score = layer.score
    out: tuple[Tensor, Tensor] = gate(
        chooser, list(candidates), score.weight, score.bias, layer.temperature
    )
    return out
