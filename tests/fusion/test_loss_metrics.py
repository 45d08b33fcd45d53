"""CCC as a metric and as a loss, where it is defined and where it is not."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy_reference import ccc_formula
from torch import Tensor
from torchmetrics.functional import concordance_corrcoef

from grjca.fusion.loss import ccc_loss
from grjca.fusion.metrics import ccc, pearson, rmse

Over = Literal["window", "batch"]
LEVELS = st.integers(-1000, 1000).map(lambda n: n / 1000)


@st.composite
def traces(draw: Any) -> tuple[Any, Any]:
    n = draw(st.integers(2, 40))
    pair = draw(
        st.tuples(arrays(np.float64, n, elements=LEVELS), arrays(np.float64, n, elements=LEVELS))
    )
    assume(any(x.min() < x.max() for x in pair))
    return pair


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)
@given(traces())
def test_ccc_is_bounded_symmetric_and_lins_formula(pair: tuple[Any, Any]) -> None:
    x, y = pair
    value = ccc(x, y)
    assert abs(value) <= 1 + 1e-12
    assert value == ccc(y, x)
    assert value == pytest.approx(ccc_formula(x, y), abs=1e-12)


@settings(deadline=None)
@given(traces(), st.integers(0, 2**32 - 1))
def test_order_and_uncounted_frames_do_not_matter(pair: tuple[Any, Any], seed: int) -> None:
    x, y = pair
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    mask = np.concatenate([np.ones(len(x), bool), np.zeros(5, bool)])
    shuffled = rng.permutation(len(mask))
    holes = np.full(5, np.nan)
    for metric in (ccc, pearson, rmse):
        value = metric(x, y)
        assert metric(x[order], y[order]) == pytest.approx(value, abs=1e-9, nan_ok=True)
        wide_x, wide_y = np.concatenate([x, holes])[shuffled], np.concatenate([y, holes])[shuffled]
        masked = metric(wide_x, wide_y, mask[shuffled])
        assert masked == pytest.approx(value, abs=1e-9, nan_ok=True)


@settings(deadline=None)
@given(traces())
def test_a_trace_agrees_with_itself(pair: tuple[Any, Any]) -> None:
    x = pair[0]
    assume(x.min() < x.max())
    assert ccc(x, x) == pytest.approx(1)
    assert ccc(x, -x + 2 * x.mean()) == pytest.approx(-1)
    assert pearson(x, 3 * x + 1) == pytest.approx(1)
    assert rmse(x, x + 0.5) == pytest.approx(0.5)


def test_metrics_agree_with_hand_and_numpy() -> None:
    x, y = np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([[0.0, 2.0], [4.0, 6.0]])
    # cov 2.5, variances 1.25 and 5, means 1.5 and 3.
    assert ccc(x, y) == pytest.approx(2 * 2.5 / (1.25 + 5 + 2.25))
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=100), rng.normal(size=100)
    assert pearson(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 300), st.integers(0, 2**32 - 1))
def test_ccc_agrees_with_torchmetrics(frames: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=frames), rng.normal(0.5, 1, size=frames)
    theirs = float(concordance_corrcoef(torch.from_numpy(a), torch.from_numpy(b)))
    # Theirs divides variances and covariance by n - 1, ours by n.
    spread, gap = np.var(a) + np.var(b), (a.mean() - b.mean()) ** 2
    ours_in_theirs = ccc(a, b) * (spread + gap) / (spread + gap * (frames - 1) / frames)
    assert ours_in_theirs == pytest.approx(theirs, abs=1e-9)


def test_what_is_undefined_is_nan() -> None:
    for metric in (ccc, pearson, rmse):
        assert math.isnan(metric([], []))
        assert math.isnan(metric([0.3], [0.4]))
        assert math.isnan(metric([0.3, 0.4], [0.3, 0.5], np.array([True, False])))
        assert math.isnan(metric([0.3, math.nan], [0.4, 0.5]))
    constant, other = np.full(7, 0.1), np.linspace(0, 1, 7)
    assert math.isnan(ccc(constant, constant))
    assert math.isnan(pearson(constant, other))
    assert ccc(constant, other) == 0
    assert ccc(constant, constant + 0.3) == 0


@pytest.mark.parametrize("mask", [np.ones(3, bool), np.ones(2)])
def test_metrics_refuse_what_does_not_fit(mask: Any) -> None:
    with pytest.raises(ValueError, match="mask"):
        ccc([0.0, 1.0], [0.0, 1.0], mask)
    with pytest.raises(ValueError, match="shapes"):
        rmse([0.0, 1.0], [0.0, 1.0, 2.0])


@settings(deadline=None)
@given(traces())
def test_loss_is_one_minus_the_metric(pair: tuple[Any, Any]) -> None:
    x, y = pair
    assume(y.std() > 2e-3)
    shaped = [torch.from_numpy(v).reshape(1, -1, 1) for v in (x, y)]
    mask = torch.ones(1, len(x), 1, dtype=torch.bool)
    for over in ("window", "batch"):
        assert ccc_loss(*shaped, mask, over).item() == pytest.approx(1 - ccc(x, y), abs=1e-9)


def test_loss_over_batch_and_over_windows() -> None:
    x, y = random(3, 9, 2, seed=1), random(3, 9, 2, seed=2)
    mask = torch.rand(3, 9, 2, generator=torch.Generator().manual_seed(3)) < 0.7
    target = y.masked_fill(~mask, float("nan"))
    over_batch = [ccc(x[..., k], y[..., k], mask[..., k].numpy()) for k in range(2)]
    over_windows = [
        np.mean([ccc(x[b, :, k], y[b, :, k], mask[b, :, k].numpy()) for b in range(3)])
        for k in range(2)
    ]
    assert ccc_loss(x, target, mask).item() == pytest.approx(1 - np.mean(over_batch))
    assert ccc_loss(x, target, mask, "window").item() == pytest.approx(1 - np.mean(over_windows))


@pytest.mark.parametrize("over", ["window", "batch"])
def test_unlabelled_outputs_and_windows_are_left_out(over: Over) -> None:
    x, y = random(2, 9, 2, seed=1), random(2, 9, 2, seed=2)
    mask = torch.ones(2, 9, 2, dtype=torch.bool)
    mask[..., 1] = False
    mask[1] = False
    y[~mask] = float("nan")
    x.requires_grad_()
    loss = ccc_loss(x, y, mask, over)
    assert loss.item() == pytest.approx(1 - ccc(x.detach()[0, :, 0], y[0, :, 0]))
    loss.backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert (x.grad[~mask] == 0).all()


@pytest.mark.parametrize("over", ["window", "batch"])
def test_nothing_labelled_is_zero_with_a_gradient_of_zero(over: Over) -> None:
    x = random(2, 5, 2, seed=1).requires_grad_()
    nothing = torch.zeros(2, 5, 2, dtype=torch.bool)
    loss = ccc_loss(x, torch.full((2, 5, 2), float("nan")).double(), nothing, over)
    assert loss.item() == 0
    loss.backward()
    assert x.grad is not None
    assert torch.equal(x.grad, torch.zeros_like(x))


@pytest.mark.parametrize("over", ["window", "batch"])
@pytest.mark.parametrize("frames", [1, 6])
def test_constant_labels_still_pull_the_prediction_to_them(over: Over, frames: int) -> None:
    mask = torch.zeros(1, 8, 1, dtype=torch.bool)
    mask[:, :frames] = True
    target = torch.full((1, 8, 1), 0.3, dtype=torch.float64)
    x = random(1, 8, 1, seed=1).requires_grad_()
    loss = ccc_loss(x, target, mask, over)
    assert loss.item() == pytest.approx((x.detach() - 0.3)[mask].square().mean().item())
    loss.backward()
    assert x.grad is not None
    assert ((x.grad * (x.detach() - 0.3))[mask] > 0).all()
    perfect = target.clone().requires_grad_()
    loss = ccc_loss(perfect, target, mask, over)
    loss.backward()
    assert loss.item() == 0
    assert perfect.grad is not None
    assert torch.equal(perfect.grad, torch.zeros_like(perfect))


@pytest.mark.parametrize("over", ["window", "batch"])
def test_gradient_of_the_loss_agrees_with_finite_differences(over: Over) -> None:
    target = random(3, 5, 2, seed=2)
    target[1] = 0.2
    mask = torch.rand(3, 5, 2, generator=torch.Generator().manual_seed(4)) < 0.8
    x = random(3, 5, 2, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: ccc_loss(p, target, mask, over), x)


def test_loss_refuses_what_does_not_fit() -> None:
    x, mask = torch.zeros(2, 3, 1), torch.ones(2, 3, 1, dtype=torch.bool)
    with pytest.raises(ValueError, match="alike"):
        ccc_loss(x, x[:, :2], mask)
    with pytest.raises(ValueError, match="bool"):
        ccc_loss(x, x, mask.float())
    with pytest.raises(ValueError, match="clip"):
        ccc_loss(x, x, mask, "clip")  # type: ignore[arg-type]
