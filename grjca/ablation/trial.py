"""One trial: a training and its test, or several trainings tested together."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
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
from grjca.ablation.scores import SCORE, TrialScore, read_score, write_score
from grjca.ablation.source import Remembered
from grjca.errors import UsageError
from grjca.evaluation.evaluation import Evaluation, EvaluationConfig, evaluate_clips
from grjca.evaluation.sources import one_thread
from grjca.fusion.checkpoint import load_checkpoint
from grjca.fusion.data import MODALITIES
from grjca.fusion.recipe import choose_embedders
from grjca.fusion.run_claim import claimed
from grjca.fusion.settings import Given, Settings, resolve
from grjca.fusion.trainer import TrainResult, train
from grjca.labels.records import Labels
from grjca.labels.splits import Split

TRIAL = "trial"
"""What a trial claims in its folder."""

# No interval of a single trial is shown; as few resamples as there may be.
_RESAMPLES = 100


@dataclass(frozen=True)
class Bench:
    """What all trials of an ablation share.

    Attributes:
        source: The features.
        labels: Annotations by the store's identities.
        splits: By fold.
        given: The settings that variants, seeds and folds go over.
        out: The ablation's folder.
        overwrite: Do trials again that were made with other settings, clips, labels or features.
    """

    source: Remembered
    labels: Labels
    splits: Mapping[int, Split]
    given: Given
    out: Path
    overwrite: bool = False

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
        # Where it is computed does not decide what, nor does what would have been refused.
        document["train"] = {k: v for k, v in document["train"].items() if k != "save_seconds"}
        document["data"] = {k: v for k, v in document["data"].items() if k != "allow_missing"}
        sha.update(json.dumps(document, sort_keys=True, default=list).encode())
        for name in sorted(self.labels.clips):
            sha.update(name.encode())
            sha.update(np.ascontiguousarray(self.labels.clips[name].values).tobytes())
        return sha.hexdigest()

    def features(self, trial: Trial) -> str:
        """SHA-256 over the digests of all features that a trial takes.

        Raises:
            UsageError: Embedders that clips lack, or that only the user can choose between.
        """
        split, settings = self.splits[trial.fold], self.settings(trial)
        clips = sorted({*split.train, *split.val, *split.test})
        names = choose_embedders(self.source, clips, settings.data.visual, settings.data.audio)
        groups = [
            f"{kind}/{name}"
            for kind, name in zip(MODALITIES, names, strict=True)
            if name is not None and kind in settings.train.modalities
        ]
        sha = hashlib.sha256()
        for clip in clips:
            digests = self.source.digests(clip)
            own = [digests.get(group) for group in ("frames", *groups)]
            sha.update(json.dumps([clip, own]).encode())
        return sha.hexdigest()


def finished(bench: Bench, trial: Trial) -> TrialScore | None:
    """The score of a trial that an earlier run has finished.

    Returns:
        None where there is none; also where there is one that no longer fits and may be
        overwritten.

    Raises:
        UsageError: It was made with other settings, clips, labels or features.
        GrjcaError: It is damaged.
    """
    path = bench.out / trial.folder / SCORE
    if not path.exists():
        return None
    return _fitting(bench, path, bench.plan(trial), bench.features(trial))


def run_trial(bench: Bench, trial: Trial) -> TrialScore:
    """Train and test, or read what an earlier run has written; a killed training goes on.

    Raises:
        UsageError: The folder holds a trial of other settings, clips, labels or features, or
            another process is at work in it.
        GrjcaError: What training and evaluation refuse.
    """
    known = finished(bench, trial)
    if known is not None:
        return known
    path = bench.out / trial.folder / SCORE
    with claimed(path.parent, TRIAL):
        # Another process may have finished it before it let go of the folder.
        known = finished(bench, trial)
        if known is None:
            known = _run(bench, trial, path.parent)
            write_score(path, known, bench.plan(trial), bench.features(trial))
    return known


def _run(bench: Bench, trial: Trial, folder: Path) -> TrialScore:
    split, settings = bench.splits[trial.fold], bench.settings(trial)
    began = time.perf_counter()
    if trial.variant == RIDGE:
        with one_thread():
            own = ridge_scores(bench.source, bench.labels, split, settings.train, settings.data)
        return TrialScore(trial, own, {}, {}, seconds=time.perf_counter() - began)
    result = _trained(bench, trial, folder)
    found = _tested(bench, trial, [folder], gates=True)
    return TrialScore(
        trial,
        _ccc(found),
        {} if found.mean_gates is None else _overall(found.mean_gates.overall),
        found.gates[0] if found.gates else {},
        result.best_epoch,
        len(result.rows),
        sum(row["seconds"] for row in result.rows),
    )


def _trained(bench: Bench, trial: Trial, folder: Path) -> TrainResult:
    settings = bench.settings(trial)
    fit = functools.partial(
        train, bench.source, bench.labels, bench.splits[trial.fold], settings.model,
        settings.train, folder, data=settings.data, progress=False,
    )  # fmt: skip
    try:
        return fit(resume=True)
    except UsageError:
        # What lies there is of another training.
        if not bench.overwrite:
            raise
        return fit(overwrite=True)


def run_ensemble(bench: Bench, members: Sequence[Trial]) -> TrialScore:
    """Test the mean of the predictions of trainings that differ in the seed alone.

    One that was tested before is read, unless it was of other seeds.

    Args:
        bench: What trials share.
        members: Trials that are finished.

    Raises:
        GrjcaError: What evaluation refuses.
    """
    first = members[0]
    path = bench.out / f"runs/{first.variant}/ensemble/fold-{first.fold}" / SCORE
    plan = hashlib.sha256("".join(bench.plan(member) for member in members).encode()).hexdigest()
    features = bench.features(first)
    if path.exists():
        # Its members fit: what does not is of other seeds, or older than one of them.
        with contextlib.suppress(UsageError):
            return read_score(path, plan, features)
    folders = [bench.out / member.folder for member in members]
    score = TrialScore(first, _ccc(_tested(bench, first, folders, gates=False)), {}, {})
    write_score(path, score, plan, features)
    return score


def _fitting(bench: Bench, path: Path, plan: str, features: str) -> TrialScore | None:
    try:
        return read_score(path, plan, features)
    except UsageError:
        if not bench.overwrite:
            raise
        return None


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
