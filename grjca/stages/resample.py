"""Sound at any rate to 16 kHz, piece by piece, as if it had come whole."""

from __future__ import annotations

import math

import numpy as np
import torch
import torchaudio
from numpy.typing import NDArray

from grjca.stages.types import AUDIO_RATE

_RATES = range(4_000, 384_001)
_KERNEL_NUMBERS = 1_000_000
_FALLBACK_RATE = 48_000

Piece = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""(n,) float32 samples, and (n,) bool: which of them are sound."""


def decoding_rate(claimed: int) -> int:
    """Samples per second to decode at: the stream's own, where the resampler can start from it.

    A rate that has next to no common divisor with 16 kHz needs a filter of gigabytes, and one out
    of all bounds is a false claim; ffmpeg brings both to 48 kHz first.
    """
    common = math.gcd(claimed, AUDIO_RATE)
    small = (claimed // common) * (AUDIO_RATE // common) <= _KERNEL_NUMBERS
    return claimed if claimed in _RATES and small else _FALLBACK_RATE


class StreamResampler:
    """``torchaudio.transforms.Resample`` to 16 kHz for a signal that comes in pieces.

    The output is that of the whole signal, to rounding: each run gets, on both sides, as many
    samples as the filter reaches. Lengths: n samples give ceil(n * 16000 / rate).
    """

    def __init__(self, rate: int) -> None:
        common = math.gcd(rate, AUDIO_RATE)
        self._old, self._new = rate // common, AUDIO_RATE // common
        self._filter = torchaudio.transforms.Resample(rate, AUDIO_RATE)
        # The filter's half width, as torchaudio.functional.resample computes it, in whole periods.
        reach = self._filter.lowpass_filter_width * self._old
        width = math.ceil(reach / (min(self._old, self._new) * self._filter.rolloff))
        self._context = math.ceil(width / self._old) * self._old
        self._samples = np.zeros(0, np.float32)
        self._present = np.zeros(0, np.bool_)
        self._done = 0

    def push(self, samples: NDArray[np.float32], present: NDArray[np.bool_]) -> Piece:
        """Take in (n,) samples and say for each whether it is sound; give out what is ready."""
        self._samples = np.concatenate([self._samples, samples])
        self._present = np.concatenate([self._present, present])
        ready = len(self._samples) - self._done - self._context
        return self._run(max(ready // self._old, 0) * self._old)

    def finish(self) -> Piece:
        """What is still owed once the signal has ended."""
        return self._run(len(self._samples) - self._done)

    def _run(self, count: int) -> Piece:
        if count == 0:
            return np.zeros(0, np.float32), np.zeros(0, np.bool_)
        start, stop = self._done, self._done + count
        known = torch.from_numpy(self._samples[: stop + self._context])
        with torch.inference_mode():
            resampled = self._filter(known).numpy()
        first = start // self._old * self._new
        length = math.ceil(count * self._new / self._old)
        samples = resampled[first : first + length].clip(-1, 1).astype(np.float32)
        nearest = start + np.arange(length) * self._old // self._new
        present = self._present[nearest]
        samples[~present] = 0
        keep = max(stop - self._context, 0)
        self._samples, self._present = self._samples[keep:], self._present[keep:]
        self._done = stop - keep
        return samples, present
