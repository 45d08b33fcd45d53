"""The fusion model: two modalities' embeddings in, valence and arousal for every frame out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from grjca.fusion.attention import RecursiveAttention
from grjca.fusion.config import FusionConfig
from grjca.fusion.gates import TemperedGate
from grjca.fusion.masked import MaskedBatchNorm1d, drop_modalities, zero_padding
from grjca.fusion.temporal import build_encoder

Fused = tuple[Tensor, dict[str, Tensor]]
"""Fused features (B, T, d) and the gates' weights, as in ``FusionOutput``."""


@dataclass(frozen=True)
class FusionOutput:
    """What the model says about a batch of windows.

    Attributes:
        prediction: (B, T, K) in [-1, 1], in the order of ``FusionConfig.outputs``; 0 in padding,
            where it means nothing.
        features: (B, T, d) fused features, 0 in padding.
        gates: ``visual`` and ``audio``, each (B, T, L + 1): weight of the features before any
            attention and after each iteration, summing to 1 (without meaning in padding); empty for
            a fusion without gates.
    """

    prediction: Tensor
    features: Tensor
    gates: dict[str, Tensor]


class ModalityInput(nn.Module):
    """Standardises embeddings and puts a learned token where the modality is missing.

    The token stands in standardised input space. It starts as a standard normal draw: of the size
    of an ordinary frame but like none, so that missing differs from average from the first step.

    Args:
        width: Numbers per embedding, D.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.randn(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    @torch.no_grad()
    def set_statistics(self, mean: Tensor | NDArray[Any], std: Tensor | NDArray[Any]) -> None:
        """Take over mean and deviation, (D,) each; a constant dimension is only centred.

        Raises:
            ValueError: Wrong length, not finite, or a negative deviation.
        """
        mean, std = torch.as_tensor(mean), torch.as_tensor(std)
        if mean.shape != self.mean.shape or std.shape != self.std.shape:
            raise ValueError(
                f"mean and deviation must have {tuple(self.mean.shape)} numbers, "
                f"got {tuple(mean.shape)} and {tuple(std.shape)}"
            )
        if not (mean.isfinite().all() and std.isfinite().all() and (std >= 0).all()):
            raise ValueError("mean and deviation must be finite and the deviation not negative")
        # A deviation within rounding of the mean is noise; dividing by it would blow the noise up.
        constant = std <= 1e-6 * mean.abs()
        self.mean.copy_(mean)
        self.std.copy_(torch.where(constant, torch.ones_like(std), std))

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """Standardise.

        Args:
            x: (B, T, D) float; anything where not present.
            present: (B, T) bool.

        Returns:
            (B, T, D) in the dtype of the model.
        """
        here = present.unsqueeze(-1)
        x = torch.where(here, x.to(self.mean.dtype), self.mean)
        return torch.where(here, (x - self.mean) / self.std, self.token)


class Encoder(nn.Module):
    """One modality up to the fusion: input, temporal encoder, batch normalisation.

    Args:
        config: The model's configuration.
        width_in: Numbers per embedding.
        channels: Width of each temporal block.
    """

    def __init__(self, config: FusionConfig, width_in: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.input = ModalityInput(width_in)
        self.temporal = build_encoder(
            config.temporal, width_in, channels, config.kernel, config.temporal_dropout
        )
        self.norm = MaskedBatchNorm1d(channels[-1])

    def forward(self, x: Tensor, present: Tensor, frames: Tensor) -> Tensor:
        """(B, T, D) with anything where not present to X_m (B, T, d_m), 0 in padding."""
        out: Tensor = self.norm(self.temporal(self.input(x, present), frames), frames)
        return out


class Concatenation(nn.Module):
    """No attention: [X_v ; X_a]."""

    def forward(self, visual: Tensor, audio: Tensor, frames: Tensor) -> Fused:
        """(B, T, d_v) and (B, T, d_a), both 0 in padding, to (B, T, d)."""
        del frames  # the inputs are 0 in padding already
        return torch.cat((visual, audio), dim=-1), {}


class RecursiveFusion(nn.Module):
    """RJCA: [X_v^(L) ; X_a^(L)], the features after the last iteration.

    Args:
        config: The model's configuration.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.attention = RecursiveAttention(
            config.visual_width,
            config.audio_width,
            config.iterations,
            config.window,
            config.time_mix == "dense",
            config.attention_dropout,
        )

    def forward(self, visual: Tensor, audio: Tensor, frames: Tensor) -> Fused:
        """(B, T, d_v) and (B, T, d_a) to (B, T, d), 0 in padding."""
        visual_states, audio_states = self.attention(visual, audio, frames)
        return torch.cat((visual_states[-1], audio_states[-1]), dim=-1), {}


