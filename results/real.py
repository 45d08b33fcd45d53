"""Real features: one modality alone, every fusion, and ridge regression, on the same splits."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grjca.ablation.documents import markdown
from grjca.ablation.run import ablate
from results import sets

VARIANTS = ("ridge", "audio", "visual", "concat", "ca", "jca", "rjca", "grjca", "hgrjca")


@dataclass(frozen=True)
class Experiment:
    """A target on a real set.

    Attributes:
        set_name: A function of ``results.sets``.
        labels: Which of its label tables.
        folds: How many; of people where they are known.
        train: Fields of ``TrainConfig`` that differ from the preset ``small``.
        model: Fields of ``FusionConfig`` that do.
    """

    set_name: str
    labels: str
    folds: int
    train: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)


_ALL = {"epochs": 30, "save_seconds": 3600.0}

EXPERIMENTS = {
    # One row per clip: nothing for a temporal encoder to see.
    "ravdess-circumplex": Experiment(
        "ravdess", "circumplex", 6, {**_ALL, "batch": 64}, {"temporal": "none"}
    ),
    "ravdess-intensity": Experiment(
        "ravdess", "intensity", 6, {**_ALL, "batch": 64}, {"temporal": "none"}
    ),
    "ict-mmmo": Experiment("ict_mmmo", "sentiment", 5, {**_ALL, "batch": 24}, {"temporal": "none"}),
    "omg-empathy": Experiment(
        "omg_empathy", "valence", 7, {**_ALL, "rate": 0.5, "window": 100, "hop": 100, "batch": 6}
    ),
}


def run(
    name: str, media: Path, out: Path, seeds: int, workers: int, variants: Sequence[str]
) -> None:
    """Make the set, train and test, print the table.

    Args:
        name: Of ``EXPERIMENTS``, or ``<name>-shipped`` for the preset's own model.
        media: The folder of real features.
        out: Folder for sets and runs.
        seeds: How many.
        workers: Processes side by side.
        variants: Which variants; the first is what differences are taken to.
    """
    logging.getLogger("grjca").setLevel(logging.ERROR)
    shipped = name.endswith("-shipped")
    experiment = EXPERIMENTS[name.removesuffix("-shipped")]
    made: sets.RealSet = getattr(sets, experiment.set_name)(
        media / "features", out / "sets" / experiment.set_name
    )
    found = ablate(
        made.store, made.labels[experiment.labels], out / name, variants=variants,
        reference=variants[0], seeds=seeds, folds=experiment.folds, workers=workers,
        model={} if shipped else experiment.model, config=experiment.train,
    )  # fmt: skip
    print(name, *markdown(found.results, found.notes), "", sep="\n", flush=True)
