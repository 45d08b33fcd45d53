"""Real clips through the whole chain: no labels there, so what can be seen without any."""

from __future__ import annotations

import filecmp
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import grjca

CLIPS = (
    "av/pyfeat_face_noface.mov",
    "av/retalking_face_1_vfr.mp4",
    "av/hdtf_AlexandriaOcasioCortez_000.mp4",
    "av/short_hamilton_clip.mp4",
    "video_only/liveportrait_d18_silent.mp4",
    "hard/pyfeat_no_face.mp4",
)
"""A face that goes, a variable rate, a plain talk, shot cuts, digital silence, nobody."""


@dataclass(frozen=True)
class Line:
    """One clip: rows, shares of rows with face and sound, how predictions move."""

    clip: str
    rows: int
    face: float
    sound: float
    step: float
    shuffled: float
    same: bool

    def text(self) -> str:
        """A row of the table."""
        return (
            f"| `{self.clip}` | {self.rows} | {self.face:.0%} | {self.sound:.0%} | {self.step:.3f} "
            f"| {self.shuffled:.3f} | {'yes' if self.same else 'no'} |"
        )


def run(checkpoint: Path, media: Path, out: Path) -> list[Line]:
    """Predict on the clips twice, from the files on, and compare.

    Args:
        checkpoint: A RUN folder.
        media: The folder of real clips.
        out: Folder for both sets of predictions; new.

    Returns:
        A line per clip. ``step`` is the mean absolute change of valence and arousal from one row
        to the next, ``shuffled`` the same after the rows were put in random order; ``same`` says
        whether both tables are equal byte for byte.
    """
    paths = [media / clip for clip in CLIPS]
    first, again = (
        grjca.predict(paths, checkpoint, out / name, workers=1, plots=name == "first")
        for name in ("first", "again")
    )
    rng = np.random.default_rng(0)
    lines = []
    for clip, prediction in first.predictions.items():
        values = prediction.values
        if not np.isfinite(values).all():
            raise ValueError(f"{clip}: a prediction that is not finite")
        lines.append(
            Line(
                clip,
                len(values),
                float(prediction.face_valid.mean()),
                float(prediction.audio_valid.mean()),
                float(np.abs(np.diff(values, axis=0)).mean()),
                float(np.abs(np.diff(rng.permutation(values), axis=0)).mean()),
                filecmp.cmp(first.files[clip], again.files[clip], shallow=False),
            )
        )
    return lines
