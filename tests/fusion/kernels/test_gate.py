"""The gate's kernels against float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_reference import assert_near, gate_reference, gradients
from torch import Tensor

from grjca.fusion.kernels import gate as gate_module
from grjca.fusion.kernels.gate import gate


def inputs(shape: tuple[int, int, int], count: int, seed: int = 0) -> list[Tensor]:
    """Score, bias, chooser and candidates."""
    torch.manual_seed(seed)
    width = shape[-1]
    return [
        torch.randn(count, width) / width**0.5, torch.randn(count) * 0.1, torch.randn(shape),
        *(torch.randn(shape) for _ in range(count)),
    ]  # fmt: skip


def compare(given: list[Tensor], temperature: float, weighted: bool = True) -> None:
    mine = [x.detach().clone().requires_grad_() for x in given]
    exact = [x.detach().double().requires_grad_() for x in given]
    out = gate(mine[2], mine[3:], mine[0], mine[1], temperature)
    wanted = gate_reference(exact[2], exact[3:], exact[0], exact[1], temperature)
    tolerance = 2e-6 / min(temperature, 1)
    assert_near(out, wanted, tolerance, "result")
    parts = 2 if weighted else 1
    outer = [torch.randn_like(x) for x in out[:parts]]
    assert_near(
        gradients(out[:parts], outer, mine),
        gradients(wanted[:parts], [o.double() for o in outer], exact),
        10 * tolerance,
        "gradient",
    )


@pytest.mark.parametrize(
    ("shape", "count"), [((2, 7, 6), 3), ((1, 1, 1), 1), ((3, 50, 100), 2), ((1, 70, 130), 5)]
)
@pytest.mark.parametrize("weighted", [True, False])
def test_float32_against_float64(shape: tuple[int, int, int], count: int, weighted: bool) -> None:
    compare(inputs(shape, count), 0.1, weighted)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 30), st.integers(1, 80)),
    count=st.integers(1, 6),
    temperature=st.sampled_from([0.1, 1.0]),
)
def test_any_sizes(shape: tuple[int, int, int], count: int, temperature: float) -> None:
    compare(inputs(shape, count, seed=count), temperature)


def test_many_tiles_per_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "_PROGRAMS", 2)
    monkeypatch.setattr(gate_module, "ROW_ELEMENTS", 64)
    compare(inputs((3, 17, 12), 3), 0.1)


def test_gradient_of_the_weights_alone() -> None:
    score, bias, chooser, *candidates = inputs((2, 5, 4), 3)
    chooser.requires_grad_()
    gate(chooser, candidates, score, bias, 0.5)[1].pow(2).sum().backward()
    exact = chooser.detach().double().requires_grad_()
    wanted = gate_reference(exact, [c.double() for c in candidates], score.double(),
                            bias.double(), 0.5)  # fmt: skip
    wanted[1].pow(2).sum().backward()
    assert chooser.grad is not None
    assert exact.grad is not None
    assert_near([chooser.grad], [exact.grad], 2e-5, "gradient")


def test_scores_far_apart_do_not_overflow() -> None:
    score, bias, chooser, *candidates = inputs((1, 9, 8), 3)
    out, weights = gate(1000 * chooser, candidates, score, bias, 0.1)
    assert out.isfinite().all()
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 9))


def test_nothing_to_choose_from_is_zero_in_padding() -> None:
    score, bias, chooser, *candidates = inputs((1, 6, 8), 3)
    for x in (chooser, *candidates):
        x[:, 4:] = 0
    out, weights = gate(chooser, candidates, score, bias, 0.1)
    assert not out[:, 4:].any()
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 6))


def test_candidates_in_bfloat16() -> None:
    score, bias, chooser, *candidates = inputs((2, 9, 12), 3)
    half = [c.bfloat16() for c in candidates]
    out, weights = gate(chooser, half, score, bias, 0.1)
    wanted = gate_reference(*(x if isinstance(x, list) else x.double() for x in (
        chooser, [c.double() for c in half], score, bias)), 0.1)  # fmt: skip
    assert out.dtype == torch.bfloat16
    assert weights.dtype == torch.float32
    assert_near([out, weights], wanted, 0.01, "result")
