"""Backward passes written by hand against autograd's, and against a second transcription."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from benchmarks.reference import PlainFusion
from grjca.fusion import attention, gates
from grjca.fusion.by_hand import by_hand, keep_mask
from grjca.fusion.config import FusionConfig
from grjca.fusion.fusions import Fusion, build_fusion

WIDTHS, LENGTH = (6, 4), 9


def fusion(dropout: float = 0.0, dtype: torch.dtype = torch.float64, **changes: object) -> Fusion:
    torch.manual_seed(0)
    settings = FusionConfig(
        1, 1, visual_channels=WIDTHS[:1], audio_channels=WIDTHS[1:], window=LENGTH,
        attention_dropout=dropout, **changes,  # type: ignore[arg-type]
    )  # fmt: skip
    made = build_fusion(settings).to(dtype)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.5)
    return made


def inputs(batch: int = 3, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    torch.manual_seed(1)
    return [torch.randn(batch, LENGTH, width, dtype=dtype) for width in WIDTHS]


def gradients(
    model: nn.Module, run: Callable[..., Tensor], given: list[Tensor]
) -> dict[str, Tensor]:
    leaves = [x.clone().requires_grad_() for x in given]
    model.zero_grad()
    out = run(*leaves)
    waves = torch.arange(out.numel(), dtype=out.dtype).sin().view(out.shape)
    (out * waves).sum().backward()
    found = {name: p.grad for name, p in model.named_parameters()}
    found |= {"visual": leaves[0].grad, "audio": leaves[1].grad}
    return {"out": out.detach()} | {k: g.clone() for k, g in found.items() if g is not None}


@pytest.mark.parametrize("kind", ["ca", "jca", "grjca", "hgrjca"])
@pytest.mark.parametrize("mix", ["none", "dense"])
@pytest.mark.parametrize("lengths", [(9, 9, 9), (9, 5, 0)])
def test_passes_by_hand_equal_autograd(
    kind: str, mix: str, lengths: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, given = fusion(fusion=kind, time_mix=mix), inputs()
    frames = torch.arange(LENGTH) < torch.tensor(lengths)[:, None]
    for x in given:
        x[~frames] = float("nan")

    def run(*leaves: Tensor) -> Tensor:
        out: Tensor = made(*leaves, frames)[0]
        return out

    ours = gradients(made, run, given)
    for module in (attention, gates):
        monkeypatch.setattr(module, "by_hand", lambda _: False)
    theirs = gradients(made, run, given)
    assert ours.keys() == theirs.keys()
    for name, wanted in theirs.items():
        torch.testing.assert_close(ours[name], wanted, rtol=1e-10, atol=1e-12, msg=name)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_two_transcriptions_of_the_paper_agree(dense: bool, dtype: torch.dtype) -> None:
    made = fusion(dtype=dtype, time_mix="dense" if dense else "none")
    plain = PlainFusion(*WIDTHS, LENGTH, dense=dense, dropout=0.0).to(dtype)
    plain.load_state_dict(made.state_dict())
    frames = torch.ones(3, LENGTH, dtype=torch.bool)
    given = inputs(dtype=dtype)
    ours = gradients(made, lambda *x: made(*x, frames)[0], given)
    theirs = gradients(plain, plain, given)
    assert ours.keys() == theirs.keys()
    limit = 1e-4 if dtype == torch.float32 else 1e-11
    for name, wanted in theirs.items():
        assert (ours[name] - wanted).norm() <= limit * wanted.norm(), name
        assert wanted.any(), name


def test_dropout_is_the_share_it_says_and_follows_the_seed() -> None:
    shape = torch.Size((301, 1003))
    torch.manual_seed(3)
    kept, factor = keep_mask(shape, 0.6, torch.float32)
    assert set(kept.unique().tolist()) == {0.0, 1.0}
    assert abs(kept.mean().item() - 0.4) < 5 * (0.24 / kept.numel()) ** 0.5
    assert factor == pytest.approx(1 / 0.4, rel=1e-4)
    other, _ = keep_mask(shape, 0.6, torch.float32)
    # Drawn anew, and neighbours, which share a draw, know nothing of each other.
    pairs = [(kept, other), *((kept[:, :-n], kept[:, n:]) for n in (1, 2, 3, 4))]
    for x, y in pairs:
        both = torch.corrcoef(torch.stack((x.flatten(), y.flatten())))[0, 1].item()
        assert abs(both) < 0.01
    torch.manual_seed(3)
    assert torch.equal(keep_mask(shape, 0.6, torch.float32)[0], kept)


@pytest.mark.parametrize("dropout", [1e-9, 0.999999999])
def test_dropout_at_its_ends_stays_finite(dropout: float) -> None:
    kept, factor = keep_mask(torch.Size((50,)), dropout, torch.float64)
    assert kept.mean() in (0.0, 1.0)
    assert 1 <= factor <= 2**16


def test_dropout_keeps_the_mean_and_its_gradient_is_that_of_its_own_draw() -> None:
    made, given = fusion(dropout=0.5), inputs()
    frames = torch.ones(3, LENGTH, dtype=torch.bool)
    frames[1, 6:] = False

    def run(*leaves: Tensor) -> Tensor:
        torch.manual_seed(7)
        out: Tensor = made(*(x * frames[..., None] for x in leaves), frames)[0]
        return out

    leaves = [x.requires_grad_() for x in given]
    assert torch.autograd.gradcheck(run, leaves, fast_mode=True)
    parameters = list(made.parameters())
    assert torch.autograd.gradcheck(lambda *_: run(*given), parameters, fast_mode=True)


def test_a_layer_by_hand_drops_as_much_as_one_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = attention.JointCrossAttention(*WIDTHS, LENGTH, dense=False, dropout=0.4).double()
    given, frames = inputs(), torch.ones(3, LENGTH, dtype=torch.bool)

    def mean() -> Tensor:
        torch.manual_seed(0)
        draws = [torch.cat(layer(*given, frames), -1) for _ in range(1500)]
        return torch.stack(draws).mean(0).detach()

    ours = mean()
    monkeypatch.setattr(attention, "by_hand", lambda _: False)
    theirs = mean()
    start = torch.cat(given, -1)
    added, wanted = ours - start, theirs - start
    assert (added - wanted).norm() < 0.1 * wanted.norm()
    assert wanted.norm() > 1


def test_mixed_precision_and_compilation_keep_to_torch() -> None:
    x = torch.zeros(1)
    assert by_hand(x)
    assert not by_hand(x.half())
    with torch.autocast("cpu", torch.bfloat16):
        assert not by_hand(x)
    seen = []

    def backend(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        seen.append({str(node.target) for node in graph.graph.nodes})
        return graph.forward

    made, frames = fusion(), torch.ones(3, LENGTH, dtype=torch.bool)
    torch.compile(made, backend=backend, fullgraph=True)(*inputs(), frames)
    names = set(itertools.chain.from_iterable(seen))
    assert any("tanh" in name for name in names)
    assert not any("autograd_function" in name for name in names)
    torch.compiler.reset()
