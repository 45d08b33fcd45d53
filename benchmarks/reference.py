"""GRJCA's fusion, written down from the paper's equations in plain PyTorch.

What an able reader of arXiv 2503.12261 would write first: a module per equation, ``nn.Linear``,
``nn.Dropout``, ``torch.cat`` and autograd, all frames real. It is what ``grjca.fusion`` is timed
against, and a second transcription that its numbers are held against. Nothing of ``grjca.fusion``
is used but the names of the parameters, so that weights load from one into the other.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class PlainAttention(nn.Module):
    """One iteration of joint cross-attention.

    Args:
        visual: d_v, features per frame.
        audio: d_a, features per frame.
        frames: T, frames of a window.
        dense: Keys are mixed along time by the paper's (T, T) matrices.
        dropout: Share dropped from the correlations and from what is added.
    """

    def __init__(self, visual: int, audio: int, frames: int, dense: bool, dropout: float) -> None:
        super().__init__()
        joint = visual + audio
        self.query = nn.Linear(joint, joint)
        self.mix_visual = nn.Linear(frames, frames) if dense else None
        self.mix_audio = nn.Linear(frames, frames) if dense else None
        self.value_visual = nn.Linear(visual, visual)
        self.value_audio = nn.Linear(audio, audio)
        self.project_visual = nn.Linear(joint, visual)
        self.project_audio = nn.Linear(joint, audio)
        self.dropout = nn.Dropout(dropout)

    def forward(self, visual: Tensor, audio: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, d_v) and (B, T, d_a) float to the same shapes."""
        query = self.query(torch.cat((visual, audio), dim=-1))
        return (
            self._attend(visual, query, self.mix_visual, self.value_visual, self.project_visual),
            self._attend(audio, query, self.mix_audio, self.value_audio, self.project_audio),
        )

    def _attend(
        self,
        x: Tensor,
        query: Tensor,
        mix: nn.Linear | None,
        value: nn.Linear,
        project: nn.Linear,
    ) -> Tensor:
        key = x.transpose(1, 2)
        if mix is not None:
            key = mix(key)
        scores = torch.matmul(key, query) / math.sqrt(query.shape[-1])
        correlation = self.dropout(torch.tanh(scores))
        attended = torch.relu(torch.tanh(torch.matmul(value(x), correlation)))
        added: Tensor = self.dropout(torch.relu(project(attended)))
        return x + added


class PlainGate(nn.Module):
    """A softmax with temperature over the versions of one modality's features.

    Args:
        width: d_m.
        candidates: How many versions.
        temperature: tau.
    """

    def __init__(self, width: int, candidates: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.score = nn.Linear(width, candidates)

    def forward(self, states: list[Tensor]) -> Tensor:
        """Tensors (B, T, d_m), the last of which decides, to (B, T, d_m)."""
        weights = torch.softmax(self.score(states[-1]) / self.temperature, dim=-1)
        stacked = torch.stack(states, dim=-1)
        return torch.relu((stacked * weights.unsqueeze(2)).sum(-1))


class PlainRecursion(nn.Module):
    """L iterations with weights of their own.

    Args:
        visual: d_v.
        audio: d_a.
        frames: T.
        iterations: L.
        dense: See ``PlainAttention``.
        dropout: See ``PlainAttention``.
    """

    def __init__(
        self, visual: int, audio: int, frames: int, iterations: int, dense: bool, dropout: float
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            PlainAttention(visual, audio, frames, dense, dropout) for _ in range(iterations)
        )


class PlainFusion(nn.Module):
    """GRJCA's fusion: normalised features, L iterations of attention, a gate per modality.

    Without a time-mix the scores of T frames need no further scale: T is the window's length.

    Args:
        visual: d_v, features per frame.
        audio: d_a, features per frame.
        frames: T, frames of a window.
        iterations: L.
        dense: Whether keys are mixed along time.
        dropout: Share dropped in training.
        temperature: tau of the gates.
    """

    def __init__(
        self,
        visual: int,
        audio: int,
        frames: int,
        iterations: int = 2,
        dense: bool = False,
        dropout: float = 0.6,
        temperature: float = 0.1,
    ) -> None:
        super().__init__()
        self.attention = PlainRecursion(visual, audio, frames, iterations, dense, dropout)
        self.gate_visual = PlainGate(visual, iterations + 1, temperature)
        self.gate_audio = PlainGate(audio, iterations + 1, temperature)

    def forward(self, visual: Tensor, audio: Tensor) -> Tensor:
        """(B, T, d_v) and (B, T, d_a) float to fused features (B, T, d_v + d_a)."""
        visual_states = [functional.normalize(visual, dim=-1)]
        audio_states = [functional.normalize(audio, dim=-1)]
        for layer in self.attention.layers:
            v, a = layer(visual_states[-1], audio_states[-1])
            visual_states.append(v)
            audio_states.append(a)
        return torch.cat((self.gate_visual(visual_states), self.gate_audio(audio_states)), dim=-1)
