"""What must hold of any file, whole or damaged.

Decoding ends in time and leaves no process, no open file and no temporary file behind. What fails
does so with one clear line. What decodes has exactly as many rows as another ffmpeg process counts
frames, at strictly increasing times; in a store all groups of the clip have that many.
"""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import psutil

import grjca
from grjca.errors import GrjcaError
from grjca.stages.audio import AudioDecoder
from grjca.stages.ffmpeg import MAX_PIXELS, find_ffmpeg, input_options
from grjca.stages.probe import probe
from grjca.stages.process import MEMORY_LIMIT
from grjca.stages.types import AUDIO_RATE, MediaInfo
from grjca.stages.video import VideoDecoder

TIME_LIMIT = 30.0
"""Seconds that each decoder may keep its reader waiting in all."""

LIGHT = grjca.ExtractConfig(visual="hog", audio="logmel")

_LONGEST_LINE = 2000
_AFTER = 10.0


@dataclass
class Verdict:
    """What became of one file.

    Attributes:
        name: The file's name.
        refused: The stage that refused it, or gave nothing of the only stream; empty if it decodes.
        line: What was said then.
        rows: Frames decoded.
        samples: Samples of sound decoded, at 16 kHz.
        extracted: Whether it went through the whole extraction too.
        seconds: Wall time.
        violations: What should not have been; empty for a good end.
    """

    name: str
    refused: str = ""
    line: str = ""
    rows: int = 0
    samples: int = 0
    extracted: bool = False
    seconds: float = 0.0
    violations: list[str] = field(default_factory=list)


def check(path: Path, store: Path | None = None) -> Verdict:
    """Put a file through the decoders, and through the extraction if a ``store`` is given.

    Args:
        path: The file, alone in its folder.
        store: Folder to make a store in, not there yet; ``None`` to leave the extraction out.
    """
    verdict = Verdict(path.name)
    # Python's own helpers, such as multiprocessing's, may be there already.
    before = set(psutil.Process().children(recursive=True))
    began = time.monotonic()
    try:
        _decode(path, verdict)
        if store is not None:
            _extract(path, store, verdict)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for here
        verdict.violations.append(f"{type(error).__name__} was raised: {error}")
    verdict.seconds = time.monotonic() - began
    verdict.violations += _left_behind(path, store, before)
    return verdict


def _decode(path: Path, verdict: Verdict) -> None:
    info, last = None, math.inf
    try:
        info = probe(path, time_limit=TIME_LIMIT)
        if info.video is not None:
            last = _rows(path, info, verdict)
        if info.audio is not None:
            verdict.samples = _samples(path, info, verdict, last + _AFTER)
        if not verdict.rows and not verdict.samples:
            verdict.refused = "audio"
    except GrjcaError as error:
        verdict.refused, verdict.line = error.stage, str(error)
        verdict.violations += unclear(verdict.line, path, error)
    if info is not None and info.video is not None and "time is up" not in verdict.line:
        counted = count_frames(path, info.video.index, info.video.width * info.video.height)
        if counted != verdict.rows:
            verdict.violations.append(f"{verdict.rows} rows, but ffmpeg counts {counted} frames")


def _rows(path: Path, info: MediaInfo, verdict: Verdict) -> float:
    """Count the rows; returns the time of the last."""
    rows, last = 0, -math.inf
    with VideoDecoder(path, info, time_limit=TIME_LIMIT) as frames:
        for batch in frames:
            if batch.first != rows:
                verdict.violations.append(f"a batch begins at row {batch.first}, not {rows}")
            times = np.concatenate([[last], batch.time])
            if not np.isfinite(batch.time).all() or (np.diff(times) <= 0).any():
                verdict.violations.append(f"times do not increase around row {rows}")
            rows, last = rows + len(batch), float(batch.time[-1])
            verdict.rows = rows
    return float(last)


def _samples(path: Path, info: MediaInfo, verdict: Verdict, end: float) -> int:
    """Count samples up to a time; like the pipeline, which leaves off behind the last row."""
    stop = 0
    with AudioDecoder(path, info, time_limit=TIME_LIMIT) as sound:
        for block in sound:
            if block.start != stop:
                verdict.violations.append(f"sound goes on at {block.start}, not {stop}")
            if not np.isfinite(block.samples).all() or np.abs(block.samples).max() > 1:
                verdict.violations.append(f"samples outside [-1, 1] behind {block.start}")
            if block.samples[~block.present].any():
                verdict.violations.append(f"sound where there is none behind {block.start}")
            stop = block.stop
            if stop > end * AUDIO_RATE:
                break
    return stop


