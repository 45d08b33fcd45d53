"""The fusion on a GPU: PyTorch's operations, ``torch.compile`` and the Triton kernels."""

from __future__ import annotations

import contextlib
import statistics
import time as clock
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.figures import Cell, Figures
from grjca.errors import GrjcaError
from grjca.fusion.config import FusionConfig
from grjca.fusion.fusions import build_fusion
from grjca.fusion.kernels.choice import set_core

NAME = "kernels"

TIMES_FASTER = 2.0
SHARE = 0.6
MEMORY = 0.5

PRECISIONS = ("float32", "tf32", "bfloat16")
APART = {"float32": 2e-3, "tf32": 0.1, "bfloat16": 0.3}
"""How far gradients may lie from PyTorch's in the same precision, in norm: rounding moves a few
frames through a ReLU's corner, of which each moves a whole gradient."""


@dataclass(frozen=True)
class Case:
    """What is timed: a forward and a backward pass of GRJCA's fusion, with dropout.

    Attributes:
        batch: B, windows.
        frames: T, frames of each, all real.
        precision: One of ``PRECISIONS``.
        visual: d_v.
        audio: d_a.
        iterations: L.
    """

    batch: int
    frames: int
    precision: str
    visual: int = 256
    audio: int = 128
    iterations: int = 2

    @property
    def operations(self) -> float:
        """Of the matrix products: once forward, twice backward, nothing made again.

        Per row and iteration, with d = d_v + d_a: query, correlations, attending and projecting
        d^2 each, values d_v^2 + d_a^2.
        """
        d = self.visual + self.audio
        per_row = 4 * d**2 + self.visual**2 + self.audio**2
        return 3 * 2.0 * self.batch * self.frames * self.iterations * per_row

    @property
    def bytes(self) -> float:
        """What has to pass through memory if nothing in between is written; states in float32.

        An iteration reads a state and writes one, and backward reads that state and its gradient
        and writes one; gates read L + 1 states and write one, and backward read these and a
        gradient and write L + 1. Weights are read twice and their gradients written.
        """
        d, n = self.visual + self.audio, self.iterations + 1
        state = 4.0 * self.batch * self.frames * d
        weights = 4.0 * (3 * d**2 + self.visual**2 + self.audio**2)
        return state * (5 * self.iterations + 3 * n + 2) + 3 * weights * self.iterations


@dataclass(frozen=True)
class Peaks:
    """What the card reaches.

    Attributes:
        operations: A second, in a large matrix product of this precision.
        bytes: A second, read and written by a large copy.
    """

    operations: float
    bytes: float

    def seconds(self, case: Case) -> float:
        """The least time that a case takes: the roofline."""
        return max(case.operations / self.operations, case.bytes / self.bytes)


@dataclass(frozen=True)
class Times:
    """Of one way to compute a case, forward and backward.

    Attributes:
        seconds: Median.
        peak: Bytes of memory beyond weights and inputs, at most.
    """

    seconds: float
    peak: float


def run(
    cases: Sequence[Case], rounds: int, device: torch.device, backend: str = "inductor"
) -> Figures:
    """Build, check and time every case.

    Args:
        cases: What is timed.
        rounds: Times each way is timed; the ways take turns.
        device: Where; a CPU under Triton's interpreter shows that it works, and no more.
        backend: Of ``torch.compile``.

    Raises:
        GrjcaError: The kernels' gradients are not PyTorch's.
    """
    rows = []
    for precision in dict.fromkeys(case.precision for case in cases):
        with _precision(precision, device):
            peaks = _peaks(precision, device)
            rows += [
                row(case, peaks, _measure(case, rounds, device, backend))
                for case in cases
                if case.precision == precision
            ]
    goal = (
        f"{TIMES_FASTER:g} times as fast as torch.compile or {SHARE:.0%} of the roofline, and "
        f"{MEMORY:.0%} of eager's memory"
    )
    missed = sum(not r["reached"] for r in rows)
    return Figures(NAME, goal, missed == 0, rows, {"cases": len(rows), "missed": missed})


