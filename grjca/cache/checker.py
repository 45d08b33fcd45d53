"""Asking the process that looks into files; see :mod:`grjca.cache.checking_child`."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, cast

COMMAND = (sys.executable, "-P", "-m", "grjca.cache.checking_child")
_SECONDS, _SECONDS_PER_BYTE = 30.0, 1e-6


class Checker:
    """The child process that looks into files; started again whenever it dies.

    Args:
        command: What to run.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Checker:
        self._stack = contextlib.ExitStack()
        self._words = self._stack.enter_context(tempfile.TemporaryFile())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()
        self._stack.close()

    def ask(self, root: Path, path: Path, **more: Any) -> dict[str, Any] | str:
        """The answer on a file, or why there is none.

        Args:
            root: The store's folder.
            path: The file.
            more: For shards: ``shard=True`` to have the clips listed, or the ``clip`` to look into.
        """
        process = self._process or self._start()
        stdin, stdout = cast(Any, process.stdin), cast(Any, process.stdout)
        places = {"root": os.fspath(root.absolute()), "path": os.fspath(path.absolute())}
        request = places | more
        try:
            limit = _SECONDS + _SECONDS_PER_BYTE * path.stat().st_size
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
            poll = select.poll()
            poll.register(stdout, select.POLLIN)
            if not poll.poll(1000 * limit):
                self._end()
                return f"reading it did not end within {limit:.0f} s"
            line = stdout.readline()
        except BrokenPipeError:
            line = b""
        except OSError as error:
            return f"cannot be read ({error.strerror})"
        if line.endswith(b"\n"):
            return dict(json.loads(line))
        return f"reading it {self._end()}"

    def _start(self) -> subprocess.Popen[bytes]:
        self._words.seek(0)
        self._words.truncate()
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            start_new_session=True,
        )
        return self._process

    def _end(self) -> str:
        """End the child, and tell how it ended if it did so by itself."""
        process, self._process = self._process, None
        if process is None:
            return ""
        cast(Any, process.stdout).close()
        try:
            cast(Any, process.stdin).close()
            status = process.wait(1.0)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            process.kill()
            status = process.wait()
        self._words.seek(0)
        said = self._words.read().decode(errors="replace").strip().rpartition("\n")[2]
        if status < 0:
            return f"crashed the HDF5 library ({signal.Signals(-status).name})"
        return f"failed ({said or f'exit status {status}'})"
