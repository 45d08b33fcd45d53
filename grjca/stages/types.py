"""What flows between the stages: arrays that carry their time, checked where they are made.

Conventions: ``N`` rows of a batch, ``T`` rows of a clip, ``K`` faces in one frame, ``S`` pixels of
a square crop. Time is in seconds on the clip's own clock (the container's start is 0), pixel
coordinates are ``x, y`` in the displayed frame (rotation applied). A row without a face, or
without sound, is marked in ``valid`` and holds NaN, never zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

AUDIO_RATE = 16_000
"""Samples per second of every waveform inside the pipeline."""

SOUND_ONLY_RATE = 25.0
"""Rows per second of a clip that has sound but no picture."""


def check_array(name: str, array: NDArray[Any], shape: tuple[int | None, ...], dtype: str) -> None:
    """Refuse an array of another shape or kind.

    Args:
        name: What to call the array in the message.
        array: The array to look at.
        shape: Wanted shape; ``None`` leaves an axis free.
        dtype: Wanted NumPy dtype name, such as ``float32``.

    Raises:
        ValueError: The shape or the dtype differs; the message gives both.
    """
    fits = array.ndim == len(shape) and all(
        want is None or want == have for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype != np.dtype(dtype):
        wanted = "x".join("?" if n is None else str(n) for n in shape)
        raise ValueError(f"{name}: wanted {dtype} {wanted}, got {array.dtype} {array.shape}")


@dataclass(frozen=True)
class VideoStream:
    """The picture stream as the container describes it; claims, not yet facts.

    ``width`` and ``height`` are those of the displayed frame, after ``rotation`` (degrees,
    counter-clockwise, a multiple of 90). ``fps`` is the average rate and ``frames`` the number of
    frames the header claims, None where it says nothing.
    """

    index: int
    codec: str
    width: int
    height: int
    rotation: int
    fps: float | None
    frames: int | None

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a picture of {self.width}x{self.height} pixels")


@dataclass(frozen=True)
class AudioStream:
    """The sound stream as the container describes it: samples per second and channels."""

    index: int
    codec: str
    rate: int
    channels: int

    def __post_init__(self) -> None:
        if self.rate < 1 or self.channels < 1:
            raise ValueError(f"sound of {self.rate} Hz and {self.channels} channels")


@dataclass(frozen=True)
class MediaInfo:
    """What probing a file tells: container, streams, claimed duration in seconds (or None)."""

    container: str
    duration: float | None
    video: VideoStream | None
    audio: AudioStream | None


@dataclass(frozen=True)
class FrameBatch:
    """Consecutive decoded frames.

    Attributes:
        frames: (N, H, W, 3) uint8, RGB.
        time: (N,) float64, presentation time in seconds, strictly increasing.
        first: Row of the first frame in the clip.
        index: (N,) int64, number of each row's frame in the source, counted from 0; None where
            row i is frame i.
        present: (N,) bool, false where the source has no picture for a row (a gap in a folder of
            images) and the frame is to be ignored; None where all are there.
    """

    frames: NDArray[np.uint8]
    time: NDArray[np.float64]
    first: int
    index: NDArray[np.int64] | None = None
    present: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        check_array("frames", self.frames, (None, None, None, 3), "uint8")
        check_array("time", self.time, (len(self.frames),), "float64")
        if self.index is not None:
            check_array("index", self.index, (len(self.frames),), "int64")
        if self.present is not None:
            check_array("present", self.present, (len(self.frames),), "bool")
        if not np.isfinite(self.time).all() or (np.diff(self.time) <= 0).any():
            raise ValueError("frame times must be finite and strictly increasing")

    def __len__(self) -> int:
        return len(self.frames)


@dataclass(frozen=True)
class Detections:
    """The faces found in one frame, best score first.

    Attributes:
        box: (K, 4) float32, left, top, right, bottom in pixels.
        landmarks: (K, 5, 2) float32: the subject's right eye, left eye, nose tip, right and left
            corner of the mouth (left to right in the picture for an upright, unmirrored face).
        score: (K,) float32 in [0, 1].
    """

    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    score: NDArray[np.float32]

    def __post_init__(self) -> None:
        k = len(self.score)
        check_array("score", self.score, (k,), "float32")
        check_array("box", self.box, (k, 4), "float32")
        check_array("landmarks", self.landmarks, (k, 5, 2), "float32")

    def __len__(self) -> int:
        return len(self.score)


@dataclass(frozen=True)
class FaceBatch:
    """One person's face through consecutive frames of a clip, a row per frame.

    Attributes:
        box: (N, 4) float32 pixels; NaN where there is no face.
        landmarks: (N, 5, 2) float32 pixels; NaN where there is no face.
        score: (N,) float32, the detector's; NaN where it did not see the face.
        valid: (N,) bool, the face's place is known, seen or interpolated.
        interpolated: (N,) bool, the place lies between two sightings of a track at most 0.5 s
            apart and was not seen itself; a subset of ``valid``.
        track: (N,) int32, number of the face's track, -1 where there is no face.
        crops: (N, S, S, 3) uint8, aligned to a template; meaningless where not ``valid``.
    """

    box: NDArray[np.float32]
    landmarks: NDArray[np.float32]
    score: NDArray[np.float32]
    valid: NDArray[np.bool_]
    interpolated: NDArray[np.bool_]
    track: NDArray[np.int32]
    crops: NDArray[np.uint8]

    def __post_init__(self) -> None:
        n = len(self.valid)
        check_array("valid", self.valid, (n,), "bool")
        check_array("interpolated", self.interpolated, (n,), "bool")
        check_array("box", self.box, (n, 4), "float32")
        check_array("landmarks", self.landmarks, (n, 5, 2), "float32")
        check_array("score", self.score, (n,), "float32")
        check_array("track", self.track, (n,), "int32")
        check_array("crops", self.crops, (n, None, None, 3), "uint8")
        if self.crops.shape[1] != self.crops.shape[2]:
            raise ValueError(f"crops must be square, got {self.crops.shape}")
        if not np.isnan(self.box[~self.valid]).all() or np.isnan(self.box[self.valid]).any():
            raise ValueError("box must be NaN exactly where no face is valid")
        if (self.interpolated & ~self.valid).any():
            raise ValueError("an interpolated face must be valid")

    def __len__(self) -> int:
        return len(self.valid)


@dataclass(frozen=True)
class AudioSegment:
    """A stretch of a clip's sound at 16 kHz, mono.

    Attributes:
        samples: (n,) float32 in [-1, 1]; 0 where ``present`` is false.
        present: (n,) bool, the stream really holds sound for this sample (no gap, no padding).
        start: Index of the first sample on the clip's clock; its time is ``start / 16000`` s.
    """

    samples: NDArray[np.float32]
    present: NDArray[np.bool_]
    start: int

    def __post_init__(self) -> None:
        check_array("samples", self.samples, (None,), "float32")
        check_array("present", self.present, (len(self.samples),), "bool")

    @property
    def stop(self) -> int:
        """Index one past the last sample on the clip's clock."""
        return self.start + len(self.samples)

    def __len__(self) -> int:
        return len(self.samples)
