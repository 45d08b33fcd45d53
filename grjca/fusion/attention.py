"""Cross-attention between two modalities; joint cross-attention, and its recursion.

Symbols as in the paper (arXiv 2503.12261): B clips, T frames, d_v and d_a features per frame of
the visual and the audio modality, d = d_v + d_a.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from grjca.fusion.by_hand import by_hand
from grjca.fusion.joint_cpu import JointWeights, joint_attention
from grjca.fusion.masked import zero_padding
from grjca.fusion.normalise_cpu import normalised

States = list[Tensor]
"""X^(0), X^(1), ... of one modality, each (B, T, d_m) with 0 in padding."""


def starting_states(visual: Tensor, audio: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
    """X_v^(0) and X_a^(0): features of every frame at length 1, 0 in padding.

    Args:
        visual: (B, T, d_v) float; anything in padding.
        audio: (B, T, d_a) float; anything in padding.
        frames: (B, T) bool, true for real frames.
    """
    if by_hand(visual):
        return normalised(visual, frames), normalised(audio, frames)
    return (
        functional.normalize(zero_padding(visual, frames), dim=-1),
        functional.normalize(zero_padding(audio, frames), dim=-1),
    )


class CrossAttention(nn.Module):
    """Each modality is read where it correlates with the other's frame (arXiv 2111.05222).

    With frames as columns, X_m in R^(d_m x T), and one learned W in R^(d_a x d_v)::

        Z = X_a^T W X_v                                    (T, T), audio frames x visual frames
        A_a = softmax over audio frames of Z / tau         A_v = the same of Z^T / tau
        X_m <- tanh(X_m + dropout(X_m A_m))

    Column j of X_a A_a is the mean of the clip's audio features, weighted by how well they go with
    visual frame j. The weights are shares of the real frames, so that any length is served and a
    repeated clip gives its own outputs, repeated; time grows with T^2, memory does not. Dropout
    is not in the source.

    Args:
        visual_width: d_v.
        audio_width: d_a.
        temperature: tau; the smaller, the fewer frames are read.
        dropout: Share dropped from the attended features in training.
    """

    def __init__(
        self, visual_width: int, audio_width: int, temperature: float, dropout: float
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.correlation = nn.Linear(visual_width, audio_width, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, visual: Tensor, audio: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Attend.

        Args:
            visual: (B, T, d_v) float, 0 in padding.
            audio: (B, T, d_a) float, 0 in padding.
            frames: (B, T) bool, true for real frames.

        Returns:
            The two modalities after it, shaped as before, 0 in padding.
        """
        # A clip of padding alone must have something to read, or its weights are 0 / 0.
        read = frames | ~frames.any(dim=1, keepdim=True)
        return (
            self._attend(audio @ self.correlation.weight, visual, read, frames),
            self._attend(self.correlation(visual), audio, read, frames),
        )

    def _attend(self, asking: Tensor, x: Tensor, read: Tensor, frames: Tensor) -> Tensor:
        attended = functional.scaled_dot_product_attention(
            asking.unsqueeze(1),
            x.unsqueeze(1),
            x.unsqueeze(1),
            attn_mask=read[:, None, None, :],
            scale=1.0 / self.temperature,
        ).squeeze(1)
        return zero_padding(torch.tanh(x + self.dropout(attended)), frames)


