"""Rows against frames: what the store holds of a clip and what another decoding of it counts."""

from __future__ import annotations

import csv
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

import grjca
from benchmarks.clips import Sound, steady, unsteady, write_clip
from benchmarks.figures import Cell, Figures
from grjca.errors import GrjcaError
from grjca.stages.ffmpeg import find_ffmpeg

NAME = "rows"

GOAL = (
    "every clip has as many rows as a plain ffmpeg decodes frames (the made ones: as were encoded) "
    "in every group, at strictly increasing times, sound where the clip has any, and "
    "only clips without a decodable frame or sample are refused"
)

LIGHT = grjca.ExtractConfig(visual="hog", audio="logmel")

HEARD = "av/"
"""The folder of the clips with sound that is not silence."""

TIME_TOLERANCE = 1e-3
"""Seconds: the resolution of times in Matroska."""


@dataclass(frozen=True)
class MadeClip:
    """A clip written here, so that everything about it is known: times and displayed size."""

    times: NDArray[np.float64]
    width: int
    height: int


@dataclass(frozen=True)
class StoredClip:
    """What a clip's file holds.

    Attributes:
        times: (T,) float64 seconds.
        lengths: Rows of each dataset.
        sound: Share of rows with sound.
        media: What the container claims.
    """

    times: NDArray[np.float64]
    lengths: Mapping[str, int]
    sound: float
    media: Mapping[str, object]

    @property
    def sane(self) -> bool:
        """Whether times increase strictly and every dataset has a row for each."""
        rising = bool(np.isfinite(self.times).all() and (np.diff(self.times) > 0).all())
        return rising and set(self.lengths.values()) == {len(self.times)}


def run(media: Path, scratch: Path, workers: int) -> Figures:
    """Extract all real clips and some made ones and count.

    Args:
        media: Folder of the real clips, with a ``media_index.csv`` (columns ``file``, ``audio``
            and ``frames_decoded``, a count by OpenCV).
        scratch: Empty folder for made clips and stores.
        workers: Processes side by side.

    Raises:
        GrjcaError: The index cannot be read, or the extraction cannot start.
    """
    index = read_index(media / "media_index.csv")
    real, made = scratch / "real", scratch / "made"
    paths = [media / file for file in index]
    report = grjca.extract(paths, real, LIGHT, root=media, workers=workers)
    refused = {outcome.clip for outcome in report.failed}
    table = [
        judge_real(media / file, None if file in refused else read_clip(real, file), entry)
        for file, entry in index.items()
    ]
    clips = make_clips(scratch / "clips")
    report = grjca.extract([scratch / "clips"], made, LIGHT, workers=workers)
    refused = {outcome.clip for outcome in report.failed}
    table += [
        judge_made(name, None if name in refused else read_clip(made, name), clip)
        for name, clip in clips.items()
    ]
    return Figures(
        NAME, GOAL, all(bool(row["right"]) for row in table), table,
        {
            "real clips": len(index),
            "made clips": len(clips),
            "rows": sum(int(row["rows"] or 0) for row in table),
            "refused": sum(row["rows"] is None for row in table),
            "clips counted otherwise by OpenCV": sum(
                row["OpenCV"] not in (None, row["frames"]) for row in table
            ),
        },
    )  # fmt: skip


def read_index(path: Path) -> dict[str, dict[str, str]]:
    """The rows of ``media_index.csv`` by the clips' paths.

    Raises:
        GrjcaError: It cannot be read or lacks a column.
    """
    try:
        with path.open(newline="") as stream:
            index = {row["file"]: row for row in csv.DictReader(stream)}
    except (OSError, KeyError) as error:
        raise GrjcaError(
            "benchmark", path, str(error), "Name the folder of real clips with --media."
        ) from error
    return index


