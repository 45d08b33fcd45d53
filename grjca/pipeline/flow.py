"""Items through a Dask cluster: few in flight, and one that kills its process stops no other."""

from __future__ import annotations

import contextlib
import os
import queue
import time as clock
from asyncio import CancelledError
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from distributed import Client, Future
from distributed.scheduler import KilledWorker

import grjca
from grjca.errors import GrjcaError
from grjca.pipeline.children import BEGUN, work_in_child
from grjca.pipeline.stopping import check
from grjca.pipeline.work import (
    Died,
    Ending,
    Failed,
    Finished,
    Item,
    Refused,
    Stopped,
    Unseen,
    packed,
)

TRIES = 10
"""How often an item may be begun whose workers vanish, before it is set aside."""

PATIENCE = 0.5
"""Seconds between two looks at how many workers there are."""

FETCH = 30.0
"""Seconds that a result may take to come from its worker."""


class Flow:
    """Hands items out as workers become free, and takes endings in.

    About one and a half times as many items are in flight as there are threads of workers, so that
    a worker finds its next item waiting, and a scheduler never holds more than that.

    An item whose child died is tried once more when all others are done, with no other item on the
    same machine, and then set aside. One whose worker vanished is handed to another worker by Dask
    itself; it is set aside only after many such losses.
    """

    def __init__(
        self,
        client: Client,
        run: str,
        *,
        on_rows: Callable[[str, int], None],
        on_workers: Callable[[int], None],
    ) -> None:
        """Prepare.

        Args:
            client: Of a cluster whose workers have :class:`children.Children` by that name.
            run: The children's name, which is also the topic of the workers' events.
            on_rows: Called with an item's name and its rows finished so far.
            on_workers: Called with the number of workers whenever it is looked up.
        """
        self._client = client
        self._run = run
        self._on_rows = on_rows
        self._on_workers = on_workers
        self._events: queue.SimpleQueue[Future[Ending] | dict[str, Any]] = queue.SimpleQueue()
        self._in_flight: dict[str, _Handed] = {}
        self._again: deque[Item] = deque()
        self._suspects: deque[Item] = deque()
        self._struck: dict[str, str] = {}
        self._begun: Counter[str] = Counter()
        self._threads: dict[str, int] = {}
        self._look_at = 0.0
        client.subscribe_topic(run, lambda event: self._events.put(event[1]))

    def results(self, items: Iterable[Item]) -> Iterator[tuple[Item, Any]]:
        """Every item with its result, or with the GrjcaError for which it was set aside.

        Raises:
            GrjcaError: No item can be worked on: the scheduler is gone, a worker has another
                version of this program or does not see the files.
        """
        try:
            yield from self._through(iter(items), alone=False)
            while self._suspects:
                suspects, self._suspects = self._suspects, deque()
                yield from self._through(iter(suspects), alone=True)
        finally:
            with contextlib.suppress(OSError, TimeoutError, RuntimeError):
                self._client.cancel([handed.future for handed in self._in_flight.values()])

    def _through(self, items: Iterator[Item], *, alone: bool) -> Iterator[tuple[Item, Any]]:
        while True:
            check()
            for place in self._room(alone):
                item = self._again.popleft() if self._again else next(items, None)
                if item is None:
                    break
                self._hand_out(item, place)
            if not self._in_flight and not self._again:
                item = next(items, None)
                if item is None:
                    return
                self._again.append(item)
            yield from self._take_in()

    def _room(self, alone: bool) -> list[str | None]:
        """A place for every item that may be handed out: None, or a worker of a free machine."""
        now = clock.monotonic()
        if now >= self._look_at:
            self._look_at = now + PATIENCE
            try:
                self._threads = self._client.nthreads()
            except (OSError, TimeoutError) as error:
                raise _gone(error) from error
            self._on_workers(len(self._threads))
        if not alone:
            slots = sum(self._threads.values())
            return [None] * max(0, slots + (slots + 1) // 2 - len(self._in_flight))
        machines = {_machine(address): address for address in self._threads}
        taken = {_machine(handed.place) for handed in self._in_flight.values() if handed.place}
        return [address for machine, address in machines.items() if machine not in taken]

    def _hand_out(self, item: Item, place: str | None) -> None:
        future = self._client.submit(
            work_in_child, self._run, grjca.__version__, item.name, packed(item.payload),
            item.files, pure=False, workers=[place] if place else None,
            allow_other_workers=place is not None,
        )  # fmt: skip
        self._in_flight[str(future.key)] = _Handed(item, future, place)
        future.add_done_callback(self._events.put)

    def _take_in(self) -> Iterator[tuple[Item, Any]]:
        try:
            event = self._events.get(timeout=PATIENCE)
        except queue.Empty:
            return
        if isinstance(event, dict):
            yield from self._heard(event)
            return
        key = str(event.key)
        handed = self._in_flight.get(key)
        if handed is None:
            return
        try:
            ending: Ending = event.result(timeout=FETCH)
        except TimeoutError:
            event.add_done_callback(self._events.put)
            return
        except KilledWorker:
            ending = Died("its worker vanished again and again")
        except ModuleNotFoundError as error:
            ending = Refused(str(error), "Install the same grjca on all workers.")
        except (CancelledError, OSError) as error:
            raise _gone(error) from error
        del self._in_flight[key]
        outcome = self._judged(handed.item, ending)
        if outcome is not None:
            yield handed.item, outcome

    def _heard(self, event: dict[str, Any]) -> Iterator[tuple[Item, Any]]:
        name = event["name"]
        if event["what"] != BEGUN:
            self._on_rows(name, event["rows"])
            return
        self._begun[name] += 1
        if self._begun[name] <= TRIES:
            return
        for key, handed in list(self._in_flight.items()):
            if handed.item.name == name:
                del self._in_flight[key]
                self._client.cancel([handed.future])
                yield handed.item, _lost(name)

    def _judged(self, item: Item, ending: Ending) -> Any:
        """An item's result or error; None where it is tried again."""
        if isinstance(ending, Finished):
            return ending.result
        if isinstance(ending, Failed):
            return GrjcaError(
                "worker", item.name, ending.cause,
                "This is a fault of the program: please report it; the traceback is in the "
                "worker's output.",
            )  # fmt: skip
        if isinstance(ending, Refused):
            raise GrjcaError("cluster", "a worker", ending.cause, ending.remedy)
        if isinstance(ending, Unseen):
            return _unseen(ending.path)
        if isinstance(ending, Stopped):
            self._again.append(item)
            return None
        if item.name not in self._struck:
            self._struck[item.name] = ending.how
            self._suspects.append(item)
            return None
        return _set_aside(item.name, self._struck[item.name], ending)


class _Handed:
    """An item in flight: where it goes to, if that matters, and its future."""

    def __init__(self, item: Item, future: Future[Ending], place: str | None) -> None:
        self.item = item
        self.future = future
        self.place = place


def _machine(address: str) -> str:
    return address.rpartition("://")[2].rpartition(":")[0]


def _set_aside(name: str, first: str, last: Died) -> GrjcaError:
    hows = first if first == last.how else f"{first}, then {last.how}"
    said = f"; it last said: {last.said}" if last.said else ""
    return GrjcaError(
        "worker", name, f"its process died twice ({hows}), the second time alone{said}",
        "SIGKILL usually means that memory ran out, SIGSEGV or SIGABRT a crash in a library; try "
        "it on a machine with more memory, or convert the file.",
    )  # fmt: skip


def _lost(name: str) -> GrjcaError:
    return GrjcaError(
        "worker", name, f"it was begun {TRIES} times and its worker vanished each time",
        "It may take longer than a worker lives: raise walltime and lifetime, or run it elsewhere.",
    )  # fmt: skip


def _unseen(path: str) -> GrjcaError:
    if Path(path).exists():
        raise GrjcaError(
            "cluster", os.path.abspath(path), "a worker does not see this file",
            "Put clips where all machines see them under the same path.",
        )  # fmt: skip
    return GrjcaError(
        "read", path, "No such file or directory", "Check the path and its permissions."
    )


def _gone(error: BaseException) -> GrjcaError:
    cause = str(error) or type(error).__name__
    return GrjcaError(
        "cluster", "the Dask scheduler", f"it no longer answers ({cause})",
        "Run again; what is finished stays.",
    )  # fmt: skip
