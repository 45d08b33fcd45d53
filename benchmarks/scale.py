"""Many clips: two workers against one, planning where almost all is done, what Dask costs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time as clock
from dataclasses import dataclass
from pathlib import Path

from benchmarks.command import extract_command
from benchmarks.figures import Cell, Figures
from grjca.cache.keys import Recipe, SourceId
from grjca.cache.layout import HOUSE, clip_path
from grjca.errors import GrjcaError
from grjca.pipeline.config import Components, ExtractConfig
from grjca.pipeline.outcome import ClipOutcome
from grjca.pipeline.placing import Placement
from grjca.pipeline.plan import ClipTask
from grjca.pipeline.source import ClipSource
from grjca.pipeline.work import Item, Tell, Work
from grjca.stages.ffmpeg import ffmpeg_version, find_ffmpeg

GAIN = 1.85
PLANNING_SECONDS = 20.0
PLANNING_BYTES = 500e6
OVERHEAD = 0.010

AUDIO = {"hog": "logmel", "fer": "speech+logmel"}
"""The audio embedder that is run beside a visual one."""


@dataclass(frozen=True)
class Kind:
    """A kind of run: how many workers, on how many cores."""

    workers: int
    cores: int

    def __str__(self) -> str:
        return f"{self.workers} on {self.cores}"


KINDS = (Kind(1, 1), Kind(1, 2), Kind(2, 2))
"""A worker's decoder is a process of its own, so that one worker alone uses more than one core."""


