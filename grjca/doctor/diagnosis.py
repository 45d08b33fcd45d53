"""Everything that is looked at, side by side and within a few seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from grjca.doctor.findings import Diagnosis, Finding
from grjca.doctor.machine import disk, machine
from grjca.doctor.packages import packages
from grjca.doctor.tools import schedulers, tools

TIME_LIMIT = 60.0
"""Seconds for a check that loads libraries; on a quiet machine it takes two or three."""

_NEEDED = frozenset({"libraries", "networks"})
"""Checks without whose end nothing is known of the default extraction."""


def diagnose(store: Path | None = None) -> Diagnosis:
    """Look at the software, the tools, the models, the machine, and a store if there is one.

    Nothing is downloaded; but for a temporary file where a store lies or would lie, nothing is
    written.

    Args:
        store: A store's folder; it need not exist.
    """
    looks: list[Callable[[], Iterable[Finding]]] = [
        packages,
        tools,
        lambda: _loaded("libraries"),
        lambda: _loaded("networks"),
        lambda: _loaded("egemaps"),
        schedulers,
        machine,
        lambda: disk(_nearest(store), needed=store is not None),
    ]
    if store is not None:
        looks.append(lambda: _store(store))
    with ThreadPoolExecutor(len(looks)) as pool:
        found = list(pool.map(lambda look: list(look()), looks))
    return Diagnosis(tuple(finding for part in found for finding in part))


def _store(root: Path) -> list[Finding]:
    if not root.exists():
        return [Finding("store", "clips", "missing", f"no folder {root} yet", "extract makes it.")]
    if not root.is_dir():
        cause = f"{root} is a file"
        return [Finding("store", "clips", "problem", cause, "Name a folder.", needed=True)]
    return _loaded("store", str(root))


def _nearest(store: Path | None) -> Path:
    """The folder a store lies in or would be made in."""
    folder = Path(os.path.abspath(store or "."))
    return next((path for path in (folder, *folder.parents) if path.is_dir()), Path("/"))


def _loaded(check: str, *arguments: str) -> list[Finding]:
    """The findings of a check that runs in a process of its own, and how that ended."""
    # -P: a module in the working directory must not stand in for one that the child imports.
    command = [sys.executable, "-P", "-m", "grjca.doctor.child", check, *arguments]
    # One thread each: the checks run side by side, and on all cores of a large machine none is
    # quicker. HF_HUB_OFFLINE and its like keep libraries from looking for files elsewhere.
    quiet = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "ORT_DISABLE_TELEMETRY": "1"}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=TIME_LIMIT,
            env={**os.environ, **quiet},
        )  # fmt: skip
        out, error, status = done.stdout, done.stderr, done.returncode
        ended = f"it ended with exit status {status}" if status >= 0 else f"signal {-status}"
    except subprocess.TimeoutExpired as expired:
        out, error, status = expired.stdout or b"", expired.stderr or b"", 1
        ended = f"it did not end within {TIME_LIMIT:.0f} s"
    except OSError as failure:
        out, error, status = b"", b"", 1
        ended = f"it cannot be started: {failure.strerror}"
    findings = [_finding(line) for line in out.decode(errors="replace").splitlines()]
    known = [finding for finding in findings if finding is not None]
    if status != 0:
        said = error.decode(errors="replace").strip().splitlines()[-1:]
        cause = "; ".join([f"the check {check} was cut short: {ended}", *said])
        remedy = "Some library is broken; install the last ones named above anew."
        known.append(Finding("software", check, "problem", cause, remedy, check in _NEEDED))
    return known


def _finding(line: str) -> Finding | None:
    try:
        return Finding(**json.loads(line))
    except (ValueError, TypeError):
        # A library's own words.
        return None
