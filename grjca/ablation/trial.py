"""One trial: a training and its test, or several trainings tested together."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from grjca.ablation.plan import RIDGE, Trial
from grjca.ablation.ridge import ridge_scores
from grjca.errors import GrjcaError, UsageError
from grjca.evaluation.evaluation import Evaluation, EvaluationConfig, evaluate_clips
from grjca.evaluation.gates import GateUse
from grjca.evaluation.sources import one_thread
from grjca.files import written_in_one_step
from grjca.fusion.checkpoint import load_checkpoint, without_nan
from grjca.fusion.data import FeatureSource
from grjca.fusion.settings import Given, Settings, resolve
from grjca.fusion.trainer import train
from grjca.labels.records import Labels
from grjca.labels.splits import Split

FORMAT = "grjca.ablation.trial"
VERSION = 1
SCORE = "score.json"

# No interval of a single trial is shown; as few resamples as there may be.
_RESAMPLES = 100


@dataclass(frozen=True)
class TrialScore:
    """What a trial reached on the clips it was tested on.

    Attributes:
        trial: Which one; of an ensemble, its first seed.
        ccc: By dimension; NaN where undefined.
        mean_gates: The same with every gate held at its mean; empty without gates.
        gates: How each gate was used.
        best_epoch: The epoch whose weights were tested; 0 where there was no training.
        epochs: How many were trained.
        seconds: What the training took.
    """

    trial: Trial
    ccc: Mapping[str, float]
    mean_gates: Mapping[str, float]
    gates: Mapping[str, GateUse]
    best_epoch: int = 0
    epochs: int = 0
    seconds: float = 0.0

    @property
    def mean(self) -> float:
        """The mean over the dimensions, NaN when one is undefined."""
        return float(np.mean(list(self.ccc.values())))

    @property
    def mean_of_mean_gates(self) -> float:
        """The mean over the dimensions with gates held at their means; NaN without gates."""
        return float(np.mean(list(self.mean_gates.values()))) if self.mean_gates else float("nan")


@dataclass(frozen=True)
class Bench:
    """What all trials of an ablation share.

    Attributes:
        source: The features.
        labels: Annotations by the store's identities.
        splits: By fold.
        given: The settings that variants, seeds and folds go over.
        out: The ablation's folder.
    """

    source: FeatureSource
    labels: Labels
    splits: Mapping[int, Split]
    given: Given
    out: Path

    def settings(self, trial: Trial) -> Settings:
        """The resolved settings of a trial.

        Raises:
            UsageError: A setting that does not exist, or a value that cannot be.
        """
        model = {} if trial.variant == RIDGE else trial.model()
        return resolve(Given(model, trial.train()).over(self.given))

    def plan(self, trial: Trial) -> str:
        """SHA-256 over all that decides a trial but the features themselves."""
        sha = hashlib.sha256()
        split = dataclasses.asdict(self.splits[trial.fold])
        document = {**self.settings(trial).document(), "split": split, "variant": trial.variant}
        # Where it is computed does not decide what.
        document["train"] = {k: v for k, v in document["train"].items() if k != "save_seconds"}
        sha.update(json.dumps(document, sort_keys=True, default=list).encode())
        for name in sorted(self.labels.clips):
            sha.update(name.encode())
            sha.update(np.ascontiguousarray(self.labels.clips[name].values).tobytes())
        return sha.hexdigest()


def run_trial(bench: Bench, trial: Trial) -> TrialScore:
    """Train and test, or read what an earlier run has written; a killed training goes on.

    Raises:
        UsageError: The folder holds a trial of other settings, clips or labels.
        GrjcaError: What training and evaluation refuse.
    """
    path = bench.out / trial.folder / SCORE
    plan = bench.plan(trial)
    if path.exists():
        return read_score(path, plan)
    split, settings = bench.splits[trial.fold], bench.settings(trial)
    began = time.perf_counter()
    if trial.variant == RIDGE:
        with one_thread():
            own = ridge_scores(bench.source, bench.labels, split, settings.train, settings.data)
        score = TrialScore(trial, own, {}, {}, seconds=time.perf_counter() - began)
    else:
        result = train(
            bench.source, bench.labels, split, settings.model, settings.train, path.parent,
            data=settings.data, resume=True, progress=False,
        )  # fmt: skip
        found = _tested(bench, trial, [path.parent], gates=True)
        score = TrialScore(
            trial,
            _ccc(found),
            {} if found.mean_gates is None else _overall(found.mean_gates.overall),
            found.gates[0] if found.gates else {},
            result.best_epoch,
            len(result.rows),
            sum(row["seconds"] for row in result.rows),
        )
    _write(path, score, plan)
    return score


def run_ensemble(bench: Bench, members: Sequence[Trial]) -> TrialScore:
    """Test the mean of the predictions of trainings that differ in the seed alone.

    Args:
        bench: What trials share.
        members: Trials that are finished.

    Raises:
        GrjcaError: What evaluation refuses.
    """
    first = members[0]
    path = bench.out / f"runs/{first.variant}/ensemble/fold-{first.fold}" / SCORE
    plan = hashlib.sha256("".join(bench.plan(member) for member in members).encode()).hexdigest()
    if path.exists():
        return read_score(path, plan)
    folders = [bench.out / member.folder for member in members]
    score = TrialScore(first, _ccc(_tested(bench, first, folders, gates=False)), {}, {})
    _write(path, score, plan)
    return score


def read_score(path: Path, plan: str | None = None) -> TrialScore:
    """Read a trial's score.

    Args:
        path: The file.
        plan: The digest it must have been made by; None for any.

    Raises:
        UsageError: It was made by another plan.
        GrjcaError: It is damaged.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        score = TrialScore(
            Trial(**read["trial"]),
            _numbers(read["ccc"]),
            _numbers(read["mean_gates"]),
            {
                name: GateUse(**{**use, "mean": tuple(use["mean"]),
                                 "deviation": tuple(use["deviation"])})
                for name, use in read["gates"].items()
            },
            read["best_epoch"], read["epochs"], read["seconds"],
        )  # fmt: skip
    except OSError as error:
        raise GrjcaError("ablate", path, f"cannot read it ({error})") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        cause = f"damaged: {type(error).__name__}: {error}"
        raise GrjcaError("ablate", path, cause, "Delete it: the trial is tested again.") from error
    if (read["format"], read["version"]) != (FORMAT, VERSION):
        cause = f"{read['format']} version {read['version']}"
        raise GrjcaError("ablate", path, cause, "Choose another --out.")
    if plan is not None and read["plan"] != plan:
        raise UsageError("ablate", path, "made with other settings, clips or labels",
                         "Choose another --out.")  # fmt: skip
    return score


def _tested(bench: Bench, trial: Trial, folders: Sequence[Path], *, gates: bool) -> Evaluation:
    split = bench.splits[trial.fold]
    config = EvaluationConfig(
        partition="test" if split.test else "val", gates=gates, resamples=_RESAMPLES,
        align=bench.settings(trial).data.align,
    )  # fmt: skip
    checkpoints = [load_checkpoint(folder) for folder in folders]
    with one_thread():
        return evaluate_clips(checkpoints, bench.source, bench.labels, config)


def _ccc(found: Evaluation) -> dict[str, float]:
    return _overall(found.scores.overall)


def _overall(scores: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(own.ccc.value) for name, own in scores.items()}


def _numbers(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float("nan") if value is None else value for name, value in values.items()}


def _write(path: Path, score: TrialScore, plan: str) -> None:
    document = without_nan(
        {"format": FORMAT, "version": VERSION, "plan": plan, **dataclasses.asdict(score)}
    )
    with written_in_one_step(path) as temporary:
        text = json.dumps(document, allow_nan=False, indent=1)
        temporary.write_text(text + "\n", encoding="utf-8")
