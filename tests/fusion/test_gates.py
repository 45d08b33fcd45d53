"""The gates: a softmax with temperature over versions of one modality's features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy_reference import gate, hierarchical_gate, state_arrays
from torch import Tensor

from grjca.fusion.gates import HierarchicalGate, TemperedGate, fixed_gates


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
        candidates = [x[b].numpy() for x in states()]
        wanted, wanted_weights = gate(parameters, "g", candidates[-1], candidates, 0.1)
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


def hierarchy(iterations: int = 3, temperature: float = 0.1) -> HierarchicalGate:
    torch.manual_seed(0)
    return HierarchicalGate(4, iterations, temperature).double()


def test_hierarchy_equals_the_numpy_computation() -> None:
    parameters = {f"g.{k}": v for k, v in state_arrays(hierarchy()).items()}
    out, weights = hierarchy()(states(4))
    assert {name: w.shape[-1] for name, w in weights.items()} == {
        "1": 2, "2": 3, "3": 4, "across": 3,
    }  # fmt: skip
    for b in range(2):
        wanted, wanted_weights = hierarchical_gate(
            parameters, "g", [x[b].numpy() for x in states(4)], 0.1
        )
        np.testing.assert_allclose(out[b].detach().numpy(), wanted, rtol=1e-11, atol=1e-13)
        for name, w in wanted_weights.items():
            np.testing.assert_allclose(weights[name][b].detach().numpy(), w, rtol=1e-11)


def test_a_hierarchy_of_one_iteration_is_the_plain_gate() -> None:
    one, plain = hierarchy(1), tempered(2)
    plain.load_state_dict(one.at[0].state_dict())
    out, weights = one(states(2))
    wanted, wanted_weights = plain(states(2)[-1], states(2))
    assert torch.equal(out, wanted)
    assert torch.equal(weights["1"], wanted_weights)
    assert (weights["across"] == 1).all()


def test_gradients_of_a_hierarchy_agree_with_finite_differences() -> None:
    chooser = hierarchy(2, temperature=0.5)
    leaves = [x.requires_grad_() for x in states()]

    def run(*inputs: Tensor) -> tuple[Tensor, ...]:
        out, weights = chooser(inputs[:3])
        return out, *weights.values()

    assert torch.autograd.gradcheck(run, [*leaves, *chooser.parameters()])


def test_hierarchy_refuses_another_number_of_states() -> None:
    with pytest.raises(ValueError, match="wanted 3 states, got 4"):
        hierarchy(2)(states(4))


def test_fixed_gates_weigh_every_frame_alike_and_come_back() -> None:
    chooser = hierarchy(2)
    before = chooser(states())
    fixed = {"1": torch.tensor([0.3, 0.7]), "across": torch.tensor([0.0, 1.0])}
    with fixed_gates(chooser.gates(), fixed):
        out, weights = chooser(states())
    assert torch.equal(weights["1"], fixed["1"].double().expand(2, 6, 2))
    assert torch.equal(weights["2"], before[1]["2"])
    second = sum(w[..., None] * x for w, x in zip(weights["2"].unbind(-1), states(), strict=True))
    torch.testing.assert_close(out, torch.relu(second))
    after = chooser(states())
    assert torch.equal(after[0], before[0])
    assert all(torch.equal(after[1][name], w) for name, w in before[1].items())


def test_fixed_gates_come_back_after_an_error_and_nest() -> None:
    gates = {"g": tempered(2)}
    with fixed_gates(gates, {"g": torch.tensor([1.0, 0.0])}):
        with (
            pytest.raises(KeyError),
            fixed_gates(gates, {"g": torch.tensor([0.5, 0.5])}),
        ):
            raise KeyError
        assert gates["g"].fixed is not None
        assert gates["g"].fixed.tolist() == [1.0, 0.0]
    assert gates["g"].fixed is None


@pytest.mark.parametrize(
    ("weights", "cause"),
    [
        ({"h": torch.ones(2)}, "no gate called 'h'; there are: g"),
        ({"g": torch.ones(3)}, "wanted 2"),
    ],
)
def test_weights_that_fit_no_gate_are_refused(weights: dict[str, Tensor], cause: str) -> None:
    with pytest.raises(ValueError, match=cause), fixed_gates({"g": tempered(2)}, weights):
        pass