class GatedRecursiveFusion(RecursiveFusion):
    """GRJCA: each modality's gate, asked by X_m^(L), chooses between X_m^(0), ..., X_m^(L).

    Args:
        config: The model's configuration.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__(config)
        candidates = config.iterations + 1
        self.gate_visual = TemperedGate(config.visual_width, candidates, config.temperature)
        self.gate_audio = TemperedGate(config.audio_width, candidates, config.temperature)

    def forward(self, visual: Tensor, audio: Tensor, frames: Tensor) -> Fused:
        """(B, T, d_v) and (B, T, d_a) to (B, T, d), 0 in padding, and the gates' weights."""
        visual_states, audio_states = self.attention(visual, audio, frames)
        gated_visual, weights_visual = self.gate_visual(visual_states[-1], visual_states)
        gated_audio, weights_audio = self.gate_audio(audio_states[-1], audio_states)
        gates = {"visual": weights_visual, "audio": weights_audio}
        return torch.cat((gated_visual, gated_audio), dim=-1), gates


def build_fusion(config: FusionConfig) -> nn.Module:
    """The fusion that a configuration names."""
    if config.fusion == "concat":
        return Concatenation()
    if config.fusion == "rjca":
        return RecursiveFusion(config)
    return GatedRecursiveFusion(config)


class Head(nn.Module):
    """Linear, batch normalisation, LeakyReLU, linear, tanh.

    Args:
        width: d, fused features per frame.
        hidden: Width of the hidden layer.
        outputs: K.
    """

    def __init__(self, width: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, hidden)
        self.norm = MaskedBatchNorm1d(hidden)
        self.activation = nn.LeakyReLU()
        self.out = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor, frames: Tensor) -> Tensor:
        """(B, T, d) to (B, T, K), 0 in padding."""
        hidden = self.activation(self.norm(self.hidden(x), frames))
        return zero_padding(torch.tanh(self.out(hidden)), frames)


class FusionModel(nn.Module):
    """Embeddings of two modalities to valence and arousal, for every frame of a window.

    A frame's output depends on the real frames of its clip and on nothing else: not on what
    padding holds, nor, without a dense time-mix, on how much of it there is, nor, in evaluation,
    on the other clips of the batch. Linear layers start Xavier-uniform with zero bias.

    Args:
        config: Shapes and behaviour.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        self.visual = Encoder(config, config.visual_dim, config.visual_channels)
        self.audio = Encoder(config, config.audio_dim, config.audio_channels)
        self.fusion = build_fusion(config)
        width = config.visual_width + config.audio_width
        self.head = Head(width, config.head_hidden, len(config.outputs))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def set_standardisation(
        self,
        visual_mean: Tensor | NDArray[Any],
        visual_std: Tensor | NDArray[Any],
        audio_mean: Tensor | NDArray[Any],
        audio_std: Tensor | NDArray[Any],
    ) -> None:
        """Set what embeddings are standardised with: the training clips' statistics.

        They are kept as buffers and saved with the weights; a new model has mean 0 and deviation
        1. A dimension whose deviation is 0, or within rounding of its mean, is centred but not
        scaled.

        Args:
            visual_mean: (D_v,) float.
            visual_std: (D_v,) float.
            audio_mean: (D_a,) float.
            audio_std: (D_a,) float.

        Raises:
            ValueError: Wrong length, not finite, or a negative deviation.
        """
        self.visual.input.set_statistics(visual_mean, visual_std)
        self.audio.input.set_statistics(audio_mean, audio_std)

    def forward(
        self,
        visual: Tensor,
        audio: Tensor,
        visual_valid: Tensor,
        audio_valid: Tensor,
        frames: Tensor,
    ) -> FusionOutput:
        """Predict.

        Args:
            visual: (B, T, D_v) float; anything, NaN included, where not valid or not a frame.
            audio: (B, T, D_a) float; likewise.
            visual_valid: (B, T) bool, a face was seen.
            audio_valid: (B, T) bool, there is sound.
            frames: (B, T) bool, true for real frames, false for padding.

        Returns:
            Predictions, fused features and the gates' weights.

        Raises:
            ValueError: Shapes or dtypes do not fit, or T is not what a dense time-mix needs.
        """
        self._check(visual, audio, visual_valid, audio_valid, frames)
        visual_present, audio_present = visual_valid & frames, audio_valid & frames
        if self.training and self.config.modality_dropout > 0:
            visual_present, audio_present = drop_modalities(
                visual_present, audio_present, self.config.modality_dropout
            )
        features, gates = self.fusion(
            self.visual(visual, visual_present, frames),
            self.audio(audio, audio_present, frames),
            frames,
        )
        return FusionOutput(self.head(features, frames), features, gates)

    def _check(self, visual: Tensor, audio: Tensor, *masks: Tensor) -> None:
        shape = tuple(visual.shape[:2])
        for name, x, width in (
            ("visual", visual, self.config.visual_dim),
            ("audio", audio, self.config.audio_dim),
        ):
            if tuple(x.shape) != (*shape, width):
                raise ValueError(
                    f"{name}: wanted (B, T, {width}) with B, T = {shape}, got {tuple(x.shape)}"
                )
        for name, mask in zip(("visual_valid", "audio_valid", "frames"), masks, strict=True):
            if tuple(mask.shape) != shape or mask.dtype != torch.bool:
                raise ValueError(
                    f"{name}: wanted bool {shape}, got {mask.dtype} {tuple(mask.shape)}"
                )
