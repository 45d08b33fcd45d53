"""Sound against picture: a flash and a beep at one moment, found again in the store's rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

import grjca
from benchmarks.clips import Sound, steady, unsteady, write_clip
from benchmarks.figures import Cell, Figures
from grjca.errors import GrjcaError
from grjca.stages.probe import probe
from grjca.stages.video import VideoDecoder

NAME = "sync"

GOAL = "the middle of the beep in the audio rows lies within one frame of the flash's row"

LIGHT = grjca.ExtractConfig(visual="hog", audio="logmel")

BANDS = 64
"""The first numbers of a ``logmel`` row: each band's mean over the window."""

BEEP = 0.1
"""Seconds."""

SIZE = (96, 160)
"""Height and width of the pictures."""

Container = Literal["mp4", "mkv", "ts"]

Rate = Literal["constant", "variable"]


@dataclass(frozen=True)
class Case:
    """One clip.

    Attributes:
        container: Ending of the file.
        hertz: Samples per second of the sound.
        frames: Constant or variable frame rate.
        start: Seconds between the first frame and the first sample.
    """

    container: Container
    hertz: int
    frames: Rate
    start: float

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.frames}-{self.hertz}-{self.start:+g}.{self.container}"


ALL = [
    Case(container, hertz, frames, start)
    for container, frames, hertz, start in product(
        get_args(Container), get_args(Rate), (8_000, 44_100, 48_000), (0.0, 0.5, -0.5)
    )
]


def run(
    scratch: Path, workers: int, cases: list[Case] | None = None, length: float = 6.0
) -> Figures:
    """Make the clips, extract them, and find flash and beep again.

    Args:
        scratch: Empty folder for clips and store.
        workers: Processes side by side.
        cases: The clips; all if None.
        length: Seconds of each; at least 3.

    Raises:
        GrjcaError: A clip that was just made cannot be extracted.
    """
    cases = cases if cases is not None else ALL
    clips, store = scratch / "clips", scratch / "store"
    clips.mkdir(parents=True)
    for seed, case in enumerate(cases):
        make_clip(clips / case.name, case, length, seed)
    report = grjca.extract([clips], store, LIGHT, workers=workers)
    for outcome in report.failed:
        told = outcome.error or {}
        raise GrjcaError("benchmark", outcome.clip, told.get("message", "failed"))
    table = [measure(clips / case.name, store, case) for case in cases]
    furthest = max(abs(float(row["frames apart"] or 0)) for row in table)
    return Figures(
        NAME, GOAL, furthest <= 1, table,
        {
            "clips": len(table),
            "furthest apart in ms": max(abs(float(row["ms apart"] or 0)) for row in table),
            "furthest apart in frames": furthest,
        },
    )  # fmt: skip


def make_clip(path: Path, case: Case, length: float, seed: int) -> None:
    """Write black pictures and soft noise, but for one white picture and a loud moment with it."""
    constant = case.frames == "constant"
    # Every clip has its flash at another place of the frame grid and of the sound's.
    times = (
        steady(round(length * 25), 25.0)
        if constant
        else unsteady(length, (1 / 60, 1 / 30, 1 / 15), seed)
    )
    flash = int(np.searchsorted(times, 0.7 * length)) + seed % 7
    middle = times[flash] - case.start
    rng = np.random.default_rng(seed)
    at = np.arange(round((length + 0.5 - case.start) * case.hertz)) / case.hertz
    # A beep of all frequencies: in the mean over all bands a tone would hardly stand out.
    loud = np.abs(at - middle) < BEEP / 2
    samples = rng.uniform(-1, 1, len(at)) * np.where(loud, 0.5, 0.003)
    pictures = (
        np.full((*SIZE, 3), 255 if number == flash else 0, np.uint8) for number in range(len(times))
    )
    write_clip(path, pictures, times, Sound(samples.astype(np.float32), case.hertz, case.start))


def measure(path: Path, store: Path, case: Case) -> dict[str, Cell]:
    """The table's row of a clip: where flash and beep are, and how far apart."""
    clip = grjca.FeatureStore(store).read(path.name, audio="logmel")
    if clip.audio is None:
        raise ValueError("the store was read without sound")
    row = brightest_row(path)
    beep = middle_of_peak(clip.time, clip.audio[:, :BANDS].mean(axis=1))
    # Where frames are not equally long, the shorter of the two at the flash counts.
    frame = float(np.diff(clip.time[row - 1 : row + 2]).min())
    apart = beep - float(clip.time[row])
    return {
        "container": case.container,
        "frames": case.frames,
        "Hz": case.hertz,
        "sound starts": f"{case.start:+g} s" if case.start else "0",
        "row": row,
        "flash s": round(float(clip.time[row]), 3),
        "beep s": round(beep, 3),
        "ms apart": round(1000 * apart, 1),
        "frames apart": round(apart / frame, 2),
    }


def brightest_row(path: Path) -> int:
    """The row of the brightest frame, by decoding the clip once more."""

    def brightness() -> Iterator[NDArray[np.float64]]:
        with VideoDecoder(path, probe(path)) as frames:
            for batch in frames:
                yield batch.frames.mean(axis=(1, 2, 3))

    return int(np.concatenate(list(brightness())).argmax())


def middle_of_peak(time: NDArray[np.float64], loudness: NDArray[np.floating]) -> float:
    """Seconds of a peak's middle, halfway between its flanks.

    A short sound under a long window makes a plateau, not a point; its flanks are where the
    loudness, linear between the rows, passes half of its height over the clip's median.

    Args:
        time: (T,) float64 seconds.
        loudness: (T,), NaN where there is no sound; one peak, not at the ends.

    Raises:
        ValueError: There is no such peak.
    """
    heard = np.isfinite(loudness)
    time, loudness = time[heard], loudness[heard]
    half = (loudness.max() + np.median(loudness)) / 2
    above = np.flatnonzero(loudness > half)
    if not len(above) or above[0] == 0 or above[-1] == len(loudness) - 1:
        raise ValueError("no peak within the clip")
    sides = ((above[0] - 1, above[0]), (above[-1] + 1, above[-1]))
    flanks = [float(np.interp(half, loudness[list(side)], time[list(side)])) for side in sides]
    return sum(flanks) / 2
