"""Killed at any instant: the store holds only whole files, and the next run completes it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import time as clock
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import psutil

from benchmarks.clips import Sound, steady, write_clip
from benchmarks.command import extract_command
from benchmarks.faces import astronaut, backdrop, film
from benchmarks.figures import Cell, Figures
from grjca.errors import GrjcaError

NAME = "kills"

WAITING = 4
"""Every which kill waits for a temporary file to be open; so many have to find one."""

PATIENCE = 120.0
"""Seconds after which a run counts as hung."""

GRACE = 10.0
"""Seconds in which what a killed run had started has to be gone."""

LOOK_EVERY = 0.002

ATTEMPTS = 8

SOONER = 0.95
"""Share of its instant at which the next attempt kills after a run that was over too soon."""


class TooLateError(Exception):
    """A run was over, after so many seconds of work, before it could be killed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


@dataclass(frozen=True)
class Kind:
    """A kind of run and of its end.

    Attributes:
        name: For the table.
        workers: Processes side by side.
        group: Whether the kill goes to the whole process group, or to the main process only.
    """

    name: str
    workers: int
    group: bool


KINDS = (
    Kind("one process", workers=1, group=False),
    Kind("two workers, whole group", workers=2, group=True),
    Kind("two workers, main process only", workers=2, group=False),
)


@dataclass(frozen=True)
class Killed:
    """What was found after one kill and the run after it.

    Attributes:
        at: Seconds after the first claim.
        whole: Clips that were finished.
        open: Temporary files that were open at the instant.
        left_running: Processes of the killed run that did not end.
        wrong: Arrays that differ from the undisturbed run's or are missing, before (of those
            there) and after the next run.
        leftovers: Temporary files and claims after the next run, by their paths in the store.
    """

    at: float
    whole: int
    open: int
    left_running: int
    wrong: int
    leftovers: tuple[str, ...]

    @property
    def survived(self) -> bool:
        """Whether all is as if nothing had happened."""
        return not (self.left_running or self.wrong or self.leftovers)


def run(
    scratch: Path,
    instants: int = 20,
    clips: int = 4,
    frames: int = 120,
    kinds: Sequence[Kind] = KINDS,
) -> Figures:
    """Kill runs of each kind at instants spread over their work, and complete each store.

    Args:
        scratch: Empty folder for clips and stores.
        instants: How many kills of each kind.
        clips: Clips in a run.
        frames: Frames of the longest clip.
        kinds: Kinds of runs.

    Raises:
        GrjcaError: An undisturbed run, or the run after a kill, fails or hangs.
    """
    source, needed = scratch / "clips", instants // WAITING
    make_clips(source, clips, frames)
    wanted: dict[str, str] = {}
    table: list[dict[str, Cell]] = []
    reached = True
    for kind in kinds:
        store = scratch / "undisturbed" / kind.name
        seconds = time_of_work(source, store, kind)
        wanted = wanted or digests(store)
        killed = [
            _kill_at(source, scratch / "store", kind, wanted, seconds, number, instants)
            for number in range(instants)
        ]
        table.append(_row(kind, seconds, killed))
        opened = sum(bool(one.open) for one in killed)
        reached &= all(one.survived for one in killed) and digests(store) == wanted
        reached &= opened >= needed
    goal = (
        f"after each of {instants} SIGKILLs spread over a run, {needed} or more of them "
        "while a temporary file is open, the next run leaves a store in which every array equals "
        "an undisturbed run's, no temporary file, no claim and no process"
    )
    return Figures(NAME, goal, reached, table, {"arrays in the store": len(wanted)})


def _kill_at(
    clips: Path,
    store: Path,
    kind: Kind,
    wanted: dict[str, str],
    seconds: float,
    number: int,
    instants: int,
) -> Killed:
    """Kill at the given one of the instants; every fourth waits on for a temporary file."""
    share = (number + 0.5) / instants
    for _ in range(ATTEMPTS):
        try:
            return kill_and_resume(
                clips, store, kind, wanted,
                after=share * seconds, wait_for_temporary=number % WAITING == WAITING // 2,
            )  # fmt: skip
        except TooLateError as over:
            # Runs are not equally quick where other work goes on beside them.
            seconds, share = min(seconds, over.seconds), share * SOONER
    raise GrjcaError("benchmark", kind.name, f"{ATTEMPTS} runs were over before the kill")


def _row(kind: Kind, seconds: float, killed: Sequence[Killed]) -> dict[str, Cell]:
    return {
        "run": kind.name,
        "seconds of work": round(seconds, 2),
        "kills": len(killed),
        "first at s": round(min(one.at for one in killed), 2),
        "last at s": round(max(one.at for one in killed), 2),
        "with a file open": sum(bool(one.open) for one in killed),
        "with clips finished": sum(bool(one.whole) for one in killed),
        "wrong arrays": sum(one.wrong for one in killed),
        "leftovers": " ".join(name for one in killed for name in one.leftovers) or "none",
        "left running": sum(one.left_running for one in killed),
    }


