"""Gates that choose, frame by frame, between several versions of a modality's features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from grjca.fusion.by_hand import by_hand
from grjca.fusion.gate_cpu import tempered_gate

GateKernel = Callable[["TemperedGate", Tensor, Sequence[Tensor]], tuple[Tensor, Tensor]]
"""Does what a gate does, in another way."""


class TemperedGate(nn.Module):
    """A softmax with a low temperature over n candidates, ReLU after their weighted sum.

    w = softmax((X G + g) / tau), out = ReLU(sum_i w[i] X^(i)) (arXiv 2503.12261).

    Args:
        width: Features per frame, d_m.
        candidates: n.
        temperature: tau; the smaller, the harder the choice.

    Attributes:
        fixed: (n,) weights of every frame; None where it chooses.
        kernel: Chooses in the place of PyTorch's operations; None for these.
    """

    def __init__(self, width: int, candidates: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.fixed: Tensor | None = None
        self.kernel: GateKernel | None = None
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
        if self.fixed is None and self.kernel is not None:
            return self.kernel(self, chooser, candidates)
        if self.fixed is None and by_hand(chooser):
            score = self.score
            return tempered_gate(chooser, candidates, score.weight, score.bias, self.temperature)
        if self.fixed is None:
            # A low temperature makes much of bfloat16's rounding: full precision here.
            with torch.autocast(chooser.device.type, enabled=False):
                scores = self.score(chooser.to(self.score.weight.dtype))
                weights = torch.softmax(scores / self.temperature, dim=-1)
        else:
            weights = self.fixed.to(chooser).expand(*chooser.shape[:-1], -1)
        total = candidates[0] * weights[..., :1]
        for i, candidate in enumerate(candidates[1:], start=1):
            total = torch.addcmul(total, candidate, weights[..., i : i + 1])
        return torch.relu(total), weights


class HierarchicalGate(nn.Module):
    """A gate at every iteration, and one across what they give.

    For l = 1..L: out^(l) is the gated sum of X^(0), ..., X^(l), chosen from X^(l); then out is the
    gated sum of out^(1), ..., out^(L), chosen from X^(L) (arXiv 2503.12261, HGRJCA). With L = 1
    there is nothing to choose across: it is the plain gate.

    Args:
        width: Features per frame, d_m.
        iterations: L.
        temperature: tau of every gate.
    """

    def __init__(self, width: int, iterations: int, temperature: float) -> None:
        super().__init__()
        self.at = nn.ModuleList(
            TemperedGate(width, level + 1, temperature) for level in range(1, iterations + 1)
        )
        self.across = TemperedGate(width, iterations, temperature)

    def gates(self) -> dict[str, TemperedGate]:
        """The gates: ``1`` to ``L``, and ``across``."""
        levels = {str(level): gate for level, gate in enumerate(self.at, start=1)}
        return {**levels, "across": self.across}  # type: ignore[dict-item]

    def forward(self, states: Sequence[Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Choose.

        Args:
            states: X^(0), ..., X^(L), each (B, T, d_m).

        Returns:
            The gated features (B, T, d_m), 0 where all states are 0, and the weights by the names
            of ``gates``: ``l`` (B, T, l + 1) over X^(0..l), ``across`` (B, T, L) over the gated
            features of iterations 1 to L.

        Raises:
            ValueError: The number of states is not L + 1.
        """
        if len(states) != len(self.at) + 1:
            raise ValueError(f"wanted {len(self.at) + 1} states, got {len(states)}")
        weights: dict[str, Tensor] = {}
        gated = []
        for level, gate in enumerate(self.at, start=1):
            out, weights[str(level)] = gate(states[level], states[: level + 1])
            gated.append(out)
        out, weights["across"] = self.across(states[-1], gated)
        return out, weights


@contextmanager
def fixed_gates(gates: Mapping[str, TemperedGate], weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Give gates the same weights in every frame, for as long as the context lasts.

    What a model loses by it says what choosing frame by frame is worth.

    Args:
        gates: Gates by name, as of ``FusionModel.gates``.
        weights: (n,) for each gate that is to be fixed, by the gate's name.

    Raises:
        ValueError: No gate of that name, or another number of weights than it has candidates.
    """
    for name, fixed in weights.items():
        if name not in gates:
            raise ValueError(f"no gate called {name!r}; there are: {', '.join(gates) or 'none'}")
        if tuple(fixed.shape) != (gates[name].score.out_features,):
            raise ValueError(
                f"gate {name}: wanted {gates[name].score.out_features} weights, "
                f"got shape {tuple(fixed.shape)}"
            )
    before = {name: gates[name].fixed for name in weights}
    try:
        for name, fixed in weights.items():
            gates[name].fixed = fixed.detach().clone()
        yield
    finally:
        for name, fixed_before in before.items():
            gates[name].fixed = fixed_before
