"""Log-mel spectrogram of a 16 kHz waveform, on a frame grid that pieces of a clip share.

The defaults are the published front end of VGGish (Hershey et al., "CNN architectures for
large-scale audio classification", ICASSP 2017): Hann window of 25 ms, hop 10 ms, FFT 512,
magnitude, 64 HTK mel bands from 125 to 7500 Hz, ``log(x + 0.01)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torchaudio
from numpy.typing import NDArray

from grjca.stages.types import AUDIO_RATE, check_array

_BLOCK = 4096
"""Frames transformed at a time, so that the complex spectrum of a long sound never exists whole."""


@dataclass(frozen=True)
class LogMelConfig:
    """How a waveform at 16 kHz becomes a log-mel spectrogram.

    Attributes:
        window: Samples under the periodic Hann window.
        hop: Samples from one frame to the next.
        fft: Points of the Fourier transform, at least ``window``; the rest is zeros.
        bands: Number of mel bands.
        low: Lower edge of the lowest band in Hz.
        high: Upper edge of the highest band in Hz.
        offset: Added to the magnitude before the natural logarithm.
    """

    window: int = 400
    hop: int = 160
    fft: int = 512
    bands: int = 64
    low: float = 125.0
    high: float = 7500.0
    offset: float = 0.01

    def __post_init__(self) -> None:
        if not 2 <= self.window <= self.fft or self.hop < 1 or self.fft % 2 or self.window % 2:
            raise ValueError(
                f"log-mel: window {self.window}, hop {self.hop}, fft {self.fft}: wanted an even "
                "window of 2 samples up to an even fft, and a hop of at least 1"
            )
        if not 0 <= self.low < self.high <= AUDIO_RATE / 2 or self.bands < 1:
            raise ValueError(
                f"log-mel: {self.bands} bands from {self.low} to {self.high} Hz: wanted at least "
                f"one band inside 0 to {AUDIO_RATE / 2:g} Hz"
            )
        if not self.offset > 0:
            raise ValueError(f"log-mel: offset {self.offset} is not positive")
        if not (mel_bank(self) > 0).any(axis=0).all():
            raise ValueError(f"log-mel: {self.bands} bands are too narrow for an fft of {self.fft}")


def mel_bank(config: LogMelConfig) -> NDArray[np.float64]:
    """Triangular filters of the HTK mel scale, ``1127 ln(1 + f / 700)``.

    The flanks are straight lines over mel, as in VGGish's published code, not over Hz as in
    ``torchaudio.transforms.MelScale``; networks trained on the one are not fed the other.

    Args:
        config: Bands, edges and FFT size.

    Returns:
        (fft / 2 + 1, bands) float64 weights, 1 at each band's centre; row 0 (0 Hz) is zero.
    """
    hertz = np.linspace(0.0, AUDIO_RATE / 2, config.fft // 2 + 1)
    bins = 1127.0 * np.log1p(hertz[:, None] / 700.0)
    lowest, highest = 1127.0 * np.log1p(np.array([config.low, config.high]) / 700.0)
    edges = np.linspace(lowest, highest, config.bands + 2)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins - lower) / (centre - lower)
    falling = (upper - bins) / (upper - centre)
    weights: NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling))
    weights[0] = 0.0
    return weights


def log_mel(
    samples: NDArray[np.float32], config: LogMelConfig | None = None
) -> NDArray[np.float32]:
    """Log-mel spectrogram, not centred: frame k covers samples [k * hop, k * hop + window).

    A piece of the sound that starts on the hop grid therefore gives the same rows as the whole.

    Args:
        samples: (n,) float32 at 16 kHz.
        config: Window, hop and bands; VGGish's where None.

    Returns:
        (frames, bands) float32 with ``frames = max(0, (n - window) // hop + 1)``; samples after
        the last whole window are not used.

    Raises:
        ValueError: ``samples`` is not a float32 vector.
    """
    config = config or LogMelConfig()
    check_array("samples", samples, (None,), "float32")
    frames = max(0, (len(samples) - config.window) // config.hop + 1)
    # torch puts a short window into the middle of the FFT's frame; this much silence in front
    # moves the window, and with it the frame, back to where the frame starts.
    pad = (config.fft - config.window) // 2
    transform = torchaudio.transforms.Spectrogram(
        n_fft=config.fft,
        win_length=config.window,
        hop_length=config.hop,
        pad=pad,
        window_fn=torch.hann_window,
        power=1.0,
        normalized=False,
        center=False,
    )
    bank = torch.from_numpy(mel_bank(config).astype(np.float32))
    result = np.empty((frames, config.bands), dtype=np.float32)
    for first in range(0, frames, _BLOCK):
        stop = min(first + _BLOCK, frames)
        begin = first * config.hop
        piece = samples[begin : begin + (stop - first - 1) * config.hop + config.window]
        magnitude = transform(torch.from_numpy(np.ascontiguousarray(piece)))
        result[first:stop] = torch.log(magnitude.T @ bank + config.offset).numpy()
    return result
