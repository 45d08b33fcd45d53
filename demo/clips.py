"""A small labelled set of talking-face clips, made on the fly.

This is synthetic: one photograph made to move and a babbling voice, both steered by random
valence and arousal curves. It shows that the machinery works, from decoding to fusion; it says
nothing about how well emotion is recognised in people.

The set is made so that fusing face and voice is worth something. Each shows a version of the
labels with an error of its own, and each fails at times: the face is hidden in spans of 1 to 3 s,
the voice lost in others. Personas (looks, camera, light, voice) of the unseen clips are drawn from
other intervals than those of the training clips: ``face.TRAITS`` and ``voice.TRAITS``.
"""

from __future__ import annotations

import csv
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

from demo.curves import Span, Split, failure_spans, presence, smooth_gaussians, to_range
from demo.face import COVER_RAMP, COVERS, SIDE, FaceMotion, FaceStyle, film
from demo.voice import CONTROL_RATE, NOISES, RATE, Syllables, VoiceStyle, speak, voice
from grjca.errors import GrjcaError
from grjca.stages.ffmpeg import find_ffmpeg

FPS = 12
"""Frames per second."""

FAILING = 0.33
"""Share of a clip in which the face is hidden, and the same for the voice."""

FACE_ERROR = 0.45
VOICE_ERROR = 0.4
"""Deviation of what face and voice wrongly add to the labels, in deviations of the labels."""


@dataclass(frozen=True)
class Size:
    """Subjects, of one clip each, in each split, and seconds of a clip."""

    train: int
    unseen: int
    seconds: float


FULL = Size(train=24, unseen=8, seconds=13.0)
QUICK = Size(train=4, unseen=2, seconds=4.0)


@dataclass(frozen=True)
class DemoSet:
    """What was built.

    Attributes:
        clips: Folder of the clips, the root of their identities.
        labels: CSV with the columns ``clip,frame,valence,arousal,subject``.
        train: Identities of the clips to train on (path below ``clips``, extension kept).
        unseen: Identities of the clips to predict; no subject of theirs is in ``train``.
    """

    clips: Path
    labels: Path
    train: list[str]
    unseen: list[str]

    def __post_init__(self) -> None:
        if set(self.train) & set(self.unseen):
            raise ValueError("a clip stands in both splits")


@dataclass(frozen=True)
class Persona:
    """A subject, who appears in one clip only: looks and light, voice, split."""

    subject: str
    split: Split
    face: FaceStyle
    voice: VoiceStyle


@dataclass(frozen=True)
class Script:
    """All that decides a clip.

    Attributes:
        clip: Identity, ``<subject>/<name>.mp4``.
        persona: Who is seen and heard.
        labels: (T, 2) float64, valence and arousal.
        motion: What the face does.
        said: What the voice does.
        hidden: When the face is hidden.
        lost: When the voice is lost.
        seed: Of the randomness that is left: blinks, vowels, breath, noise.
    """

    clip: str
    persona: Persona
    labels: NDArray[np.float64]
    motion: FaceMotion
    said: Syllables
    hidden: list[Span]
    lost: list[Span]
    seed: tuple[int, ...]

    def frames(self) -> list[NDArray[np.uint8]]:
        """The T pictures, (240, 240, 3) uint8 RGB."""
        rng = np.random.default_rng((*self.seed, 1))
        return list(film(self.persona.face, self.motion, self.hidden, rng, FPS))

    def samples(self) -> NDArray[np.float32]:
        """The sound, float32 in [-1, 1] at 16 kHz."""
        return voice(
            self.persona.voice, self.said, self.lost, np.random.default_rng((*self.seed, 2))
        )


def write_scripts(seed: int, size: Size) -> list[Script]:
    """Personas and scripts of the whole set; the same seed gives the same set.

    Args:
        seed: Seed of everything.
        size: How many subjects and how long.
    """
    scripts = []
    train: list[Split] = ["train"] * size.train
    unseen: list[Split] = ["unseen"] * size.unseen
    for number, split in enumerate(train + unseen):
        rng = np.random.default_rng((seed, number))
        face, sound = FaceStyle.draw(rng, split), VoiceStyle.draw(rng, split)
        persona = Persona(f"{split}{number:02d}", split, face, sound)
        scripts.append(write_script(persona, (seed, number, 0), size.seconds))
    return scripts


