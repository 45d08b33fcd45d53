"""Workers that a mutant may hang or crash without ending the campaign."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

import psutil

from fuzz.check import Verdict, check
from fuzz.mutate import mutate

HANG_LIMIT = 240.0
"""Seconds that nothing takes that keeps to the decoders' own limits."""


@dataclass(frozen=True)
class Campaign:
    """Which mutants there are.

    Attributes:
        clips: The clips to damage, in turn.
        seed: What the damage follows from, together with a mutant's number.
        extract_every: Of so many mutants one goes through the whole extraction.
        folder: For the workers' own folders.
        judge: What a mutant, alone in its folder, is put through; the second argument is the
            folder for a store, or None if it is not to be extracted.
        hang_limit: Seconds after which a mutant counts as one that hangs.
    """

    clips: Sequence[Path]
    seed: int
    extract_every: int
    folder: Path
    judge: Callable[[Path, Path | None], Verdict] = check
    hang_limit: float = HANG_LIMIT

    def mutant(self, number: int) -> tuple[str, bytes, str]:
        """Name and content of a mutant, and what was done to its clip."""
        clip = self.clips[number % len(self.clips)]
        rng = random.Random(f"{self.seed} {number} {clip.name}")  # noqa: S311
        data, done = mutate(clip.read_bytes(), rng)
        return f"{number:05}-{clip.name}", data, done

    def extracts(self, number: int) -> bool:
        """Whether a mutant is extracted; every clip has its turn."""
        return (number // len(self.clips) + number) % self.extract_every == 0


def run(campaign: Campaign, numbers: Sequence[int], workers: int) -> Iterator[tuple[int, Verdict]]:
    """The verdicts, as they come, of mutants by number."""
    waiting = list(reversed(numbers))
    crew = [_Worker(campaign, number) for number in range(min(workers, len(numbers)))]
    try:
        for worker in crew:
            worker.give(waiting.pop())
        while busy := [worker for worker in crew if worker.number is not None]:
            wait([worker.connection for worker in busy], timeout=1.0)
            for worker in busy:
                verdict = worker.verdict()
                if verdict is None:
                    continue
                number, worker.number = worker.number, None
                if number is not None:
                    yield number, verdict
                if waiting:
                    worker.give(waiting.pop())
    finally:
        for worker in crew:
            worker.end()


class _Worker:
    """One process at a time, replaced when a mutant ends it."""

    def __init__(self, campaign: Campaign, place: int) -> None:
        self._campaign = campaign
        self._folder = campaign.folder / f"worker{place}"
        self.number: int | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_work, args=(theirs, self._campaign, self._folder), daemon=True
        )
        self._process.start()
        theirs.close()
        self._ready = False

    def give(self, number: int) -> None:
        self.number, self._began = number, time.monotonic()
        self.connection.send(number)

    def verdict(self) -> Verdict | None:
        """What the worker says of its mutant, or what is to be said of the worker; None: wait."""
        limit = self._campaign.hang_limit
        late = self._ready and time.monotonic() - self._began > limit
        try:
            if self.connection.poll():
                verdict: Verdict | None = self.connection.recv()
                if verdict is None:
                    # Loading libraries takes seconds, which are not the mutant's.
                    self._ready, self._began = True, time.monotonic()
                return verdict
            if not late:
                return None
            ended = f"it hangs: no end after {limit:.0f} s"
        except (EOFError, ConnectionError):
            self._process.join()
            ended = f"it crashes the process (exit code {self._process.exitcode})"
        self.end(patience=0)
        self._start()
        name = self._campaign.mutant(self.number or 0)[0]
        return Verdict(name, seconds=time.monotonic() - self._began, violations=[ended])

    def end(self, patience: float = 10.0) -> None:
        """End the process, and its children where it does not end by itself."""
        self.connection.close()
        self._process.join(patience)
        if self._process.is_alive():
            process = psutil.Process(self._process.pid)
            for child in [*process.children(recursive=True), process]:
                child.kill()
            self._process.join()


def _work(connection: Connection, campaign: Campaign, folder: Path) -> None:
    with contextlib.suppress(EOFError, ConnectionError):
        # Loaded, as whoever counts the seconds has to know.
        connection.send(None)
        while True:
            _judge(connection.recv(), connection, campaign, folder)


def _judge(number: int, connection: Connection, campaign: Campaign, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    os.environ["TMPDIR"] = tempfile.tempdir = os.fspath(folder / "tmp")
    name, data, _ = campaign.mutant(number)
    (folder / name).write_bytes(data)
    store = folder / "store" if campaign.extracts(number) else None
    connection.send(campaign.judge(folder / name, store))
