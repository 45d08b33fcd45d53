"""A whole run: plan, extract one after the other or side by side, report."""

from __future__ import annotations

import dataclasses
import platform
import sys
import time as clock
from collections.abc import Callable, Iterator, Sequence
from importlib import metadata
from pathlib import Path

from tqdm import tqdm

import grjca
from grjca.cache import FeatureStore
from grjca.cache.claims import claim
from grjca.cache.index import StoreIndex
from grjca.cache.layout import HOUSE
from grjca.cache.writer import remove_leftovers
from grjca.errors import GrjcaError, UsageError
from grjca.pipeline.clip import attempt
from grjca.pipeline.config import Components, ExtractConfig
from grjca.pipeline.executors import available_cores, extract_side_by_side, single_threaded
from grjca.pipeline.inputs import Inputs, find_inputs
from grjca.pipeline.manifest import read_manifest
from grjca.pipeline.outcome import ClipOutcome
from grjca.pipeline.plan import ClipTask, Plan, make_plan
from grjca.pipeline.report import RunReport
from grjca.stages.ffmpeg import ffmpeg_version, find_ffmpeg

REPORT = "last-run.json"

WAIT = 1.0
"""Seconds between two looks at clips that another run has in hand."""


def extract(
    paths: Sequence[str | Path],
    store: str | Path,
    config: ExtractConfig | None = None,
    *,
    manifest: str | Path | None = None,
    root: str | Path | None = None,
    images: bool = False,
    sound: str | Path | None = None,
    video_stream: int | None = None,
    audio_stream: int | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> RunReport:
    """Extract features of clips into a store; what is there already is skipped.

    Args:
        paths: Files, folders (searched recursively) or ``@list.txt``.
        store: The store's folder; made if it is not there.
        config: Detector and embedders; the defaults if None.
        manifest: A table of clips, see ``pipeline.manifest``; instead of ``paths``.
        root: Folder that clips are named relative to; see ``find_inputs``.
        images: Clips are folders of numbered images.
        sound: For folders of images: the raw video, or the folder of raw videos.
        video_stream: Which of several picture streams, counted from 0; None for the default one.
        audio_stream: The same for sound.
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
    inputs = gather(
        paths, manifest=manifest, root=root, images=images, sound=sound,
        video_stream=video_stream, audio_stream=audio_stream,
    )  # fmt: skip
    components = Components.load(config or ExtractConfig())
    return run(
        inputs, Path(store), components, workers=workers, overwrite=overwrite, progress=progress
    )


def gather(
    paths: Sequence[str | Path],
    *,
    manifest: str | Path | None = None,
    root: str | Path | None = None,
    images: bool = False,
    sound: str | Path | None = None,
    video_stream: int | None = None,
    audio_stream: int | None = None,
) -> Inputs:
    """The clips that a call or a command names; arguments as for ``extract``.

    Raises:
        UsageError: Nothing is named, names collide, or a manifest and other inputs are given.
    """
    if manifest is not None:
        others = (root, sound, video_stream, audio_stream)
        if paths or images or any(value is not None for value in others):
            raise UsageError(
                "inputs", manifest, "a manifest says all about the clips; more was given",
                "Leave out paths, --root, --images, --sound and the streams' numbers.",
            )  # fmt: skip
        return read_manifest(Path(manifest))
    if sound is not None and not images:
        raise UsageError(
            "inputs", sound, "other sound is for folders of images",
            "Add --images, or use a manifest.",
        )  # fmt: skip
    return find_inputs(
        paths,
        Path(root) if root is not None else None,
        images=images,
        sound=Path(sound) if sound is not None else None,
        video_stream=video_stream,
        audio_stream=audio_stream,
    )


def run(
    inputs: Inputs,
    store: Path,
    components: Components,
    *,
    workers: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> RunReport:
    """Extract clips with components that are loaded already; else as ``extract``."""
    began = clock.perf_counter()
    version = ffmpeg_version(find_ffmpeg())
    recipe = components.recipe(version)
    try:
        store.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GrjcaError("store", store, str(error), "Choose another --store.") from error
    remove_leftovers(store)
    index = StoreIndex(FeatureStore(store))
    plan = make_plan(inputs, index, recipe, overwrite=overwrite)
    outcomes = list(plan.known)
    interrupted = True
    try:
        with single_threaded():
            # One at a time: what was finished before an interruption is reported too.
            for outcome in _with_progress(plan, components, store, workers, progress):
                outcomes.append(outcome)  # noqa: PERF402
        interrupted = False
    finally:
        for outcome in outcomes:
            if outcome.status == "done":
                for clip in outcome.clips:
                    index.lookup(clip)
        index.save()
        report = RunReport(
            sorted(outcomes, key=lambda outcome: outcome.clip),
            clock.perf_counter() - began,
            dataclasses.asdict(recipe),
            _versions(version),
            inputs.passed_over,
            interrupted,
        )
        report.write(store / HOUSE / REPORT)
    return report


def _with_progress(
    plan: Plan, components: Components, store: Path, workers: int | None, progress: bool
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
        for outcome in _outcomes(plan.tasks, components, store, workers, count):
            if workers > 1 and outcome.status == "done":
                count(outcome.rows)
            tell(outcome)
            bar.update()
            yield outcome


def _outcomes(
    tasks: Sequence[ClipTask],
    components: Components,
    store: Path,
    workers: int,
    count: Callable[[int], None],
) -> Iterator[ClipOutcome]:
    """Outcomes of all tasks; those that another run has in hand are waited for at the end."""
    while tasks:
        if workers > 1:
            outcomes = extract_side_by_side(tasks, components.config, store, workers)
        else:
            outcomes = (attempt(task, components, store, count) for task in tasks)
        busy: set[str] = set()
        for outcome in outcomes:
            if outcome.status == "busy":
                busy.add(outcome.clip)
            else:
                yield outcome
        tasks = [task for task in tasks if task.clip in busy]
        _until_one_is_free(tasks, store)


def _until_one_is_free(tasks: Sequence[ClipTask], store: Path) -> None:
    while tasks:
        for task in tasks:
            held = claim(store, task.clip)
            if held is not None:
                with held:
                    return
        clock.sleep(WAIT)


def _versions(ffmpeg: str) -> dict[str, str]:
    packages = ("numpy", "torch", "torchaudio", "onnxruntime", "opencv-python", "h5py")
    return {
        "grjca": grjca.__version__,
        "python": platform.python_version(),
        "ffmpeg": ffmpeg,
        **{name: metadata.version(name) for name in packages},
    }
