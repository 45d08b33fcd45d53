"""Starts the daemons of a test cluster, and ends all they left when its standard input ends.

Run as a program of its own (``python keeper.py FOLDER``), it reads one JSON list ``[log, program,
argument, ...]`` a line. SLURM's job steps leave their daemon and would outlive it; here they come
back as children of this process (``PR_SET_CHILD_SUBREAPER``, prctl(2)), which ends them and removes
the folder. The end of standard input is also what a parent killed by SIGKILL leaves behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PR_SET_CHILD_SUBREAPER = 36

PATIENCE = 20.0
"""Seconds that what was killed may take to vanish."""


def children() -> list[int]:
    """Numbers of the processes whose parent this is (proc(5), field 4 of ``stat``)."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if int(fields[1]) == os.getpid():
                    found.append(int(folder.name))
    return found


def reap(*_: Any) -> None:
    """Take note of children that have ended, so that none stays a zombie."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def end_all() -> None:
    """Kill children until there are none: the children of each become ours as it dies."""
    deadline = time.monotonic() + PATIENCE
    while (alive := children()) and time.monotonic() < deadline:
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
        reap()


def main() -> None:
    """Start what is asked for until standard input ends, or somebody ends this process."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "PR_SET_CHILD_SUBREAPER")
    # Handlers, which a program started later does not inherit; what is ignored it would.
    signal.signal(signal.SIGCHLD, reap)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        for line in sys.stdin:
            log, *command = json.loads(line)
            with Path(log).open("ab") as stream:
                subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
                    start_new_session=True,
                )  # fmt: skip
    finally:
        end_all()
        shutil.rmtree(sys.argv[1], ignore_errors=True)


if __name__ == "__main__":
    main()
