"""The children of one Dask worker: started when needed, kept between items, ended with it.

What can crash happens in them. A Dask worker that died would be blamed for all it was to do, and
its process may have no children of ``multiprocessing``; these are plain subprocesses.
"""

from __future__ import annotations

import os
import signal
import threading
import time as clock
from pathlib import Path
from typing import Any, cast

from distributed import WorkerPlugin, get_worker

import grjca
from grjca.pipeline.child_process import Child, ChildFailedError
from grjca.pipeline.work import Died, Ending, Failed, Finished, Refused, Stopped, Unseen

STARTS = 2
"""How often a child is started that dies before it is ready."""

LOOKS = 5
"""How often, a second apart, a worker looks for what a network disk may show late."""

ROWS, BEGUN = "rows", "begun"
"""What workers tell in the midst of an item, as Dask events on the run's topic."""


class Children(WorkerPlugin):
    """Gives every worker of a run its children; a Dask plugin, so late workers get them too."""

    def __init__(
        self,
        run: str,
        job: bytes,
        folder: str,
        *,
        proof: str | None = None,
        gpus: int = 0,
        local: bool = False,
    ) -> None:
        """Describe the children; they are started when the first items come.

        Args:
            run: Name of the run, different from all others'.
            job: The job, pickled.
            folder: Where relative paths start.
            proof: A file that a worker must see, to share the disk; None: it surely does.
            gpus: GPUs of each worker, one for each child; 0: the children see what there is.
            local: The worker was started by this run, in the same terminal.
        """
        self.name = run
        self.idempotent = False
        self._job = job
        self._folder = folder
        self._proof = proof
        self._gpus = gpus
        self._local = local
        self._version = grjca.__version__

    def setup(self, worker: Any) -> None:
        """Called by Dask in every worker."""
        self._worker = worker
        self._lock = threading.Lock()
        self._idle: list[Child] = []
        self._busy: set[Child] = set()
        self._devices = devices(self._gpus, os.environ.get("CUDA_VISIBLE_DEVICES"))
        self._seen = self._proof is None
        self._over = False
        if self._local and threading.current_thread() is threading.main_thread():
            # Ctrl-C goes to every process of a terminal, and how to stop is the client's business.
            signal.signal(signal.SIGINT, signal.SIG_IGN)

    def teardown(self, worker: Any) -> None:  # noqa: ARG002 - Dask calls it by keyword
        """Called by Dask when the run or the worker ends: what is in hand is given back."""
        with self._lock:
            self._over = True
            children = [*self._idle, *self._busy]
            self._idle.clear()
        for child in children:
            child.hang_up()
        for child in children:
            child.close()

    def work(self, version: str, name: str, item: bytes, files: tuple[str, ...]) -> Ending:
        """Work on one item in a child.

        Args:
            version: The client's version of this program.
            name: The item's name.
            item: Its payload, pickled.
            files: Paths that must be seen.
        """
        if version != grjca.__version__:
            return Refused(
                f"it runs grjca {grjca.__version__}, and this is {version}",
                "Install the same on all workers.",
            )
        unseen = self._unseen(files)
        if unseen is not None:
            return unseen
        self._tell(BEGUN, name, 0)
        while True:
            try:
                child = self._take()
            except ChildFailedError as failed:
                return self._not_started(failed.how)
            ending: Ending | None = None
            try:
                ending = child.work(item, lambda rows: self._tell(ROWS, name, rows))
            finally:
                self._give_back(child, keep=ending is not None and not isinstance(ending, Died))
            if self._over and not isinstance(ending, Finished | Failed):
                return Stopped()
            if ending is not None:
                return ending

    def _unseen(self, files: tuple[str, ...]) -> Ending | None:
        for path in files:
            if not Path(self._folder, path).exists():
                return Unseen(path)
        for _ in range(LOOKS):
            if self._seen or Path(self._folder, str(self._proof)).exists():
                self._seen = True
                return None
            clock.sleep(1)
        folder = Path(self._folder, str(self._proof)).parents[1]
        return Refused(
            f"it does not see the store {folder}", "Choose a --store that all machines share."
        )

    def _take(self) -> Child:
        for left in reversed(range(STARTS)):
            with self._lock:
                if self._over:
                    raise ChildFailedError(Stopped())
                child = self._idle.pop() if self._idle else None
                device = self._devices.pop() if child is None and self._devices else None
            try:
                child = child or Child(self._job, self._folder, device)
            except ChildFailedError as failed:
                with self._lock:
                    self._devices += [device] if device is not None else []
                if left == 0 or not isinstance(failed.how, Died):
                    raise
                clock.sleep(1)
                continue
            with self._lock:
                self._busy.add(child)
            return child
        raise AssertionError("unreachable")

    def _give_back(self, child: Child, *, keep: bool) -> None:
        with self._lock:
            self._busy.discard(child)
            keep = keep and child.alive and not self._over
            if keep:
                self._idle.append(child)
        if not keep:
            child.close()
            if child.device is not None:
                with self._lock:
                    self._devices.append(child.device)

    def _not_started(self, how: Refused | Died | Stopped) -> Ending:
        if self._over:
            return Stopped()
        if not isinstance(how, Died):
            return how
        said = f", after saying: {how.said}" if how.said else ""
        return Refused(
            f"a process for clips died while it loaded its models: {how.how}{said}",
            "It may have run out of memory.",
        )

    def _tell(self, what: str, name: str, rows: int) -> None:
        self._worker.log_event(self.name, {"what": what, "name": name, "rows": rows})


def devices(gpus: int, visible: str | None) -> list[str]:
    """Names of the GPUs that children get, one each.

    Args:
        gpus: How many.
        visible: ``CUDA_VISIBLE_DEVICES`` of the worker, if it is set.
    """
    named = [name for name in (visible or "").split(",") if name]
    return (named or [str(number) for number in range(gpus)])[:gpus]


def work_in_child(run: str, version: str, name: str, item: bytes, files: tuple[str, ...]) -> Ending:
    """The Dask task: one item, in a child of the worker that it came to."""
    children = get_worker().plugins.get(run)
    # Without them the worker is about to go.
    return (
        Stopped() if children is None else cast(Children, children).work(version, name, item, files)
    )
