"""Masks, and the layers that respect them: padding neither enters nor leaves a layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def zero_padding(x: Tensor, frames: Tensor) -> Tensor:
    """Set the rows that are padding to 0, whatever they hold.

    Args:
        x: (B, T, C) float; NaN and infinity are allowed in padding.
        frames: (B, T) bool, true for real frames.

    Returns:
        (B, T, C); no gradient flows to the rows that are padding.
    """
    return x.masked_fill(~frames.unsqueeze(-1), 0.0)


class MaskedBatchNorm1d(nn.Module):
    """Batch normalisation over the real frames of all clips of a batch.

    Equal to ``torch.nn.BatchNorm1d`` applied to the real frames alone: in training, features are
    normalised by their mean and biased variance and the running statistics move by ``momentum``
    towards that mean and the unbiased variance; in evaluation the running statistics are used. A
    training batch with fewer than two real frames has no variance: it is normalised by the
    running statistics and leaves them as they are.

    Args:
        width: Features per frame, C.
        eps: Added to the variance.
        momentum: Weight of the new batch in the running statistics.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, width: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))
        self.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor, frames: Tensor) -> Tensor:
        """Normalise.

        Args:
            x: (B, T, C) float; anything in padding.
            frames: (B, T) bool, true for real frames.

        Returns:
            (B, T, C) in the dtype of the statistics; 0 in padding.
        """
        # Sums over a batch need more than mixed precision's bfloat16.
        x = zero_padding(x.to(self.running_mean.dtype), frames)
        mean, var = self.running_mean, self.running_var
        if self.training:
            # Chosen by torch.where: a Python branch on the count would make a GPU wait each time.
            count = frames.sum()
            enough = count >= 2
            size = count.clamp(min=1).to(x.dtype)
            mean = torch.where(enough, x.sum((0, 1)) / size, mean)
            centred = zero_padding(x - mean, frames)
            var = torch.where(enough, centred.square().sum((0, 1)) / size, var)
            self._track(mean.detach(), var.detach(), size, enough)
        else:
            centred = x - mean
        scale = self.weight * torch.rsqrt(var + self.eps)
        return zero_padding(torch.addcmul(self.bias, centred, scale), frames)

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor, size: Tensor, enough: Tensor) -> None:
        step = enough.to(mean.dtype) * self.momentum
        unbiased = torch.where(enough, var * size / (size - 1).clamp(min=1), var)
        self.running_mean.lerp_(mean, step)
        self.running_var.lerp_(unbiased, step)
        self.num_batches_tracked.add_(enough)


def drop_modalities(visual: Tensor, audio: Tensor, probability: float) -> tuple[Tensor, Tensor]:
    """Make one modality of some clips missing.

    Each modality of each clip is drawn with the given probability; where both are drawn, one of
    them, at random, is kept. A modality is kept as well when the clip has nothing of the other.

    Args:
        visual: (B, T) bool, frames that have the visual modality.
        audio: (B, T) bool, frames that have the audio modality.
        probability: Of each draw.

    Returns:
        The two masks after the draws.
    """
    draw = torch.rand(len(visual), 3, device=visual.device)
    drop = draw[:, :2] < probability
    keep_visual = draw[:, 2] < 0.5
    both = drop.all(dim=1)
    drop_visual = drop[:, 0] & ~(both & keep_visual) & audio.any(dim=1)
    drop_audio = drop[:, 1] & ~(both & ~keep_visual) & visual.any(dim=1)
    return visual & ~drop_visual.unsqueeze(1), audio & ~drop_audio.unsqueeze(1)
