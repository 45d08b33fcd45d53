"""A job whose items say what goes wrong with them, as a library that crashes would have it."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from grjca.errors import UsageError
from grjca.pipeline.work import Tell, Work


@dataclass(frozen=True)
class Odd:
    """Does what an item says: dies, raises, tells of rows.

    Attributes:
        note: A file to write every item to; or ``refuse`` or ``crash`` when opened.
    """

    note: str = ""

    def open(self) -> Work:
        if self.note == "refuse":
            raise UsageError("detector", "weights.onnx", "no such file", "Put it there.")
        if self.note == "crash":
            os.kill(os.getpid(), signal.SIGILL)

        def work(item: str, tell: Tell) -> object:
            kind, _, rest = item.partition(" ")
            if self.note:
                with Path(self.note).open("a") as log:
                    log.write(f"{item}\n")
            if kind == "abort":
                os.abort()
            elif kind == "say":
                print(rest, flush=True)
                os._exit(3)
            elif kind == "raise":
                raise KeyError(rest)
            elif kind == "rows":
                tell(5)
                time.sleep(1.1)
                tell(7)
            elif kind == "sleep":
                time.sleep(float(rest))
            elif kind == "where":
                return os.getcwd(), os.environ["OMP_NUM_THREADS"], os.environ.get(rest)
            return os.getpid()

        return work
