"""The fusion's forward and backward pass against a plain transcription of the paper."""

from __future__ import annotations

import statistics
import time as clock
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.figures import Cell, Figures
from benchmarks.reference import PlainFusion
from grjca.fusion.config import TIME_MIXES, FusionConfig
from grjca.fusion.fusions import Fusion, build_fusion

NAME = "fusion"

TIMES_FASTER = 1.5
ERROR = 1e-4

_KINDS = {
    "matrix products": ("aten::mm", "aten::bmm", "aten::addmm", "aten::addmm_", "aten::baddbmm_"),
    "random numbers": ("aten::bernoulli_", "aten::random_", "aten::native_dropout"),
    "tanh": ("aten::tanh", "aten::tanh_", "aten::tanh_backward"),
}


@dataclass(frozen=True)
class Size:
    """What is timed.

    Attributes:
        batch: B, windows.
        frames: T, frames of each, all real.
        visual: d_v.
        audio: d_a.
        iterations: L.
        dropout: Of attention, in training.
        square: Side of the matrices whose product gives the machine's rate.
    """

    batch: int = 12
    frames: int = 300
    visual: int = 256
    audio: int = 128
    iterations: int = 2
    dropout: float = 0.6
    square: int = 1536

    def products(self, mix: str) -> float:
        """Floating-point operations of the matrix products of a forward and a backward pass.

        Each product is done once forward and twice backward. Per row and iteration, with
        d = d_v + d_a:
        query and correlations d^2 each, values d_v^2 + d_a^2, attending and projecting d^2 each,
        and T d for keys that are mixed along time.
        """
        d = self.visual + self.audio
        per_row = 4 * d**2 + self.visual**2 + self.audio**2
        per_row += self.frames * d if mix == "dense" else 0
        return 3 * 2.0 * self.batch * self.frames * self.iterations * per_row


@dataclass(frozen=True)
class _Side:
    """One of the two that are compared: a module and how it is called."""

    module: nn.Module
    run: Callable[[Tensor, Tensor], Tensor]


class _Pair:
    """Both, with the same weights, inputs and gradient that comes in."""

    def __init__(self, size: Size, mix: str) -> None:
        torch.manual_seed(0)
        config = FusionConfig(
            1, 1, visual_channels=(size.visual,), audio_channels=(size.audio,),
            iterations=size.iterations, time_mix=mix, window=size.frames,
            attention_dropout=size.dropout,
        )  # fmt: skip
        ours: Fusion = build_fusion(config)
        plain = PlainFusion(
            size.visual, size.audio, size.frames, size.iterations, mix == "dense", size.dropout,
            config.temperature,
        )  # fmt: skip
        with torch.no_grad():
            for parameter in ours.parameters():
                if parameter.ndim == 2:
                    nn.init.xavier_uniform_(parameter)
                else:
                    # Zeros, as training starts, would hide a bias that is used wrongly.
                    parameter.normal_(std=0.1)
        plain.load_state_dict(ours.state_dict())
        frames = torch.ones(size.batch, size.frames, dtype=torch.bool)
        self.sides = {
            "plain": _Side(plain, plain),
            "grjca": _Side(ours, lambda visual, audio: ours(visual, audio, frames)[0]),
        }
        shape = (size.batch, size.frames)
        self.inputs = [
            torch.randn(*shape, width, requires_grad=True) for width in (size.visual, size.audio)
        ]
        self.outer = torch.randn(*shape, size.visual + size.audio)

    def step(self, name: str) -> dict[str, float]:
        """Milliseconds of a forward and a backward pass, by the wall and of the processor."""
        side = self._cleared(name)
        wall, work = clock.perf_counter(), clock.process_time()
        out = side.run(*self.inputs)
        forward = clock.perf_counter() - wall
        out.backward(self.outer)  # type: ignore[no-untyped-call]
        whole = clock.perf_counter() - wall
        work = clock.process_time() - work
        return {"forward": 1e3 * forward, "step": 1e3 * whole, "processor": 1e3 * work}

    def errors(self, dtype: torch.dtype) -> tuple[float, float]:
        """Relative differences of the output, and of all gradients together, without dropout."""
        found = {}
        inputs = [x.detach().to(dtype).requires_grad_() for x in self.inputs]
        for name, side in self.sides.items():
            side.module.to(dtype).zero_grad()
            with _without_dropout(side.module):
                out = side.run(*inputs)
            named = dict(side.module.named_parameters())
            leaves = [*inputs, *(named[key] for key in sorted(named))]
            gradients = torch.autograd.grad(out, leaves, self.outer.to(dtype))
            found[name] = out.detach(), torch.cat([g.flatten() for g in gradients])
            side.module.float()
        pairs = zip(found["grjca"], found["plain"], strict=True)
        output, gradient = (float((x - y).norm() / y.norm()) for x, y in pairs)
        return output, gradient

    def _cleared(self, name: str) -> _Side:
        side = self.sides[name]
        side.module.train()
        side.module.zero_grad()
        for x in self.inputs:
            x.grad = None
        return side


