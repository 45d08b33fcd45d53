"""A whole run: plan, extract one after the other or side by side, report."""

from __future__ import annotations

import dataclasses
import platform
import sys
import time as clock
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from tqdm import tqdm

import grjca
from grjca.cache import FeatureStore
from grjca.cache.index import StoreIndex
from grjca.cache.keys import Recipe
from grjca.cache.layout import HOUSE
from grjca.cache.writer import remove_leftovers
from grjca.errors import GrjcaError
from grjca.pipeline.clip import ClipOutcome, attempt
from grjca.pipeline.config import Components, ExtractConfig
from grjca.pipeline.executors import available_cores, extract_side_by_side, single_threaded
from grjca.pipeline.plan import Plan, find_inputs, make_plan
from grjca.pipeline.report import RunReport
from grjca.stages.ffmpeg import ffmpeg_version, find_ffmpeg

REPORT = "last-run.json"


def extract(
    paths: Sequence[str | Path],
    store: str | Path,
    config: ExtractConfig | None = None,
    *,
    root: str | Path | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> RunReport:
    """Extract features of clips into a store; what is there already is skipped.

    Args:
        paths: Files, folders (searched recursively) or ``@list.txt``.
        store: The store's folder; made if it is not there.
        config: Detector and embedders; the defaults if None.
        root: Folder that clips are named relative to; see ``find_inputs``.
        workers: Processes side by side; None for one per core, never more than clips.
        overwrite: Compute everything anew, also where the store holds it.
        progress: Draw a progress bar on standard error.

    Returns:
        The outcome of every clip. Clips that failed are in ``report.failed``; they raise nothing.

    Raises:
        UsageError: Nothing to extract, names that collide, unknown components, missing weights.
        GrjcaError: The store cannot be made.
        KeyboardInterrupt: Stopped by the user; the report so far is in the store.
    """
    began = clock.perf_counter()
    config = config or ExtractConfig()
    inputs = find_inputs(paths, Path(root) if root is not None else None)
    version = ffmpeg_version(find_ffmpeg())
    components = Components.load(config)
    recipe = components.recipe(version)
    folder = Path(store)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GrjcaError("store", store, str(error), "Choose another --store.") from error
    remove_leftovers(folder)
    index = StoreIndex(FeatureStore(folder))
    plan = make_plan(inputs, index, recipe, overwrite=overwrite)
    outcomes = list(plan.known)
    interrupted = True
    try:
        with single_threaded():
            # One at a time: what was finished before an interruption is reported too.
            for outcome in _run(plan, components, recipe, folder, config, workers, progress):
                outcomes.append(outcome)  # noqa: PERF402
        interrupted = False
    finally:
        for outcome in outcomes:
            if outcome.status == "done":
                index.lookup(outcome.clip)
        index.save()
        report = RunReport(
            sorted(outcomes, key=lambda outcome: outcome.clip),
            clock.perf_counter() - began,
            dataclasses.asdict(recipe),
            _versions(version),
            inputs.passed_over,
            interrupted,
        )
        report.write(folder / HOUSE / REPORT)
    return report


def _run(
    plan: Plan,
    components: Components,
    recipe: Recipe,
    store: Path,
    config: ExtractConfig,
    workers: int | None,
    progress: bool,
) -> Iterator[ClipOutcome]:
    """Outcomes as they come, with a progress bar over clips that also tells frames a second."""
    workers = min(workers or available_cores(), len(plan.tasks))
    began = clock.perf_counter()
    frames = 0
    with tqdm(
        total=len(plan.tasks) + len(plan.known), initial=len(plan.known), unit="clip",
        desc="extract", disable=not progress, dynamic_ncols=True,
    ) as bar:  # fmt: skip

        def count(rows: int) -> None:
            nonlocal frames
            frames += rows
            bar.set_postfix_str(f"{frames / (clock.perf_counter() - began):.0f} frames/s")

        def tell(outcome: ClipOutcome) -> None:
            if outcome.error and progress:
                bar.write(f"error: {outcome.error['message']}", file=sys.stderr)

        for outcome in plan.known:
            tell(outcome)
        if workers > 1:
            outcomes = extract_side_by_side(plan.tasks, config, recipe, store, workers)
        else:
            outcomes = (attempt(task, components, recipe, store, count) for task in plan.tasks)
        for outcome in outcomes:
            if workers > 1:
                count(outcome.rows)
            tell(outcome)
            bar.update()
            yield outcome


def _versions(ffmpeg: str) -> dict[str, str]:
    packages = ("numpy", "torch", "torchaudio", "onnxruntime", "opencv-python", "h5py")
    return {
        "grjca": grjca.__version__,
        "python": platform.python_version(),
        "ffmpeg": ffmpeg,
        **{name: metadata.version(name) for name in packages},
    }
