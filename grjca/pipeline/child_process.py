"""A process that works on items, seen from the worker that started it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path
from typing import IO, Any, cast

from grjca.pipeline.child import GRACE, READY, TAKEN
from grjca.pipeline.work import Died, Ending, Refused, Stopped
from grjca.stages.process import Words, describe_exit

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

_DASKS_MALLOC = "MALLOC_TRIM_THRESHOLD_"
"""Dask's workers give every 64 KiB back to the system at once; frames would be paged in anew."""


class Child:
    """A process that works on items, one after the other.

    Attributes:
        device: The GPU it was given, as ``CUDA_VISIBLE_DEVICES`` names it; None for none.
    """

    def __init__(self, job: bytes, folder: str, device: str | None = None) -> None:
        """Start it and wait until it has opened its job.

        Args:
            job: The job, pickled.
            folder: Where relative paths start.
            device: The only GPU that it may see.

        Raises:
            ChildFailedError: It cannot be started, refuses the job, or dies while it opens it.
        """
        self.device = device
        ours, theirs = Pipe()
        gpu = {} if device is None else {"CUDA_VISIBLE_DEVICES": device}
        kept = {name: value for name, value in os.environ.items() if name != _DASKS_MALLOC}
        # The safe path leaves out the working folder, where anybody's torch.py may lie.
        command = [sys.executable, "-P", "-m", "grjca.pipeline.child", str(theirs.fileno())]
        found = os.pathsep.join(filter(None, sys.path))
        with theirs:
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    bufsize=0,
                    cwd=folder if Path(folder).is_dir() else None,
                    env={**kept, **_ONE_THREAD, **gpu, "PYTHONPATH": found},
                    start_new_session=True,
                    pass_fds=(theirs.fileno(),),
                )
            except OSError as error:
                ours.close()
                raise ChildFailedError(Refused(f"cannot start a process: {error}")) from error
        self._pipe = ours
        self._words = Words()
        self._drain = threading.Thread(target=self._listen, daemon=True)
        self._drain.start()
        answer: Any = None
        with contextlib.suppress(EOFError, OSError):
            self._pipe.send_bytes(job)
            answer = self._pipe.recv()
        if answer != READY:
            how = answer if isinstance(answer, Refused | Stopped) else self._end()
            self.close()
            raise ChildFailedError(how)

    @property
    def pid(self) -> int:
        """Number of its process."""
        return self._process.pid

    def work(self, item: bytes, tell: Callable[[int], None]) -> Ending | None:
        """Have it work on a pickled payload; None where it was gone before it began.

        Args:
            item: The payload.
            tell: Called with the rows finished so far, now and then.
        """
        taken = False
        try:
            self._pipe.send_bytes(item)
            while True:
                message = self._pipe.recv()
                if message == TAKEN:
                    taken = True
                elif isinstance(message, int):
                    tell(message)
                else:
                    return cast(Ending, message)
        except (EOFError, OSError):
            return self._end() if taken else None

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process.poll() is None

    def hang_up(self) -> None:
        """Let it know that it is to give back what it has in hand, and end."""
        if self.alive:
            self._process.terminate()

    def close(self) -> None:
        """End it and wait for that; harmless when repeated."""
        self.hang_up()
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            # A process inside a hung network disk cannot die now; the worker must go on.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE)
        self._drain.join(GRACE)
        with contextlib.suppress(OSError):
            self._pipe.close()

    def _end(self) -> Died:
        try:
            status = self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            return Died("it no longer answers", self._words.cause())
        self._drain.join(GRACE)
        return Died(describe_exit(status), self._words.cause())

    def _listen(self) -> None:
        """Pass on what it says (a batch system keeps that in its log), and remember the last."""
        stream = cast(IO[bytes], self._process.stdout)
        with stream:
            for line in stream:
                text = line.decode(errors="replace")
                self._words.add(text)
                sys.stderr.write(text)


class ChildFailedError(Exception):
    """A child did not get as far as working on items.

    Attributes:
        how: What it refused, or how it died.
    """

    def __init__(self, how: Refused | Died | Stopped) -> None:
        super().__init__(how)
        self.how = how
