"""One way through a clip in a process of its own: models loaded first, then timed.

``python -m benchmarks.extraction_child KIND CLIP OUT`` prints JSON: ``rows``, ``seconds`` and
``processor`` (user and system seconds of this process and its children), for the kind ``parts`` of
each part alone.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time as clock
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.naive import Naive
from grjca.pipeline.batch import run
from grjca.pipeline.config import Components, ExtractConfig
from grjca.pipeline.executors import available_cores, single_threaded
from grjca.pipeline.inputs import find_inputs
from grjca.pipeline.pictures import Media
from grjca.pipeline.source import ClipSource
from grjca.stages.acoustic import LogMelStatistics, Speech
from grjca.stages.faces import align
from grjca.stages.fer import Fer, FerConfig
from grjca.stages.ffmpeg import find_ffmpeg
from grjca.stages.retinaface import RetinaFace
from grjca.stages.types import AudioSegment

SAMPLE = 96
"""Frames on which detector and embedder are timed alone; the clip's are counted from there."""

BATCHES = (2, 4, 8, 16)


def main(kind: str, clip: str, out: str) -> None:
    """Measure one kind and print it."""
    kinds: dict[str, Callable[[Path, Path], dict[str, Any]]] = {
        "parts": parts,
        "naive": naive,
        "ours": ours,
    }
    sys.stdout.write(json.dumps(kinds[kind](Path(clip), Path(out))) + "\n")


def ours(clip: Path, out: Path) -> dict[str, Any]:
    """``grjca extract`` with the defaults and one worker, the store written."""
    components = Components.load(ExtractConfig())
    inputs = find_inputs([clip], None)
    return timed(lambda: run(inputs, out, components, workers=1).outcomes[0].rows)


def naive(clip: Path, out: Path) -> dict[str, Any]:
    """The straightforward script."""
    script = Naive(available_cores())
    return timed(lambda: script.extract(clip, out))


def parts(clip: Path, out: Path) -> dict[str, Any]:
    """Each part alone on the clip's own frames, on one thread, per row of the clip."""
    del out
    frames = np.concatenate(_first_frames(clip))[:SAMPLE]
    detector, fer, speech, mel = RetinaFace(), Fer(), Speech(), LogMelStatistics()
    with single_threaded():
        found = detector.detect(frames)
        crops = [
            align(frame, faces.landmarks[0], fer.template, fer.crop_size)
            for frame, faces in zip(frames, found, strict=True)
            if len(faces)
        ]
        faces = np.stack(crops)
        sound, time, rows = _sound(clip)
        told = {
            "decode": timed(lambda: _to_nowhere(clip), rows),
            "detect": timed(lambda: detector.detect(frames), len(frames)),
            "mel": timed(lambda: mel.embed(sound, time), len(time)),
            "speech": timed(lambda: speech.embed(sound, time), len(time)),
        }
        tried = []
        for batch in BATCHES:
            embedder = Fer(FerConfig(batch=batch))
            embedder.embed(faces[:16])
            tried.append(timed(partial(embedder.embed, faces), len(faces)))
        told["embed"] = min(tried, key=lambda part: float(part["processor"]))
    return {"rows": rows, "parts": told}


def timed(work: Callable[[], Any], per: int | None = None) -> dict[str, Any]:
    """Wall and processor seconds of some work; divided by ``per`` where it is given."""
    before, began = _processor(), clock.perf_counter()
    result = work()
    seconds, spent = clock.perf_counter() - began, _processor() - before
    if per is None:
        return {"rows": result, "seconds": seconds, "processor": spent}
    return {"seconds": seconds / per, "processor": spent / per}


def _processor() -> float:
    whose = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, whose))


def _first_frames(clip: Path) -> list[Any]:
    taken: list[Any] = []
    with Media(ClipSource(clip)).frames() as frames:
        for batch in frames:
            taken.append(batch.frames)
            if sum(map(len, taken)) >= SAMPLE:
                break
    return taken


def _sound(clip: Path) -> tuple[AudioSegment, Any, int]:
    """The clip's sound, the times of at most 20 s of rows inside it, and the clip's rows."""
    media = Media(ClipSource(clip))
    with media.frames() as frames:
        time = np.concatenate([batch.time for batch in frames])
    with media.sound() as decoder:
        pieces = list(decoder or ())
    samples = np.concatenate([piece.samples for piece in pieces])
    sound = AudioSegment(samples, np.ones(len(samples), bool), pieces[0].start)
    inside = (time > sound.start / 16000 + 1) & (time < sound.stop / 16000 - 1)
    return sound, time[inside][:600], len(time)


def _to_nowhere(clip: Path) -> None:
    command = [str(find_ffmpeg()), "-v", "error", "-threads", "1", "-i", f"file:{clip}"]
    command += ["-map", "0:v:0", "-f", "null", "-"]
    subprocess.run(command, stdin=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
