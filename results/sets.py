"""Real features and labels of other people, as stores and label tables (see SOURCES.md there)."""

from __future__ import annotations

import csv
import gzip
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from grjca.exchange import import_features
from grjca.files import written_in_one_step

CIRCUMPLEX = {
    1: (0.0, 0.0),  # neutral
    2: (0.4, -0.5),  # calm
    3: (0.8, 0.5),  # happy
    4: (-0.7, -0.4),  # sad
    5: (-0.6, 0.7),  # angry
    6: (-0.6, 0.6),  # fearful
    7: (-0.7, 0.3),  # disgust
    8: (0.3, 0.7),  # surprised
}
"""RAVDESS's categories placed on Russell's circumplex (J. Pers. Soc. Psychol. 39, 1980), valence
and arousal: our reading of his figure, to one decimal. It is no rating of the clips."""


@dataclass(frozen=True)
class RealSet:
    """A set on disk.

    Attributes:
        store: The feature store.
        labels: Label tables by what they are called.
    """

    store: Path
    labels: dict[str, Path]


@dataclass(frozen=True)
class _Clip:
    name: str
    visual: NDArray[np.floating]
    audio: NDArray[np.floating]
    subject: str = ""


def ravdess(features: Path, out: Path, actors: int = 18) -> RealSet:
    """RAVDESS: action units and MFCC, one row per clip, of the first actors.

    Two targets, neither of them a rating of a clip: ``circumplex`` from the categories, and
    ``intensity``, normal -0.5 and strong 0.5, in the place of arousal.
    """
    with np.load(features / "ravdess" / "au_mfcc.npz") as data:
        chosen = data["actor"] <= actors
        columns = {name: data[name][chosen] for name in data.files}
    clips = [str(name) for name in columns["clip"]]
    store = _store(
        out, 1.0,
        (_Clip(name, visual[None], audio[None]) for name, visual, audio
         in zip(clips, columns["visual"], columns["audio"], strict=True)),
    )  # fmt: skip
    circumplex = [
        (clip, *CIRCUMPLEX[int(emotion)])
        for clip, emotion in zip(clips, columns["emotion"], strict=True)
    ]
    intensity = [
        (clip, int(level) - 1.5) for clip, level in zip(clips, columns["intensity"], strict=True)
    ]
    return RealSet(
        store,
        {
            "circumplex": _table(out / "circumplex.csv", "clip,valence,arousal", circumplex),
            "intensity": _table(out / "intensity.csv", "clip,arousal", intensity),
        },
    )


def ict_mmmo(features: Path, out: Path) -> RealSet:
    """ICT-MMMO: 260 videos in 20 steps, sentiment 1 to 5 as valence (y - 3) / 2.

    Rows of zeros are missing. Who speaks is not recorded.
    """
    parts: dict[str, list[NDArray[np.floating]]] = {}
    for name in ("video", "audio", "y"):
        for part in ("train", "valid"):
            with h5py.File(features / "ict_mmmo" / f"{name}_{part}.h5") as file:
                parts.setdefault(name, []).append(file["d1"][:])
    video, audio, y = (np.concatenate(parts[name]) for name in ("video", "audio", "y"))
    clips = [f"video{number:03}" for number in range(len(y))]
    store = _store(
        out, 1.0, (_Clip(*each) for each in zip(clips, video, audio, strict=True)),
        zeros_are_missing=True,
    )  # fmt: skip
    rows = [(clip, float((value - 3) / 2)) for clip, value in zip(clips, y, strict=True)]
    return RealSet(store, {"sentiment": _table(out / "labels.csv", "clip,valence", rows)})


def omg_empathy(features: Path, out: Path) -> RealSet:
    """OMG-Empathy: 35 sequences of 7 listeners at 25 fps, one visual and two audio numbers.

    Empty cells are missing.
    """
    clips, rows = [], []
    for file in sorted((features / "omg_empathy").glob("*.csv.gz")):
        name = file.name.removesuffix(".csv.gz")
        with gzip.open(file, "rt", newline="") as stream:
            lines = list(csv.DictReader(stream))
        columns = {
            column: np.array([float(line[column] or "nan") for line in lines])
            for column in ("valence", "image_valence", "opensmile_valence", "opensmile_arousal")
        }
        visual = columns["image_valence"][:, None]
        audio = np.stack([columns["opensmile_valence"], columns["opensmile_arousal"]], axis=1)
        clips.append(_Clip(name, visual, audio))
        rows += [(name, i, round(float(v), 4)) for i, v in enumerate(columns["valence"])]
    store = _store(out, 25.0, clips)
    return RealSet(store, {"valence": _table(out / "labels.csv", "clip,frame,valence", rows)})


def _store(
    out: Path, fps: float, clips: Iterable[_Clip], *, zeros_are_missing: bool = False
) -> Path:
    """Import clips that the store does not hold yet."""
    store = out / "store"
    if (out / "complete").exists():
        return store
    with tempfile.TemporaryDirectory(prefix="grjca-results-") as temporary:
        folder = Path(temporary)
        lines = []
        for number, clip in enumerate(clips):
            for kind, values in (("visual", clip.visual), ("audio", clip.audio)):
                np.save(folder / f"{number}.{kind}.npy", values)
            lines.append(
                (clip.name, f"{number}.visual.npy", f"{number}.audio.npy", fps, clip.subject)
            )
        manifest = _table(folder / "manifest.csv", "clip,visual,audio,fps,subject", lines)
        report = import_features(manifest, store, zeros_are_missing=zeros_are_missing)
    if report.failed:
        raise report.failed[0]
    (out / "complete").touch()
    return store


def _table(path: Path, header: str, rows: Iterable[Sequence[object]]) -> Path:
    with written_in_one_step(path) as temporary, temporary.open("w", newline="") as stream:
        stream.write(header + "\n")
        csv.writer(stream, lineterminator="\n").writerows(rows)
    return path
