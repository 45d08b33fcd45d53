"""A whole run: plan, extract one after the other or side by side, report."""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import time as clock
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import grjca
from grjca.cache import FeatureStore
from grjca.cache.claims import claim
from grjca.cache.index import StoreIndex
from grjca.cache.keys import Recipe
from grjca.cache.layout import HOUSE
from grjca.cache.shards import refuse_packed
from grjca.cache.writer import remove_leftovers
from grjca.errors import GrjcaError, UsageError
from grjca.pipeline.config import Components, ExtractConfig
from grjca.pipeline.executors import executor
from grjca.pipeline.inputs import Inputs, find_inputs
from grjca.pipeline.manifest import read_manifest
from grjca.pipeline.outcome import ClipOutcome
from grjca.pipeline.parts import LAST, Part, report_path
from grjca.pipeline.placing import Placement
from grjca.pipeline.plan import ClipTask, Plan, make_plan
from grjca.pipeline.progress import Progress
from grjca.pipeline.report import RunReport
from grjca.pipeline.stopping import check
from grjca.stages.ffmpeg import ffmpeg_version, find_ffmpeg

WAIT = 1.0
"""Seconds between two looks at clips that another run has in hand."""

SAVE_EVERY = 900.0
"""Seconds after which a long run saves the index, lest the next one opens every file anew."""


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
    placement: Placement | None = None,
    part: Part | None = None,
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
        workers: Processes side by side on this machine; None for one per core, never more than
            clips. A short form of ``placement``.
        placement: Where the work is done; None for this machine.
        part: Only this share of the clips, chosen by their names; the report is then
            ``parts.report_path`` in the store. None for all.
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
        inputs, Path(store), components,
        workers=workers, placement=placement, part=part, overwrite=overwrite, progress=progress,
    )  # fmt: skip


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
    placement: Placement | None = None,
    part: Part | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> RunReport:
    """Extract clips with components that are loaded already; else as ``extract``."""
    began = clock.perf_counter()
    refuse_packed(store, "extract")
    place = _placed(workers, placement)
    if part is not None:
        kept = {clip: source for clip, source in inputs.clips.items() if part.keeps(clip)}
        inputs = dataclasses.replace(inputs, clips=kept)
    version = ffmpeg_version(find_ffmpeg())
    recipe = components.recipe(version)
    try:
        store.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GrjcaError("store", store, str(error), "Choose another --store.") from error
    remove_leftovers(store)
    index = StoreIndex(FeatureStore(store), inputs.clips)
    plan = make_plan(inputs, index, recipe, overwrite=overwrite)
    outcomes = list(plan.known)
    interrupted = True
    try:
        # One at a time: what was finished before an interruption is reported too.
        for outcome in _computed(plan, components, store, recipe, place, index, progress):
            outcomes.append(outcome)  # noqa: PERF402
        interrupted = False
    finally:
        died = any(outcome.error and outcome.error["stage"] == "worker" for outcome in outcomes)
        if interrupted or died:
            # A process that was killed could not clear up after itself; else the next run does.
            with contextlib.suppress(GrjcaError):
                remove_leftovers(store)
        report = RunReport(
            sorted(outcomes, key=lambda outcome: outcome.clip),
            clock.perf_counter() - began,
            dataclasses.asdict(recipe),
            _versions(version),
            inputs.passed_over,
            interrupted,
        )
        try:
            report.write(store / HOUSE / LAST if part is None else report_path(store, part))
        finally:
            index.save()
    return report


def _placed(workers: int | None, placement: Placement | None) -> Placement:
    if placement is None:
        return Placement(workers)
    if workers is not None:
        raise UsageError(
            "options",
            "workers",
            "the placement says where the work is done",
            "Give one of the two.",
        )
    return placement


def _computed(
    plan: Plan,
    components: Components,
    store: Path,
    recipe: Recipe,
    place: Placement,
    index: StoreIndex,
    progress: bool,
) -> Iterator[ClipOutcome]:
    """Outcomes of the clips to extract, as they come; the index is kept up on the way."""
    left = {task.clip: task for task in plan.tasks}
    total, size = len(plan.tasks) + len(plan.known), sum(task.size for task in plan.tasks)
    saved = clock.monotonic()
    with Progress(total, len(plan.known), size, shown=progress) as bar:
        for outcome in plan.known:
            bar.tell(outcome)
        with executor(
            place, components, store, recipe, bar,
            clips=len(left), unfinished=lambda: len(left),
        ) as execute:  # fmt: skip
            while left:
                with contextlib.closing(execute(list(left.values()))) as outcomes:
                    for outcome in outcomes:
                        if outcome.status == "busy":
                            bar.given_back(outcome.clip)
                            continue
                        bar.ended(outcome, left.pop(outcome.clip).size)
                        for clip in outcome.clips if outcome.status == "done" else ():
                            index.lookup(clip)
                        yield outcome
                        if clock.monotonic() - saved > SAVE_EVERY:
                            index.save()
                            saved = clock.monotonic()
                # Those that another run has in hand.
                _until_one_is_free(list(left.values()), store)


def _until_one_is_free(tasks: Sequence[ClipTask], store: Path) -> None:
    while tasks:
        for task in tasks:
            held = claim(store, task.clip)
            if held is not None:
                with held:
                    return
        check()
        clock.sleep(WAIT)


def _versions(ffmpeg: str) -> dict[str, str]:
    packages = ("numpy", "torch", "torchaudio", "onnxruntime", "opencv-python", "h5py")
    return {
        "grjca": grjca.__version__,
        "python": platform.python_version(),
        "ffmpeg": ffmpeg,
        **{name: metadata.version(name) for name in packages},
    }
