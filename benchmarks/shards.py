"""Many tiny clips: a packed store against one of a file per clip.

The files are written as the program writes them, a few with made-up numbers and the others as
copies of those with their own name put in; packing, opening and reading are the program's own.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time as clock
from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

import grjca
from benchmarks.figures import Cell, Figures
from grjca.cache.claims import claim
from grjca.cache.keys import Recipe, SourceId
from grjca.cache.layout import SUFFIX
from grjca.cache.packing import pack
from grjca.cache.writer import ClipWriter

NAME = "shards"

OPEN_SECONDS = 2.0
TIMES_FASTER = 5.0

ROWS, VISUAL, AUDIO = 50, 32, 16
"""Rows of a clip, and numbers per row."""

WINDOW = 20
"""Rows of a window."""

MADE = 32
"""Clips with numbers of their own."""

PER_FOLDER = 1000

DROP = Path("/proc/sys/vm/drop_caches")

_SOURCE = SourceId(size=1_000_000, mtime_ns=1, sha256="0" * 64)
_RECIPE = Recipe(
    video={"ffmpeg": "7", "frames": "native"},
    sound={"ffmpeg": "7", "rate": 16_000},
    faces={"detector": {"name": "retinaface", "config": {}, "weights": "1" * 64}},
    visual={
        "name": "fer", "config": {}, "weights": "2" * 64, "template": "face64", "crop_size": 64
    },
    audio={"name": "logmel", "config": {}, "weights": None},
)  # fmt: skip
_MEDIA = {"container": "mp4", "video": {"codec": "h264", "width": 640, "height": 360}}

# What a process of its own does, so that nothing is warm but the packages it needs.
_OPEN = """
import sys, time
from grjca.cache import FeatureStore
began = time.perf_counter()
count = len(FeatureStore(sys.argv[1]).clips())
print(time.perf_counter() - began, count)
"""


def run(scratch: Path, count: int, windows: int, rounds: int) -> Figures:
    """Make the clips, pack them, open both stores, and read windows at random from both.

    Args:
        scratch: Empty folder on the disk that is measured.
        count: How many clips.
        windows: Windows read in each round; the clips differ from round to round.
        rounds: Rounds; of times the median is reported.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    plain, packed = scratch / "plain", scratch / "packed"
    clips = make_store(plain, count)
    began = clock.perf_counter()
    report = pack(plain, packed)
    packing = clock.perf_counter() - began
    if report.failed:
        raise report.failed[0]
    began = clock.perf_counter()
    again = pack(plain, packed)
    repacking = clock.perf_counter() - began
    if again.packed:
        raise ValueError(f"{len(again.packed)} unchanged clips were packed again")
    how = ""
    table: list[dict[str, Cell]] = []
    for name, root in (("a file per clip", plain), ("packed", packed)):
        rng = np.random.default_rng(0)
        opening, cold, warm = [], [], []
        for _ in range(rounds):
            how = drop_cache(root)
            opening.append(_open(root, count))
            chosen = [clips[i] for i in rng.permutation(count)[:windows]]
            how = drop_cache(root)
            cold.append(read_windows(root, chosen))
            warm.append(read_windows(root, chosen))
        files = [path for path in root.rglob(f"*{SUFFIX}") if path.is_file()]
        table.append({
            "store": name,
            "files": len(files),
            "MB": sum(path.stat().st_size for path in files) / 1e6,
            "KB/clip": sum(path.stat().st_size for path in files) / count / 1e3,
            "open s": statistics.median(opening),
            "cold windows/s": windows / statistics.median(cold),
            "warm windows/s": windows / statistics.median(warm),
        })  # fmt: skip
    own, shards = table
    faster = {kind: _cell(shards, kind) / _cell(own, kind) for kind in _SPEEDS}
    opened = _cell(shards, "open s")
    summary: dict[str, Cell] = {
        "clips": count,
        "rows, numbers per row": f"{ROWS}, {VISUAL} visual and {AUDIO} audio",
        "rows of a window": WINDOW,
        "raw KB/clip": raw_bytes() / 1e3,
        "cold start": how,
        "packing, clips/s": count / packing,
        "packing again with nothing new, s": repacking,
        **{f"times faster, {kind}": value for kind, value in faster.items()},
    }
    return Figures(
        NAME,
        f"opening a packed store under {OPEN_SECONDS:g} s, cold random windows at least "
        f"{TIMES_FASTER:g} times faster",
        opened < OPEN_SECONDS and faster[_SPEEDS[0]] >= TIMES_FASTER,
        table,
        summary,
    )


