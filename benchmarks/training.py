"""What an epoch costs beside its arithmetic: forward and backward on data already in memory."""

from __future__ import annotations

import time as clock
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.figures import Cell, Figures
from grjca.cache.claims import claim
from grjca.cache.keys import Recipe, SourceId
from grjca.cache.store import FeatureStore
from grjca.cache.writer import ClipWriter
from grjca.errors import GrjcaError
from grjca.fusion.config import FusionConfig
from grjca.fusion.dataset import load_clips
from grjca.fusion.loss import ccc_loss
from grjca.fusion.model import FusionModel
from grjca.fusion.presets import preset
from grjca.fusion.train_config import TrainConfig
from grjca.fusion.trainer import train
from grjca.fusion.window_set import WindowSet, pool
from grjca.labels.records import ClipLabels, Labels
from grjca.labels.splits import Split

NAME = "training"

LIMIT = 1.3

FPS = 25
NAMES = ("valence", "arousal")
VISUAL, AUDIO = "fer", "speech+logmel"
VISUAL_DIM, AUDIO_DIM = 256, 224
VAL_SHARE = 5
"""Every how manieth clip is validated on."""


@dataclass(frozen=True)
class Case:
    """A set to train on.

    Attributes:
        name: What is special about it.
        clips: How many clips.
        rows: Rows of the shortest and of the longest.
        preset: Settings of model and training.
        in_memory: Features are held in memory, or read window by window from the store.
        clip_level: One label per clip.
    """

    name: str
    clips: int
    rows: tuple[int, int]
    preset: str = "small"
    in_memory: bool = True
    clip_level: bool = False


CASES = (
    Case("clips of 20-60 s, in memory", 20, (500, 1500)),
    Case("clips of 20-60 s, read from the store", 20, (500, 1500), in_memory=False),
    Case("clips of 2-6 s, in memory", 120, (50, 150)),
    Case("one vector and one label per clip", 400, (1, 1), clip_level=True),
    Case("the paper's widths, clips of 20-30 s", 5, (500, 750), preset="paper"),
)


def run(scratch: Path, epochs: int, cases: tuple[Case, ...] = CASES) -> Figures:
    """Train on each set, and after every epoch do that epoch's arithmetic alone.

    An epoch is all that the trainer does: reading, steps of the optimiser, validation, writing
    what is kept. Its arithmetic is the forward and backward pass over the training windows and
    the forward pass over the validation windows, of the same shapes, with the same threads. The
    first epoch, in which torch loads what it needs, does not count.

    Args:
        scratch: Folder for stores and runs.
        epochs: Epochs that count, at least 1.
        cases: The sets.
    """
    rows = [_measure(scratch / str(number), case, epochs) for number, case in enumerate(cases)]
    worst = max(float(str(row["ratio"])) for row in rows)
    goal = f"an epoch costs at most {LIMIT} times its arithmetic"
    return Figures(NAME, goal, worst <= LIMIT, rows, {"worst ratio": worst})


def _measure(folder: Path, case: Case, epochs: int) -> dict[str, Cell]:
    labels, split = write_set(folder / "store", case)
    store = FeatureStore(folder / "store")
    chosen = preset(case.preset)
    config = TrainConfig(**{**chosen.train, "epochs": epochs + 1, "stop_after": epochs + 1})
    config = replace(config, memory_limit=config.memory_limit if case.in_memory else 0)
    arithmetic = _Arithmetic(store, labels, split, chosen.model, config)
    seconds: list[tuple[float, float]] = []

    def beside(row: Mapping[str, float]) -> None:
        seconds.append((row["seconds"], arithmetic.seconds()))

    train(
        store, labels, split, chosen.model, config, folder / "run", log=beside, progress=False
    )  # fmt: skip
    # The quickest of each: other work on the machine can only add.
    whole, alone = np.array(seconds[1:]).min(axis=0)
    return {
        "set": case.name,
        "windows": arithmetic.windows,
        "epoch s": round(float(whole), 3),
        "arithmetic s": round(float(alone), 3),
        "ratio": round(float(whole / alone), 3),
    }