def write_script(persona: Persona, seed: tuple[int, ...], seconds: float) -> Script:
    """Labels of one clip and how face and voice show them.

    Args:
        persona: Who is seen and heard.
        seed: Seed of the clip.
        seconds: Length of the clip.
    """
    rng = np.random.default_rng(seed)
    frames = round(seconds * FPS)
    time = np.arange(frames) / FPS
    curves = smooth_gaussians(rng, 10, frames, FPS)
    truth, wander, decoy = curves[:2], curves[6:8], curves[8:]
    hidden, lost = failure_spans(rng, seconds, FAILING, COVERS, NOISES)
    face = shown(truth, curves[2:4], FACE_ERROR)
    heard = shown(truth, curves[4:6], VOICE_ERROR)
    # A hidden head still moves the picture a little: it must not tell what the face would show.
    covered = presence(hidden, time, COVER_RAMP)
    face = np.sqrt(1 - covered) * face + np.sqrt(covered) * decoy
    (face_valence, face_arousal), (voice_valence, voice_arousal) = to_range(face), to_range(heard)
    said = speak(persona.voice, voice_valence, voice_arousal, FPS)
    moments = np.minimum((time * CONTROL_RATE).astype(np.int64), len(said.opening) - 1)
    motion = FaceMotion(face_valence, face_arousal, said.opening[moments], wander)
    return Script(
        f"{persona.subject}/talk.mp4",
        persona,
        to_range(truth.T),
        motion,
        said,
        hidden,
        lost,
        seed,
    )


def shown(
    truth: NDArray[np.float64], error: NDArray[np.float64], share: float
) -> NDArray[np.float64]:
    """Truth with an error of its own added, brought back to unit variance."""
    mixed: NDArray[np.float64] = (truth + share * error) / np.sqrt(1 + share**2)
    return mixed


def encode(script: Script, path: Path) -> None:
    """Write one clip as H.264 and AAC in an MP4.

    Args:
        script: The clip.
        path: Where to write it.

    Raises:
        GrjcaError: ffmpeg failed; its own words are in the message.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        sound = Path(scratch) / "sound.wav"
        wavfile.write(sound, RATE, script.samples())
        command = [
            str(find_ffmpeg()), "-hide_banner", "-nostdin", "-loglevel", "error", "-y",
            "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{SIDE}x{SIDE}", "-r", str(FPS),
            "-i", "pipe:0", "-i", f"file:{sound}",
            "-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p",
            "-threads", "1", "-c:a", "aac", "-b:a", "64k", "-map_metadata", "-1",
            "-fflags", "+bitexact", "-movflags", "+faststart", f"file:{path}",
        ]  # fmt: skip
        pictures = b"".join(frame.tobytes() for frame in script.frames())
        done = subprocess.run(command, input=pictures, capture_output=True, check=False)
    if done.returncode:
        cause = done.stderr.decode(errors="replace") or f"ffmpeg ended with {done.returncode}"
        raise GrjcaError("demo", path, cause, "The demo needs an ffmpeg with libx264 and AAC.")


def write_labels(scripts: list[Script], path: Path) -> None:
    """Write the labels of all clips into one CSV, a row per frame."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["clip", "frame", "valence", "arousal", "subject"])
        for script in scripts:
            for frame, (valence, arousal) in enumerate(script.labels):
                table.writerow(
                    [script.clip, frame, f"{valence:.4f}", f"{arousal:.4f}", script.persona.subject]
                )


def build_clips(folder: Path, *, seed: int, quick: bool = False, workers: int = 2) -> DemoSet:
    """Build the demo's clips and their labels.

    Args:
        folder: Where to; gets ``clips/<subject>/talk.mp4`` and ``labels.csv``. Files of the
            same names are overwritten.
        seed: Seed of everything; the same seed gives the same frames, samples and labels.
        quick: Six clips of 4 s instead of thirty-two of 13 s; enough to see that it runs.
        workers: Clips made at the same time.

    Returns:
        Where everything lies, and which clips are for training and which are not.

    Raises:
        GrjcaError: A clip could not be encoded.
    """
    clips, labels = folder / "clips", folder / "labels.csv"
    scripts = write_scripts(seed, QUICK if quick else FULL)
    clips.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(encode, scripts, [clips / script.clip for script in scripts]))
    write_labels(scripts, labels)
    return DemoSet(
        clips,
        labels,
        [script.clip for script in scripts if script.persona.split == "train"],
        [script.clip for script in scripts if script.persona.split == "unseen"],
    )
