"""Batch normalisation over real frames, and encoders that padding does not reach."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from grjca.fusion.masked import MaskedBatchNorm1d, zero_padding
from grjca.fusion.temporal import FrameProjection, TemporalConvolution, build_encoder

LENGTHS = (9, 4, 1)


def some_frames(total: int = 12) -> Tensor:
    return torch.arange(total) < torch.tensor(LENGTHS)[:, None]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_zero_padding_removes_nan_and_blocks_its_gradient() -> None:
    x = random(3, 12, 2)
    x[~some_frames()] = float("nan")
    x.requires_grad_()
    out = zero_padding(x, some_frames())
    assert (out[~some_frames()] == 0).all()
    out.square().sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad[~some_frames()], torch.zeros(36 - sum(LENGTHS), 2).double())
    torch.testing.assert_close(x.grad[some_frames()], 2 * x.detach()[some_frames()])


def test_batch_norm_equals_torch_on_the_real_frames_alone() -> None:
    frames = some_frames()
    ours, theirs = MaskedBatchNorm1d(5).double(), nn.BatchNorm1d(5).double()
    for seed in range(3):
        x = random(3, 12, 5, seed=seed) * 3 + 1
        x[~frames] = float("inf")
        with torch.no_grad():
            for norm in (ours, theirs):
                norm.weight.copy_(random(5, seed=10))
                norm.bias.copy_(random(5, seed=11))
        leaf, packed = x.clone().requires_grad_(), x[frames].clone().requires_grad_()
        out, wanted = ours(leaf, frames), theirs(packed)
        torch.testing.assert_close(out[frames], wanted, rtol=1e-12, atol=1e-12)
        assert (out[~frames] == 0).all()
        weight = random(sum(LENGTHS), 5, seed=20)
        ours.zero_grad()
        theirs.zero_grad()
        (out[frames] * weight).sum().backward()
        (wanted * weight).sum().backward()
        assert leaf.grad is not None
        assert packed.grad is not None
        torch.testing.assert_close(leaf.grad[frames], packed.grad, rtol=1e-10, atol=1e-12)
        assert (leaf.grad[~frames] == 0).all()
        for name in ("weight", "bias"):
            torch.testing.assert_close(getattr(ours, name).grad, getattr(theirs, name).grad)
    for name, value in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(ours.eval()(x, frames)[frames], theirs.eval()(x[frames]))


def test_batch_norm_in_evaluation_keeps_nan_out_of_the_gradients() -> None:
    norm = MaskedBatchNorm1d(5).double().eval()
    x = random(3, 12, 5)
    x[~some_frames()] = float("nan")
    norm(x, some_frames()).sum().backward()
    assert norm.weight.grad is not None
    assert norm.weight.grad.isfinite().all()


@pytest.mark.parametrize("real", [0, 1])
def test_batch_norm_of_fewer_than_two_frames_uses_and_keeps_the_running_statistics(
    real: int,
) -> None:
    norm = MaskedBatchNorm1d(4).double()
    norm(random(2, 6, 4) * 2 + 3, torch.ones(2, 6, dtype=torch.bool))
    before = {k: v.clone() for k, v in norm.state_dict().items()}
    x = random(1, 6, 4, seed=1).requires_grad_()
    frames = torch.arange(6)[None] < real
    out = norm(x, frames)
    for name, value in norm.state_dict().items():
        assert torch.equal(value, before[name])
    torch.testing.assert_close(out, norm.eval()(x, frames))
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("temporal", ["tcn", "none"])
def test_encoder_ignores_padding_before_and_after_a_clip(temporal: str) -> None:
    encoder = build_encoder(temporal, 3, (4, 4, 5), kernel=3, dropout=0.1).double().eval()
    clip = random(1, 10, 3)
    alone = encoder(clip, torch.ones(1, 10, dtype=torch.bool))
    padded = torch.full((1, 25, 3), float("nan"), dtype=torch.float64)
    padded[:, 6:16] = clip
    frames = torch.zeros(1, 25, dtype=torch.bool)
    frames[:, 6:16] = True
    out = encoder(padded, frames)
    torch.testing.assert_close(out[:, 6:16], alone, rtol=1e-12, atol=1e-13)
    assert (out[~frames] == 0).all()


def test_encoder_sees_the_past_it_should_and_nothing_of_the_future() -> None:
    encoder = TemporalConvolution(2, (3, 3, 3), kernel=3, dropout=0.0).double().eval()
    assert encoder.reach == 2 * 2 * (1 + 2 + 4)
    total, changed = 80, 20
    frames = torch.ones(1, total, dtype=torch.bool)
    x = random(1, total, 2)
    other = x.clone()
    other[:, changed] += 1.0
    differs = (encoder(x, frames) != encoder(other, frames)).any(-1)[0].nonzero().flatten()
    assert differs.min() == changed
    assert differs.max() <= changed + encoder.reach
    assert differs.max() > changed + encoder.reach // 2


def test_encoder_drops_in_training_only() -> None:
    encoder = TemporalConvolution(2, (3,), kernel=3, dropout=0.5).double()
    x, frames = random(1, 20, 2), torch.ones(1, 20, dtype=torch.bool)
    assert not torch.equal(encoder(x, frames), encoder(x, frames))
    encoder.eval()
    assert torch.equal(encoder(x, frames), encoder(x, frames))


def test_projection_works_frame_by_frame() -> None:
    encoder = FrameProjection(3, 4).double()
    x = random(3, 12, 3)
    out = encoder(x, some_frames())
    expected = x @ encoder.linear.weight.T + encoder.linear.bias
    torch.testing.assert_close(out[some_frames()], expected[some_frames()])


def test_unknown_encoder_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="lstm"):
        build_encoder("lstm", 3, (4,), 3, 0.0)