def row(case: Case, peaks: Peaks, times: dict[str, Times]) -> dict[str, Cell]:
    """A row of the table, with whether the goal is reached."""
    eager, compiled, kernels = times["eager"], times["compile"], times["triton"]
    best = min(kernels.seconds, times["triton, compile"].seconds)
    faster, share = compiled.seconds / best, peaks.seconds(case) / best
    memory = kernels.peak / eager.peak
    return {
        "B": case.batch,
        "T": case.frames,
        "precision": case.precision,
        **{f"{name} ms": round(1000 * t.seconds, 3) for name, t in times.items()},
        "times compile": round(faster, 2),
        "roofline": round(share, 3),
        "eager MiB": round(eager.peak / 2**20, 1),
        "compile MiB": round(compiled.peak / 2**20, 1),
        "triton MiB": round(kernels.peak / 2**20, 1),
        "memory": round(memory, 2),
        "reached": (faster >= TIMES_FASTER or share >= SHARE) and memory <= MEMORY,
    }


def _measure(case: Case, rounds: int, device: torch.device, backend: str) -> dict[str, Times]:
    _check(case, device)
    torch.compiler.reset()
    ways = {
        "eager": _pass(case, device, "torch", None),
        "compile": _pass(case, device, "torch", backend),
        "triton": _pass(case, device, "triton", None),
        "triton, compile": _pass(case, device, "triton", backend),
    }
    for way in ways.values():
        for _ in range(3):
            way()
    peaks = {name: _peak(way, device) for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            seconds[name].append(_seconds(way, device))
    return {name: Times(statistics.median(seconds[name]), peaks[name]) for name in ways}


def _pass(
    case: Case, device: torch.device, core: str, backend: str | None, dropout: float = 0.6
) -> Callable[[], list[Tensor]]:
    """A forward and a backward pass; its gradients, first those of the inputs."""
    torch.manual_seed(0)
    config = FusionConfig(
        1, 1, visual_channels=(case.visual,), audio_channels=(case.audio,),
        iterations=case.iterations, window=case.frames, attention_dropout=dropout,
    )  # fmt: skip
    fusion = build_fusion(config).to(device)
    set_core(fusion, core)
    shape = case.batch, case.frames
    inputs = [
        torch.randn(*shape, width, device=device, requires_grad=True)
        for width in (case.visual, case.audio)
    ]
    frames = torch.ones(shape, dtype=torch.bool, device=device)
    outer = torch.randn(*shape, case.visual + case.audio, device=device)
    forward = fusion if backend is None else torch.compile(fusion, backend=backend)
    leaves = [*inputs, *fusion.parameters()]

    def once() -> list[Tensor]:
        with torch.autocast(device.type, torch.bfloat16, enabled=case.precision == "bfloat16"):
            features = forward(*inputs, frames)[0]
        return list(torch.autograd.grad(features, leaves, outer.to(features.dtype)))

    return once


def _check(case: Case, device: torch.device) -> None:
    """Without dropout the kernels' gradients are PyTorch's."""
    plain, other = (_pass(case, device, core, None, 0.0)() for core in ("torch", "triton"))
    for number, (p, o) in enumerate(zip(plain, other, strict=True)):
        apart = float((p.float() - o.float()).norm() / p.float().norm().clamp(min=1e-6))
        if not apart <= APART[case.precision]:
            raise GrjcaError(
                "benchmark", f"B = {case.batch}, T = {case.frames}, {case.precision}",
                f"gradient {number} of the kernels is {apart:.2g} from PyTorch's",
                "Run 'make test-gpu' to see which kernel it is.",
            )  # fmt: skip


def _peaks(precision: str, device: torch.device) -> Peaks:
    side, count = (8192, 2**28) if device.type == "cuda" else (64, 2**10)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    source, target = (torch.empty(count, device=device) for _ in range(2))
    product = min(_seconds(lambda: a @ b, device) for _ in range(5))
    copy = min(_seconds(lambda: target.copy_(source), device) for _ in range(5))
    return Peaks(2.0 * side**3 / product, 8.0 * count / copy)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Of one call; on a GPU, as its own clock has it."""
    if device.type != "cuda":
        began = clock.perf_counter()
        work()
        return clock.perf_counter() - began
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    start.record()
    work()
    stop.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(stop)) / 1000


def _peak(work: Callable[[], object], device: torch.device) -> float:
    """Bytes that a call needs beyond what is there before it; 1 where nothing tells."""
    if device.type != "cuda":
        return 1.0
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    torch.cuda.synchronize()
    return float(torch.cuda.max_memory_allocated() - before)


@contextlib.contextmanager
def _precision(name: str, device: torch.device) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if name == "tf32" else "highest")
    try:
        with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
            yield
    finally:
        torch.set_float32_matmul_precision(before)
