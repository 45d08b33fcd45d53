"""The gates: a softmax with temperature over versions of one modality's features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy_reference import gate, state_arrays
from torch import Tensor

from grjca.fusion.gates import TemperedGate


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def states(n: int = 3) -> list[Tensor]:
    return [random(2, 6, 4, seed=i) for i in range(n)]


def tempered(n: int = 3, temperature: float = 0.1) -> TemperedGate:
    torch.manual_seed(0)
    return TemperedGate(4, n, temperature).double()


def test_gate_equals_the_numpy_computation() -> None:
    parameters = {f"g.{k}": v for k, v in state_arrays(tempered()).items()}
    out, weights = tempered()(states()[-1], states())
    for b in range(2):
        wanted, wanted_weights = gate(parameters, "g", [x[b].numpy() for x in states()], 0.1)
        np.testing.assert_allclose(out[b].detach().numpy(), wanted, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(weights[b].detach().numpy(), wanted_weights, rtol=1e-11)


@pytest.mark.parametrize("temperature", [1e-3, 0.1, 10.0])
def test_weights_are_shares_and_sharpen_as_the_temperature_falls(temperature: float) -> None:
    _, weights = tempered(temperature=temperature)(states()[-1] * 100, states())
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 6).double(), rtol=0, atol=1e-14)
    _, softer = tempered(temperature=temperature * 10)(states()[-1] * 100, states())
    assert weights.max(-1).values.mean() >= softer.max(-1).values.mean()


def test_a_decided_gate_passes_one_candidate() -> None:
    chooser = tempered()
    with torch.no_grad():
        chooser.score.weight.zero_()
        chooser.score.bias.copy_(torch.tensor([0.0, 100.0, 0.0]))
    out, _ = chooser(states()[-1], states())
    torch.testing.assert_close(out, torch.relu(states()[1]), rtol=0, atol=0)


def test_gradients_agree_with_finite_differences() -> None:
    chooser = tempered(temperature=0.5)
    leaves = [x.requires_grad_() for x in states()]

    def run(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        outputs: tuple[Tensor, Tensor] = chooser(inputs[2], inputs[:3])
        return outputs

    assert torch.autograd.gradcheck(run, [*leaves, *chooser.parameters()])


def test_gate_refuses_another_number_of_candidates() -> None:
    with pytest.raises(ValueError, match="between 3, got 2"):
        tempered()(states()[-1], states()[:2])
