"""Where a row's window lies, and whether there is sound in it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sound_makers import sound_of

from grjca.stages.sound_windows import SoundWindow, sound_valid, windows_of
from grjca.stages.types import AUDIO_RATE, AudioSegment

RATE = AUDIO_RATE
CENTRED = SoundWindow.of_mel_frames(76, centred=True)
TIMES = np.arange(75) / 25.0


@pytest.mark.parametrize(
    ("time", "first"),
    [
        (0.0, -39),  # -0.3875 s lies between the grid points -39 and -38, nearer to -39
        (0.3875, 0),
        (0.3925, 1),  # a tie goes up
        (1.0, 61),
        (0.04, -35),
        (3600.0, 359_961),
    ],
)
def test_a_centred_window_starts_half_its_length_before(time: float, first: int) -> None:
    assert CENTRED.start(np.array([time])).tolist() == [first]


@pytest.mark.parametrize(("time", "first"), [(0.0, 0), (0.04, 4), (1 / 30, 3), (0.025, 3)])
def test_a_leading_window_starts_at_the_row(time: float, first: int) -> None:
    window = SoundWindow.of_mel_frames(96, centred=False)
    assert (window.length, window.lead) == (15_600, 0)
    assert window.start(np.array([time])).tolist() == [first]


@settings(max_examples=200, deadline=None)
@given(
    time=st.floats(-5, 1e5),
    length=st.integers(1, 40_000),
    share=st.floats(0, 1),
)
def test_the_context_covers_the_window_however_it_is_rounded(
    time: float, length: int, share: float
) -> None:
    window = SoundWindow(length, int(share * length))
    before, after = window.context
    begin = int(window.start(np.array([time]))[0]) * 160
    assert abs(begin / RATE - (time - window.lead / RATE)) <= 0.005 + 1e-9
    assert np.ceil((time - before) * RATE) <= begin
    assert begin + length <= np.floor((time + after) * RATE)


@pytest.mark.parametrize(("length", "lead"), [(0, 0), (400, -1), (400, 401)])
def test_refuses_a_window_that_is_none(length: int, lead: int) -> None:
    with pytest.raises(ValueError, match="sound window"):
        SoundWindow(length, lead)


def test_windows_of_is_a_view_of_every_stretch() -> None:
    mel = np.arange(30, dtype=np.float32).reshape(10, 3)
    windows = windows_of(mel, 4)
    assert windows.shape == (7, 3, 4)
    assert np.shares_memory(windows, mel)
    for k in range(7):
        np.testing.assert_array_equal(windows[k], mel[k : k + 4].T)


def plain_valid(sound: AudioSegment, time: float, context: tuple[float, float]) -> bool:
    begin = int(np.ceil((time - context[0]) * RATE)) - sound.start
    end = int(np.floor((time + context[1]) * RATE)) - sound.start
    there = sound.present[begin:end]
    peak = np.abs(sound.samples[begin:end]).max()
    return bool(there.mean() >= 0.5 and peak >= 1 / 32768)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.2, 0.9))
def test_validity_against_every_window_looked_at(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    spans = rng.integers(500, 9000, 12)
    present = np.repeat(rng.random(12) < share, spans)
    level = np.repeat(rng.choice([0.0, 1e-5, 1e-2], 12), spans)
    samples = (level * rng.uniform(-1, 1, len(present)) * present).astype(np.float32)
    sound = AudioSegment(samples, present, -8000)
    times = np.sort(rng.uniform(-0.1, (sound.stop - 6300) / RATE, 40))
    context = CENTRED.context
    expected = [plain_valid(sound, t, context) for t in times]
    assert sound_valid(sound, times, context).tolist() == expected


def test_silence_gaps_and_edges() -> None:
    context = CENTRED.context
    tone = 0.1 * np.sin(np.arange(4 * RATE) / 5)
    # Exactly half of the first and of the last row's window lies inside the clip.
    assert sound_valid(sound_of(tone), np.array([0.0, 2.0, 4.0]), context).all()
    assert not sound_valid(sound_of(tone), np.array([-0.01, 4.01]), context).any()
    assert not sound_valid(sound_of(np.zeros(4 * RATE)), TIMES, context).any()
    below = np.where(np.arange(4 * RATE) % 2, 1.0, -1.0) * 2.0**-15
    assert sound_valid(sound_of(below), TIMES[10:], context).all()
    assert not sound_valid(sound_of(0.99 * below), TIMES, context).any()
    # Samples that the stream does not hold do not count, whatever they are.
    absent = AudioSegment(np.ones(4 * RATE, np.float32), np.zeros(4 * RATE, np.bool_), 0)
    assert not sound_valid(absent, np.array([2.0]), context).any()
    assert sound_valid(sound_of(tone), np.empty(0), context).shape == (0,)
