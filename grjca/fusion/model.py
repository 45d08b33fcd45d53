"""The fusion model: two modalities' embeddings in, valence and arousal for every frame out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from grjca.fusion.config import FusionConfig
from grjca.fusion.fusions import build_fusion
from grjca.fusion.gates import TemperedGate
from grjca.fusion.linear import LinearPath
from grjca.fusion.masked import MaskedBatchNorm1d, drop_modalities, zero_padding
from grjca.fusion.modality import Encoder


@dataclass(frozen=True)
class FusionOutput:
    """What the model says about a batch of windows.

    Attributes:
        prediction: (B, T, K) in [-1, 1], in the order of ``FusionConfig.outputs``; 0 in padding,
            where it means nothing.
        features: (B, T, d) fused features, 0 in padding; those of all models side by side,
            (B, T, K d), with a separate head.
        gates: Weights (B, T, n) of each gate's n candidates, summing to 1 (without meaning in
            padding); empty for a fusion without gates. ``grjca`` has ``visual`` and ``audio``, each
            over X^(0..L): the features before any attention and after each iteration. ``hgrjca``
            has, per modality, ``visual_l`` for l = 1..L over X^(0..l) and ``visual_across`` over
            the gated features of iterations 1 to L. With a separate head the name of the output
            stands before: ``valence_visual``.
    """

    prediction: Tensor
    features: Tensor
    gates: dict[str, Tensor]


class Head(nn.Module):
    """Linear, batch normalisation, LeakyReLU, linear, tanh.

    With a linear path's r the prediction is tanh(o + artanh(r)) = (u + r) / (1 + u r), u = tanh(o),
    o the last layer's output: r itself where the head says 0, and always within (-1, 1).

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

    def forward(self, x: Tensor, frames: Tensor, line: Tensor | None = None) -> Tensor:
        """(B, T, d), and (B, T, K) of a linear path, to (B, T, K), 0 in padding."""
        out = self.out(self.activation(self.norm(self.hidden(x), frames)))
        if line is not None:
            out = out + torch.atanh(line)
        return zero_padding(torch.tanh(out), frames)


class FusionModel(nn.Module):
    """Embeddings of two modalities to valence and arousal, for every frame of a window.

    A frame's output depends on the real frames of its clip and on nothing else: not on what
    padding holds, nor, without a dense time-mix, on how much of it there is, nor, in evaluation,
    on the other clips of the batch. Linear layers start Xavier-uniform with zero bias.

    With ``head="separate"`` and two outputs it is two models that share nothing but the draws of
    modality dropout.

    Args:
        config: Shapes and behaviour.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        # One model of all outputs keeps its parts at the top, where checkpoints have them.
        self.separate = nn.ModuleDict()
        if config.head == "separate" and len(config.outputs) > 1:
            for name in config.outputs:
                alone = dataclasses.replace(config, outputs=(name,), modality_dropout=0.0)
                self.separate[name] = FusionModel(alone)
            return
        self.visual = Encoder(config, config.visual_dim, config.visual_channels)
        self.audio = Encoder(config, config.audio_dim, config.audio_channels)
        self.fusion = build_fusion(config)
        width = config.visual_width + config.audio_width
        self.head = Head(width, config.head_hidden, len(config.outputs))
        self.linear = LinearPath(config) if config.linear == "ridge" else None
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def models(self) -> dict[str, FusionModel]:
        """The models by output that a separate head consists of; empty for a single model."""
        return {n: m for n, m in self.separate.items() if isinstance(m, FusionModel)}

    def gates(self) -> dict[str, TemperedGate]:
        """The gates, by the names that ``FusionOutput.gates`` has their weights under."""
        if not self.separate:
            return self.fusion.gates()
        models = self.models().items()
        return {f"{name}_{gate}": g for name, m in models for gate, g in m.gates().items()}

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
        for model in self.models().values() or (self,):
            model.visual.input.set_statistics(visual_mean, visual_std)
            model.audio.input.set_statistics(audio_mean, audio_std)

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
        if self.separate:
            outputs = {
                name: model(visual, audio, visual_present, audio_present, frames)
                for name, model in self.models().items()
            }
            return _side_by_side(outputs)
        features, gates = self.fusion(
            self.visual(visual, visual_present, frames),
            self.audio(audio, audio_present, frames),
            frames,
        )
        line = None
        if self.linear is not None:
            standardised = (
                self.visual.input.standardised(visual, visual_present),
                self.audio.input.standardised(audio, audio_present),
            )
            line = self.linear(self.linear.inputs(*standardised, visual_present, audio_present))
        return FusionOutput(self.head(features, frames, line), features, gates)

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


def _side_by_side(outputs: Mapping[str, FusionOutput]) -> FusionOutput:
    return FusionOutput(
        torch.cat([output.prediction for output in outputs.values()], dim=-1),
        torch.cat([output.features for output in outputs.values()], dim=-1),
        {f"{n}_{gate}": w for n, out in outputs.items() for gate, w in out.gates.items()},
    )
