"""Joint cross-attention against NumPy, against finite differences, and its invariants."""

from __future__ import annotations

import pytest
import torch
from numpy_reference import attention_states, state_arrays
from torch import Tensor

from grjca.fusion.attention import JointCrossAttention, RecursiveAttention

D_V, D_A, WINDOW = 5, 3, 8


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def recursion(dense: bool, iterations: int = 2, dropout: float = 0.0) -> RecursiveAttention:
    torch.manual_seed(0)
    return RecursiveAttention(D_V, D_A, iterations, WINDOW, dense, dropout).double()


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("iterations", [1, 3])
def test_states_equal_the_numpy_computation(dense: bool, iterations: int) -> None:
    attention = recursion(dense, iterations)
    visual, audio = random(2, WINDOW, D_V, seed=1), random(2, WINDOW, D_A, seed=2)
    lengths = (WINDOW, 5)
    frames = torch.arange(WINDOW) < torch.tensor(lengths)[:, None]
    parameters = {f"a.{k}": v for k, v in state_arrays(attention).items()}
    states = attention(visual, audio, frames)
    for b, n in enumerate(lengths):
        wanted = attention_states(
            parameters, "a", visual[b, :n].numpy(), audio[b, :n].numpy(), iterations, WINDOW
        )
        for ours, theirs in zip(states, wanted, strict=True):
            assert len(ours) == len(theirs) == iterations + 1
            for x, y in zip(ours, theirs, strict=True):
                torch.testing.assert_close(
                    x[b, :n].detach(), torch.from_numpy(y), rtol=1e-11, atol=1e-13
                )
                assert (x[b, n:] == 0).all()


def test_attention_changes_what_it_is_given() -> None:
    attention = recursion(dense=False)
    frames = torch.ones(1, WINDOW, dtype=torch.bool)
    states = attention(random(1, WINDOW, D_V, seed=1), random(1, WINDOW, D_A, seed=2), frames)
    for kept in states:
        assert (kept[1] - kept[0]).abs().max() > 0.01
        assert (kept[2] - kept[1]).abs().max() > 0.01


@pytest.mark.parametrize("times", [2, 7])
def test_a_repeated_clip_gives_its_own_outputs_repeated(times: int) -> None:
    attention = recursion(dense=False)
    visual, audio = random(1, 6, D_V, seed=3), random(1, 6, D_A, seed=4)
    once = attention(visual, audio, torch.ones(1, 6, dtype=torch.bool))
    again = attention(
        visual.repeat(1, times, 1),
        audio.repeat(1, times, 1),
        torch.ones(1, 6 * times, dtype=torch.bool),
    )
    for kept, kept_again in zip(once, again, strict=True):
        for x, y in zip(kept, kept_again, strict=True):
            torch.testing.assert_close(x.repeat(1, times, 1), y, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("dense", [False, True])
def test_what_padding_holds_does_not_matter(dense: bool) -> None:
    attention = recursion(dense)
    frames = torch.arange(WINDOW) < torch.tensor([[6], [3]])
    visual, audio = random(2, WINDOW, D_V, seed=5), random(2, WINDOW, D_A, seed=6)
    clean = attention(visual, audio, frames)
    visual[~frames], audio[~frames] = float("nan"), float("inf")
    dirty = attention(visual, audio, frames)
    for kept, kept_dirty in zip(clean, dirty, strict=True):
        for x, y in zip(kept, kept_dirty, strict=True):
            assert torch.equal(x, y)


def test_padding_may_lie_anywhere_without_a_time_mix() -> None:
    attention = recursion(dense=False)
    visual, audio = random(1, 5, D_V, seed=7), random(1, 5, D_A, seed=8)
    alone = attention(visual, audio, torch.ones(1, 5, dtype=torch.bool))
    place = torch.tensor([1, 2, 5, 8, 9])
    frames = torch.zeros(1, 12, dtype=torch.bool)
    frames[:, place] = True
    wide_visual = random(1, 12, D_V, seed=9).index_copy(1, place, visual)
    wide_audio = random(1, 12, D_A, seed=10).index_copy(1, place, audio)
    for kept, kept_wide in zip(alone, attention(wide_visual, wide_audio, frames), strict=True):
        for x, y in zip(kept, kept_wide, strict=True):
            torch.testing.assert_close(x, y[:, place], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("dense", [False, True])
def test_gradients_agree_with_finite_differences(dense: bool) -> None:
    torch.manual_seed(1)
    layer = JointCrossAttention(3, 2, 4, dense, dropout=0.0).double()
    frames = torch.tensor([[True] * 4, [True, True, True, False]])
    inside = frames[..., None]
    leaves = [
        random(2, 4, 3, seed=11).requires_grad_(),
        random(2, 4, 2, seed=12).requires_grad_(),
        *layer.parameters(),
    ]

    def run(visual: Tensor, audio: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
        outputs: tuple[Tensor, Tensor] = layer(visual * inside, audio * inside, frames)
        return outputs

    assert torch.autograd.gradcheck(run, leaves)
    sum(x.square().sum() for x in run(*leaves)).backward()
    assert all(x.grad is not None and x.grad.abs().max() > 0 for x in leaves)


def test_gradients_stay_finite_when_padding_holds_nan() -> None:
    attention = recursion(dense=False)
    visual, audio = random(2, 10, D_V, seed=13), random(2, 10, D_A, seed=14)
    frames = torch.arange(10) < torch.tensor([[10], [0]])
    visual[~frames], audio[~frames] = float("nan"), float("nan")
    visual.requires_grad_()
    states = attention(visual, audio, frames)
    sum(x.sum() for kept in states for x in kept).backward()
    assert visual.grad is not None
    assert visual.grad.isfinite().all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in attention.parameters())


def test_dense_mix_refuses_another_length_and_names_both() -> None:
    attention = recursion(dense=True)
    frames = torch.ones(1, 11, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"8 frames, got 11"):
        attention(random(1, 11, D_V, seed=1), random(1, 11, D_A, seed=2), frames)


def test_dropout_is_for_training_only() -> None:
    attention = recursion(dense=False, dropout=0.6)
    args = (
        random(1, 9, D_V, seed=1),
        random(1, 9, D_A, seed=2),
        torch.ones(1, 9, dtype=torch.bool),
    )
    assert not torch.equal(attention(*args)[0][-1], attention(*args)[0][-1])
    attention.eval()
    assert torch.equal(attention(*args)[0][-1], attention(*args)[0][-1])
    assert torch.equal(attention(*args)[0][-1], recursion(dense=False)(*args)[0][-1])