class _Arithmetic:
    """Forward and backward passes over batches that lie in memory."""

    def __init__(
        self,
        store: FeatureStore,
        labels: Labels,
        split: Split,
        model: Mapping[str, Any],
        config: TrainConfig,
    ) -> None:
        loaded = load_clips(
            store, labels, split.train, split.val, visual=VISUAL, audio=AUDIO, outputs=NAMES,
            modalities=config.modalities, rate=None, memory_limit=2**40,
        )  # fmt: skip
        built = FusionConfig(VISUAL_DIM, AUDIO_DIM, window=config.window, **model)
        sides = []
        for names in (split.train, split.val):
            clips = [loaded.clips[name] for name in names]
            data = WindowSet(
                clips, config.window, config.hop, clip_level=loaded.clip_level,
                fixed=built.time_mix == "dense",
            )  # fmt: skip
            numbers = range(len(data))
            starts = range(0, len(data), config.batch)
            sides.append([data.batch(numbers[i : i + config.batch]) for i in starts])
            self.windows = sum(len(batch.target) for side in sides for batch in side)
        self._train, self._val = sides
        self._config = config
        self._clip_level = loaded.clip_level
        self._model = FusionModel(built)

    def seconds(self) -> float:
        """Wall time of one epoch's passes."""
        began = clock.perf_counter()
        self._model.train()
        for batch in self._train:
            prediction = self._model(*batch.inputs.arguments).prediction
            if self._clip_level:
                prediction = pool(prediction, batch.inputs)
            loss = ccc_loss(prediction, batch.target, batch.mask, self._config.ccc_over)
            self._model.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
        self._model.eval()
        with torch.inference_mode():
            for batch in self._val:
                self._model(*batch.inputs.arguments)
        return clock.perf_counter() - began


def write_set(
    root: Path, case: Case, visual_dim: int = VISUAL_DIM, audio_dim: int = AUDIO_DIM
) -> tuple[Labels, Split]:
    """Write a store of random features, and make labels and a split for it.

    Args:
        root: The store's folder.
        case: Number and lengths of the clips.
        visual_dim: Numbers per row that stand for faces.
        audio_dim: Numbers per row that stand for sound.
    """
    rng = np.random.default_rng(0)
    recipe = Recipe(
        video={"frames": "made"}, sound={"rate": 16000}, faces={"detector": {"name": "none"}},
        visual={"name": VISUAL, "config": {}, "weights": None, "template": "t", "crop_size": 64},
        audio={"name": AUDIO, "config": {}, "weights": None},
    )  # fmt: skip
    labels = {}
    for number in range(case.clips):
        clip, rows = f"c{number:04d}.mp4", int(rng.integers(*case.rows, endpoint=True))
        held = claim(root, clip)
        if held is None:
            raise GrjcaError("benchmark", root, "another program writes here", "Name a new folder.")
        valid = np.ones(rows, dtype=bool)
        features = {
            name: rng.normal(size=(rows, dim)).astype(np.float32)
            for name, dim in ((f"visual/{VISUAL}", visual_dim), (f"audio/{AUDIO}", audio_dim))
        }
        keys = recipe.groups("00")
        with held, ClipWriter(root, clip, SourceId(1, 1, "00"), keys, held) as writer:
            writer.append("frames", {"time": np.arange(rows) / FPS})
            for group, values in features.items():
                writer.append(group, {"features": values, "valid": valid})
            writer.commit({})
        shown = rng.uniform(-1, 1, size=(1 if case.clip_level else rows, 2))
        labels[clip] = ClipLabels(
            clip, shown, None, None, None, Path("made"), clip_level=case.clip_level
        )
    names = sorted(labels)
    val = tuple(names[::VAL_SHARE])
    split = Split(tuple(name for name in names if name not in val), val, grouped=True)
    return Labels(labels, NAMES, "as they are"), split
