"""Which stretch of sound a row looks at, and whether there is sound in it.

Windows begin on the clip's 10 ms grid, which starts at the clip's time 0, not at the segment: a
row's numbers do not depend on how the sound was cut, and windows of neighbouring rows share their
mel frames.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grjca.stages.types import AUDIO_RATE, AudioSegment, check_array

HOP = 160
"""Samples of the grid, 10 ms."""

MEL_WINDOW = 400
"""Samples under one mel frame's Hann window, 25 ms, in every front end here."""

SILENCE_PEAK = 2.0**-15
"""A window that stays below one step of 16-bit sound holds nothing that was recorded."""


@dataclass(frozen=True)
class SoundWindow:
    """The stretch of sound under one row.

    Attributes:
        length: Samples in it.
        lead: Samples of it that lie before the row's time: half of ``length`` for a centred
            window, 0 for one that starts at the row.
    """

    length: int
    lead: int

    def __post_init__(self) -> None:
        if self.length < 1 or not 0 <= self.lead <= self.length:
            raise ValueError(f"a sound window of {self.length} samples, {self.lead} before its row")

    @classmethod
    def of_mel_frames(cls, frames: int, *, centred: bool) -> SoundWindow:
        """The window under so many mel frames: ``(frames - 1) * 160 + 400`` samples."""
        length = (frames - 1) * HOP + MEL_WINDOW
        return cls(length, length // 2 if centred else 0)

    @property
    def context(self) -> tuple[float, float]:
        """Seconds of sound needed before and after a row's time.

        The window's own part on that side, half a hop for the grid's rounding, and one and a half
        samples, so that a caller may round seconds to samples either way and a time on a whole
        sample never meets a tie.
        """
        margin = HOP / 2 + 1.5
        return (self.lead + margin) / AUDIO_RATE, (self.length - self.lead + margin) / AUDIO_RATE

    def start(self, time: NDArray[np.float64]) -> NDArray[np.int64]:
        """First mel frame of each row's window, as an index of the clip's 10 ms grid.

        Frame k covers the samples [160 k, 160 k + 400) of the clip's clock. The start is the grid
        point nearest to the window's exact begin, halves upwards; it is negative near the clip's
        start.

        Args:
            time: (M,) float64 seconds.

        Returns:
            (M,) int64 grid indices.
        """
        exact = time * (AUDIO_RATE / HOP) - self.lead / HOP
        nearest: NDArray[np.int64] = np.floor(exact + 0.5).astype(np.int64)
        return nearest


class WindowEmbedder(ABC):
    """What the audio embedders share: each row comes from the samples of its window alone."""

    @property
    @abstractmethod
    def window(self) -> SoundWindow:
        """The stretch of sound under one row."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Numbers per row."""

    @property
    def context(self) -> tuple[float, float]:
        """Seconds of sound needed before and after a row's time."""
        return self.window.context

    def embed(self, sound: AudioSegment, time: NDArray[np.float64]) -> NDArray[np.float32]:
        """One row per time, from the window of sound around it.

        Args:
            sound: The sound; zeros where the stream has none (``sound_valid`` tells those rows).
            time: (M,) float64 seconds.

        Returns:
            (M, dim) float32.

        Raises:
            ValueError: ``sound`` does not cover a row's window, or a time is not finite.
        """
        check_time(time)
        if not len(time):
            return np.empty((0, self.dim), dtype=np.float32)
        length = self.window.length
        start = self.window.start(time)
        _check_cover(sound, start * HOP, start * HOP + length)
        begin, end = int(start.min()) * HOP, int(start.max()) * HOP + length
        samples = sound.samples[begin - sound.start : end - sound.start]
        return self._rows(samples, start - start.min())

    @abstractmethod
    def _rows(self, samples: NDArray[np.float32], first: NDArray[np.int64]) -> NDArray[np.float32]:
        """Rows from the samples of all windows and the first mel frame of each."""


def windows_of(mel: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """(n, bands) to a view (n - frames + 1, bands, frames): what starts at each mel frame."""
    return np.lib.stride_tricks.sliding_window_view(mel, frames, axis=0)


def sound_valid(
    sound: AudioSegment, time: NDArray[np.float64], context: tuple[float, float]
) -> NDArray[np.bool_]:
    """Which rows have sound to speak of.

    A row is valid when at least half of the samples in ``[time - before, time + after)``, rounded
    inwards, are present in the stream and one of them reaches one step of 16-bit sound (2**-15).

    Args:
        sound: The sound; it must cover every row's context.
        time: (M,) float64 seconds.
        context: Seconds before and after, as an embedder's ``context`` gives them.

    Returns:
        (M,) bool.

    Raises:
        ValueError: ``sound`` does not cover a row's context, or a time is not finite.
    """
    check_time(time)
    begin = np.ceil((time - context[0]) * AUDIO_RATE).astype(np.int64)
    end = np.floor((time + context[1]) * AUDIO_RATE).astype(np.int64)
    _check_cover(sound, begin, end)

    def count(marked: NDArray[np.bool_]) -> NDArray[np.int64]:
        upto = np.zeros(len(marked) + 1, dtype=np.int64)
        np.cumsum(marked, out=upto[1:])
        inside: NDArray[np.int64] = upto[end - sound.start] - upto[begin - sound.start]
        return inside

    loud = np.abs(sound.samples) >= SILENCE_PEAK
    enough: NDArray[np.bool_] = 2 * count(sound.present) >= end - begin
    return enough & (count(loud) > 0)


def check_time(time: NDArray[np.float64]) -> None:
    """Refuse row times that are not a (M,) float64 vector of finite seconds.

    Raises:
        ValueError: They are not.
    """
    check_array("time", time, (None,), "float64")
    if not np.isfinite(time).all():
        raise ValueError("row times must be finite")


def _check_cover(sound: AudioSegment, begin: NDArray[np.int64], end: NDArray[np.int64]) -> None:
    if len(begin) and (begin.min() < sound.start or end.max() > sound.stop):
        raise ValueError(
            f"sound covers samples {sound.start} to {sound.stop}, but the rows need "
            f"{begin.min()} to {end.max()}"
        )
