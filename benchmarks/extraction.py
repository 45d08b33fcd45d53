"""Speed of the extraction: the parts alone, a straightforward script, and ours, side by side."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import grjca
from benchmarks.clips import run_ffmpeg
from benchmarks.figures import Cell, Figures
from grjca.errors import GrjcaError
from grjca.pipeline.executors import available_cores
from grjca.stages.probe import probe

NAME = "extraction"

CLIPS = ("av/01-01-01-01-01-01-01.mp4", "video_only/pyfeat_WolfgangLanger_Pexels.mp4")
"""One face, 1280x720 at 29.97 frames a second with speech; one face, 640x360, digital silence."""

SECONDS = 8.0
"""Length that a shorter clip is repeated to."""

OF_LIMIT, TIMES_NAIVE, TIMES_REAL = 0.85, 3.0, 3.0

TOLERANCE = 0.1
"""Median over the rows of the distance between the script's features and ours, as a share of the
features' own spread. OpenCV converts colours and rounds times otherwise than ffmpeg's program, so
that pixels differ by a few grey levels and a window of sound by a few milliseconds."""


def run(media: Path, scratch: Path, rounds: int = 3, clips: Sequence[str] = CLIPS) -> Figures:
    """Measure each clip in turns: parts, script, ours, parts, script, ours, ...

    Args:
        media: Folder of the real clips.
        scratch: Empty folder for clips and stores.
        rounds: Turns; medians count.
        clips: Paths below ``media``.

    Raises:
        GrjcaError: A run failed, or script and store hold different features.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    table = [_one(_long_enough(media / clip, scratch), scratch, rounds) for clip in clips]
    of_limit = min(_number(row["of limit"]) for row in table)
    naive = min(_number(row["times script"]) for row in table)
    real = _number(table[0]["times real time"])
    goal = (
        f"at least {OF_LIMIT:.0%} of the limit, {TIMES_NAIVE:g} times the script, and "
        f"{TIMES_REAL:g} times real time on the first clip"
    )
    summary: dict[str, Cell] = {
        "least share of the limit": round(of_limit, 3),
        "least times the script": round(naive, 3),
        "times real time on the first clip": round(real, 3),
        "cores": available_cores(),
    }
    reached = of_limit >= OF_LIMIT and naive >= TIMES_NAIVE and real >= TIMES_REAL
    return Figures(NAME, goal, reached, table, summary)


def _one(clip: Path, scratch: Path, rounds: int) -> dict[str, Cell]:
    told: dict[str, list[dict[str, Any]]] = {"parts": [], "naive": [], "ours": []}
    for number in range(rounds):
        for kind, results in told.items():
            out = scratch / f"{clip.stem}-{kind}-{number}"
            results.append(_child(kind, clip, out))
    store = scratch / f"{clip.stem}-ours-0"
    apart = compare(scratch / f"{clip.stem}-naive-0", store, clip.name)
    if max(apart.values()) > TOLERANCE:
        raise GrjcaError("benchmark", clip.name, f"script and store differ: {apart}")
    rows = int(told["ours"][0]["rows"])
    length = grjca.FeatureStore(store).summary(clip.name).seconds
    part = {
        name: 1000
        * float(statistics.median(one["parts"][name]["processor"] for one in told["parts"]))
        for name in ("decode", "detect", "embed", "mel", "speech")
    }
    # In processor time, which on one thread is the time on a quiet machine: waiting for a core that
    # is busy does not count, sharing it with a sibling thread still does.
    work = sum(part.values())
    limit = work / available_cores()
    ours, script = (_milliseconds(told[kind], rows, "seconds") for kind in ("ours", "naive"))
    return {
        "clip": clip.name,
        "rows": rows,
        **{f"{name} ms": round(value, 2) for name, value in part.items()},
        "limit ms": round(limit, 2),
        "ours ms": round(ours, 2),
        "script ms": round(script, 2),
        "of limit": round(limit / ours, 3),
        "times script": round(
            statistics.median(
                n["seconds"] / o["seconds"]
                for n, o in zip(told["naive"], told["ours"], strict=True)
            ), 2,
        ),
        "times real time": round(1000 * length / rows / ours, 2),
        "processor ms": round(_milliseconds(told["ours"], rows, "processor"), 2),
        "of it the parts": round(work / _milliseconds(told["ours"], rows, "processor"), 3),
        "apart visual": round(apart["visual"], 4),
        "apart audio": round(apart["audio"], 4),
    }  # fmt: skip


def compare(script: Path, store: Path, clip: str) -> dict[str, float]:
    """How far the script's features are from the store's.

    Args:
        script: The script's file.
        store: The store.
        clip: The clip in it.

    Returns:
        By modality: the median over rows valid in both of |a - b| / |spread|, Euclidean, the spread
        being the root mean square distance of the store's rows from their mean.

    Raises:
        GrjcaError: They have other numbers of rows, or no row in common.
    """
    kept = grjca.FeatureStore(store).read(clip, "fer", "speech+logmel")
    with h5py.File(script) as file:
        if len(file["time"]) != len(kept.time):
            cause = f"{len(file['time'])} rows by the script, {len(kept.time)} in the store"
            raise GrjcaError("benchmark", clip, cause)
        apart = {}
        for name in ("visual", "audio"):
            features, valid = getattr(kept, name), getattr(kept, f"{name}_valid")
            other = file[name][:]
            both = valid & np.isfinite(other).all(axis=1)
            if name == "visual" and not both.any():
                raise GrjcaError("benchmark", clip, "no row has a face in both")
            if not both.any():
                apart[name] = 0.0
                continue
            centred = features[both] - features[both].mean(axis=0)
            spread = math.sqrt(float((centred**2).sum(axis=1).mean()))
            away = np.linalg.norm(features[both] - other[both], axis=1)
            apart[name] = float(np.median(away)) / max(spread, 1e-9)
    return apart


def _child(kind: str, clip: Path, out: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.extraction_child", kind, str(clip), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise GrjcaError("benchmark", kind, done.stderr[-500:] or str(done.returncode))
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _milliseconds(results: Sequence[Mapping[str, Any]], rows: int, what: str) -> float:
    return 1000 * float(statistics.median(result[what] for result in results)) / rows


def _long_enough(clip: Path, scratch: Path) -> Path:
    """The clip, its packets repeated until it lasts ``SECONDS``."""
    seconds = probe(clip).duration or SECONDS
    long = scratch / f"long-{clip.name}"
    again = max(0, math.ceil(SECONDS / seconds) - 1)
    run_ffmpeg("-stream_loop", str(again), "-i", f"file:{clip}", "-c", "copy", long)
    return long


def _number(value: Cell) -> float:
    return float(value or 0)
