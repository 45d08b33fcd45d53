"""Where the arithmetic of a training happens, and in which precision."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from grjca.errors import UsageError
from grjca.fusion.kernels.choice import choose
from grjca.fusion.train_config import TrainConfig


@dataclass(frozen=True)
class Machine:
    """A device and how it computes.

    Attributes:
        device: The device.
        amp: Mixed precision: matrix products in bfloat16, weights in float32.
        compile: The training's forward and backward pass are compiled.
        backend: What they are compiled with, as ``torch.compile`` names it.
        attention: The core of attention and gates: ``torch`` or ``triton``.
        note: Which core it is and why, where that is worth a line.
    """

    device: torch.device
    amp: bool = False
    compile: bool = False
    backend: str = "inductor"
    attention: str = "torch"
    note: str = ""

    def precision(self) -> torch.autocast:
        """The context that forward passes of a training run in."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.amp)

    def compiled(self, model: nn.Module) -> Callable[..., Any]:
        """The model as a training calls it; it shares all weights with the model itself.

        What this process compiled before is forgotten: torch compiles a function for eight
        configurations and then goes on without, so that the ninth training would not be compiled.
        """
        if not self.compile:
            return model
        torch.compiler.reset()
        compiled: Callable[..., Any] = torch.compile(model, backend=self.backend)
        return compiled

    @contextlib.contextmanager
    def seeded(self, seed: int, threads: int) -> Iterator[None]:
        """Seeded, on a fixed number of threads; the caller's generators and threads come back."""
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        cuda = [self.device] if self.device.type == "cuda" else []
        try:
            with self.exact(), torch.random.fork_rng(devices=cuda):
                torch.manual_seed(seed)
                yield
        finally:
            torch.set_num_threads(before)

    @contextlib.contextmanager
    def exact(self) -> Iterator[None]:
        """Kernels that give the same bits each time, on a GPU.

        cuDNN's fastest convolutions, and the backward passes of fused attention, add in an order
        of their own.
        """
        if self.device.type != "cuda":
            yield
            return
        # One by one: cudnn.flags() sets what it is not given as well, and switches cuDNN off.
        cudnn = torch.backends.cudnn
        before = cudnn.deterministic, cudnn.benchmark
        cudnn.deterministic, cudnn.benchmark = True, False
        try:
            with sdpa_kernel(SDPBackend.MATH):
                yield
        finally:
            cudnn.deterministic, cudnn.benchmark = before

    def generators(self) -> dict[str, Tensor]:
        """States of the default generators that dropout draws from."""
        states = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            states["cuda"] = torch.cuda.get_rng_state(self.device)
        return states

    def restore_generators(self, states: dict[str, Tensor]) -> None:
        """Go on from what :meth:`generators` gave."""
        torch.set_rng_state(states["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(states["cuda"], self.device)


def choose_machine(config: TrainConfig) -> Machine:
    """The device that a configuration asks for.

    Raises:
        UsageError: There is no such device, or it cannot do what is asked of it.
    """
    name = config.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cpu":
        for option in ("amp", "compile"):
            if getattr(config, option):
                raise UsageError("train", f"--{option}", "for CUDA devices only, this is a CPU",
                                 f"Leave --{option} out, or choose another --device.")  # fmt: skip
        attention, note = choose(config.attention, device)
        return Machine(device, attention=attention, note=note)
    if not torch.cuda.is_available():
        raise UsageError("train", f"--device {name}", "torch finds no CUDA device",
                         "Use --device cpu.")  # fmt: skip
    count = torch.cuda.device_count()
    if (device.index or 0) >= count:
        raise UsageError("train", f"--device {name}", f"there are {count} CUDA devices",
                         "They are counted from 0.")  # fmt: skip
    with torch.cuda.device(device):
        bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    if config.amp and not bfloat16:
        raise UsageError("train", "--amp", f"{torch.cuda.get_device_name(device)} has no bfloat16",
                         "Leave --amp out.")  # fmt: skip
    attention, note = choose(config.attention, device)
    return Machine(device, config.amp, config.compile, attention=attention, note=note)
