"""Child processes that decode: in a session of their own, with bounded memory, time and words."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import queue
import re
import resource
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self, cast

from grjca.errors import GrjcaError, one_line

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

STALL_LIMIT = 120.0
"""Seconds a decoder may keep its reader waiting for the next bytes."""

EXIT_LIMIT = 10.0
"""Seconds a process has to vanish once it has closed its output, or was killed."""

MEMORY_LIMIT = 2 << 30
"""Bytes of address space of a child that is given no other limit."""

# Threads reserve address space by the hundred megabytes on machines of many cores, and what is
# decoded must not depend on their number.
_FEW_THREADS = {"MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

_PIPE_BYTES = 1 << 20
_OWN_REMARKS = re.compile(
    r"\[(image2pipe|f32le|out#|swscaler|vost#|aost#)|Last message repeated|.*Guessed Channel Layout"
)


class Words:
    """What a tool said on its standard error, in bounded memory.

    Addresses are taken out, repetitions that differ in numbers only count once, and remarks on
    our own output side are left out, since they say nothing about the file.
    """

    def __init__(self, distinct: int = 20, last: int = 50) -> None:
        self._distinct = distinct
        self._errors: dict[str, str] = {}
        self._warnings: dict[str, str] = {}
        self._last: deque[str] = deque(maxlen=last)

    def add(self, line: str) -> None:
        """Take in one line."""
        line = one_line(re.sub(r" ?@ ?0x[0-9a-fA-F]+", "", line))[:300]
        level = re.search(r"\[(warning|error|fatal|panic)\] ", line)
        text = line.replace(level[0], "") if level else line
        if not text or _OWN_REMARKS.match(text):
            return
        self._last.append(text)
        if level:
            seen = self._warnings if level[1] == "warning" else self._errors
            if len(seen) < self._distinct:
                seen.setdefault(re.sub(r"\d+", "#", text), text)

    def distinct(self) -> tuple[str, ...]:
        """Errors, then warnings, each once, in the order they came."""
        return (*self._errors.values(), *self._warnings.values())

    def cause(self) -> str:
        """The first errors, which name the root; else the last lines said; else nothing."""
        return "; ".join(list(self._errors.values())[:3] or dict.fromkeys(list(self._last)[-3:]))


def _lines(stream: IO[bytes]) -> Iterator[str]:
    """Lines of an unbuffered stream as they come; an endless one is cut to its last 4096 bytes."""
    rest = b""
    while chunk := stream.read(1 << 14):
        *whole, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        rest = rest[-4096:]
        for line in whole:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")


class LinePipe:
    """A pipe beside standard output on which a child reports line by line.

    Attributes:
        fd: The write end, whose number is the same in the child.
    """

    def __init__(self) -> None:
        reader, self.fd = os.pipe()
        self._reader = io.FileIO(reader, "rb")
        self._writer = io.FileIO(self.fd, "wb")
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def release(self) -> None:
        """Give the write end up once the child has it, so that its end becomes visible."""
        self._writer.close()

    def drain(self) -> None:
        """Hand lines over until the child closes its end."""
        for line in _lines(self._reader):
            self._lines.put(line)
        self._lines.put(None)

    def get(self) -> str | None:
        """The next line, or None when there are no more.

        To be asked for only what the child has already reported, or after its output has ended.

        Raises:
            TimeoutError: The line did not come.
        """
        try:
            return self._lines.get(timeout=STALL_LIMIT)
        except queue.Empty:
            raise TimeoutError("time is up: the next time stamp did not come") from None

    def close(self) -> None:
        """Close both ends; harmless when repeated."""
        self._reader.close()
        self._writer.close()


class _PatientPipe(io.RawIOBase):
    """The read end of a pipe that gives up, instead of blocking for ever.

    The clock of ``time_limit`` runs only while a read waits.
    """

    def __init__(self, fd: int, time_limit: float | None) -> None:
        self._fd = fd
        self._left = time_limit
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        limit = STALL_LIMIT if self._left is None else min(self._left, STALL_LIMIT)
        start = time.monotonic()
        if not self._poll.poll(1000 * limit):
            raise TimeoutError(f"time is up: nothing came for {limit:.1f} s")
        if self._left is not None:
            self._left = max(self._left - (time.monotonic() - start), 0.0)
        return os.readv(self._fd, [buffer])


class DecoderProcess:
    """One child in a session of its own, whose outputs are read with bounded memory and time.

    No signal is asked for on the parent's death, since that one is tied to the thread that
    started the child and would fire when a pool retires it. A child whose parent was killed ends
    all the same: when it writes, its pipes are closed; when it computes for ever, its processor
    limit strikes. Its memory is bounded, so that a small file that unpacks to a huge one ends as
    an error of its own and not as the machine's.

    Attributes:
        stdout: The child's standard output; reading raises TimeoutError when it stalls, which
            leaves the ``with`` block as a GrjcaError.
        words: What it says on its standard error.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        stage: str,
        source: Path,
        lines: LinePipe | None = None,
        time_limit: float | None = None,
        memory: int = MEMORY_LIMIT,
    ) -> None:
        """Start the child.

        Args:
            command: Program and arguments.
            stage: The stage, for messages.
            source: The file worked on, for messages.
            lines: A side pipe to pass on and to drain.
            time_limit: Seconds of waiting for the child in all; the caller's own work between
                two reads does not count. STALL_LIMIT bounds a single wait in any case.
            memory: Bytes of address space that it may use.

        Raises:
            GrjcaError: The child cannot be started.
        """
        self._stage, self._source = stage, source
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env={**os.environ, **_FEW_THREADS},
                start_new_session=True,
                pass_fds=() if lines is None else (lines.fd,),
            )
        except OSError as error:
            cause = f"{command[0]} cannot be started: {error.strerror}"
            raise GrjcaError(
                stage, source, cause, "See what is missing with: grjca doctor."
            ) from error
        _limit_memory(self._process.pid, memory)
        if lines is not None:
            lines.release()
        out = cast(IO[bytes], self._process.stdout)
        with contextlib.suppress(OSError):
            fcntl.fcntl(out.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self.words = Words()
        self.stdout = io.BufferedReader(_PatientPipe(out.fileno(), time_limit), 1 << 16)
        targets = [self._drain_words] if lines is None else [self._drain_words, lines.drain]
        self._threads = [threading.Thread(target=target, daemon=True) for target in targets]
        for thread in self._threads:
            thread.start()

    def _drain_words(self) -> None:
        for line in _lines(cast(IO[bytes], self._process.stderr)):
            self.words.add(line)

    def finish(self) -> int:
        """Wait for the end of a child that has closed its output, and for its last words.

        Returns:
            Its exit status; negative: the signal that ended it.

        Raises:
            TimeoutError: It does not end.
        """
        try:
            status = self._process.wait(EXIT_LIMIT)
        except subprocess.TimeoutExpired:
            raise TimeoutError("it closed its output but does not end") from None
        for thread in self._threads:
            thread.join(EXIT_LIMIT)
        return status

    def kill(self) -> None:
        """Kill the child and everything it started; may be called from any thread."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the child and everything it started; harmless when repeated."""
        self.kill()
        # A process inside a hung network disk cannot die now; the batch must go on without it.
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_LIMIT)
        for thread in self._threads:
            thread.join(EXIT_LIMIT)
        cast(IO[bytes], self._process.stdout).close()
        cast(IO[bytes], self._process.stderr).close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if isinstance(error, TimeoutError):
            said = self.words.cause()
            cause = f"{error}{f', after saying: {said}' if said else ''}"
            remedy = "The file may be damaged; raise the time limit if it is not."
            raise GrjcaError(self._stage, self._source, cause, remedy) from error


def _limit_memory(pid: int, size: int) -> None:
    # From outside and after the start, since code between fork and exec may lock up a program
    # that has threads. A child that is gone already needs no limit.
    _, highest = resource.getrlimit(resource.RLIMIT_AS)
    bound = size if highest == resource.RLIM_INFINITY else min(size, highest)
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_AS, (bound, bound))


def describe_exit(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"exit status {status}"
    name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
    return f"{name}"