def run_workers(
    media: Path, scratch: Path, repeats: int = 3, visual: str = "fer", copies: int = 2
) -> Figures:
    """The same clips by one worker on one core, on two, and by two workers on two, in turns.

    Args:
        media: Folder of clips.
        scratch: Empty folder for stores.
        repeats: Runs of each kind; the median counts.
        visual: Visual embedder, a name of ``AUDIO``.
        copies: How often every clip is there, so that starting weighs less.

    Raises:
        GrjcaError: There are fewer cores than that, or an extraction fails altogether.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < max(kind.cores for kind in KINDS):
        raise GrjcaError("benchmark", "workers", "this machine has a single core")
    clips = scratch / "clips"
    for number in range(copies):
        folder = clips / str(number)
        folder.mkdir(parents=True)
        for path in media.iterdir():
            (folder / path.name).symlink_to(path.resolve())
    table: list[dict[str, Cell]] = []
    seconds: dict[Kind, list[float]] = {kind: [] for kind in KINDS}
    for repeat in range(repeats):
        for kind in KINDS:
            store = scratch / f"store-{kind.workers}-{kind.cores}-{repeat}"
            command = extract_command(
                clips, store, visual=visual, audio=AUDIO[visual], workers=kind.workers
            )
            # Of the taskset of util-linux, which is everywhere.
            listed = ",".join(map(str, cores[: kind.cores]))
            began = clock.perf_counter()
            done = subprocess.run(
                ["taskset", "-c", listed, *command],  # noqa: S607
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            whole = clock.perf_counter() - began
            if done.returncode not in (0, 1):
                raise GrjcaError("benchmark", "extract", done.stderr or str(done.returncode))
            told = json.loads((store / HOUSE / "last-run.json").read_text())
            seconds[kind].append(whole)
            table.append(
                {
                    "workers on cores": str(kind),
                    "repeat": repeat + 1,
                    "clips": told["counts"]["done"],
                    "frames": told["frames"],
                    "seconds": round(whole, 2),
                    "frames/s": told["frames"] / whole,
                }
            )
    one, freely, two = (statistics.median(seconds[kind]) for kind in KINDS)
    goal = f"two workers on two cores are {GAIN} times as fast as one on one, whole commands"
    summary: dict[str, Cell] = {
        "times as fast as one worker on one core": round(one / two, 3),
        "times as fast as one worker on two cores": round(freely / two, 3),
    }
    return Figures("workers", goal, one / two >= GAIN, table, summary)


def run_planning(scratch: Path, clips: int = 100_000, left: int = 100) -> Figures:
    """Plan and report a run over many clips of which few are left.

    Sources and files of the store are there, with a few bytes each; the index tells of them what
    it would of real ones, so that none is opened.

    Args:
        scratch: Empty folder for clips and store.
        clips: How many.
        left: How many of them the store lacks.

    Raises:
        GrjcaError: Another number of clips is left than was made.
    """
    components = Components.load(ExtractConfig(visual="hog", audio="logmel"))
    recipe = components.recipe(ffmpeg_version(find_ffmpeg()))
    make_done(scratch / "clips", scratch / "store", recipe, clips, left)
    command = [sys.executable, "-c", _PLAN, str(scratch / "clips"), str(scratch / "store")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise GrjcaError("benchmark", "planning", done.stderr)
    told = json.loads(done.stdout)
    if told["left"] != left:
        raise GrjcaError("benchmark", "planning", f"{told['left']} clips are left, not {left}")
    grown = told["peak"] - told["before"]
    row: dict[str, Cell] = {
        "clips": clips,
        "left": left,
        "list s": round(told["inputs"], 2),
        "index s": round(told["index"], 2),
        "plan s": round(told["plan"], 2),
        "report s": round(told["report"], 2),
        "total s": round(told["total"], 2),
        "MB": round(grown / 1e6),
        "MB with the program": round(told["peak"] / 1e6),
    }
    goal = (
        f"{clips} clips are planned and reported in {PLANNING_SECONDS:g} s and "
        f"{PLANNING_BYTES / 1e6:g} MB beside what the loaded program takes"
    )
    reached = told["total"] < PLANNING_SECONDS and grown < PLANNING_BYTES
    summary = {name: row[name] for name in ("total s", "MB", "MB with the program")}
    return Figures("planning", goal, reached, [row], summary)


def run_overhead(scratch: Path, clips: int = 10_000, workers: int = 2) -> Figures:
    """Clips that take no time, through scheduler, workers and their children.

    Args:
        scratch: Empty folder.
        clips: How many.
        workers: Processes side by side.

    Raises:
        GrjcaError: Not all came back.
    """
    from grjca.pipeline.cluster import opened
    from grjca.pipeline.flow import Flow

    components = Components.load(ExtractConfig(visual="hog", audio="logmel"))
    recipe = components.recipe(ffmpeg_version(find_ffmpeg()))
    scratch.mkdir(parents=True, exist_ok=True)
    source = scratch / "clip.mp4"
    source.touch()
    payload = ClipTask("clip", ClipSource(source, about={}), recipe, frozenset(recipe.groups("")))
    items = (
        Item(f"{number}.mp4", dataclasses.replace(payload, clip=f"{number}.mp4"), (str(source),))
        for number in range(clips + workers)
    )
    came = 0
    with opened(
        Placement(workers), Stub(), house=scratch / HOUSE, workers=workers, unfinished=lambda: 0
    ) as (client, name):
        flow = Flow(client, name, on_rows=lambda *_: None, on_workers=lambda _: None)
        began = clock.perf_counter()
        for _, outcome in flow.results(items):
            came += isinstance(outcome, ClipOutcome)
            # By then every worker has started its child.
            began = clock.perf_counter() if came == workers else began
        seconds = clock.perf_counter() - began
    if came != clips + workers:
        raise GrjcaError("benchmark", "overhead", f"{came} of {clips + workers} clips came back")
    each = seconds / clips
    row: dict[str, Cell] = {
        "clips": clips,
        "workers": workers,
        "seconds": round(seconds, 1),
        "ms per clip": 1e3 * each,
    }
    goal = f"{clips} clips that take no time cost less than {1e3 * OVERHEAD:g} ms each"
    return Figures("overhead", goal, each < OVERHEAD, [row], {"ms per clip": row["ms per clip"]})


@dataclass(frozen=True)
class Stub:
    """A job that does nothing with a clip."""

    def open(self) -> Work:
        """Load nothing."""

        def work(task: ClipTask, _tell: Tell) -> ClipOutcome:
            return ClipOutcome(task.clip, "done", rows=1)

        return work


def make_done(source: Path, store: Path, recipe: Recipe, clips: int, left: int) -> None:
    """Sources and a store whose index says that all but ``left`` of them are extracted."""
    missing = {number * (clips // left) for number in range(left)} if left else set()
    (store / HOUSE).mkdir(parents=True)
    with (store / HOUSE / "index.jsonl").open("w") as index:
        for number in range(clips):
            clip = f"{number // 1000:04d}/{number:07d}.mp4"
            path, file, content = source / clip, clip_path(store, clip), b"%d" % number
            if number % 1000 == 0:
                path.parent.mkdir(parents=True)
                file.parent.mkdir(parents=True)
            path.write_bytes(content)
            if number in missing:
                continue
            file.write_bytes(content)
            size, mtime_ns = path.stat().st_size, path.stat().st_mtime_ns
            known = SourceId(size, mtime_ns, hashlib.sha256(content).hexdigest())
            entry = {
                "clip": clip,
                "size": file.stat().st_size,
                "mtime_ns": file.stat().st_mtime_ns,
                "source": dataclasses.asdict(known),
                "digests": recipe.group_digests(known.sha256),
                "rows": 100,
            }
            index.write(json.dumps(entry) + "\n")


_PLAN = """
import json, re, sys, time
from pathlib import Path
from grjca.cache import FeatureStore
from grjca.cache.index import StoreIndex
from grjca.pipeline import batch
from grjca.pipeline.config import Components, ExtractConfig
from grjca.pipeline.plan import make_plan
from grjca.pipeline.report import RunReport
from grjca.stages.ffmpeg import ffmpeg_version, find_ffmpeg

def memory(what):
    text = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(what + r":\\s+(\\d+)", text).group(1))

components = Components.load(ExtractConfig(visual="hog", audio="logmel"))
recipe = components.recipe(ffmpeg_version(find_ffmpeg()))
before, store = memory("VmHWM"), Path(sys.argv[2])
laps = {"began": time.perf_counter()}
inputs = batch.gather([sys.argv[1]])
laps["inputs"] = time.perf_counter()
index = StoreIndex(FeatureStore(store), inputs.clips)
laps["index"] = time.perf_counter()
plan = make_plan(inputs, index, recipe, overwrite=False)
laps["plan"] = time.perf_counter()
RunReport(sorted(plan.known, key=lambda out: out.clip), 1.0, {}, {}).write(store / "report.json")
index.save()
laps["report"] = time.perf_counter()
times = list(laps.values())
told = {name: b - a for name, a, b in zip(list(laps)[1:], times, times[1:])}
told |= {"total": times[-1] - times[0], "left": len(plan.tasks)}
print(json.dumps({**told, "before": before, "peak": memory("VmHWM")}))
"""
