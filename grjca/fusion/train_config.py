"""How to train, as plain values."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Literal

from grjca.fusion.data import MODALITIES, Inputs
from grjca.fusion.schedule import ScheduleConfig


@dataclass(frozen=True)
class TrainConfig:
    """How to train; the defaults are the paper's where they are not said to differ.

    Attributes:
        epochs: At most this many.
        batch: Windows per step.
        window: Rows per window.
        hop: Rows between windows.
        lr: Learning rate of Adam after the warm-up.
        weight_decay: Adam's L2 penalty.
        warmup_epochs: Epochs of a linear ramp (the paper's code: a sawtooth within each epoch).
        plateau_patience: Epochs without a better validation CCC that are borne before the rate
            falls.
        plateau_factor: What the rate is multiplied by then.
        reload_best: Whether the best weights so far are loaded when the rate falls (the paper's
            code: after every epoch).
        stop_after: Epochs without a better validation CCC after which training stops.
        min_lr: A fall below this rate stops it too.
        seed: Decides initial weights, dropout and the order of windows.
        ccc_over: The loss takes one CCC over the ``batch``, or one per ``window``.
        rate: The model's rows per second; None for the median of the training clips.
        modalities: What the model is given; one that is left out counts as missing everywhere.
        threads: CPU threads; another number may change the last digits.
        memory_limit: Bytes of features held in memory; larger sets are read window by window.
        device: ``auto`` (the first CUDA device, else the CPU), ``cpu``, ``cuda`` or ``cuda:N``.
        amp: Mixed precision (bfloat16) in training; CUDA only.
        compile: ``torch.compile`` the model for training; CUDA only.
        attention: Joint attention and gates by PyTorch's operations (``torch``), by Triton kernels
            (``triton``, CUDA only), or by the kernels on CUDA if they can run there (``auto``).
        save_seconds: Seconds of work that a killed run may lose: the state that ``resume`` goes
            on from is written this often, in the middle of an epoch too; 0 for every step.

    Raises:
        ValueError: A value is out of its range; the message names it.
    """

    epochs: int = 100
    batch: int = 12
    window: int = 300
    hop: int = 200
    lr: float = 1e-4
    weight_decay: float = 1e-3
    warmup_epochs: int = 5
    plateau_patience: int = 5
    plateau_factor: float = 0.1
    reload_best: bool = True
    stop_after: int = 50
    min_lr: float = 1e-7
    seed: int = 3407
    ccc_over: Literal["batch", "window"] = "batch"
    rate: float | None = None
    modalities: tuple[str, ...] = MODALITIES
    threads: int = 1
    memory_limit: int = 2 * 2**30
    device: str = "auto"
    amp: bool = False
    compile: bool = False
    attention: Literal["auto", "torch", "triton"] = "auto"
    save_seconds: float = 30.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "modalities", tuple(self.modalities))
        Inputs(1, 1, self.modalities)
        for name in ("epochs", "batch", "window", "hop", "stop_after", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("weight_decay", "warmup_epochs", "plateau_patience", "min_lr", "save_seconds"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("lr", "rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value}")
        if self.hop > self.window:
            raise ValueError(f"hop must not exceed the window's {self.window}, got {self.hop}")
        if not 0 < self.plateau_factor < 1:
            raise ValueError(f"plateau_factor must lie in (0, 1), got {self.plateau_factor}")
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", self.device):
            raise ValueError(f"device must be auto, cpu, cuda or cuda:N, got {self.device!r}")
        if self.attention not in ("auto", "torch", "triton"):
            raise ValueError(f"attention must be auto, torch or triton, got {self.attention!r}")
        if self.ccc_over not in ("batch", "window"):
            raise ValueError(f"ccc_over must be batch or window, got {self.ccc_over!r}")

    def schedule(self) -> ScheduleConfig:
        """The part that decides the learning rate."""
        names = [field.name for field in dataclasses.fields(ScheduleConfig)]
        return ScheduleConfig(**{name: getattr(self, name) for name in names})
