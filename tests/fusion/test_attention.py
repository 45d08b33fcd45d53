"""Joint cross-attention against NumPy, against finite differences, and its invariants."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch
from numpy_reference import attention_states, cross_attention, state_arrays
from torch import Tensor

from grjca.fusion.attention import (
    CrossAttention,
    JointCrossAttention,
    RecursiveAttention,
    starting_states,
)

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


@pytest.mark.parametrize("length", [1, 2, 37, 300])
def test_joint_attention_without_a_mix_equals_sums_written_out_at_any_length(length: int) -> None:
    torch.manual_seed(0)
    layer = JointCrossAttention(3, 2, WINDOW, dense=False, dropout=0.0).double()
    frames = torch.ones(1, length, dtype=torch.bool)
    v, a = starting_states(random(1, length, 3, seed=1), random(1, length, 2, seed=2), frames)
    ours = layer(v, a, frames)
    p = state_arrays(layer)
    joint = torch.cat((v, a), -1)[0].numpy()
    for m, (name, x) in enumerate((("visual", v[0].numpy()), ("audio", a[0].numpy()))):
        wide = x.shape[1]
        correlation = [[0.0] * 5 for _ in range(wide)]
        for i in range(wide):
            for j in range(5):
                total = 0.0
                for t in range(length):
                    query = sum(joint[t][k] * p["query.weight"][j][k] for k in range(5))
                    total += x[t][i] * (query + p["query.bias"][j])
                correlation[i][j] = math.tanh(total / math.sqrt(5) * WINDOW / length)
        for t in {0, length // 2, length - 1}:
            value = p[f"value_{name}.weight"] @ x[t] + p[f"value_{name}.bias"]
            attended = [
                max(0.0, math.tanh(sum(value[i] * correlation[i][j] for i in range(wide))))
                for j in range(5)
            ]
            projected = p[f"project_{name}.weight"] @ attended + p[f"project_{name}.bias"]
            for i in range(wide):
                wanted = x[t][i] + max(0.0, projected[i])
                assert abs(ours[m][0, t, i].item() - wanted) < 1e-12


def crossing(dropout: float = 0.0, temperature: float = 0.1) -> CrossAttention:
    torch.manual_seed(0)
    return CrossAttention(D_V, D_A, temperature, dropout).double()


def crossed(layer: CrossAttention, v: Tensor, a: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
    out: tuple[Tensor, Tensor] = layer(*starting_states(v, a, frames), frames)
    return out


@pytest.mark.parametrize("temperature", [0.01, 0.1, 1.0])
def test_cross_attention_equals_the_numpy_computation(temperature: float) -> None:
    layer = crossing(temperature=temperature)
    visual, audio = random(2, WINDOW, D_V, seed=1), random(2, WINDOW, D_A, seed=2)
    frames = torch.arange(WINDOW) < torch.tensor([[WINDOW], [5]])
    parameters = {f"a.{k}": v for k, v in state_arrays(layer).items()}
    out = crossed(layer, visual, audio, frames)
    for b, n in enumerate((WINDOW, 5)):
        wanted = cross_attention(
            parameters, "a", visual[b, :n].numpy(), audio[b, :n].numpy(), temperature
        )
        for x, y in zip(out, wanted, strict=True):
            torch.testing.assert_close(
                x[b, :n].detach(), torch.from_numpy(y), rtol=1e-11, atol=1e-13
            )
            assert (x[b, n:] == 0).all()


@pytest.mark.parametrize("times", [2, 7])
def test_cross_attention_of_a_repeated_clip_is_its_own_repeated(times: int) -> None:
    visual, audio = random(1, 6, D_V, seed=3), random(1, 6, D_A, seed=4)
    once = crossed(crossing(), visual, audio, torch.ones(1, 6, dtype=torch.bool))
    frames = torch.ones(1, 6 * times, dtype=torch.bool)
    again = crossed(crossing(), visual.repeat(1, times, 1), audio.repeat(1, times, 1), frames)
    for x, y in zip(once, again, strict=True):
        torch.testing.assert_close(x.repeat(1, times, 1), y, rtol=1e-11, atol=1e-13)


def test_cross_attention_sees_no_padding_wherever_it_lies() -> None:
    visual, audio = random(1, 5, D_V, seed=7), random(1, 5, D_A, seed=8)
    alone = crossed(crossing(), visual, audio, torch.ones(1, 5, dtype=torch.bool))
    place = torch.tensor([1, 2, 5, 8, 9])
    frames = torch.zeros(2, 12, dtype=torch.bool)
    frames[0, place] = True
    wide_visual = torch.full((2, 12, D_V), float("nan"), dtype=torch.float64)
    wide_audio = torch.full((2, 12, D_A), float("inf"), dtype=torch.float64)
    wide_visual[0, place], wide_audio[0, place] = visual[0], audio[0]
    wide_visual.requires_grad_()
    wide = crossed(crossing(), wide_visual, wide_audio, frames)
    for x, y in zip(alone, wide, strict=True):
        torch.testing.assert_close(x[0], y[0, place], rtol=1e-11, atol=1e-13)
        assert (y[~frames] == 0).all()
    sum(x.sum() for x in wide).backward()
    assert wide_visual.grad is not None
    assert wide_visual.grad.isfinite().all()


def test_gradients_of_cross_attention_agree_with_finite_differences() -> None:
    layer = crossing(temperature=0.5)
    frames = torch.tensor([[True] * 4, [True, True, True, False], [False] * 4])
    leaves = [
        random(3, 4, D_V, seed=11).requires_grad_(),
        random(3, 4, D_A, seed=12).requires_grad_(),
        *layer.parameters(),
    ]

    def run(visual: Tensor, audio: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
        return crossed(layer, visual, audio, frames)

    assert torch.autograd.gradcheck(run, leaves)
    sum(x.square().sum() for x in run(*leaves)).backward()
    assert all(x.grad is not None and x.grad.abs().max() > 0 for x in leaves)


def test_cross_attention_drops_in_training_only() -> None:
    frames = torch.ones(1, WINDOW, dtype=torch.bool)
    args = random(1, WINDOW, D_V, seed=1), random(1, WINDOW, D_A, seed=2), frames
    layer = crossing(dropout=0.6)
    assert not torch.equal(crossed(layer, *args)[0], crossed(layer, *args)[0])
    layer.eval()
    assert torch.equal(crossed(layer, *args)[0], crossed(crossing(), *args)[0])


def test_memory_of_cross_attention_does_not_grow_with_the_square_of_the_length() -> None:
    """A matrix of 20,000 x 20,000 weights alone would take 1.6 GB."""
    source = """
import resource, torch
from grjca.fusion.attention import CrossAttention
torch.set_num_threads(1)
layer = CrossAttention(8, 8, 0.1, 0.0).eval()
def run(n):
    with torch.inference_mode():
        layer(torch.randn(1, n, 8), torch.randn(1, n, 8), torch.ones(1, n, dtype=torch.bool))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = run(100)
print((run(20_000) - before) / 1024)
"""
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True, timeout=120
    )
    assert float(done.stdout) < 100
