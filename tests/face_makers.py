"""Clips with a real photographed face, for tests of the whole way through the stages."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import skimage.data
from numpy.typing import NDArray


def portrait(side: int = 160) -> NDArray[np.uint8]:
    """(side, side, 3) uint8 RGB: the face of scikit-image's astronaut."""
    head = skimage.data.astronaut()[0:230, 110:340]
    return cv2.resize(head, (side, side), interpolation=cv2.INTER_AREA)


def make_face_clip(
    path: Path,
    shown: Sequence[bool],
    *,
    fps: int = 25,
    side: int = 160,
    sound: str | None = "anoisesrc=color=pink:amplitude=0.3:sample_rate=44100",
) -> Path:
    """A clip that shows the face in the frames said to, and plain grey in the others.

    Args:
        path: Where to; MP4.
        shown: For each frame whether the face is in it.
        fps: Frames per second.
        side: Width and height.
        sound: An ffmpeg sound source, or None for no sound stream.
    """
    face, grey = portrait(side), np.full((side, side, 3), 128, np.uint8)
    pictures = b"".join((face if seen else grey).tobytes() for seen in shown)
    length = len(shown) / fps
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo"]
    command += ["-pix_fmt", "rgb24", "-s", f"{side}x{side}", "-r", str(fps), "-i", "pipe:0"]
    if sound is not None:
        command += ["-f", "lavfi", "-t", str(length), "-i", sound, "-c:a", "aac"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", f"file:{path}"]
    subprocess.run(command, input=pictures, check=True)
    return path