_SPEEDS = ("cold windows/s", "warm windows/s")


def _cell(row: dict[str, Cell], name: str) -> float:
    value = row[name]
    if not isinstance(value, int | float):
        raise TypeError(f"{name} is {value!r}")
    return value


def make_store(root: Path, count: int) -> list[str]:
    """Write a store of ``count`` clips; their identities."""
    clips = [f"{i // PER_FOLDER:04d}/clip{i:07d}.mp4" for i in range(count)]
    made: list[bytes] = []
    for i, clip in enumerate(clips[:MADE]):
        _write(root, clip, i)
        made.append((root / f"{clip}{SUFFIX}").read_bytes())
    for i, clip in enumerate(clips[MADE:], MADE):
        path = root / f"{clip}{SUFFIX}"
        path.parent.mkdir(parents=True, exist_ok=True)
        # Texts of attributes lie in a heap without checksums, and the names are equally long.
        content = made[i % MADE].replace(clips[i % MADE].encode(), clip.encode())
        path.write_bytes(content)
    with h5py.File(root / f"{clips[-1]}{SUFFIX}") as file:
        if file.attrs["clip"] != clips[-1]:
            raise ValueError(f"the copy is called {file.attrs['clip']}, not {clips[-1]}")
    return clips


def _write(root: Path, clip: str, seed: int) -> None:
    held = claim(root, clip)
    if held is None:
        raise ValueError(f"{clip} is in other hands")
    keys = _RECIPE.groups(_SOURCE.sha256)
    with held, ClipWriter(root, clip, _SOURCE, keys, held) as writer:
        for group, rows in _columns(seed).items():
            writer.append(group, rows)
        writer.commit(_MEDIA)


def _columns(seed: int) -> dict[str, dict[str, NDArray[np.generic]]]:
    rng = np.random.default_rng(seed)

    def numbers(*shape: int) -> NDArray[np.float32]:
        return rng.normal(size=(ROWS, *shape)).astype(np.float32)

    here = np.ones(ROWS, bool)
    return {
        "frames": {"time": np.arange(ROWS) / 25},
        "faces": {
            "box": numbers(4), "landmarks": numbers(5, 2), "score": numbers(), "valid": here,
            "interpolated": ~here, "track": np.zeros(ROWS, np.int32),
        },
        "visual/fer": {"features": numbers(VISUAL), "valid": here},
        "audio/logmel": {"features": numbers(AUDIO), "valid": here},
    }  # fmt: skip


def raw_bytes() -> int:
    """Bytes of a clip's arrays."""
    return sum(values.nbytes for group in _columns(0).values() for values in group.values())


def _open(root: Path, count: int) -> float:
    done = subprocess.run(
        [sys.executable, "-c", _OPEN, str(root)], stdout=subprocess.PIPE, check=True, text=True
    )
    seconds, clips = done.stdout.split()
    if int(clips) != count:
        raise ValueError(f"{clips} clips listed, not {count}")
    return float(seconds)


def read_windows(root: Path, clips: Sequence[str]) -> float:
    """Seconds for a window of each of these clips, of both modalities; opening not counted."""
    store = grjca.FeatureStore(root)
    store.read("0000/clip0000000.mp4", "fer", "logmel")
    starts = np.random.default_rng(1).integers(0, ROWS - WINDOW, len(clips))
    began = clock.perf_counter()
    for clip, start in zip(clips, starts.tolist(), strict=True):
        window = store.read(clip, "fer", "logmel", slice(start, start + WINDOW))
        if len(window) != WINDOW:
            raise ValueError(f"{len(window)} rows of {clip}")
    return clock.perf_counter() - began


def drop_cache(root: Path) -> str:
    """Have nothing of a store in memory; how that was done.

    As root the kernel is told to drop everything, names of files included; else what it keeps of
    each file is given up, and names stay known.
    """
    os.sync()
    try:
        DROP.write_text("3")
    except OSError:
        for path in _files(root):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(handle)
        return "posix_fadvise(POSIX_FADV_DONTNEED) on every file; names of files stay in memory"
    return "3 written to /proc/sys/vm/drop_caches: contents and names of files"


def _files(root: Path) -> Iterator[Path]:
    return (path for path in root.rglob("*") if path.is_file())
