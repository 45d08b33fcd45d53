"""The ways to fuse two modalities: joint cross-attention and gates, composed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from grjca.fusion.attention import CrossAttention, RecursiveAttention, States, starting_states
from grjca.fusion.config import FusionConfig
from grjca.fusion.gates import HierarchicalGate, TemperedGate

Fused = tuple[Tensor, dict[str, Tensor]]
"""Fused features (B, T, d), 0 in padding, and the gates' weights, as in ``FusionOutput``."""


class Fusion(nn.Module):
    """Two modalities' features to fused ones; this one attends to nothing: [X_v ; X_a]."""

    def gates(self) -> dict[str, TemperedGate]:
        """The gates by the names of their weights; none here."""
        return {}

    def forward(self, visual: Tensor, audio: Tensor, frames: Tensor) -> Fused:
        """Fuse.

        Args:
            visual: (B, T, d_v) float, 0 in padding.
            audio: (B, T, d_a) float, 0 in padding.
            frames: (B, T) bool, true for real frames.

        Returns:
            (B, T, d), 0 in padding, and the weights of ``gates``, each (B, T, n).

        Raises:
            ValueError: Keys are mixed along time and T is not the mix's.
        """
        del frames  # the inputs are 0 in padding already
        return torch.cat((visual, audio), dim=-1), {}


class CrossAttentionFusion(Fusion):
    """CA: [X_v ; X_a] after one cross-attention from L2-normalised features.

    Args:
        config: The model's configuration.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.attention = CrossAttention(
            config.visual_width, config.audio_width, config.temperature, config.attention_dropout
        )

    def forward(self, visual: Tensor, audio: Tensor, frames: Tensor) -> Fused:
        """See ``Fusion``."""
        start = starting_states(visual, audio, frames)
        return torch.cat(self.attention(*start, frames), dim=-1), {}


class RecursiveFusion(Fusion):
    """JCA and RJCA: [X_v^(L) ; X_a^(L)], the features after the last iteration.

    Args:
        config: The model's configuration.
        iterations: L.
    """

    def __init__(self, config: FusionConfig, iterations: int) -> None:
        super().__init__()
        self.attention = RecursiveAttention(
            config.visual_width,
            config.audio_width,
            iterations,
            config.window,
            config.time_mix == "dense",
            config.attention_dropout,
        )

    def choose(self, visual: States, audio: States) -> Fused:
        """What is made of X_v^(0..L) and X_a^(0..L): here, the last of each."""
        return torch.cat((visual[-1], audio[-1]), dim=-1), {}

    def forward(self, visual: Tensor, audio: Tensor, frames: Tensor) -> Fused:
        """See ``Fusion``."""
        return self.choose(*self.attention(visual, audio, frames))


class GatedRecursiveFusion(RecursiveFusion):
    """GRJCA: each modality's gate, asked by X_m^(L), chooses between X_m^(0), ..., X_m^(L).

    Args:
        config: The model's configuration.
        iterations: L.
    """

    def __init__(self, config: FusionConfig, iterations: int) -> None:
        super().__init__(config, iterations)
        candidates = iterations + 1
        self.gate_visual = TemperedGate(config.visual_width, candidates, config.temperature)
        self.gate_audio = TemperedGate(config.audio_width, candidates, config.temperature)

    def gates(self) -> dict[str, TemperedGate]:
        """``visual`` and ``audio``."""
        return {"visual": self.gate_visual, "audio": self.gate_audio}

    def choose(self, visual: States, audio: States) -> Fused:
        """The gated sum of each modality's states."""
        gated_visual, weights_visual = self.gate_visual(visual[-1], visual)
        gated_audio, weights_audio = self.gate_audio(audio[-1], audio)
        gates = {"visual": weights_visual, "audio": weights_audio}
        return torch.cat((gated_visual, gated_audio), dim=-1), gates


class HierarchicalFusion(RecursiveFusion):
    """HGRJCA: each modality has a gate at every iteration and one across what those give.

    Args:
        config: The model's configuration.
        iterations: L.
    """

    def __init__(self, config: FusionConfig, iterations: int) -> None:
        super().__init__(config, iterations)
        self.gate_visual = HierarchicalGate(config.visual_width, iterations, config.temperature)
        self.gate_audio = HierarchicalGate(config.audio_width, iterations, config.temperature)

    def gates(self) -> dict[str, TemperedGate]:
        """``visual_1`` to ``visual_L``, ``visual_across``, and the same for audio."""
        both = {"visual": self.gate_visual, "audio": self.gate_audio}
        return {
            f"{modality}_{name}": gate
            for modality, hierarchy in both.items()
            for name, gate in hierarchy.gates().items()
        }

    def choose(self, visual: States, audio: States) -> Fused:
        """The doubly gated sum of each modality's states."""
        gated_visual, weights_visual = self.gate_visual(visual)
        gated_audio, weights_audio = self.gate_audio(audio)
        gates = {f"visual_{name}": weights for name, weights in weights_visual.items()}
        gates |= {f"audio_{name}": weights for name, weights in weights_audio.items()}
        return torch.cat((gated_visual, gated_audio), dim=-1), gates


def build_fusion(config: FusionConfig) -> Fusion:
    """The fusion that a configuration names."""
    match config.fusion:
        case "concat":
            return Fusion()
        case "ca":
            return CrossAttentionFusion(config)
        case "jca":
            return RecursiveFusion(config, iterations=1)
        case "rjca":
            return RecursiveFusion(config, config.iterations)
        case "grjca":
            return GatedRecursiveFusion(config, config.iterations)
        case "hgrjca":
            return HierarchicalFusion(config, config.iterations)
    raise ValueError(f"no fusion called {config.fusion!r}")
