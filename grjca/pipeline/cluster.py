"""A Dask cluster to work on: of this machine's processes, one that runs, or one of SLURM jobs."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import os
import shutil
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Security, Status
from distributed.deploy.adaptive import Adaptive

from grjca.errors import GrjcaError, UsageError, one_line
from grjca.files import temporary_name
from grjca.pipeline.children import Children
from grjca.pipeline.local_cluster import local_client
from grjca.pipeline.placing import Placement
from grjca.pipeline.slurm_jobs import SlurmJobs
from grjca.pipeline.work import Job, packed

REACH = 5
"""Seconds in which a running scheduler has to answer."""

_SETTINGS = {
    # How often the scheduler hands a clip to another worker when its worker was killed.
    "distributed.scheduler.allowed-failures": 5,
    "distributed.worker.daemon": True,
    # A worker busy inside a library is not a lost one.
    "distributed.admin.tick.limit": "1h",
    # A worker only waits for its children; looking every 10 ms at what it does costs them time.
    "distributed.worker.profile.enabled": False,
    # Memory is used by the children, which are no part of a worker's process: its own limits
    # would only stop a worker for what it does not use.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
}


@contextlib.contextmanager
def opened(
    place: Placement,
    job: Job,
    *,
    house: Path,
    workers: int,
    unfinished: Callable[[], int],
) -> Iterator[tuple[Client, str]]:
    """A client of a cluster whose workers are ready for a job, and the name of the run there.

    Args:
        place: Where the work is done.
        job: What is done.
        house: Folder that all workers must see, for a file by which they show it.
        workers: Processes side by side, on this machine.
        unfinished: Tells how many items are left, for as many SLURM jobs as these need.

    Raises:
        UsageError: A file or package that is needed is not there.
        GrjcaError: The scheduler does not answer, or no job can be submitted.
    """
    run = f"grjca-{uuid.uuid4().hex}"
    pickled, folder = packed(job), os.getcwd()
    with contextlib.ExitStack() as stack:
        for name in ("distributed", "dask_jobqueue"):
            stack.enter_context(_quiet(logging.getLogger(name)))
        stack.enter_context(dask.config.set(_SETTINGS))
        if place.dashboard:
            _check_dashboard()
        gpus, proof = 0, None
        if place.local:
            client = stack.enter_context(local_client(workers, place.dashboard))
        else:
            proof = str(stack.enter_context(_proof(house)))
            if place.cluster is not None:
                jobs = SlurmJobs.read(Path(str(place.cluster_config)))
                gpus = jobs.gpus_per_job
                client = stack.enter_context(_slurm(jobs, place, house, unfinished))
            else:
                client = stack.enter_context(_running(str(place.scheduler)))
        if place.dashboard:
            print(f"dashboard: {client.dashboard_link}", file=sys.stderr)
        children = Children(run, pickled, folder, proof=proof, gpus=gpus, local=place.local)
        stack.enter_context(_installed(client, children, place))
        yield client, run


@contextlib.contextmanager
def _running(scheduler: str) -> Iterator[Client]:
    where: dict[str, Any] = {"address": scheduler}
    if "://" not in scheduler:
        if not Path(scheduler).is_file():
            raise UsageError(
                "cluster", scheduler, "neither an address nor a scheduler file",
                "Give tcp://HOST:PORT, or the file that dask scheduler --scheduler-file wrote.",
            )  # fmt: skip
        where = {"scheduler_file": scheduler}
    try:
        client = Client(**where, timeout=REACH, set_as_default=False)
    except (OSError, TimeoutError, ValueError, KeyError) as error:
        raise GrjcaError(
            "cluster", scheduler, f"no Dask scheduler answers there ({one_line(str(error))})",
            "Check the address, and that it runs: dask scheduler.",
        ) from error  # fmt: skip
    with client:
        yield client


@contextlib.contextmanager
def _slurm(
    jobs: SlurmJobs, place: Placement, house: Path, unfinished: Callable[[], int]
) -> Iterator[Client]:
    most = int(place.jobs or 1)
    if importlib.util.find_spec("dask_jobqueue") is None:
        raise UsageError(
            "cluster", "--cluster slurm", "the package dask-jobqueue is not here",
            "Install it: pip install 'grjca[hpc]'.",
        )  # fmt: skip
    if jobs.tls and importlib.util.find_spec("cryptography") is None:
        raise UsageError(
            "cluster", "tls", "the package cryptography is not here",
            "Install it: pip install 'grjca[hpc]'; or say tls: false.",
        )  # fmt: skip
    from dask_jobqueue.slurm import SLURMCluster

    options: dict[str, Any] = {
        **jobs.options(),
        "silence_logs": logging.CRITICAL,
        "scheduler_options": {
            "dashboard": place.dashboard,
            "dashboard_address": ":0" if place.dashboard else "127.0.0.1:0",
        },
    }
    with contextlib.ExitStack() as stack:
        if jobs.tls:
            options["security"] = stack.enter_context(_keys(house.resolve()))
        under_way = threading.Event()

        def tell(text: str) -> None:
            if under_way.is_set():
                print(f"warning: sbatch: {text}", file=sys.stderr)

        try:
            cluster = stack.enter_context(SLURMCluster(**options, job_cls=_job_class(tell)))
            # The first job on its own, so that what sbatch says against it ends the run.
            cluster.worker_spec.update(cluster.new_worker_spec())
            cluster.sync(cluster._correct_state)
            under_way.set()
        except (OSError, RuntimeError, ValueError) as error:
            raise GrjcaError(
                "cluster", "sbatch", _said(str(error)),
                "Correct --cluster-config, or ask your site.",
            ) from error  # fmt: skip
        client = stack.enter_context(Client(cluster, set_as_default=False))
        needed = min(most, jobs.min_jobs)
        cluster.adapt(
            Adaptive=_AsManyAsNeeded, minimum_jobs=needed, maximum_jobs=most, interval="2s",
            needed=lambda: math.ceil(unfinished() / jobs.slots),
        )  # fmt: skip
        yield client


@contextlib.contextmanager
def _keys(house: Path) -> Iterator[Security]:
    """New keys of a cluster, as files on the disk that its machines share; gone with the run."""
    new = Security.temporary()
    roles = ("scheduler", "worker", "client")
    names = ["ca_file", *(f"{role}_{what}" for role in roles for what in ("key", "cert"))]
    # Named like a temporary file, after its process: those of a killed run go with the next.
    kept = house / temporary_name()
    kept.mkdir(mode=0o700)
    try:
        files = {}
        for name in (f"tls_{name}" for name in names):
            path = kept / name
            path.touch(mode=0o600)
            path.write_text(getattr(new, name))
            files[name] = str(path)
        yield Security(require_encryption=True, **files)
    finally:
        shutil.rmtree(kept, ignore_errors=True)


def _job_class(tell: Callable[[str], None]) -> Any:
    """A job of dask-jobqueue that tells when it cannot be submitted; the others go on."""
    from dask_jobqueue.slurm import SLURMJob

    class TellingJob(SLURMJob):
        async def _submit_job(self, script: str) -> Any:
            try:
                return await super()._submit_job(script)  # type: ignore[no-untyped-call]
            except (RuntimeError, OSError) as error:
                self.status = Status.failed
                tell(_said(str(error)))
                raise

    return TellingJob


class _AsManyAsNeeded(Adaptive):
    """As many jobs as the clips left fill; only idle ones are given back.

    Dask's own measure counts what is in flight, and few clips are in flight.
    """

    def __init__(self, cluster: Any, needed: Callable[[], int], **options: Any) -> None:
        super().__init__(cluster, **options)
        self._scheduler = cluster.scheduler
        self._needed = needed

    async def target(self) -> int:
        """Jobs for all that is left, and no fewer than have a clip in hand."""
        busy = sum(1 for state in self._workers() if state.processing)
        return max(self._needed(), busy)

    async def workers_to_close(self, target: int) -> list[str]:
        """Those of Dask's proposal that have nothing in hand."""
        idle = {state.name for state in self._workers() if not state.processing}
        return [name for name in await super().workers_to_close(target) if name in idle]

    def _workers(self) -> list[Any]:
        return list(self._scheduler.workers.values())


