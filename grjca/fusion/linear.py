"""The linear path: what a line through a single row says, for the network to correct."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from grjca.fusion.config import FusionConfig

LIMIT = 0.98
"""How near to -1 and 1 the path may come: the artanh of more drowns whatever the head says."""


class LinearPath(nn.Module):
    """r = W [z_v, z_a, m_v, m_a] + b, row by row.

    z are the standardised embeddings, 0 where a modality is missing, and m says where it is. A new
    path gives 0. The paper's model (arXiv 2503.12261) has nothing of the kind.

    Args:
        config: The model's configuration.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        outputs, width = len(config.outputs), config.visual_dim + config.audio_dim + 2
        self.weight = nn.Parameter(torch.zeros(outputs, width))
        self.bias = nn.Parameter(torch.zeros(outputs))

    @staticmethod
    def inputs(visual: Tensor, audio: Tensor, visual_here: Tensor, audio_here: Tensor) -> Tensor:
        """(B, T, D_v + D_a + 2) from (B, T, D_m) standardised, 0 where missing, and (B, T) bool."""
        missing = torch.stack([~visual_here, ~audio_here], dim=-1)
        return torch.cat([visual, audio, missing.to(visual.dtype)], dim=-1)

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, T, D_v + D_a + 2) to (B, T, K), held within ``LIMIT`` of 0."""
        return nn.functional.linear(inputs, self.weight, self.bias).clamp(-LIMIT, LIMIT)