def run(
    rounds: int, threads: tuple[int, ...] = (1, 2), size: Size | None = None, profiled: int = 3
) -> Figures:
    """Time both in turns, and hold their numbers against each other.

    Args:
        rounds: Timed passes of each, in turns; medians are reported.
        threads: Numbers of threads.
        size: What is timed; None for the paper's size.
        profiled: Passes of each under PyTorch's profiler, without a time-mix; 0 for none.
    """
    size = size or Size()
    rows: list[dict[str, Cell]] = []
    summary: dict[str, Cell] = {}
    before = torch.get_num_threads()
    try:
        for mix in TIME_MIXES:
            pair = _Pair(size, mix)
            for number in threads:
                torch.set_num_threads(number)
                rows.append(_row(pair, size, mix, number, rounds))
            torch.set_num_threads(1)
            if mix == "none" and profiled:
                for name in pair.sides:
                    summary |= _profile(pair, name, profiled)
    finally:
        torch.set_num_threads(before)
    slowest = min(float(str(row["times faster"])) for row in rows)
    # In float32 the gradients may differ by a ReLU that rounding alone puts on one side of 0 or the
    # other: a thousandth of a random gradient for each.
    worst = max(float(str(row[name])) for row in rows for name in ("error", "in float64"))
    return Figures(
        NAME,
        f"forward and backward at least {TIMES_FASTER} times faster, relative error < {ERROR:g}",
        slowest >= TIMES_FASTER and worst < ERROR,
        rows,
        {f"times faster, {r['time mix']}, {r['threads']} threads": r["times faster"] for r in rows}
        | summary,
    )


def _row(pair: _Pair, size: Size, mix: str, threads: int, rounds: int) -> dict[str, Cell]:
    times: dict[str, list[dict[str, float]]] = {name: [] for name in pair.sides}
    rates = []
    for number in range(-2, rounds):
        for name, kept in times.items():
            step = pair.step(name)
            if number >= 0:
                kept.append(step)
        rates.append(_matrix_rate(size.square))
    plain, ours = (_medians(times[name]) for name in ("plain", "grjca"))
    output, gradient = pair.errors(torch.float32)
    _, exact = pair.errors(torch.float64)
    return {
        "time mix": mix,
        "threads": threads,
        "plain forward ms": plain["forward"],
        "plain step ms": plain["step"],
        "forward ms": ours["forward"],
        "step ms": ours["step"],
        "times faster": statistics.median(
            p["step"] / o["step"] for p, o in zip(times["plain"], times["grjca"], strict=True)
        ),
        "quickest": min(s["step"] for s in times["plain"]) / min(s["step"] for s in times["grjca"]),
        "processor": plain["processor"] / ours["processor"],
        "share of matrix rate": size.products(mix) / ours["step"] * 1e3 / statistics.median(rates),
        "error": output,
        "gradients' error": gradient,
        "in float64": exact,
    }


def _medians(steps: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(step[name] for step in steps) for name in steps[0]}


def _matrix_rate(n: int) -> float:
    """Floating-point operations a second of one large product."""
    x = torch.ones(n, n)
    began = clock.perf_counter()
    torch.mm(x, x)
    return 2.0 * n**3 / (clock.perf_counter() - began)


def _profile(pair: _Pair, name: str, passes: int) -> Mapping[str, Cell]:
    """Milliseconds of a step by kind of operation, on one thread, by PyTorch's profiler."""
    pair.step(name)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        for _ in range(passes):
            pair.step(name)
    spent = dict.fromkeys(_KINDS, 0.0) | {"everything else": 0.0}
    for event in profile.key_averages():
        kind = next((k for k, keys in _KINDS.items() if event.key in keys), "everything else")
        spent[kind] += event.self_cpu_time_total / 1e3 / passes
    return {f"{name}, {kind}, ms": value for kind, value in spent.items()}


@contextmanager
def _without_dropout(module: nn.Module) -> Iterator[None]:
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Dropout)]
    before = [layer.p for layer in layers]
    for layer in layers:
        layer.p = 0.0
    try:
        yield
    finally:
        for layer, share in zip(layers, before, strict=True):
            layer.p = share