@contextlib.contextmanager
def _proof(house: Path) -> Iterator[Path]:
    """A file in the store by which a worker of another machine shows that it sees the store."""
    path = house / temporary_name()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        yield path
    except OSError as error:
        raise GrjcaError("store", house, str(error), "Choose another --store.") from error
    finally:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _installed(client: Client, children: Children, place: Placement) -> Iterator[None]:
    try:
        client.register_plugin(children, name=children.name)
    except Exception as error:
        raise GrjcaError(
            "cluster", place.scheduler or "workers",
            f"a worker cannot be prepared ({one_line(str(error))})",
            "Install the same grjca, Dask and Python on all workers.",
        ) from error  # fmt: skip
    try:
        yield
    finally:
        # Where the cluster is gone already, so are they.
        with contextlib.suppress(OSError, TimeoutError, RuntimeError):
            client.unregister_worker_plugin(children.name)


def _check_dashboard() -> None:
    if importlib.util.find_spec("bokeh") is None:
        raise UsageError(
            "options", "--dashboard", "the package bokeh is not here",
            "Install it: pip install bokeh.",
        )  # fmt: skip


def _said(text: str) -> str:
    """What sbatch said, of all that dask-jobqueue tells around it."""
    return one_line(text.partition("stderr:\n")[2] or text)


@contextlib.contextmanager
def _quiet(logger: logging.Logger) -> Iterator[None]:
    """Keep a chatty library out of the progress bar; what matters comes as an outcome."""
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
