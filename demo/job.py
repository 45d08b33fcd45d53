"""The whole job on the demo's clips: extract, train, predict what was never seen, score."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import grjca
from demo.clips import DemoSet
from grjca.fusion.metrics import ccc
from grjca.fusion.predictor import Prediction
from grjca.labels.matching import match
from grjca.labels.readers import read_labels
from grjca.labels.rows import labels_for_rows

MODALITIES: dict[str, tuple[str, ...]] = {
    "fusion (grjca)": ("visual", "audio"),
    "visual alone": ("visual",),
    "audio alone": ("audio",),
}
WINDOW = {"window": 96, "hop": 48, "batch": 12, "epochs": 40}
"""8 s windows at the clips' 12 frames a second."""


@dataclass
class Stopwatch:
    """Seconds that each step took, by its name."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step; several of one name add up."""
        began = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began


def extract_train(made: DemoSet, folder: Path, *, progress: bool) -> Path:
    """Features of the training clips; returns the store's folder.

    Raises:
        GrjcaError: A clip could not be extracted.
    """
    return _extract(made, made.train, folder / "features", progress)


def extract_unseen(made: DemoSet, folder: Path, *, progress: bool) -> Path:
    """Features of the unseen clips, in a store of their own; returns its folder."""
    return _extract(made, made.unseen, folder / "unseen-features", progress)


def _extract(made: DemoSet, clips: list[str], store: Path, progress: bool) -> Path:
    report = grjca.extract(
        [made.clips / clip for clip in clips], store, root=made.clips, progress=progress
    )
    if report.failed:
        raise grjca.GrjcaError("demo", report.failed[0].clip, str(report.failed[0].error))
    return store


def training_labels(
    made: DemoSet, path: Path, order: Callable[[list[str]], list[str]] = list
) -> Path:
    """The training clips' part of the labels, as a file of its own.

    Args:
        made: The demo set.
        path: CSV to write.
        order: Says whose labels each clip gets; another order permutes labels across clips.
    """
    with made.labels.open(newline="") as stream:
        rows: dict[str, list[dict[str, str]]] = {clip: [] for clip in made.train}
        for row in csv.DictReader(stream):
            if row["clip"] in rows:
                rows[row["clip"]].append(row)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ["clip", "frame", "valence", "arousal", "subject"])
        writer.writeheader()
        for clip, giver in zip(made.train, order(made.train), strict=True):
            subject = rows[clip][0]["subject"]
            writer.writerows({**row, "clip": clip, "subject": subject} for row in rows[giver])
    return path


def train(
    store: Path, labels: Path, out: Path, modalities: tuple[str, ...], *, progress: bool
) -> Path:
    """Train GRJCA on the given modalities; returns the run's folder."""
    config = {**WINDOW, "modalities": modalities}
    grjca.train(store, labels, out, val=0.2, config=config, overwrite=True, progress=progress)
    return out


def predict(
    made: DemoSet, run: Path, store: Path, out: Path, *, progress: bool
) -> grjca.PredictResult:
    """Predict the unseen clips; features already in the store are used."""
    return grjca.predict(
        [made.clips / clip for clip in made.unseen], run, out,
        store=store, root=made.clips, progress=progress,
    )  # fmt: skip


def score(made: DemoSet, predictions: Mapping[str, Prediction]) -> dict[str, float]:
    """CCC over all frames of all predicted clips at once, by dimension."""
    labels = match(read_labels(made.labels), [*made.train, *made.unseen]).labels
    truth = np.concatenate(
        [labels_for_rows(labels.clips[clip], found.time) for clip, found in predictions.items()]
    )
    values = np.concatenate([found.values for found in predictions.values()])
    return {name: ccc(values[:, k], truth[:, k]) for k, name in enumerate(labels.names)}
