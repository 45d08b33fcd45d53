"""A made set on disk: a feature store, its labels, and the truth about its failures."""

from __future__ import annotations

import csv
import dataclasses
import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from grjca.errors import UsageError
from grjca.exchange import import_features
from grjca.files import cannot_write, written_in_one_step
from grjca.synth.complementarity import STREAMS, Complementarity, make_clip

NAME = "synthetic"
"""The embedders' name in the store, of both streams."""

FORMAT = "grjca.synth.complementarity"
VERSION = 1


@dataclass(frozen=True)
class MadeSet:
    """Where a made set lies.

    Attributes:
        store: The feature store.
        labels: Valence and arousal by frame, as ``train --labels`` takes them.
        failures: A line per failure: clip, stream, failure, first row and the row after the last.
        clips: How many clips.
    """

    store: Path
    labels: Path
    failures: Path
    clips: int


def write_complementarity(
    config: Complementarity, out: str | Path, *, progress: bool = False
) -> MadeSet:
    """Write a set of :mod:`grjca.synth.complementarity`.

    Clips are called ``clip000`` and so on, each of a subject of its own; the store names their
    partitions. One clip is in memory at a time.

    Args:
        config: The set.
        out: The folder; must be empty or not there. Gets ``store/``, ``labels.csv``,
            ``failures.csv`` and, last, ``synth.json`` with the configuration.
        progress: Draw a progress bar on standard error.

    Raises:
        UsageError: The folder holds something.
        GrjcaError: The folder cannot be written.
    """
    folder = Path(out)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise UsageError("synth", folder, "is there already and not an empty folder",
                         "Choose another --out, or delete it.")  # fmt: skip
    made = MadeSet(folder / "store", folder / "labels.csv", folder / "failures.csv", config.clips)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="grjca-synth-") as temporary:
            _write(config, made, Path(temporary), progress)
    except OSError as error:
        raise cannot_write(folder, error) from error
    with written_in_one_step(folder / "synth.json") as path:
        about = {"format": FORMAT, "version": VERSION, **dataclasses.asdict(config)}
        path.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return made


def _write(config: Complementarity, made: MadeSet, temporary: Path, progress: bool) -> None:
    manifest: list[Sequence[object]] = []
    labels: list[Sequence[object]] = []
    failures: list[Sequence[object]] = []
    for number in tqdm(range(config.clips), "synth", unit="clip", disable=not progress):
        clip, name = make_clip(config, number), f"clip{number:03}"
        for stream in STREAMS:
            np.save(temporary / f"{name}.{stream}.npy", clip.features[stream])
        manifest.append(
            (name, *(f"{name}.{stream}.npy" for stream in STREAMS), config.fps,
             f"s{number:03}", config.partition(number))
        )  # fmt: skip
        labels += [(name, row, f"{v:.6f}", f"{a:.6f}") for row, (v, a) in enumerate(clip.target)]
        failures += [(name, s.stream, s.failure, s.start, s.stop) for s in clip.spans]
    header = ("clip", *STREAMS, "fps", "subject", "partition")
    _table(temporary / "manifest.csv", header, manifest)
    report = import_features(
        temporary / "manifest.csv", made.store, visual_name=NAME, audio_name=NAME
    )
    if report.failed:
        raise report.failed[0]
    _table(made.failures, ("clip", "stream", "failure", "start", "stop"), failures)
    _table(made.labels, ("clip", "frame", "valence", "arousal"), labels)


def _table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with written_in_one_step(path) as temporary, temporary.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
