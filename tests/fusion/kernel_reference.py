"""What the kernels must equal: the equations in float64, clip by clip, with autograd's gradients.

Nothing of ``grjca.fusion`` is used. Masks of dropout are given, so that kernels which draw can be
held against it too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

WINDOW = 20


@dataclass
class JointCase:
    """Inputs of one iteration.

    Attributes:
        visual: (B, T, d_v), 0 in padding.
        audio: (B, T, d_a), 0 in padding.
        keys: (B, T, d), 0 in padding, or None.
        frames: (B, T) bool.
        weights: Ten, in the order of the operator.
        outer: Gradients of the two results.
    """

    visual: Tensor
    audio: Tensor
    keys: Tensor | None
    frames: Tensor
    weights: list[Tensor]
    outer: tuple[Tensor, Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.outer = torch.randn_like(self.visual), torch.randn_like(self.audio)

    @property
    def scale(self) -> Tensor:
        """(B,) float32, as the layer has it."""
        width = self.visual.shape[-1] + self.audio.shape[-1]
        real = self.frames.sum(1).clamp(min=1).float()
        return WINDOW / (math.sqrt(width) * real)

    def leaves(self) -> list[Tensor]:
        """All that gradients are wanted of."""
        keys = [] if self.keys is None else [self.keys]
        return [self.visual, self.audio, *self.weights, *keys]

    def cast(self, features: torch.dtype, weights: torch.dtype) -> JointCase:
        """The same numbers in other dtypes, as leaves of a graph of their own."""

        def leaf(x: Tensor, dtype: torch.dtype) -> Tensor:
            return x.detach().to(dtype, copy=True).requires_grad_()

        other = JointCase(
            leaf(self.visual, features), leaf(self.audio, features),
            None if self.keys is None else leaf(self.keys, features),
            self.frames, [leaf(w, weights) for w in self.weights],
        )  # fmt: skip
        other.outer = self.outer[0].to(features), self.outer[1].to(features)
        return other


def joint_case(
    lengths: Sequence[int],
    total: int,
    widths: tuple[int, int],
    *,
    mixed: bool = False,
    seed: int = 0,
    device: str = "cpu",
) -> JointCase:
    """Random inputs: clips of so many real frames in windows of ``total``, padding behind."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    batch, joint = len(lengths), sum(widths)
    frames = torch.arange(total) < torch.tensor(list(lengths))[:, None]

    def rows(width: int) -> Tensor:
        x = torch.randn(batch, total, width, generator=generator)
        x = x / x.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        return (x * frames[..., None]).to(device)

    shapes = [(joint, joint), *((w, w) for w in widths), *((w, joint) for w in widths)]
    weights = []
    for out, into in shapes:
        weights.append(torch.randn(out, into, generator=generator) * math.sqrt(2 / (out + into)))
        weights.append(torch.randn(out, generator=generator) * 0.1)
    keys = rows(joint) if mixed else None
    return JointCase(
        rows(widths[0]), rows(widths[1]), keys, frames.to(device), [w.to(device) for w in weights]
    )


def joint_reference(
    case: JointCase, dropout: float = 0.0, kept: Sequence[Tensor] = ()
) -> tuple[Tensor, Tensor]:
    """The modalities after the iteration, in the case's dtype; loops over clips.

    Args:
        case: Inputs.
        dropout: Share dropped.
        kept: What it kept, bool: of C (B, d, d), and of what is added to either modality.
    """
    factor = 1 / (1 - dropout)
    outs: tuple[list[Tensor], list[Tensor]] = ([], [])
    first = case.visual.shape[-1]
    q_weight, q_bias, *others = case.weights
    for b, frames in enumerate(case.frames):
        real = frames.nonzero()[:, 0]
        joint = torch.cat((case.visual[b, real], case.audio[b, real]), -1)
        keys = joint if case.keys is None else case.keys[b, real]
        product = keys.T @ (joint @ q_weight.T + q_bias)
        correlation = torch.tanh(product * case.scale[b].to(product.dtype))
        if kept:
            correlation = correlation * kept[0][b] * factor
        for m, x in enumerate((case.visual, case.audio)):
            own = slice(0, first) if m == 0 else slice(first, None)
            value = x[b, real] @ others[2 * m].T + others[2 * m + 1]
            attended = torch.relu(torch.tanh(value @ correlation[own]))
            added = torch.relu(attended @ others[4 + 2 * m].T + others[5 + 2 * m])
            if kept:
                added = added * kept[1 + m][b, real] * factor
            outs[m].append(torch.zeros_like(x[b]).index_copy(0, real, x[b, real] + added))
    return torch.stack(outs[0]), torch.stack(outs[1])


def gate_reference(
    chooser: Tensor, candidates: Sequence[Tensor], score: Tensor, bias: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """The gated features and the weights."""
    e = ((chooser @ score.T + bias) / temperature).exp()
    weights = e / e.sum(-1, keepdim=True)
    stacked = torch.stack(list(candidates), dim=-2)
    return torch.relu((weights[..., None] * stacked).sum(-2)), weights


def gradients(
    results: Sequence[Tensor], outer: Sequence[Tensor], leaves: Sequence[Tensor]
) -> list[Tensor]:
    """Gradients of sum_i results_i . outer_i; 0 where nothing depends on a leaf."""
    total = sum((r * o).sum() for r, o in zip(results, outer, strict=True))
    assert isinstance(total, Tensor)
    found = torch.autograd.grad(total, list(leaves), allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, leaves, strict=True)]


def assert_near(
    got: Sequence[Tensor], wanted: Sequence[Tensor], tolerance: float, what: str
) -> None:
    """Each within ``tolerance`` times the largest number of what is wanted."""
    assert len(got) == len(wanted)
    for number, (g, w) in enumerate(
        (g.detach(), w.detach()) for g, w in zip(got, wanted, strict=True)
    ):
        assert g.shape == w.shape
        size = max(float(w.abs().max()), 1e-3) if w.numel() else 1.0
        apart = float((g.double() - w.double()).abs().max()) if w.numel() else 0.0
        assert apart <= tolerance * size, f"{what} {number}: {apart:.3g} apart, size {size:.3g}"


def assert_near_in_norm(
    got: Sequence[Tensor], wanted: Sequence[Tensor], tolerance: float, what: str
) -> None:
    """|g - w| <= tolerance |w|, Euclidean.

    Where a ReLU's input is 0 but for rounding, a single gradient may come or go.
    """
    assert len(got) == len(wanted)
    for number, (g, w) in enumerate(zip(got, wanted, strict=True)):
        assert g.shape == w.shape
        size = max(float(w.detach().norm()), 1e-3)
        apart = float((g.detach().double() - w.detach()).norm())
        assert apart <= tolerance * size, f"{what} {number}: {apart:.3g} apart, size {size:.3g}"