def unclear(line: str, path: Path, error: GrjcaError) -> Iterator[str]:
    """What is wrong with an error's line."""
    if len(line.splitlines()) != 1 or not line.isprintable():
        yield f"not one printable line: {line!r}"
    if path.name not in line or f": {error.stage}: " not in line:
        yield f"the line does not name file and stage: {line}"
    if not error.cause or "Traceback" in line or len(line) > _LONGEST_LINE:
        yield f"the line is not clear: {line[:_LONGEST_LINE]}"


def count_frames(path: Path, stream: int, pixels: int) -> int:
    """Frames that ffmpeg decodes, told by its own checksum of each, within the same limits."""
    limits: list[str] = ["-threads", "1", "-max_pixels", str(MAX_PIXELS)]
    for name, value in input_options().items():
        limits += [f"-{name}", str(value)]
    command = [str(find_ffmpeg()), "-nostdin", "-v", "quiet", *limits, "-i", f"file:{path}"]
    command += ["-map", f"0:{stream}", "-fps_mode", "passthrough", "-f", "framecrc", "-"]
    memory = (MEMORY_LIMIT + 30 * min(pixels, MAX_PIXELS)) >> 10
    limited = ["sh", "-c", f'ulimit -v {memory}; exec "$@"', "sh", *command]
    done = subprocess.run(limited, capture_output=True, check=False, timeout=3 * TIME_LIMIT)
    return sum(not line.startswith(b"#") for line in done.stdout.splitlines())


def _extract(path: Path, store: Path, verdict: Verdict) -> None:
    verdict.extracted = True
    report = grjca.extract([path], store, LIGHT, workers=1)
    (outcome,) = report.outcomes
    files = sorted(file.name for file in store.rglob("*") if file.suffix in (".h5", ".tmp"))
    if outcome.status == "failed":
        error = outcome.error or {}
        if not verdict.refused:
            verdict.violations.append(f"it decodes, but extraction says: {error.get('message')}")
        told = GrjcaError(error["stage"], path, error["cause"], error["remedy"])
        verdict.violations += unclear(error["message"], path, told)
        if files:
            verdict.violations.append(f"it failed, but the store holds {files}")
        return
    if outcome.status != "done" or files != [f"{path.name}.h5"]:
        verdict.violations.append(f"extraction ended as {outcome.status} with {files}")
        return
    if verdict.refused == "video":
        verdict.violations.append(f"extracted, though the decoder said: {verdict.line}")
    lengths = _lengths(store / files[0])
    if len(set(lengths.values())) != 1 or (
        verdict.rows and set(lengths.values()) != {verdict.rows}
    ):
        verdict.violations.append(f"{verdict.rows} rows decode, the store has {lengths}")


def _lengths(file: Path) -> dict[str, int]:
    lengths: dict[str, int] = {}

    def note(name: str, node: object) -> None:
        if isinstance(node, h5py.Dataset):
            lengths[name] = len(node)

    with h5py.File(file, locking=False) as content:
        content.visititems(note)
    return lengths


def _left_behind(path: Path, store: Path | None, before: set[psutil.Process]) -> Iterator[str]:
    with contextlib.suppress(psutil.TimeoutExpired):
        for child in set(psutil.Process().children(recursive=True)) - before:
            child.wait(2)
    for child in set(psutil.Process().children(recursive=True)) - before:
        yield f"a process is left: {child}"
        child.kill()
    known = {path, store, Path(tempfile.gettempdir())}
    strangers = {found for found in path.parent.iterdir() if found not in known}
    if store is not None and store.exists():
        strangers |= set(store.rglob("*.tmp"))
    if Path(tempfile.gettempdir()).parent == path.parent:
        strangers |= set(Path(tempfile.gettempdir()).iterdir())
    for stranger in sorted(strangers):
        yield f"a file is left: {os.path.relpath(stranger, path.parent)}"
