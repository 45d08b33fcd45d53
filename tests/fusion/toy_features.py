"""Features with a known answer, in memory: faces that show valence, sound that shows arousal."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grjca.cache.records import ClipFeatures
from grjca.fusion.data import take_rows
from grjca.fusion.train_config import TrainConfig
from grjca.labels.records import ClipLabels, Labels
from grjca.labels.splits import Split

VISUAL_DIM, AUDIO_DIM = 6, 4

SMALL: dict[str, Any] = {
    "visual_channels": (16,),
    "audio_channels": (16,),
    "kernel": 3,
    "head_hidden": 16,
    "attention_dropout": 0.1,
    "temporal_dropout": 0.0,
}
QUICK = TrainConfig(
    epochs=14, batch=4, window=50, hop=30, lr=1e-2, weight_decay=1e-5, warmup_epochs=1
)


@dataclass
class ToySource:
    """A feature source over clips in memory; remembers the rows of each read of features."""

    features: Mapping[str, ClipFeatures]
    recipes: dict[str, dict[str, Any]] = field(default_factory=dict)
    names: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    reads: list[int] = field(default_factory=list)

    def clips(self) -> list[str]:
        return sorted(self.features)

    def read(
        self, clip: str, visual: str | None, audio: str | None, rows: slice = slice(None)
    ) -> ClipFeatures:
        part = take_rows(self.features[clip], rows)
        if visual or audio:
            self.reads.append(len(part))
        none = np.zeros(len(part), dtype=bool)
        if visual is None:
            part = replace(part, visual=None, visual_valid=none)
        if audio is None:
            part = replace(part, audio=None, audio_valid=none)
        return part

    def embedders(self, clip: str) -> dict[str, list[str]]:
        if clip in self.names:
            return self.names[clip]
        features = self.features[clip]
        return {
            "visual": [] if features.visual is None else ["fer"],
            "audio": [] if features.audio is None else ["logmel"],
        }

    def recipe(self, clip: str, visual: str | None, audio: str | None) -> dict[str, Any]:
        made = self.recipes.get(clip, {"detector": {"name": "retinaface"}})
        made |= {"visual": {"name": visual, "config": {"views": 9}}} if visual else {}
        return made | ({"audio": {"name": audio}} if audio else {})


def emotion(time: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """(T, 2) slow valence and arousal."""
    speed = rng.uniform(1.5, 4.0, size=(2, 3))
    phase = rng.uniform(0, 6.3, size=(2, 3))
    waves = np.sin(time[:, None, None] * speed + phase).mean(axis=2)
    return 0.9 * np.tanh(2 * waves)


def make_clip(
    clip: str, time: NDArray[np.float64], seed: int
) -> tuple[ClipFeatures, NDArray[np.float64]]:
    """Features of one clip, some rows invalid, and its (T, 2) valence and arousal."""
    rng = np.random.default_rng(seed)
    truth = emotion(time, rng)
    mixing = np.random.default_rng(0).normal(size=(2, 8))
    rows = len(time)
    visual = (
        truth[:, :1] * mixing[:1, :VISUAL_DIM] * 3 + 20 + rng.normal(size=(rows, VISUAL_DIM)) / 4
    )
    audio = truth[:, 1:] * mixing[1:, :AUDIO_DIM] / 9 - 4 + rng.normal(size=(rows, AUDIO_DIM)) / 80
    seen, heard = rng.random(rows) > 0.05, rng.random(rows) > 0.05
    visual[~seen], audio[~heard] = np.nan, np.nan
    features = ClipFeatures(
        clip, time, visual.astype(np.float32), seen, audio.astype(np.float32), heard
    )
    return features, truth


@dataclass(frozen=True)
class Toy:
    source: ToySource
    labels: Labels
    split: Split
    truth: dict[str, NDArray[np.float64]]


def row_labels(
    truth: Mapping[str, NDArray[np.float64]], names: tuple[str, ...] = ("valence", "arousal")
) -> Labels:
    clips = {
        clip: ClipLabels(clip, values, None, None, None, Path(f"{clip}.txt"))
        for clip, values in truth.items()
    }
    return Labels(clips, names, "as they are")


def make_toy(train: int = 8, val: int = 3, rows: int = 120, fps: float = 25.0) -> Toy:
    """A labelled set; clips differ in length, a few frames are not labelled."""
    features, truth = {}, {}
    for i in range(train + val):
        clip = f"lab/c{i:02d}.mp4"
        time = np.arange(rows + 7 * i) / fps
        features[clip], truth[clip] = make_clip(clip, time, i + 1)
        truth[clip][i : i + 3, i % 2] = np.nan
    names = list(features)
    split = Split(tuple(names[:train]), tuple(names[train:]), grouped=True)
    return Toy(ToySource(features), row_labels(truth), split, truth)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file may grow beyond this: what a full disk looks like."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
