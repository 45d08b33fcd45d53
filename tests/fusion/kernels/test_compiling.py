"""The operators as PyTorch sees them: schema, fake tensors, autograd, ``torch.compile``."""

from collections.abc import Iterator

import pytest
import torch
from kernel_reference import JointCase, gradients, joint_case
from torch import Tensor

from grjca.fusion.kernels.gate import gate, gate_backward
from grjca.fusion.kernels.joint import joint_attention, joint_attention_backward

SEED = torch.tensor([7])


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def case(mixed: bool) -> JointCase:
    made = joint_case((5, 3), 5, (6, 4), mixed=mixed)
    return made.cast(torch.float32, torch.float32)


@pytest.mark.parametrize(("mixed", "dropout"), [(False, 0.6), (True, 0.0)])
def test_joint_attention_keeps_to_its_schema(mixed: bool, dropout: float) -> None:
    c = case(mixed)
    seed = SEED if dropout else None
    arguments = (c.visual, c.audio, c.keys, c.frames, c.scale, seed, dropout, c.weights)
    torch.library.opcheck(joint_attention, arguments, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        kept = joint_attention(*arguments)[2:]
    torch.library.opcheck(joint_attention_backward, detached((*c.outer, *arguments, *kept)))


@pytest.mark.parametrize("weighted", [True, False])
def test_the_gate_keeps_to_its_schema(weighted: bool) -> None:
    torch.manual_seed(0)
    x = [torch.randn(2, 5, 6, requires_grad=True) for _ in range(3)]
    score, bias = torch.randn(3, 6, requires_grad=True), torch.randn(3, requires_grad=True)
    torch.library.opcheck(gate, (x[-1], x, score, bias, 0.5), rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        out, weights = gate(x[-1], x, score, bias, 0.5)
    outer = torch.randn_like(weights) if weighted else None
    arguments = (torch.randn_like(out), outer, x[-1], x, score, bias, weights, 0.5)
    torch.library.opcheck(gate_backward, detached(arguments))


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_compiled_function_of_both_gives_the_same(dynamic: bool) -> None:
    def fuse(visual: Tensor, audio: Tensor, seed: Tensor, *weights: Tensor) -> Tensor:
        out = joint_attention(visual, audio, None, frames, scale, seed, 0.5, list(weights[:10]))
        return gate(out[0], [visual, out[0]], *weights[10:], 0.1)[0]

    torch.manual_seed(0)
    compiled = torch.compile(fuse, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    score = [torch.randn(2, 6, requires_grad=True), torch.randn(2, requires_grad=True)]
    for length in (5, 8):
        c = joint_case((length, 3), length, (6, 4)).cast(torch.float32, torch.float32)
        frames, scale = c.frames, c.scale
        leaves = [c.visual, c.audio, *c.weights, *score]
        outer = torch.randn_like(c.visual)
        results = [f(c.visual, c.audio, SEED, *c.weights, *score) for f in (fuse, compiled)]
        assert torch.equal(*results)
        for a, b in zip(*(gradients([r], [outer], leaves) for r in results), strict=True):
            assert torch.equal(a, b)


def detached(arguments: tuple[object, ...]) -> tuple[object, ...]:
    def one(x: object) -> object:
        if isinstance(x, list):
            return [one(y) for y in x]
        return x.detach() if isinstance(x, Tensor) else x

    return tuple(one(x) for x in arguments)
