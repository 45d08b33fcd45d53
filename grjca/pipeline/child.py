"""Works on items in a process of its own, since a library may crash on one of them.

``python -m grjca.pipeline.child FD`` is given a job and then one item after the other through the
socket FD, and answers through it. The job is opened once. It ends when the other end of the
socket is gone, when nothing is asked of it for a while, or on SIGTERM; what it has in hand it
gives back first: claims are given up and temporary files removed.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
import time as clock
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

from grjca.errors import GrjcaError
from grjca.pipeline.stopping import StoppedError, Stopper, check
from grjca.pipeline.work import (
    Ending,
    Failed,
    Finished,
    Job,
    Refused,
    Stopped,
    Work,
    packed,
    unpacked,
)

IDLE = 60.0
"""Seconds without an item after which it ends: who asked for it may be gone."""

GRACE = 15.0
"""Seconds it has to give back what it has in hand once the other end is gone."""

TELL_EVERY = 1.0
"""Seconds between two reports of rows."""

READY, TAKEN = "ready", "taken"
"""Answers: the job is open; an item has arrived."""


class _Gauge:
    """Passes finished rows on, not too often."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows = 0
        self._next = clock.monotonic() + TELL_EVERY

    def __call__(self, rows: int) -> None:
        check()
        self._rows += rows
        if clock.monotonic() >= self._next:
            # Who listened may be gone; the thread that listens for that ends the process.
            with contextlib.suppress(OSError):
                self._connection.send(self._rows)
            self._next = clock.monotonic() + TELL_EVERY


def main(handle: str) -> int:
    """Work until there is nothing more to do."""
    _first_to_go()
    connection = Connection(int(handle))
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    try:
        # Who asks it to end may ask again, by a signal and by hanging up.
        with Stopper(patient=True):
            threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()
            work = _opened(inbox.get(), connection)
            if work is None:
                return 1
            while True:
                item = inbox.get(timeout=IDLE)
                connection.send(TAKEN)
                connection.send(_done(work, item, connection))
    except queue.Empty:
        return 0
    except (StoppedError, OSError):
        with contextlib.suppress(OSError):
            connection.send(Stopped())
        return 0


def _opened(pickled: bytes, connection: Connection) -> Work | None:
    try:
        job: Job = unpacked(pickled)
        work = job.open()
    except GrjcaError as error:
        connection.send(Refused(f"{error.source}: {error.stage}: {error.cause}", error.remedy))
        return None
    connection.send(READY)
    return work


def _done(work: Work, item: bytes, connection: Connection) -> Ending:
    try:
        return Finished(packed(work(unpacked(item), _Gauge(connection))))
    except Exception as error:  # noqa: BLE001 - told to the run as the item's own failure
        traceback.print_exc()
        return Failed(f"{type(error).__name__}: {error}")


def _listen(connection: Connection, inbox: queue.SimpleQueue[bytes]) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            inbox.put(connection.recv_bytes())
    # The main thread gives back what it has in hand, unless a library never lets it run again.
    os.kill(os.getpid(), signal.SIGTERM)
    clock.sleep(GRACE)
    os._exit(1)


def _first_to_go() -> None:
    # Where memory runs out the kernel should end this process and not the worker above it, so
    # that one item is lost and not the worker (proc(5), oom_score_adj; raising is always allowed).
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