def make_clips(folder: Path, clips: int, frames: int) -> None:
    """Clips of different lengths with a face that moves, and with sound."""
    folder.mkdir(parents=True)
    side = 160
    for number in range(clips):
        length = frames - 10 * number
        turn = np.linspace(0, 2 * np.pi, length)
        way = np.stack([160 + 60 * np.cos(turn + number), 120 + 20 * np.sin(turn)], 1)
        noise = np.random.default_rng(number).uniform(-0.3, 0.3, length * 640).astype(np.float32)
        pictures = film(backdrop(320, 240, number), [astronaut(side)], [way])
        write_clip(folder / f"{number}.mp4", pictures, steady(length, 25), Sound(noise, 16_000))


def digests(store: Path) -> dict[str, str]:
    """SHA-256 of type, shape and bytes of every array of every clip in a store."""
    found: dict[str, str] = {}

    def note(name: str, node: object) -> None:
        if isinstance(node, h5py.Dataset):
            array = node[...]
            told = hashlib.sha256(f"{array.dtype} {array.shape} ".encode())
            told.update(np.ascontiguousarray(array).data)
            found[f"{clip}/{name}"] = told.hexdigest()

    for path in sorted(store.rglob("*.h5")):
        clip = path.relative_to(store)
        with h5py.File(path, "r", locking=False) as file:
            file.visititems(note)
    return found


def time_of_work(clips: Path, store: Path, kind: Kind) -> float:
    """Seconds from the first claim to the end of an undisturbed run.

    Raises:
        GrjcaError: It fails or hangs.
    """
    process = _start(clips, store, kind)
    _wait_for_claim(process, store)
    if process.poll() is not None:
        raise GrjcaError("benchmark", kind.name, "an undisturbed run ended without claiming a clip")
    began = clock.monotonic()
    _finish(process)
    return clock.monotonic() - began


def kill_and_resume(
    clips: Path,
    store: Path,
    kind: Kind,
    wanted: dict[str, str],
    *,
    after: float,
    wait_for_temporary: bool = False,
) -> Killed:
    """Start a run in a new store, kill it, look, run again, look again.

    Args:
        clips: Folder of the clips.
        store: The store's folder; removed first.
        kind: The kind of run.
        wanted: Digests of an undisturbed run.
        after: Seconds between the first claim and the kill.
        wait_for_temporary: Go on from there to the next moment at which a temporary file is open.

    Raises:
        TooLateError: The run was over before it could be killed.
        GrjcaError: The run after the kill fails or hangs.
    """
    shutil.rmtree(store, ignore_errors=True)
    process = _start(clips, store, kind)
    _wait_for_claim(process, store)
    began = clock.monotonic()
    with contextlib.suppress(psutil.TimeoutExpired):
        process.wait(after)
    # Looked up before: a temporary file is open for less time than it takes to list processes.
    family = process.children(recursive=True)
    while wait_for_temporary and process.poll() is None and not temporaries(store):
        clock.sleep(LOOK_EVERY)
    if process.poll() is not None:
        raise TooLateError(clock.monotonic() - began)
    at = clock.monotonic() - began
    if kind.group:
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    if process.wait(PATIENCE) != -signal.SIGKILL:
        raise TooLateError(at)
    _, running = psutil.wait_procs([*family, *_decoders(clips)], GRACE)
    opened, before = len(temporaries(store)), digests(store)
    _finish(_start(clips, store, kind))
    later = digests(store)
    wrong = sum(wanted.get(name) != digest for name, digest in before.items())
    wrong += sum(wanted.get(name) != later.get(name) for name in wanted | later)
    finished = len({name.partition(".h5/")[0] for name in before})
    left = {*temporaries(store), *claims(store)}
    leftovers = tuple(sorted(str(path.relative_to(store)) for path in left))
    return Killed(at, finished, opened, len(running), wrong, leftovers)


def _decoders(clips: Path) -> list[psutil.Process]:
    """Processes that read one of the clips."""
    told = psutil.process_iter(["cmdline"])
    return [one for one in told if any(str(clips) in word for word in one.info["cmdline"] or ())]


def temporaries(store: Path) -> list[Path]:
    """Temporary files in a store, wherever they lie."""
    return list(store.rglob(".*.tmp"))


def claims(store: Path) -> list[Path]:
    """What is left in a store's folder of claims."""
    return [path for path in store.glob(".grjca/claims/*") if path.is_file()]


def _start(clips: Path, store: Path, kind: Kind) -> psutil.Popen:
    command = extract_command(clips, store, visual="hog", audio="logmel", workers=kind.workers)
    return psutil.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def _wait_for_claim(process: psutil.Popen, store: Path) -> None:
    deadline = clock.monotonic() + PATIENCE
    while process.poll() is None and not claims(store):
        if clock.monotonic() > deadline:
            process.kill()
            raise GrjcaError("benchmark", store, f"no clip was claimed within {PATIENCE:g} s")
        clock.sleep(LOOK_EVERY)


def _finish(process: psutil.Popen) -> None:
    try:
        status = process.wait(PATIENCE)
    except psutil.TimeoutExpired:
        process.kill()
        raise GrjcaError("benchmark", "extract", f"not finished after {PATIENCE:g} s") from None
    if status != 0:
        raise GrjcaError("benchmark", "extract", f"it ended with exit code {status}")
