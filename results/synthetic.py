"""Weak complementarity, made to order: does a gate help when one stream fails for a while?"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from grjca.ablation.comparison import compare
from grjca.ablation.documents import markdown, write_documents
from grjca.ablation.plot import plot_ablation
from grjca.ablation.run import ablate
from grjca.ablation.scores import TrialScore
from grjca.cache import FeatureStore
from grjca.evaluation.sources import one_thread
from grjca.fusion.checkpoint import load_checkpoint
from grjca.fusion.predictor import predict_stored
from grjca.synth.complementarity import STREAMS, Complementarity, make_clip
from grjca.synth.writing import write_complementarity

DIALS = (0.0, 0.25, 0.5, 0.75)
VARIANTS = ("concat", "jca", "rjca", "grjca", "hgrjca", "ridge")

SET: dict[str, Any] = {"clips": 60, "seconds": 30.0, "fps": 5.0}
"""36 clips to train, 12 to choose the epoch, 12 to test, 150 rows each."""

TRAIN: dict[str, Any] = {
    "epochs": 30, "batch": 8, "window": 75, "hop": 75, "save_seconds": 3600.0
}  # fmt: skip
"""What differs from the preset ``small``."""


@dataclass(frozen=True)
class Benchmark:
    """What is run.

    Attributes:
        seeds: How many; each has a set of its own at each dial, and trainings of that seed on it.
        dials: Which dials.
        variants: Which variants; differences are taken to the first.
        made: Fields of ``Complementarity`` that differ from ``SET``.
        model: Fields of ``FusionConfig`` that differ from the preset ``small``.
    """

    seeds: int = 5
    dials: tuple[float, ...] = DIALS
    variants: tuple[str, ...] = VARIANTS
    made: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)


def run(asked: Benchmark, out: Path, workers: int) -> None:
    """Train and test; print a table per dial.

    Args:
        asked: What.
        out: Folder for sets, runs and a table per dial.
        workers: Processes side by side.
    """
    logging.getLogger("grjca").setLevel(logging.ERROR)
    seeds = range(1, asked.seeds + 1)
    for dial in asked.dials:
        place = out / f"dial-{dial:g}"
        scores: list[TrialScore] = []
        gates: list[dict[str, float]] = []
        for seed in seeds:
            made = _made(asked, dial, seed, out)
            found = ablate(
                made / "store", made / "labels.csv", place / f"seed-{seed}",
                variants=asked.variants, seeds=1, first_seed=seed, reference=asked.variants[0],
                workers=workers, model=asked.model, config=TRAIN,
            )  # fmt: skip
            scores += found.scores
            for score in found.scores:
                if score.gates and dial > 0:
                    folder = place / f"seed-{seed}" / score.trial.folder
                    gates.append(seen_by_gates(folder, made) | {"seed": seed})
        results = compare(scores, asked.variants, asked.variants[0])
        notes = [f"{len(seeds)} seeds, each with a set of its own: intervals tell of both"]
        about = {**dataclasses.asdict(asked), "set": SET, "dial": dial, "train": TRAIN,
                 "seen_by_gates": gates}  # fmt: skip
        write_documents(place, scores, results, about, notes)
        plot_ablation(place / "ablation.png", scores, results, f"one stream fails {dial:.0%}")
        print(f"dial {dial:g}", *markdown(results, notes), "", sep="\n")
        print(*_summary(gates), "", sep="\n", flush=True)


def seen_by_gates(folder: Path, made: Path) -> dict[str, float]:
    """How well each gate's weights tell that its own stream fails, on the test clips.

    Args:
        folder: A RUN folder.
        made: The set it was trained on.

    Returns:
        By gate and candidate, the area under the ROC curve of the candidate's weight as a sign of
        failure: 0.5 where it tells nothing; below where the weight falls.
    """
    checkpoint, store = load_checkpoint(folder), FeatureStore(made / "store")
    about = json.loads((made / "synth.json").read_text(encoding="utf-8"))
    del about["format"], about["version"]
    config = Complementarity(**about)
    weights: dict[str, list[NDArray[np.float64]]] = {}
    fails: dict[str, list[NDArray[np.bool_]]] = {stream: [] for stream in STREAMS}
    with one_thread():
        for number in range(config.clips):
            if config.partition(number) != "test":
                continue
            clip = make_clip(config, number)
            for stream in STREAMS:
                fails[stream].append(clip.failing(stream))
            for name, own in predict_stored(checkpoint, store, f"clip{number:03}").gates.items():
                weights.setdefault(name, []).append(own)
    found = {}
    for name, parts in weights.items():
        stream = next(stream for stream in STREAMS if stream in name)
        for column, values in enumerate(np.concatenate(parts).T):
            found[f"{name}[{column}]"] = _area(values, np.concatenate(fails[stream]))
    return found


def _area(values: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve, from ranks (Mann and Whitney); NaN where all rows are alike."""
    yes, no = int(positive.sum()), int((~positive).sum())
    if not yes or not no:
        return math.nan
    ranks = stats.rankdata(values)
    return float((ranks[positive].sum() - yes * (yes + 1) / 2) / (yes * no))


def _made(asked: Benchmark, dial: float, seed: int, out: Path) -> Path:
    folder = out / "sets" / f"dial-{dial:g}-seed-{seed}"
    if not (folder / "synth.json").exists():
        made: dict[str, Any] = {**SET, **asked.made}
        write_complementarity(Complementarity(dial, seed=seed, **made), folder)
    return folder


def _summary(gates: Sequence[dict[str, float]]) -> Iterator[str]:
    names = dict.fromkeys(name for own in gates for name in own if name != "seed")
    for name in names:
        values = [own[name] for own in gates if not math.isnan(own.get(name, math.nan))]
        if not values:
            continue
        yield (
            f"{name}: area under the ROC curve of its weight against its own stream failing "
            f"{np.mean(values):.2f} (from {min(values):.2f} to {max(values):.2f})"
        )
