"""One modality on its own, up to the fusion: standardised, encoded along time, normalised."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from grjca.fusion.config import FusionConfig
from grjca.fusion.masked import MaskedBatchNorm1d
from grjca.fusion.temporal import build_encoder


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
        return torch.where(present.unsqueeze(-1), self.standardised(x, present), self.token)

    def standardised(self, x: Tensor, present: Tensor) -> Tensor:
        """The same with 0, the training clips' mean, where the modality is missing."""
        here = present.unsqueeze(-1)
        x = torch.where(here, x.to(self.mean.dtype), self.mean)
        return (x - self.mean) / self.std


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
