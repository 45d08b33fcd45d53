"""Looking a whole store through for damaged, stale and foreign files; nothing is changed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from grjca.cache.checking import AGAIN, ANEW, OUT, Kind
from grjca.cache.keys import SourceId
from grjca.cache.leftovers import clip_files, strays
from grjca.errors import GrjcaError, one_line

_COMMAND = (sys.executable, "-P", "-m", "grjca.cache.checking")
_SECONDS, _SECONDS_PER_BYTE = 30.0, 1e-6
_NUMBERED = re.compile(r"(.*)@(\d+)", re.DOTALL)


@dataclass(frozen=True)
class Finding:
    """Something wrong in a store.

    Attributes:
        path: Where, relative to the store.
        kind: ``damaged`` (cannot be read, or contradicts itself), ``stale`` (does not belong to
            what it says it was made from, or was left behind) or ``foreign`` (not a file of
            this program, or not in its place).
        what: What is wrong.
        remedy: What to do about it.
    """

    path: str
    kind: Kind
    what: str
    remedy: str

    def __str__(self) -> str:
        return one_line(f"{self.kind:8} {self.path}: {self.what}. {self.remedy}")


def verify(root: Path, *, sources: Mapping[str, Path] | None = None) -> list[Finding]:
    """Everything wrong in a store; see :func:`findings`."""
    return list(findings(root, sources=sources))


def findings(
    root: Path,
    *,
    sources: Mapping[str, Path] | None = None,
    progress: Callable[[int], object] | None = None,
    command: Sequence[str] = _COMMAND,
) -> Iterator[Finding]:
    """Everything wrong in a store, as it is found; every chunk of every clip is read.

    Each file is read in a child process, so that one which crashes the HDF5 library, or makes it
    run for ever, is a finding as others are.

    Args:
        root: The store's folder.
        sources: The file each clip was made from, as far as it is at hand, to compare contents.
        progress: Called with a number of clips whenever that many are finished.
        command: What checks a file: reads requests and prints answers.

    Raises:
        GrjcaError: There is no such store, or it cannot be read.
    """
    if not root.is_dir():
        raise GrjcaError("store", root, "no such folder", "Make a store with: grjca extract.")
    people: dict[str, dict[int, tuple[int, str | None]]] = {}
    with _Checker(command) as checker:
        for path in clip_files(root):
            place = path.relative_to(root).as_posix()
            answer = checker.ask(root, path)
            if progress is not None:
                progress(1)
            if isinstance(answer, str):
                yield Finding(place, "damaged", answer, AGAIN)
                continue
            for kind, what, remedy in answer["found"]:
                yield Finding(place, kind, what, remedy)
            clip = answer["clip"]
            numbered = _NUMBERED.fullmatch(clip or "") if answer["people"] is not None else None
            if numbered:
                known = people.setdefault(numbered[1], {})
                known[int(numbered[2])] = (answer["people"], answer["faces"])
                clip = numbered[1]
            if sources and clip in sources and answer["source"] is not None:
                yield from _compare(place, sources[clip], answer["source"])
    yield from _incomplete(people)
    for stray in strays(root):
        place = stray.path.relative_to(root).as_posix()
        if stray.kind == "foreign":
            yield Finding(place, "foreign", stray.what, OUT)
        elif stray.kind != "empty":
            yield Finding(place, "stale", stray.what, "Remove it with: grjca gc STORE --delete.")


def _compare(place: str, source: Path, sha256: str) -> Iterator[Finding]:
    try:
        changed = SourceId.of(source).sha256 != sha256
    except OSError as error:
        cause = f"its source cannot be read ({error.strerror})"
        yield Finding(place, "stale", cause, "Check the path and its permissions.")
        return
    if changed:
        remedy = "Run extract --overwrite to make it anew."
        yield Finding(place, "stale", "its source has another content now", remedy)


def _incomplete(people: Mapping[str, Mapping[int, tuple[int, str | None]]]) -> Iterator[Finding]:
    """Clips of several people of whom some have no file, or files that were not made together."""
    for clip, files in people.items():
        count = max(count for count, _ in files.values())
        missing = sorted(set(range(1, count + 1)) - set(files))
        if missing:
            what = f"of {count} people, no file of {', '.join(f'@{n}' for n in missing)}"
            remedy = "Run extract again; after a forget, remove the others too if that is meant."
            yield Finding(clip, "stale", what, remedy)
        elif len(set(files.values())) > 1:
            yield Finding(clip, "stale", "its people's files were not made together", ANEW)


class _Checker:
    """The child process that looks into files; started again whenever it dies."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> _Checker:
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

    def ask(self, root: Path, path: Path) -> dict[str, Any] | str:
        """The answer on a file, or why there is none."""
        process = self._process or self._start()
        stdin, stdout = cast(Any, process.stdin), cast(Any, process.stdout)
        request = {"root": os.fspath(root.absolute()), "path": os.fspath(path.absolute())}
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
