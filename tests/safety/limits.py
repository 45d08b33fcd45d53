"""Limits on a test's own time, and the memory that a program and all its children take."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import psutil

SAMPLING = 0.004
"""Seconds between two looks; a page is touched at some 5 GB/s at most, so 20 MB may be missed."""


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Fail what takes longer, even inside a read that never returns; main thread only."""

    def late(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"still running after {seconds} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True)
class Measured:
    """What a program said and took.

    Attributes:
        output: Its standard output.
        seconds: Wall time.
        peak: Most MiB that it and its children held at one time: the sum of the peaks (VmHWM) of
            those alive together, at least what they really held.
        own: Its own peak in MiB.
    """

    output: str
    seconds: float
    peak: float
    own: float


def measure(code: str, *arguments: str | Path, limit: float = 120) -> Measured:
    """Run Python code in a process of its own and watch the memory of it and its children.

    ``ru_maxrss`` would not do: a child inherits over ``fork`` the peak of the process it came from.

    Raises:
        AssertionError: It fails, or takes longer than ``limit`` seconds.
    """
    command = [sys.executable, "-c", code, *map(str, arguments)]
    began = time.monotonic()
    peak = own = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        root = psutil.Process(process.pid)
        # Short outputs only: a pipe holds 64 KiB without a reader.
        while process.poll() is None:
            here = _high_water(process.pid)
            own = max(own, here)
            peak = max(peak, here + sum(map(_high_water, _descendants(root))))
            if time.monotonic() - began > limit:
                for child in _processes(root):
                    child.kill()
                raise AssertionError(f"still running after {limit} s, with {peak:.0f} MiB")
            time.sleep(SAMPLING)
        output, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    return Measured(output.decode(), time.monotonic() - began, peak, own)


def _processes(root: psutil.Process) -> Sequence[psutil.Process]:
    try:
        return [*root.children(recursive=True), root]
    except psutil.NoSuchProcess:
        return []


def _descendants(root: psutil.Process) -> Iterator[int]:
    """Those that run a program of their own; between fork and exec a child is its parent's copy."""
    for process in _processes(root):
        with contextlib.suppress(psutil.NoSuchProcess):
            parent = process.parent()
            if process.pid != root.pid and parent and process.cmdline() != parent.cmdline():
                yield process.pid


def _high_water(pid: int) -> float:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    # A process that has ended but was not waited for has no memory any more.
    return next(
        (int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM:")),
        0.0,
    )
