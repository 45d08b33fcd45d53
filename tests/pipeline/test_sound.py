"""Sound streamed past the rows gives what the whole sound gives, in bounded memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from grjca.pipeline.sound import embed_sound
from grjca.stages.acoustic import LogMelStatistics
from grjca.stages.types import AUDIO_RATE, AudioSegment

EMBEDDER = LogMelStatistics(LogMelStatistics.Config())


def noise(seconds: float, start: int = 0, seed: int = 0) -> AudioSegment:
    n = int(seconds * AUDIO_RATE)
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, n).astype(np.float32)
    return AudioSegment(samples, np.ones(n, bool), start)


def pieces(sound: AudioSegment, cuts: list[int]) -> Iterator[AudioSegment]:
    bounds = [0, *sorted(min(cut, len(sound)) for cut in cuts), len(sound)]
    for low, high in itertools.pairwise(bounds):
        if high > low:
            yield AudioSegment(sound.samples[low:high], sound.present[low:high], sound.start + low)


def collect(
    sound: Iterator[AudioSegment], time: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    features, valid = zip(*embed_sound(sound, EMBEDDER, time), strict=True)
    return np.concatenate(features), np.concatenate(valid)


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(1, 4 * AUDIO_RATE), max_size=8),
    st.floats(0.0, 0.5),
    st.integers(0, AUDIO_RATE),
)
def test_pieces_do_not_matter(cuts: list[int], first: float, start: int) -> None:
    sound = noise(4.0, start)
    time = first + np.arange(110) / 25
    whole, whole_valid = collect(iter([sound]), time)
    cut, cut_valid = collect(pieces(sound, cuts), time)
    np.testing.assert_array_equal(whole_valid, cut_valid)
    np.testing.assert_allclose(whole, cut, rtol=1e-5, atol=1e-6)


def test_rows_equal_one_call_over_the_whole_sound() -> None:
    sound = noise(6.0)
    time = np.arange(25, 100) / 25
    streamed, _ = collect(pieces(sound, [5000, 30_000]), time)
    np.testing.assert_allclose(streamed, EMBEDDER.embed(sound, time), rtol=1e-5, atol=1e-6)


def test_rows_without_sound_are_marked_and_hold_nan() -> None:
    time = np.arange(250) / 25
    features, valid = collect(iter([noise(4.0, 2 * AUDIO_RATE)]), time)
    assert len(features) == len(valid) == 250
    assert not valid[:45].any()
    assert valid[60:140].all()
    assert not valid[160:].any()
    assert np.isnan(features[~valid]).all()
    assert np.isfinite(features[valid]).all()


def test_no_sound_at_all() -> None:
    features, valid = collect(iter([]), np.arange(10) / 25)
    assert np.isnan(features).all()
    assert not valid.any()


def test_no_rows() -> None:
    assert list(embed_sound(iter([noise(1.0)]), EMBEDDER, np.zeros(0))) == []


def test_memory_does_not_grow_with_length(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    embed = LogMelStatistics.embed

    def spy(
        self: LogMelStatistics, sound: AudioSegment, time: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        seen.append(len(sound))
        return embed(self, sound, time)

    monkeypatch.setattr(LogMelStatistics, "embed", spy)
    minutes = (noise(10.0, k * 10 * AUDIO_RATE, seed=k) for k in range(18))
    _, valid = collect(minutes, np.arange(25 * 180) / 25)
    assert len(valid) == 25 * 180
    assert valid.all()
    assert max(seen) < 13 * AUDIO_RATE
