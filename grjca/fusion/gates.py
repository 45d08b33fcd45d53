"""Gates that choose, frame by frame, between several versions of a modality's features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class TemperedGate(nn.Module):
    """A softmax with a low temperature over n candidates, ReLU after their weighted sum.

    w = softmax((X G + g) / tau), out = ReLU(sum_i w[i] X^(i)) (arXiv 2503.12261).

    Args:
        width: Features per frame, d_m.
        candidates: n.
        temperature: tau; the smaller, the harder the choice.
    """

    def __init__(self, width: int, candidates: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.score = nn.Linear(width, candidates)

    def forward(self, chooser: Tensor, candidates: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Choose.

        Args:
            chooser: (B, T, d_m), the features that the choice is made from.
            candidates: n tensors (B, T, d_m) that are chosen from.

        Returns:
            The gated features (B, T, d_m), 0 where all candidates are 0, and the weights
            (B, T, n), which sum to 1 in every frame.

        Raises:
            ValueError: The number of candidates is not n.
        """
        if len(candidates) != self.score.out_features:
            raise ValueError(
                f"this gate chooses between {self.score.out_features}, got {len(candidates)}"
            )
        weights = torch.softmax(self.score(chooser) / self.temperature, dim=-1)
        total = candidates[0] * weights[..., :1]
        for i, candidate in enumerate(candidates[1:], start=1):
            total = torch.addcmul(total, candidate, weights[..., i : i + 1])
        return torch.relu(total), weights
