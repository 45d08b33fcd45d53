"""Two streams of features that carry one target, and fail for a chosen share of the time.

Per clip, with all processes smooth, independent and of unit variance (white noise through a
Gaussian filter of ``smoothness`` seconds)::

    y   = tanh(0.6 (0.9 g + 0.44 b))       target, valence and arousal: g moves, b is the clip's own
    u_m = y + noise * e_m                  what stream m knows; e_m is slow, its own error
    x_m = [u_m ; 0.5 n_m] Q_m^T + 0.1 w    features; n_m two nuisances, Q_m orthonormal, w white

The streams' errors are independent, so two of them know more than one: they complement each
other. Where a stream is *misleading*, y in u_m is replaced by the y of another clip that does not
exist, of the same law: wrong but plausible. The features then also move by ``cue`` along a
direction of their own, as a blurred face or a noisy sound would look; with 0 nothing in the stream
gives it away. Where it is *absent* there are no features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

STREAMS = ("visual", "audio")
FAILURES = ("misleading", "absent")

_NUISANCES = 2
_WHITE = 0.1
_NUISANCE_SIZE = 0.5
_GAIN = 0.6
_MOVES = 0.9


@dataclass(frozen=True)
class Complementarity:
    """What is made.

    Attributes:
        dial: Share of the time, in [0, 1), at which at least one stream fails.
        failure: ``misleading``, ``absent``, or ``both`` for half of the spans each.
        together: Streams fail independently of each other, sometimes at once; otherwise never at
            the same time.
        cue: How far a misleading stream's features move, in units of the target's range.
        noise: Size of a stream's own error.
        span: Mean seconds of a failure.
        clips: How many, at least 5: three fifths to train, a fifth each to validate and to test.
        seconds: Length of a clip.
        fps: Rows per second.
        visual_dim: Numbers per row of the visual stream.
        audio_dim: Numbers per row of the audio stream.
        smoothness: Seconds of the filter that all processes go through.
        seed: Decides everything; the same seed with another dial differs only in the failures.

    Raises:
        ValueError: A value is out of its range; the message begins with its name.
    """

    dial: float
    failure: Literal["misleading", "absent", "both"] = "misleading"
    together: bool = False
    cue: float = 1.0
    noise: float = 0.35
    span: float = 3.0
    clips: int = 60
    seconds: float = 30.0
    fps: float = 10.0
    visual_dim: int = 16
    audio_dim: int = 12
    smoothness: float = 1.0
    seed: int = 3407

    def __post_init__(self) -> None:
        if not 0 <= self.dial < 1:
            raise ValueError(f"dial must lie in [0, 1), got {self.dial}")
        if self.failure not in (*FAILURES, "both"):
            raise ValueError(f"failure must be one of {(*FAILURES, 'both')}, got {self.failure!r}")
        for name in ("cue", "noise"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be finite and not negative")
        for name in ("span", "seconds", "fps", "smoothness"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")
        if self.clips < 5:
            raise ValueError(f"clips must be at least 5, got {self.clips}")
        for name in ("visual_dim", "audio_dim"):
            if getattr(self, name) < _NUISANCES + 3:
                raise ValueError(f"{name} must be at least {_NUISANCES + 3}")
        if self.rows < 2:
            raise ValueError(f"seconds must be at least two frames long, got {self.seconds}")
        if self.seed < 0:
            raise ValueError(f"seed must not be negative, got {self.seed}")

    @property
    def rows(self) -> int:
        """Rows per clip, T."""
        return round(self.seconds * self.fps)

    def partition(self, number: int) -> str:
        """``train``, ``val`` or ``test`` for a clip by its number, from 0."""
        return ("train", "train", "train", "val", "test")[number % 5]


@dataclass(frozen=True)
class Span:
    """One failure of one stream.

    Attributes:
        stream: One of ``STREAMS``.
        failure: One of ``FAILURES``.
        start: First row.
        stop: The row after the last.
    """

    stream: str
    failure: str
    start: int
    stop: int


@dataclass(frozen=True)
class MadeClip:
    """One clip.

    Attributes:
        target: (T, 2) float64 in (-1, 1), valence and arousal.
        features: (T, D) float32 by stream, NaN where absent.
        spans: The failures, by stream and start.
    """

    target: NDArray[np.float64]
    features: dict[str, NDArray[np.float32]]
    spans: tuple[Span, ...]

    def failing(self, stream: str) -> NDArray[np.bool_]:
        """(T,) where a stream fails, whichever way."""
        rows = np.zeros(len(self.target), dtype=bool)
        for span in self.spans:
            if span.stream == stream:
                rows[span.start : span.stop] = True
        return rows


def make_clip(config: Complementarity, number: int) -> MadeClip:
    """Make one clip of a set.

    Args:
        config: The set.
        number: Which clip, from 0.
    """
    smooth = np.random.default_rng([config.seed, 1, number])
    target = _target(smooth, config)
    decoys = {stream: _target(smooth, config) for stream in STREAMS}
    knows = {stream: config.noise * _process(smooth, config, 2) for stream in STREAMS}
    nuisance = {stream: _process(smooth, config, _NUISANCES) for stream in STREAMS}
    spans = _spans(np.random.default_rng([config.seed, 2, number]), config)
    features = {}
    for stream, dim in zip(STREAMS, (config.visual_dim, config.audio_dim), strict=True):
        misled, absent = _rows(spans, stream, config.rows)
        code = np.where(misled[:, None], decoys[stream], target) + knows[stream]
        cue = config.cue * misled.astype(np.float64)
        latent = np.column_stack([code, _NUISANCE_SIZE * nuisance[stream], cue])
        white = _WHITE * smooth.normal(size=(config.rows, dim))
        values = latent @ _mixing(config, stream, dim).T + white
        features[stream] = np.where(absent[:, None], np.nan, values).astype(np.float32)
    return MadeClip(target, features, spans)


def _mixing(config: Complementarity, stream: str, dim: int) -> NDArray[np.float64]:
    """(D, 5) orthonormal columns: two of the code, two of the nuisances, one of the cue."""
    draw = np.random.default_rng([config.seed, 0, STREAMS.index(stream)])
    columns: NDArray[np.float64] = np.linalg.qr(draw.normal(size=(dim, _NUISANCES + 3)))[0]
    return columns


def _process(draw: np.random.Generator, config: Complementarity, count: int) -> NDArray[np.float64]:
    """(T, count) smooth Gaussian processes of unit variance."""
    sigma = config.smoothness * config.fps
    # Made longer and cut, so that the ends have the variance of the middle.
    margin = int(np.ceil(4 * sigma))
    white = draw.normal(size=(config.rows + 2 * margin, count))
    impulse = np.zeros(2 * margin + 1)
    impulse[margin] = 1.0
    norm = np.linalg.norm(gaussian_filter1d(impulse, sigma, mode="constant"))
    filtered = gaussian_filter1d(white, sigma, axis=0, mode="constant")
    made: NDArray[np.float64] = filtered[margin : margin + config.rows] / norm
    return made


def _target(draw: np.random.Generator, config: Complementarity) -> NDArray[np.float64]:
    moves = _process(draw, config, 2)
    made: NDArray[np.float64] = np.tanh(
        _GAIN * (_MOVES * moves + np.sqrt(1 - _MOVES**2) * draw.normal(size=2))
    )
    return made


def _spans(draw: np.random.Generator, config: Complementarity) -> tuple[Span, ...]:
    """Failures that cover the share exactly (each stream's own share, where independent)."""
    found: list[Span] = []
    if config.together:
        # 1 - (1 - p)^2 = dial: the share at which at least one of two independent streams fails.
        own = 1 - np.sqrt(1 - config.dial)
        for stream in STREAMS:
            ranges = _ranges(draw, config, own)
            found += _named(draw, config, ranges, [stream] * len(ranges))
    else:
        ranges = _ranges(draw, config, config.dial)
        # Alternating in random order, so that both fail for about half of the time.
        order = [STREAMS[int(i)] for i in draw.integers(2, size=(len(ranges) + 1) // 2)]
        pairs = [s for first in order for s in (first, STREAMS[1 - STREAMS.index(first)])]
        found += _named(draw, config, ranges, pairs[: len(ranges)])
    return tuple(sorted(found, key=lambda span: (STREAMS.index(span.stream), span.start)))


def _named(
    draw: np.random.Generator,
    config: Complementarity,
    ranges: list[tuple[int, int]],
    streams: list[str],
) -> list[Span]:
    if config.failure == "both":
        failures = [FAILURES[int(i)] for i in draw.integers(2, size=len(ranges))]
    else:
        failures = [config.failure] * len(ranges)
    return [
        Span(stream, failure, start, stop)
        for (start, stop), stream, failure in zip(ranges, streams, failures, strict=True)
    ]


def _ranges(
    draw: np.random.Generator, config: Complementarity, share: float
) -> list[tuple[int, int]]:
    """Ranges of rows in random places that cover a share of the clip, to the nearest row."""
    total = round(share * config.rows)
    if not total:
        return []
    count = min(total, max(1, round(total / (config.span * config.fps))))
    # Cut points without repetition leave no span empty; gaps may be.
    cuts = np.sort(draw.choice(max(total - 1, 1), count - 1, replace=False)) + 1
    lengths = np.diff([0, *cuts, total])
    free = config.rows - total
    gaps = np.diff([0, *np.sort(draw.integers(0, free + 1, size=count))])
    stops = np.cumsum(gaps + lengths)
    return [(int(stop - length), int(stop)) for stop, length in zip(stops, lengths, strict=True)]


def _rows(
    spans: tuple[Span, ...], stream: str, rows: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(T,) each: where a stream misleads, and where it is absent."""
    masks = {failure: np.zeros(rows, dtype=bool) for failure in FAILURES}
    for span in spans:
        if span.stream == stream:
            masks[span.failure][span.start : span.stop] = True
    return masks["misleading"], masks["absent"]
