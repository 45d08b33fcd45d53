"""Clips side by side, in processes of a local Dask cluster."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from grjca.cache.keys import canonical_json
from grjca.errors import GrjcaError
from grjca.pipeline.clip import attempt
from grjca.pipeline.config import Components, ExtractConfig
from grjca.pipeline.outcome import ClipOutcome
from grjca.pipeline.plan import ClipTask

ATTEMPTS = 2
"""How often a clip may lose its worker before it is set aside."""


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


def extract_side_by_side(
    tasks: Sequence[ClipTask], config: ExtractConfig, store: Path, workers: int
) -> Iterator[ClipOutcome]:
    """Outcomes as they come from ``workers`` processes.

    No more clips are handed out than there are workers, because a scheduler blames a dead
    worker's whole queue. A clip whose worker died is tried once more and then set aside.
    """
    import dask
    from distributed import Client, LocalCluster, as_completed
    from distributed.scheduler import KilledWorker

    settings = {
        "distributed.scheduler.allowed-failures": ATTEMPTS - 1,
        "distributed.worker.daemon": True,
        # Clips take seconds to hours; a worker busy inside a library is not a lost one.
        "distributed.admin.tick.limit": "1h",
    }
    with (
        _quiet(logging.getLogger("distributed")),
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        waiting = iter(tasks)
        futures = as_completed()
        clips: dict[str, str] = {}

        def hand_out() -> None:
            task = next(waiting, None)
            if task is not None:
                future = client.submit(_in_worker, task, config, store, pure=False)
                clips[future.key] = task.clip
                futures.add(future)

        for _ in range(workers):
            hand_out()
        for future in futures:
            clip = clips.pop(future.key)
            try:
                outcome: ClipOutcome = future.result()
            except KilledWorker:
                lost = GrjcaError(
                    "worker", clip, f"the process died {ATTEMPTS} times while it had this clip",
                    "It may have run out of memory, or a library crashed; try it alone with "
                    "--workers 1.",
                )  # fmt: skip
                outcome = ClipOutcome.failure(clip, lost)
            hand_out()
            yield outcome


@contextlib.contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Keep a chatty library out of the progress bar; what matters comes as an outcome."""
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _in_worker(task: ClipTask, config: ExtractConfig, store: Path) -> ClipOutcome:
    settings = {kind: dict(values) for kind, values in config.settings.items()}
    components = _loaded(canonical_json({**vars(config), "settings": settings}))
    with single_threaded():
        return attempt(task, components, store)


@functools.lru_cache(maxsize=1)
def _loaded(config: str) -> Components:
    """Components of a configuration, loaded once per worker process and kept."""
    return Components.load(ExtractConfig(**json.loads(config)))
