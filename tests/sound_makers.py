"""Sound for tests: a clip's segment around samples, pieces of it, and something like a voice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from grjca.stages.types import AUDIO_RATE, AudioSegment


def sound_of(samples: NDArray[np.floating[Any]], pad: int = 8000) -> AudioSegment:
    """A clip's whole sound from time 0, with the silence around it that the outer rows need."""
    present = np.zeros(len(samples) + 2 * pad, dtype=np.bool_)
    present[pad : pad + len(samples)] = True
    return AudioSegment(np.pad(samples, pad).astype(np.float32), present, -pad)


def cut(sound: AudioSegment, begin: int, end: int) -> AudioSegment:
    """The samples [begin, end) of the clip's clock."""
    part = slice(begin - sound.start, end - sound.start)
    return AudioSegment(sound.samples[part], sound.present[part], begin)


def voice(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """A gliding pulse train with pauses, whose loudness spans more than 80 dB."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * AUDIO_RATE)) / AUDIO_RATE
    phase = np.cumsum(120 + 60 * np.sin(3 * t)) / AUDIO_RATE
    buzz = sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 30))
    level = 10.0 ** (-2.5 + 2.5 * np.sin(4 * t))
    return (0.3 * level * buzz + 1e-5 * rng.standard_normal(len(t))).astype(np.float32)
