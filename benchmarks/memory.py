"""Peak memory of an extraction against the length of the clip."""

from __future__ import annotations

import contextlib
import re
import subprocess
import time as clock
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

import grjca
from benchmarks.clips import Sound, run_ffmpeg, steady, write_clip
from benchmarks.command import GRJCA, extract_command
from benchmarks.faces import astronaut, backdrop, film
from benchmarks.figures import Cell, Figures
from grjca.errors import GrjcaError

NAME = "memory"

LIMIT = 1.15

LOOP = 10
"""Seconds after which a clip's picture and sound begin again."""

FPS = 25

SIZE = (1280, 720)

EVERY = 0.1
"""Seconds between two looks at the processes."""

AUDIO = {"hog": "logmel", "fer": "speech+logmel"}
"""The audio embedder that is run beside a visual one."""


@dataclass(frozen=True)
class Peak:
    """What a command took.

    Attributes:
        main: Peak of its own process in bytes, as the kernel counts it (``VmHWM``).
        tree: Peak of the sum over its process and all below it, in bytes; pages that they share
            count in each, and what lies between two looks is not seen.
        seconds: Wall time.
    """

    main: int
    tree: int
    seconds: float


def run(
    scratch: Path,
    minutes: Sequence[float],
    visuals: Sequence[str],
    size: tuple[int, int] = SIZE,
) -> Figures:
    """Extract a clip of each length with each embedder, one after the other.

    Args:
        scratch: Empty folder for clips and stores.
        minutes: Lengths of the clips; the first is what the others are compared with.
        visuals: Visual embedders, names of ``AUDIO``.
        size: Width and height of the picture.

    Raises:
        GrjcaError: An extraction failed.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    base = make_base(scratch / "base.mp4", size)
    clips = [repeat(base, length, scratch / f"{length:g}min.mp4") for length in minutes]
    table: list[dict[str, Cell]] = []
    for visual in visuals:
        shortest: Peak | None = None
        for length, path in zip(minutes, clips, strict=True):
            store = scratch / f"store-{visual}-{path.stem}"
            command = extract_command(path, store, visual=visual, audio=AUDIO[visual], workers=1)
            peak = measure(command, scratch / "words.txt")
            shortest = shortest or peak
            summary = grjca.FeatureStore(store).summary(path.name)
            table.append(
                {
                    "embedders": f"{visual}, {AUDIO[visual]}",
                    "minutes": float(length),
                    "rows": summary.rows,
                    "faces": round(summary.faces, 3),
                    "seconds": round(peak.seconds, 1),
                    "process MiB": round(peak.main / 2**20, 1),
                    "ratio": round(peak.main / shortest.main, 3),
                    "all processes MiB": round(peak.tree / 2**20, 1),
                    "ratio of all": round(peak.tree / shortest.tree, 3),
                }
            )
    worst = max(float(row["ratio"] or 0) for row in table)
    worst_of_all = max(float(row["ratio of all"] or 0) for row in table)
    goal = (
        f"peak memory of a {size[0]}x{size[1]} clip of {max(minutes):g} minutes is at most {LIMIT} "
        f"times that of one of {minutes[0]:g}"
    )
    return Figures(
        NAME, goal, max(worst, worst_of_all) <= LIMIT, table,
        {"greatest ratio": worst, "greatest ratio of all processes": worst_of_all},
    )  # fmt: skip


def make_base(path: Path, size: tuple[int, int]) -> Path:
    """A clip of ``LOOP`` seconds with sound, in which a face goes round and ends where it began."""
    width, height = size
    turn = np.linspace(0, 2 * np.pi, LOOP * FPS, endpoint=False)
    way = np.stack(
        [width / 2 + width / 5 * np.cos(turn), height / 2 + height / 8 * np.sin(turn)], 1
    )
    pictures = film(backdrop(width, height), [astronaut(height // 2)], [way])
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, LOOP * 44_100).astype(np.float32)
    return write_clip(path, pictures, steady(len(way), FPS), Sound(noise, 44_100))


def repeat(base: Path, minutes: float, path: Path) -> Path:
    """The base over and over, its packets copied."""
    again = max(0, round(minutes * 60 / LOOP) - 1)
    run_ffmpeg("-stream_loop", str(again), "-i", f"file:{base}", "-c", "copy", path)
    return path


def measure(command: Sequence[str], words: Path) -> Peak:
    """Run a command and watch its memory.

    Args:
        command: What to run.
        words: File for what it says.

    Raises:
        GrjcaError: It failed; the message has the end of what it said.
    """
    main = tree = 0
    began = clock.perf_counter()
    with words.open("wb") as stream:
        process = psutil.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        while process.poll() is None:
            main = max(main, _peak_of(process.pid))
            tree = max(tree, _tree(process))
            clock.sleep(EVERY)
    if process.returncode != 0:
        said = words.read_text(errors="replace")[-500:]
        raise GrjcaError("benchmark", GRJCA[0], f"exit code {process.returncode}: {said}")
    return Peak(main, tree, clock.perf_counter() - began)


def _peak_of(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _tree(process: psutil.Process) -> int:
    """Resident bytes of a process and all below it."""
    try:
        command = process.cmdline()
        total = int(process.memory_info().rss)
        below = process.children(recursive=True)
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0
    for child in below:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            # A child that has not yet become what it is to be shows its parent's memory as its own.
            if child.cmdline() != command:
                total += int(child.memory_info().rss)
    return total
