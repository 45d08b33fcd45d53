"""How gates are used, and what a model is worth when they no longer choose frame by frame."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from grjca.fusion.checkpoint import Checkpoint
from grjca.fusion.gates import fixed_gates


@dataclass(frozen=True)
class GateUse:
    """How one gate weighs its n candidates over the frames of clips.

    Attributes:
        mean: n weights, the mean over all frames.
        deviation: n deviations of the weights over frames: 0 for a gate that never changes.
        entropy: Mean over frames of a frame's own entropy, over log n: 0 for a hard choice, 1 for
            equal weights.
        mean_entropy: Entropy of the mean weights, over log n. Where it exceeds ``entropy``, the
            gate chooses differently in different frames.
        frames: How many frames.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    entropy: float
    mean_entropy: float
    frames: int


class GateSums:
    """Collects gates' weights clip by clip."""

    def __init__(self) -> None:
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._squares: dict[str, NDArray[np.float64]] = {}
        self._entropy: dict[str, float] = {}
        self._frames: dict[str, int] = {}

    def add(self, gates: Mapping[str, NDArray[np.float64]]) -> None:
        """Take in a clip's (T, n) weights by gate."""
        for name, weights in gates.items():
            zero = np.zeros(weights.shape[1])
            self._sums[name] = self._sums.get(name, zero) + weights.sum(axis=0)
            self._squares[name] = self._squares.get(name, zero) + (weights**2).sum(axis=0)
            self._entropy[name] = self._entropy.get(name, 0.0) + float(entropy(weights).sum())
            self._frames[name] = self._frames.get(name, 0) + len(weights)

    def use(self) -> dict[str, GateUse]:
        """How each gate was used; gates of no frame are left out."""
        found = {}
        for name, frames in self._frames.items():
            if not frames:
                continue
            mean = self._sums[name] / frames
            variance = np.maximum(self._squares[name] / frames - mean**2, 0.0)
            found[name] = GateUse(
                tuple(mean.tolist()),
                tuple(np.sqrt(variance).tolist()),
                self._entropy[name] / frames,
                float(entropy(mean)),
                frames,
            )
        return found


def entropy(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., n) weights that add up to 1 to (...) entropies over log n; 0 for a single candidate."""
    candidates = weights.shape[-1]
    if candidates == 1:
        return np.zeros(weights.shape[:-1])
    positive = np.where(weights > 0, weights, 1.0)
    found: NDArray[np.float64] = -(positive * np.log(positive)).sum(axis=-1) / np.log(candidates)
    return found


@contextlib.contextmanager
def with_mean_gates(
    checkpoints: Sequence[Checkpoint], uses: Sequence[Mapping[str, GateUse]]
) -> Iterator[None]:
    """Hold the gates of models at their means, for as long as the context lasts.

    Args:
        checkpoints: The models.
        uses: For each, how its gates were used.
    """
    with contextlib.ExitStack() as stack:
        for checkpoint, use in zip(checkpoints, uses, strict=True):
            means = {name: torch.tensor(gate.mean) for name, gate in use.items()}
            stack.enter_context(fixed_gates(checkpoint.model.gates(), means))
        yield
