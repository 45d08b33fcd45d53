"""``ablate``: all trials, side by side and resumable, and the comparison."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import multiprocessing
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import connection
from pathlib import Path
from typing import Any

from tqdm import tqdm

from grjca.ablation.comparison import VariantResult, compare, overlap_of
from grjca.ablation.documents import write_documents
from grjca.ablation.plan import RIDGE, AblationConfig, Trial, splits, trials
from grjca.ablation.plot import plot_ablation
from grjca.ablation.scores import TrialScore
from grjca.ablation.source import Remembered
from grjca.ablation.trial import Bench, finished, run_ensemble, run_trial
from grjca.cache.store import FeatureStore
from grjca.errors import GrjcaError, UsageError
from grjca.fusion.presets import preset as find_preset
from grjca.fusion.settings import Given, Settings, read_settings, resolve
from grjca.labels.matching import match
from grjca.labels.readers import read_labels
from grjca.pipeline.parts import Part

PLOT = "ablation.png"


@dataclass(frozen=True)
class Ablation:
    """What an ablation found.

    Attributes:
        scores: Of all trials, in their order.
        results: By variant.
        notes: What a reader should know.
        out: The folder with tables, plot and runs.
        lacking: Trials of other parts that are not finished; while there are any, there are
            neither results nor tables.
    """

    scores: tuple[TrialScore, ...]
    results: tuple[VariantResult, ...]
    notes: tuple[str, ...]
    out: Path
    lacking: tuple[Trial, ...] = ()


@dataclass(frozen=True)
class _Place:
    """What a worker process opens its bench from; hashable, so that it is opened once."""

    store: Path
    labels: Path
    out: Path
    folds: int | None
    settings: str
    overwrite: bool


def ablate(
    store: str | Path,
    labels: str | Path,
    out: str | Path,
    *,
    preset: str = "small",
    settings: str | Path | None = None,
    model: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    part: Part | None = None,
    overwrite: bool = False,
    progress: bool = False,
    **ablation: Any,
) -> Ablation:
    """Train and test every variant with every seed on every fold, and compare.

    A trial that is finished is not repeated, one that was killed goes on: the same call again
    completes the folder. Several calls may do a part each, at the same time and on many machines;
    the one after which no trial is lacking writes the tables.

    Args:
        store: The feature store's folder.
        labels: Annotations, as for ``train``.
        out: The folder: ``runs/<fusion>/seed-<seed>/fold-<fold>``, each a RUN folder,
            ``trials.csv``, ``ablation.md``, ``ablation.json``, ``ablation.png``.
        preset: Named settings that all the others go over.
        settings: A YAML file of settings; ``model``, ``config`` and ``data`` go over it.
        model: Values for fields of ``FusionConfig``; each variant decides ``fusion``.
        config: Values for fields of ``TrainConfig``; each trial decides ``seed``.
        data: Values for fields of ``DataConfig``.
        part: Only this share of the trials, dealt out in their order; None for all.
        overwrite: Do trials again that were made with other settings, clips, labels or features;
            otherwise they are refused.
        progress: Draw a progress bar on standard error.
        ablation: Values for fields of ``AblationConfig``.

    Raises:
        UsageError: Settings that cannot be, a folder that holds another ablation.
        GrjcaError: What training and evaluation refuse; which trial, too. The others' results
            stay, and are not computed again.
    """
    try:
        asked = AblationConfig(**ablation)
    except (TypeError, ValueError) as error:
        raise UsageError("ablate", "settings", str(error), "Correct this setting.") from error
    resolved = _resolved(preset, settings, model, config, data)
    place = _Place(
        Path(store), Path(labels), Path(out), asked.folds, json.dumps(resolved.document()),
        overwrite,
    )  # fmt: skip
    bench = _bench(place)
    planned = trials(asked)
    own = planned if part is None else planned[part.number - 1 :: part.of]
    # What does not fit is refused before hours of work.
    for trial in own:
        finished(bench, trial)
    by: dict[Work, TrialScore] = dict(_run(bench, place, own, asked.workers, progress, "ablate"))
    others = {trial: finished(bench, trial) for trial in planned if trial not in by}
    by |= {trial: score for trial, score in others.items() if score is not None}
    scores = [by[trial] for trial in planned if trial in by]
    if len(scores) < len(planned):
        lacking = tuple(trial for trial in planned if trial not in by)
        return Ablation(tuple(scores), (), (), bench.out, lacking)
    groups = _groups(planned) if asked.seeds > 1 else []
    together = list(_run(bench, place, groups, asked.workers, progress, "ensembles"))
    sizes = {
        fold: (len(split.train), len(split.test or split.val))
        for fold, split in bench.splits.items()
    }
    overlap = overlap_of(planned, sizes)
    results = compare(
        scores, asked.variants, asked.reference, overlap=overlap,
        ensembles=[score for _, score in together],
    )  # fmt: skip
    notes = _notes(bench, asked)
    about = {
        "config": dataclasses.asdict(asked),
        "settings": resolved.document(),
        "clips": {str(fold): size for fold, size in sizes.items()},
        "mapping": bench.labels.mapping,
    }
    write_documents(bench.out, scores, results, about, notes)
    plot_ablation(bench.out / PLOT, scores, results, f"{len(scores)} trials")
    return Ablation(tuple(scores), results, notes, bench.out)


def _resolved(
    preset: str,
    settings: str | Path | None,
    model: Mapping[str, Any] | None,
    config: Mapping[str, Any] | None,
    data: Mapping[str, Any] | None,
) -> Settings:
    found = find_preset(preset)
    given = Given(model or {}, config or {}, data or {})
    if settings is not None:
        given = given.over(read_settings(Path(settings)))
    resolved = resolve(given.over(Given(found.model, found.train)))
    if resolved.data.folds is not None:
        raise UsageError("ablate", "data.folds", "is what --folds says for all trials at once",
                         "Leave it out of the settings.")  # fmt: skip
    return resolved


def _bench(place: _Place) -> Bench:
    given = Given(**json.loads(place.settings))
    resolved = resolve(given)
    store = FeatureStore(place.store)
    missing = resolved.data.allow_missing
    labels = match(read_labels(place.labels), store.clips(), allow_missing=missing).labels
    source = Remembered(store, resolved.train.memory_limit)
    found = splits(store, labels, resolved.data, place.folds)
    return Bench(source, labels, found, given, place.out, place.overwrite)


Work = Trial | tuple[Trial, ...]
"""A trial, or the trials of an ensemble."""


def _do(bench: Bench, work: Work) -> TrialScore:
    if isinstance(work, Trial):
        return run_trial(bench, work)
    return run_ensemble(bench, work)


def _run(
    bench: Bench, place: _Place, works: Sequence[Work], workers: int, progress: bool, task: str
) -> Iterator[tuple[Work, TrialScore]]:
    """Scores as they come; the first error ends it, after what is under way."""
    bar = tqdm(total=len(works), desc=task, unit="trial", disable=not progress or not works)
    with bar:
        if workers == 1 or len(works) < 2:
            for work in works:
                yield work, _do(bench, work)
                bar.update()
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(
            min(workers, len(works)), context, initializer=_live_with_parent
        ) as pool:
            futures = {pool.submit(_in_worker, place, work): work for work in works}
            try:
                for future in as_completed(futures):
                    yield futures[future], future.result()
                    bar.update()
            except BrokenProcessPool as error:
                raise GrjcaError(
                    "ablate", place.out, "a worker process died",
                    "It may have run out of memory; run again with --workers 1 to go on.",
                ) from error  # fmt: skip
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def _in_worker(place: _Place, work: Work) -> TrialScore:
    return _do(_opened(place), work)


@functools.lru_cache(maxsize=1)
def _opened(place: _Place) -> Bench:
    """The bench of this worker process, opened once and kept."""
    # What is to be said about the splits, the parent says.
    logging.getLogger("grjca").setLevel(logging.ERROR)
    return _bench(place)


def _live_with_parent() -> None:
    """End this process when its parent is gone: two must not train in one folder."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _groups(planned: Sequence[Trial]) -> list[tuple[Trial, ...]]:
    groups: dict[tuple[str, int], list[Trial]] = {}
    for trial in planned:
        if trial.variant != RIDGE:
            groups.setdefault((trial.variant, trial.fold), []).append(trial)
    return [tuple(members) for members in groups.values()]


def _notes(bench: Bench, asked: AblationConfig) -> tuple[str, ...]:
    notes = []
    untested = [split for split in bench.splits.values() if not split.test]
    if untested:
        notes.append("tested on the clips that each training's best epoch was chosen on; --folds, "
                     "or a partition called test, keeps clips for the test alone")  # fmt: skip
    if asked.folds is None:
        notes.append("one split: intervals tell of seeds, not of other clips or people")
    else:
        notes.append("intervals are over seeds and folds, corrected for training clips in common "
                     "(Nadeau and Bengio 2003)")  # fmt: skip
    of_splits = [note for split in bench.splits.values() for note in split.notes]
    return tuple(dict.fromkeys([*notes, *bench.labels.notes, *of_splits]))
