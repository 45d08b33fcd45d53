"""Clips one after the other in this process, or side by side in the children of Dask workers."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grjca.cache.keys import Recipe
from grjca.cache.layout import HOUSE
from grjca.errors import GrjcaError
from grjca.pipeline.clip import attempt
from grjca.pipeline.config import Components, ExtractConfig
from grjca.pipeline.outcome import ClipOutcome
from grjca.pipeline.placing import Placement
from grjca.pipeline.plan import ClipTask
from grjca.pipeline.progress import Progress
from grjca.pipeline.stopping import check
from grjca.pipeline.work import Item, Tell, Work
from grjca.stages.ffmpeg import ffmpeg_version, find_ffmpeg

__all__ = ["Extraction", "Placement", "available_cores", "executor", "single_threaded"]

Execute = Callable[[Sequence[ClipTask]], Generator[ClipOutcome, None, None]]
"""Outcomes of clips as they come."""


def available_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """One thread for every library of this process, for a while.

    Results then do not depend on how many cores a machine has, and clips side by side do not
    fight over them.
    """
    import cv2
    import torch

    threads = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads[0])
        cv2.setNumThreads(threads[1])


@dataclass(frozen=True)
class Extraction:
    """The job of an extraction: what every worker loads once and does with every clip.

    Attributes:
        config: Which components.
        store: The store's folder.
        recipe: The identity of every stage where the clips were planned.
    """

    config: ExtractConfig
    store: Path
    recipe: Recipe

    def open(self) -> Work:
        """Load the components.

        Raises:
            UsageError: Weights or packages are missing here.
            GrjcaError: What is here would compute something else than was planned.
        """
        components = Components.load(self.config)
        _check_same(components.recipe(ffmpeg_version(find_ffmpeg())), self.recipe)

        def work(task: ClipTask, tell: Tell) -> ClipOutcome:
            with single_threaded():
                return attempt(task, components, self.store, tell)

        return work


@contextlib.contextmanager
def executor(
    place: Placement,
    components: Components,
    store: Path,
    recipe: Recipe,
    progress: Progress,
    *,
    clips: int,
    unfinished: Callable[[], int],
) -> Iterator[Execute]:
    """What extracts clips at a place; may be called again with clips that another run had.

    Args:
        place: Where the work is done.
        components: Detector and embedders.
        store: The store's folder.
        recipe: The identity of every stage.
        progress: Told of rows in the midst of clips.
        clips: How many clips there are; no more processes are started.
        unfinished: Tells how many of them are left.

    Raises:
        UsageError, GrjcaError: The place cannot be worked at.
    """
    workers = min(place.workers or available_cores(), clips) if place.local else 0
    if clips == 0 or workers == 1:
        with single_threaded():
            yield lambda tasks: _one_by_one(tasks, components, store, progress)
        return
    from grjca.pipeline.cluster import opened
    from grjca.pipeline.flow import Flow

    settings = {kind: dict(values) for kind, values in components.config.settings.items()}
    job = Extraction(dataclasses.replace(components.config, settings=settings), store, recipe)
    with opened(place, job, house=store / HOUSE, workers=workers, unfinished=unfinished) as (
        client,
        run,
    ):
        flow = Flow(client, run, on_rows=progress.rows, on_workers=progress.workers)
        yield lambda tasks: _outcomes(flow.results(_items(tasks)))


def _one_by_one(
    tasks: Iterable[ClipTask], components: Components, store: Path, progress: Progress
) -> Generator[ClipOutcome, None, None]:
    for task in tasks:
        check()

        def count(rows: int, clip: str = task.clip) -> None:
            check()
            progress.more_rows(clip, rows)

        yield attempt(task, components, store, count)


def _items(tasks: Iterable[ClipTask]) -> Iterator[Item]:
    for task in tasks:
        files = (task.source.path, task.source.sound)
        # A mapping that cannot be changed cannot be pickled either.
        source = dataclasses.replace(task.source, about=dict(task.source.about))
        payload = dataclasses.replace(task, source=source)
        yield Item(task.clip, payload, tuple(str(path) for path in files if path is not None))


def _outcomes(results: Iterable[tuple[Item, Any]]) -> Generator[ClipOutcome, None, None]:
    for item, result in results:
        if isinstance(result, GrjcaError):
            yield ClipOutcome.failure(item.name, result)
        else:
            yield result


def _check_same(here: Recipe, planned: Recipe) -> None:
    for stage, wanted in dataclasses.asdict(planned).items():
        found = getattr(here, stage)
        if found != wanted:
            raise GrjcaError(
                "cluster", f"{stage} of a worker",
                f"it would not compute the same: {_difference(found, wanted)}",
                "Install the same ffmpeg, packages and weights on all machines.",
            )  # fmt: skip


def _difference(found: Any, wanted: Any) -> str:
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in sorted(found.keys() | wanted.keys()):
            if found.get(key) != wanted.get(key):
                return f"{key} {_difference(found.get(key), wanted.get(key))}"
    return f"is {found}, where the run was started {wanted}"