JointKernel = Callable[["JointCrossAttention", Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Does what an iteration does, in another way."""


class JointCrossAttention(nn.Module):
    """One iteration: each modality attends to the joint features of both.

    With J = [X_v ; X_a], Q = J W_q + b_q and, for each modality m, a key K_m, a value
    V_m = X_m W_m + b_m and a projection P_m::

        C_m = tanh(K_m Q / sqrt(d))            (B, d_m, d), summed over time, dropout
        H_m = ReLU(tanh(V_m C_m))              (B, T, d)
        X_m <- X_m + dropout(ReLU(H_m P_m + b))

    K_m is X_m itself, transposed (``dense=False``), or X_m mixed along time by a (T, T) matrix of
    the modality's own with a bias per frame (``dense=True``, the paper's W_jv and W_ja). Without
    the mix the sum over time grows with the clip, so it is scaled by ``window`` over the clip's
    number of real frames: a clip repeated any number of times gives its own outputs, repeated.

    Args:
        visual_width: d_v.
        audio_width: d_a.
        window: Frames T that a dense mix is tied to; without it, the reference number of frames.
        dense: Whether keys are mixed along time.
        dropout: Share dropped from C_m and from what is added to X_m, in training.

    Attributes:
        kernel: Attends in the place of PyTorch's operations; None for these.
    """

    def __init__(
        self, visual_width: int, audio_width: int, window: int, dense: bool, dropout: float
    ) -> None:
        super().__init__()
        joint = visual_width + audio_width
        self.widths = (visual_width, audio_width)
        self.window = window
        self.query = nn.Linear(joint, joint)
        self.mix_visual = nn.Linear(window, window) if dense else None
        self.mix_audio = nn.Linear(window, window) if dense else None
        self.value_visual = nn.Linear(visual_width, visual_width)
        self.value_audio = nn.Linear(audio_width, audio_width)
        self.project_visual = nn.Linear(joint, visual_width)
        self.project_audio = nn.Linear(joint, audio_width)
        self.dropout = nn.Dropout(dropout)
        self.kernel: JointKernel | None = None

    def forward(self, visual: Tensor, audio: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Attend once.

        Args:
            visual: (B, T, d_v) float, 0 in padding.
            audio: (B, T, d_a) float, 0 in padding.
            frames: (B, T) bool, true for real frames.

        Returns:
            The two modalities after the iteration, shaped as before, 0 in padding.

        Raises:
            ValueError: Keys are mixed along time and T is not ``window``.
        """
        if self.mix_visual is not None and visual.shape[1] != self.window:
            raise ValueError(
                f"the dense time-mix was made for windows of {self.window} frames, "
                f"got {visual.shape[1]}"
            )
        if self.kernel is not None:
            return self.kernel(self, visual, audio, frames)
        if by_hand(visual):
            dropout = self.dropout.p if self.training else 0.0
            scale = self._scale(visual, frames)
            return joint_attention(visual, audio, frames, scale, dropout, self.weights())
        joint = torch.cat((visual, audio), dim=-1)
        correlation = self.dropout(self._correlate(joint, visual, audio, frames))
        to_visual, to_audio = correlation.split(self.widths, dim=1)
        return (
            self._attend(visual, to_visual, self.value_visual, self.project_visual, frames),
            self._attend(audio, to_audio, self.value_audio, self.project_audio, frames),
        )

    def _correlate(self, joint: Tensor, visual: Tensor, audio: Tensor, frames: Tensor) -> Tensor:
        """C_v above C_a, (B, d, d): one product over time serves both modalities."""
        query: Tensor = self.query(joint)
        if self.mix_visual is None or self.mix_audio is None:
            # Keys are 0 in padding already, so the query's bias there counts for nothing.
            keys = joint.transpose(1, 2)
        else:
            query = zero_padding(query, frames)
            mixed = (self.mix_visual(visual.mT), self.mix_audio(audio.mT))
            keys = torch.cat(mixed, dim=1)
        return torch.bmm(keys, query).mul_(self._scale(joint, frames)).tanh_()

    def scale(self, frames: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """What each clip's correlations are multiplied by, (B,)."""
        scale = 1.0 / math.sqrt(sum(self.widths))
        if self.mix_visual is not None:
            return torch.full((len(frames),), scale, dtype=dtype, device=frames.device)
        return scale * self.window / frames.sum(dim=1).clamp(min=1).to(dtype)

    def _scale(self, x: Tensor, frames: Tensor) -> float | Tensor:
        """The same as one number, or (B, 1, 1)."""
        scale = 1.0 / math.sqrt(sum(self.widths))
        if self.mix_visual is not None:
            return scale
        if by_hand(x) and bool(frames.all()):
            return scale * self.window / frames.shape[1]
        return self.scale(frames, x.dtype).view(-1, 1, 1)

    def weights(self) -> JointWeights:
        """The parameters."""

        def parameters(*layers: nn.Linear) -> tuple[Tensor, ...]:
            return tuple(p for layer in layers for p in (layer.weight, layer.bias))

        mixes = (m for m in (self.mix_visual, self.mix_audio) if m is not None)
        return JointWeights(
            parameters(self.query),
            parameters(self.value_visual, self.value_audio),
            parameters(self.project_visual, self.project_audio),
            parameters(*mixes),
        )

    def _attend(
        self, x: Tensor, correlation: Tensor, value: nn.Linear, project: nn.Linear, frames: Tensor
    ) -> Tensor:
        attended = torch.relu(torch.bmm(value(x), correlation).tanh_())
        added: Tensor = self.dropout(torch.relu(project(attended)))
        return zero_padding(x + added, frames)


class RecursiveAttention(nn.Module):
    """L iterations of joint cross-attention with weights of their own, from L2-normalised input.

    Args:
        visual_width: d_v.
        audio_width: d_a.
        iterations: L.
        window: See ``JointCrossAttention``.
        dense: See ``JointCrossAttention``.
        dropout: See ``JointCrossAttention``.
    """

    def __init__(
        self,
        visual_width: int,
        audio_width: int,
        iterations: int,
        window: int,
        dense: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            JointCrossAttention(visual_width, audio_width, window, dense, dropout)
            for _ in range(iterations)
        )

    def forward(self, visual: Tensor, audio: Tensor, frames: Tensor) -> tuple[States, States]:
        """Attend L times.

        Args:
            visual: (B, T, d_v) float; anything in padding.
            audio: (B, T, d_a) float; anything in padding.
            frames: (B, T) bool, true for real frames.

        Returns:
            X_v^(0..L) and X_a^(0..L), L + 1 tensors each.

        Raises:
            ValueError: Keys are mixed along time and T is not ``window``.
        """
        start_visual, start_audio = starting_states(visual, audio, frames)
        visual_states, audio_states = [start_visual], [start_audio]
        for layer in self.layers:
            v, a = layer(visual_states[-1], audio_states[-1], frames)
            visual_states.append(v)
            audio_states.append(a)
        return visual_states, audio_states