def count_frames(path: Path, stream: object = None) -> int:
    """Frames that a plain ffmpeg decodes, one by one; 0 where it decodes none.

    One thread, because the frames that a damaged stream yields depend on their number.

    Args:
        path: The file.
        stream: The stream's number in the file; None for the first of pictures.
    """
    chosen = f"0:{stream}" if stream is not None else "0:v:0"
    command = [str(find_ffmpeg()), "-nostdin", "-v", "quiet", "-threads", "1"]
    command += ["-i", f"file:{path}", "-map", chosen, "-fps_mode", "passthrough"]
    done = subprocess.run([*command, "-f", "framecrc", "-"], capture_output=True)
    return sum(not line.startswith(b"#") for line in done.stdout.splitlines())


def read_clip(store: Path, clip: str) -> StoredClip:
    """What a store holds of a clip, read with plain h5py."""
    features = grjca.FeatureStore(store)
    lengths: dict[str, int] = {}

    def note(name: str, node: object) -> None:
        if isinstance(node, h5py.Dataset):
            lengths[name] = len(node)

    with features.open(clip) as file:
        file.visititems(note)
        times = file["frames/time"][:]
        sound = float(np.mean(file["audio/logmel/valid"][:]))
    return StoredClip(times, lengths, sound, features.summary(clip).media)


def judge_real(path: Path, stored: StoredClip | None, entry: Mapping[str, str]) -> dict[str, Cell]:
    """The table's row of a real clip."""
    video = stored.media["video"] if stored is not None else None
    stream = video["index"] if isinstance(video, dict) else None
    frames = count_frames(path, stream)
    listens = entry["audio"] not in ("", "none")
    if stored is None:
        right = frames == 0
    elif frames:
        right = stored.sane and len(stored.times) == frames and (listens or stored.sound == 0)
        right &= stored.sound > 0 or not entry["file"].startswith(HEARD)
    else:
        right = stored.sane and listens
    row = _row(entry["file"], stored, frames, right=right)
    return row | {"OpenCV": int(entry["frames_decoded"])}


def judge_made(name: str, stored: StoredClip | None, clip: MadeClip) -> dict[str, Cell]:
    """The table's row of a made clip."""
    right = False
    if stored is not None and len(stored.times) == len(clip.times):
        video = stored.media["video"]
        size = (video["width"], video["height"]) if isinstance(video, dict) else None
        # The clip's clock begins with whichever of picture and sound is first.
        late = (stored.times - stored.times[0]) - (clip.times - clip.times[0])
        on_time = float(np.abs(late).max()) <= TIME_TOLERANCE
        right = stored.sane and on_time and size == (clip.width, clip.height) and stored.sound == 1
    return _row(name, stored, len(clip.times), right=right)


def make_clips(folder: Path) -> dict[str, MadeClip]:
    """Clips of constant and variable rate, turned and not; each frame is a picture of its own."""
    folder.mkdir(parents=True)
    constant = steady(50, 25.0)
    variable = unsteady(3.0, (1 / 60, 1 / 30, 1 / 15, 0.25), seed=1)
    wanted = {
        "constant.mp4": (constant, 0),
        "variable.mp4": (variable, 0),
        "variable.mkv": (variable, 0),
        "variable.ts": (variable, 0),
        **{f"turned{angle}.mp4": (constant, angle) for angle in (90, 180, 270)},
        "turned90-variable.mp4": (variable, 90),
    }
    width, height = 192, 128
    made = {}
    for name, (times, rotation) in wanted.items():
        rng = np.random.default_rng(2)
        length = round((times[-1] + 0.5) * 16_000)
        sound = Sound(rng.uniform(-0.3, 0.3, length).astype(np.float32), 16_000)
        pictures = (
            np.full((height, width, 3), 20 + 200 * number // len(times), np.uint8)
            for number in range(len(times))
        )
        write_clip(folder / name, pictures, times, sound, rotation=rotation)
        made[name] = MadeClip(np.array(times), width, height)
    return made


def _row(name: str, stored: StoredClip | None, frames: int, *, right: bool) -> dict[str, Cell]:
    return {
        "clip": name,
        "rows": len(stored.times) if stored is not None else None,
        "frames": frames,
        "OpenCV": None,
        "seconds": round(float(np.ptp(stored.times)), 2) if stored is not None else None,
        "sound": round(stored.sound, 2) if stored is not None else None,
        "right": right,
    }
