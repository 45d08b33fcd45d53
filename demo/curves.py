"""What drives a clip: smooth random curves, spans in which a modality fails, personal traits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Split = Literal["train", "unseen"]
Intervals = tuple[tuple[float, float], ...]

HIGHEST_FREQUENCY = 0.4
"""Hz; the curves change within a few seconds, not faster."""

FEWEST_HARMONICS = 6
"""Harmonics a short clip gets at least: a dozen coefficients keep eight curves independent."""


@dataclass(frozen=True)
class Trait:
    """Where a persona's trait is drawn from, in other intervals for training and unseen ones.

    Attributes:
        train: Half-open intervals for the personas of the training clips.
        unseen: The same for the unseen clips; none overlaps one of ``train``. The first lies
            between the training intervals, the others outside of them.
    """

    train: Intervals
    unseen: Intervals

    def __post_init__(self) -> None:
        for low, high in (*self.train, *self.unseen):
            if not low < high:
                raise ValueError(f"an empty interval: {low}..{high}")
        for low, high in self.train:
            for other_low, other_high in self.unseen:
                if low < other_high and other_low < high:
                    raise ValueError(f"{low}..{high} overlaps {other_low}..{other_high}")

    def draw(self, rng: np.random.Generator, split: Split) -> float:
        """One value: an interval of the split by even chance, then evenly within it."""
        intervals = self.train if split == "train" else self.unseen
        low, high = intervals[int(rng.integers(len(intervals)))]
        return float(rng.uniform(low, high))


@dataclass(frozen=True)
class Span:
    """A stretch of time, ``start`` up to ``stop`` in seconds, and what happens in it."""

    start: float
    stop: float
    kind: str

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(f"a span from {self.start} to {self.stop} s")


def smooth_gaussians(
    rng: np.random.Generator, count: int, frames: int, fps: float
) -> NDArray[np.float64]:
    """Smooth random curves of zero mean and unit variance, uncorrelated with each other.

    Each is a sum of the clip's harmonics up to 0.4 Hz with random coefficients; the coefficient
    vectors are made orthonormal (QR), so that within one clip no curve tells of another.

    Args:
        rng: Source of randomness.
        count: Number of curves, at most 12.
        frames: Number of frames.
        fps: Frames per second.

    Returns:
        (count, frames) float64.

    Raises:
        ValueError: More curves than the harmonics of a short clip keep apart.
    """
    if count > 2 * FEWEST_HARMONICS:
        raise ValueError(f"{count} curves, at most {2 * FEWEST_HARMONICS}")
    harmonics = max(FEWEST_HARMONICS, round(HIGHEST_FREQUENCY * frames / fps))
    phase = 2 * np.pi * np.outer(np.arange(1, harmonics + 1), (np.arange(frames) + 0.5) / frames)
    basis = np.concatenate([np.cos(phase), np.sin(phase)]) * np.sqrt(2.0)
    coefficients, _ = np.linalg.qr(rng.standard_normal((2 * harmonics, count)))
    curves: NDArray[np.float64] = coefficients.T @ basis
    return curves


def to_range(gaussian: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standard normal values to (-1, 1), evenly spread over it: ``2 Phi(z) - 1``."""
    spread: NDArray[np.float64] = 2.0 * ndtr(gaussian) - 1.0
    return spread


def failure_spans(
    rng: np.random.Generator,
    seconds: float,
    share: float,
    face_kinds: tuple[str, ...],
    sound_kinds: tuple[str, ...],
) -> tuple[list[Span], list[Span]]:
    """When the face is hidden and when the sound is useless: never both at once.

    Args:
        rng: Source of randomness.
        seconds: Length of the clip.
        share: Share of the clip that each modality loses, below 0.5.
        face_kinds: Ways to hide the face.
        sound_kinds: Ways to lose the voice.

    Returns:
        Spans of hidden face and spans of useless sound, in order of time. They last 1 to 3 s
        (shorter only in a clip too short for that) and are set in random order with random
        pauses between them.

    Raises:
        ValueError: ``share`` is not in (0, 0.5).
    """
    if not 0 < share < 0.5:
        raise ValueError(f"share {share} is not between 0 and 0.5")
    lengths: list[tuple[float, str, bool]] = []
    for kinds, is_face in ((face_kinds, True), (sound_kinds, False)):
        number = max(1, round(share * seconds / 1.8))
        parts = rng.uniform(0.7, 1.4, number)
        parts *= share * seconds / parts.sum()
        first = int(rng.integers(len(kinds)))
        lengths += [
            (float(length), kinds[(first + i) % len(kinds)], is_face)
            for i, length in enumerate(parts)
        ]
    order = rng.permutation(len(lengths))
    pauses = rng.dirichlet(np.full(len(lengths) + 1, 3.0)) * seconds * (1 - 2 * share)
    face: list[Span] = []
    sound: list[Span] = []
    now = 0.0
    for pause, index in zip(pauses, order, strict=False):
        length, kind, is_face = lengths[index]
        now += float(pause)
        (face if is_face else sound).append(Span(now, now + length, kind))
        now += length
    return face, sound


def presence(spans: list[Span], time: NDArray[np.float64], ramp: float) -> NDArray[np.float64]:
    """How far each moment lies in one of the spans, 0 to 1.

    Args:
        spans: The spans.
        time: (n,) seconds.
        ramp: Seconds the change takes; it lies outside the span, within which the value is 1.

    Returns:
        (n,) float64.
    """
    level = np.zeros(len(time))
    for span in spans:
        distance = np.maximum(span.start - time, time - span.stop)
        level = np.maximum(level, np.clip(1.0 - distance / ramp, 0.0, 1.0))
    return level
