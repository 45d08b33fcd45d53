"""An epoch from the store against one that runs the backbones on every window each time."""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmarks.figures import Figures
from benchmarks.training import AUDIO, NAMES, VISUAL, Case, write_set
from grjca.cache.store import FeatureStore
from grjca.fusion.config import FusionConfig
from grjca.fusion.dataset import load_clips
from grjca.fusion.loss import ccc_loss
from grjca.fusion.model import FusionModel
from grjca.fusion.presets import preset
from grjca.fusion.window_set import LabelledBatch, WindowSet
from grjca.stages.ir50 import DIM, Ir50Net
from grjca.stages.vggish import PATCH_FRAMES, VggishNet

NAME = "epoch"

TIMES_FASTER = 10.0

VISUAL_BATCH, AUDIO_BATCH = 32, 16
"""Faces and patches at a time, as at extraction."""

SIDE, BANDS, AUDIO_DIM = 40, 64, 128


class Backbones:
    """IR-50 and VGGish with random weights, which take as long as trained ones, on made input.

    They are frozen and only answer: a recipe that fine-tunes them goes back through them too, and
    decodes, crops and draws views of each face before; neither is counted.
    """

    def __init__(self) -> None:
        torch.manual_seed(0)
        layout = torch.channels_last
        self._visual = Ir50Net(SIDE).eval().requires_grad_(False).to(memory_format=layout)
        self._audio = VggishNet().eval().requires_grad_(False).to(memory_format=layout)

    @torch.no_grad()
    def embed(self, rows: int) -> tuple[Tensor, Tensor]:
        """Embeddings (rows, 512) and (rows, 128) of as many random faces and log-mel patches."""
        faces = torch.rand(rows, 3, SIDE, SIDE) * 2 - 1
        patches = torch.randn(rows, PATCH_FRAMES, BANDS)
        return (
            _in_batches(self._visual, faces, VISUAL_BATCH),
            _in_batches(self._audio, patches, AUDIO_BATCH),
        )


def _in_batches(network: nn.Module, x: Tensor, size: int) -> Tensor:
    return torch.cat([network(x[i : i + size]) for i in range(0, len(x), size)])


def run(scratch: Path, windows: int, rounds: int, threads: int = 1, name: str = "paper") -> Figures:
    """Time both over the same windows, in one batch.

    From the store: windows are read (from the kernel's memory, nothing held by the program), and
    the model takes a step. With backbones: each window's faces and patches go through them, and the
    model takes the same step. An epoch is a multiple of that.

    Args:
        scratch: Folder for the store.
        windows: Windows of 300 rows.
        rounds: Of the epoch from the store; the median is reported. The other is run once.
        threads: Threads of PyTorch.
        name: Preset of model and training.
    """
    chosen = preset(name)
    built = FusionConfig(DIM, AUDIO_DIM, **chosen.model)
    rows = built.window
    # One clip more, which the split keeps for validation.
    labels, split = write_set(scratch, Case(name, windows + 1, (rows, rows)), DIM, AUDIO_DIM)
    loaded = load_clips(
        FeatureStore(scratch), labels, split.train, split.val, visual=VISUAL, audio=AUDIO,
        outputs=NAMES, modalities=("visual", "audio"), rate=None, memory_limit=0,
    )  # fmt: skip
    clips = [clip for name, clip in loaded.clips.items() if name in split.train]
    data = WindowSet(clips, rows, rows, fixed=True)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        step, backbones = _step(built), Backbones()
        from_store = []
        for _ in range(rounds + 1):
            began = _now()
            batch = data.batch(range(len(data)))
            read = _now() - began
            step(batch)
            from_store.append((_now() - began, read))
        began = _now()
        for i in range(len(data)):
            visual, audio = backbones.embed(rows)
            batch.inputs.visual[i], batch.inputs.audio[i] = visual, audio
        embedded = _now() - began
        step(batch)
        with_backbones = _now() - began
    finally:
        torch.set_num_threads(before)
    # The first step loads what PyTorch needs.
    stored, reading = np.median(from_store[1:], axis=0)
    wall, processor = (with_backbones / stored).tolist()
    return Figures(
        NAME,
        f"an epoch from the store at least {TIMES_FASTER:g} times faster than with backbones",
        processor >= TIMES_FASTER,
        [
            {
                "epoch": epoch,
                "s": float(whole[0]),
                "processor s": float(whole[1]),
                "of it features": float(features[1]),
            }
            for epoch, whole, features in (
                ("from the store", stored, reading),
                ("with backbones", with_backbones, embedded),
            )
        ],
        {
            "windows": len(data),
            "rows": len(data) * rows,
            "threads": threads,
            "preset": name,
            "times faster": wall,
            "times faster, processor": processor,
        },
    )


def _now() -> NDArray[np.float64]:
    """Seconds by the wall and of the processor."""
    return np.array([clock.perf_counter(), clock.process_time()])


def _step(built: FusionConfig) -> Callable[[LabelledBatch], float]:
    model = FusionModel(built).train()
    optimiser = torch.optim.Adam(model.parameters(), fused=True)

    def step(batch: LabelledBatch) -> float:
        prediction = model(*batch.inputs.arguments).prediction
        loss = ccc_loss(prediction, batch.target, batch.mask)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        return float(loss.detach())

    return step
