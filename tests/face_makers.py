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


def stranger(side: int = 160) -> NDArray[np.uint8]:
    """(side, side, 3) uint8 RGB: another face, the astronaut's mirrored, darker and narrower."""
    head = portrait(side)[:, ::-1, (0, 2, 1)].astype(np.float32) * (0.62, 0.72, 0.55)
    narrow = cv2.resize(head, (round(0.86 * side), side), interpolation=cv2.INTER_AREA)
    left = (side - narrow.shape[1]) // 2
    right = side - narrow.shape[1] - left
    return np.pad(narrow, ((0, 0), (left, right), (0, 0)), mode="edge").astype(np.uint8)


def paste(picture: NDArray[np.uint8], face: NDArray[np.uint8], x: float, y: float) -> None:
    """Put the oval of a square face into a picture, centred at (x, y), with a soft edge."""
    side = len(face)
    row, column = np.mgrid[:side, :side]
    middle = (side - 1) / 2
    distance = np.hypot((column - middle) / (0.42 * side), (row - middle) / (0.5 * side))
    mask = np.clip((1 - distance) * 12, 0, 1)[..., None]
    left, top = round(x - side / 2), round(y - side / 2)
    a, b = max(0, -left), min(side, picture.shape[1] - left)
    c, d = max(0, -top), min(side, picture.shape[0] - top)
    if a < b and c < d:
        under = picture[top + c : top + d, left + a : left + b]
        part = mask[c:d, a:b]
        under[:] = (part * face[c:d, a:b] + (1 - part) * under).astype(np.uint8)


def write_clip(
    path: Path,
    pictures: Sequence[NDArray[np.uint8]],
    *,
    fps: int = 25,
    sound: str | None = None,
) -> Path:
    """Encode (H, W, 3) uint8 RGB pictures as an MP4.

    Args:
        path: Where to.
        pictures: All of one size.
        fps: Frames per second.
        sound: An ffmpeg sound source, or None for no sound stream.
    """
    height, width = pictures[0].shape[:2]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo"]
    command += ["-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "pipe:0"]
    if sound is not None:
        length = len(pictures) / fps
        command += ["-f", "lavfi", "-t", str(length), "-i", sound, "-c:a", "aac"]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", f"file:{path}"]
    subprocess.run(command, input=b"".join(p.tobytes() for p in pictures), check=True)
    return path


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
    pictures = [face if seen else grey for seen in shown]
    return write_clip(path, pictures, fps=fps, sound=sound)
