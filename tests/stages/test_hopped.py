"""An embedder on a coarser grid: interpolation against one made by hand, however a clip is cut."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sound_makers import cut, sound_of, voice

from grjca.pipeline.sound import embed_sound
from grjca.stages import catalog
from grjca.stages.acoustic import LogMelStatistics
from grjca.stages.audio import AudioDecoder
from grjca.stages.hopped import Hopped
from grjca.stages.probe import probe
from grjca.stages.sound_windows import SILENCE_PEAK, SoundWindow, WindowEmbedder, sound_valid
from grjca.stages.types import AUDIO_RATE, AudioSegment

INNER = LogMelStatistics()
CLIP = sound_of(voice(4.0), pad=2 * AUDIO_RATE)


class Ruler(WindowEmbedder):
    """Tells where its window starts, and the loudest sample in it."""

    name = "ruler"
    summary = "for these tests"
    Config = object
    config = None
    weights = None
    window = SoundWindow(1600, 800)
    dim = 2

    def embed(self, sound: AudioSegment, time: NDArray[np.float64]) -> NDArray[np.float32]:
        self.asked = time
        return super().embed(sound, time)

    def _rows(self, samples: NDArray[np.float32], first: NDArray[np.int64]) -> NDArray[np.float32]:
        loudest = [np.abs(samples[k * 160 :][:1600]).max() for k in first]
        return np.stack([first, loudest], axis=1).astype(np.float32)


def by_hand(embedder: Any, sound: AudioSegment, time: float, hop: float) -> NDArray[np.float64]:
    """One row, from the two grid times around it asked one by one."""
    k = int(np.floor(time / hop))
    low, high = np.array([k * hop]), np.array([(k + 1) * hop])
    a, b = (embedder.embed(sound, t)[0].astype(np.float64) for t in (low, high))
    heard_a, heard_b = (sound_valid(sound, t, embedder.context)[0] for t in (low, high))
    if heard_a and not heard_b:
        return np.asarray(a)
    if heard_b and not heard_a:
        return np.asarray(b)
    share = (time - k * hop) / hop
    return np.asarray((1 - share) * a + share * b)


@pytest.mark.parametrize("hop", [0.04, 0.1, 0.2, 0.33])
def test_rows_are_interpolated_between_grid_times(hop: float) -> None:
    times = np.concatenate([[0.0, 0.001, hop], np.cumsum(np.tile([0.033, 0.041, 0.007], 30))])
    times.sort()
    times = np.append(times, [4.0, 4.2, 4.5])
    got = Hopped(INNER, hop).embed(CLIP, times)
    expected = np.stack([by_hand(INNER, CLIP, t, hop) for t in times])
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_grid_points_are_asked_once_and_are_the_embedders_own_rows() -> None:
    ruler = Ruler()
    times = np.arange(0, 3, 0.04)
    got = Hopped(ruler, 0.1).embed(CLIP, times)
    np.testing.assert_allclose(ruler.asked, np.arange(0, 3.05, 0.1), atol=1e-12)
    np.testing.assert_allclose(got[::5], ruler.embed(CLIP, times[::5]), atol=1e-4)
    # A window's start grows by 100 grid points a second, which straight lines follow exactly.
    spoken = sound_of(np.full(4 * AUDIO_RATE, 0.1))
    starts = Hopped(ruler, 0.1).embed(spoken, times)[:, 0]
    np.testing.assert_allclose(np.diff(starts), 4.0, atol=1e-4)


def test_grid_reaches_before_the_clips_start() -> None:
    ruler = Ruler()
    Hopped(ruler, 0.1).embed(CLIP, np.array([-0.03]))
    np.testing.assert_allclose(ruler.asked, [-0.1, 0.0], atol=1e-12)


def test_a_neighbour_without_sound_takes_no_part() -> None:
    # Sound from 0 to 1 s: of the grid's windows that at 1.0 s still holds half, that at 1.1 none.
    sound = sound_of(np.full(AUDIO_RATE, 0.5), pad=AUDIO_RATE)
    rows = Hopped(Ruler(), 0.1).embed(sound, np.array([0.9, 1.02, 1.05, 1.09, 1.5]))
    np.testing.assert_allclose(rows[:, 1], [0.5, 0.5, 0.5, 0.5, 0.0])
    np.testing.assert_allclose(np.diff(rows[1:4, 0]), 0)
    assert np.isfinite(rows).all()


@pytest.mark.parametrize(("peak", "expected"), [(0.9 * SILENCE_PEAK, 0.5), (0.1, 0.3)])
def test_silence_in_the_stream_is_no_sound_either(peak: float, expected: float) -> None:
    samples = np.repeat([0.5, peak], [round(0.9 * AUDIO_RATE), AUDIO_RATE])
    (row,) = Hopped(Ruler(), 0.1).embed(sound_of(samples), np.array([0.95]))
    assert row[1] == pytest.approx(expected, abs=1e-4)


def pieces(sound: AudioSegment, cuts: list[int]) -> Iterator[AudioSegment]:
    bounds = [sound.start, *sorted(sound.start + min(c, len(sound)) for c in cuts), sound.stop]
    for low, high in itertools.pairwise(bounds):
        if high > low:
            yield cut(sound, low, high)


def streamed(
    embedder: Any, sound: Iterator[AudioSegment], times: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    features, valid = zip(*embed_sound(sound, embedder, times), strict=True)
    return np.concatenate(features), np.concatenate(valid)


@settings(max_examples=25, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 4 * AUDIO_RATE), max_size=8),
    steps=st.lists(st.floats(0.004, 0.3), min_size=2, max_size=40),
    first=st.floats(0, 0.5),
    start=st.integers(0, AUDIO_RATE),
    hop=st.sampled_from([0.01, 0.04, 0.1, 0.2, 0.5]),
)
def test_pieces_do_not_matter(
    cuts: list[int], steps: list[float], first: float, start: int, hop: float
) -> None:
    spoken = voice(4.0)
    sound = AudioSegment(spoken, np.ones(len(spoken), bool), start)
    times = first + np.cumsum(steps)
    embedder = Hopped(INNER, hop)
    whole, known = streamed(embedder, iter([sound]), times)
    split, known_split = streamed(embedder, pieces(sound, cuts), times)
    np.testing.assert_array_equal(known, known_split)
    np.testing.assert_allclose(split, whole, atol=2e-5)
    assert np.isfinite(whole[known]).all()
    there = first < times - start / AUDIO_RATE
    there &= times < (start + len(spoken)) / AUDIO_RATE
    assert known[there & (times > 0.5 + start / AUDIO_RATE)].all()


def test_it_is_the_embedder_with_a_hop() -> None:
    embedder = Hopped(INNER, 0.2)
    assert (embedder.name, embedder.dim, embedder.weights) == ("logmel", 128, None)
    assert embedder.config is INNER.config
    assert embedder.hop == 0.2
    assert embedder.context == pytest.approx([side + 0.2 for side in INNER.context])
    assert catalog.identity(embedder) | {"hop": 0} == catalog.identity(INNER) | {"hop": 0}
    assert embedder.embed(CLIP, np.empty(0)).shape == (0, 128)


@pytest.mark.parametrize("hop", [0.0, -0.1, float("nan"), float("inf"), 0.8])
def test_refuses_a_hop_that_leaves_sound_out(hop: float) -> None:
    with pytest.raises(ValueError, match="audio hop"):
        Hopped(INNER, hop)


def test_refuses_sound_that_is_too_short_and_times_that_are_none() -> None:
    with pytest.raises(ValueError, match="sound covers"):
        Hopped(INNER, 0.2).embed(cut(CLIP, 8000, 24_000), np.array([1.0]))
    with pytest.raises(ValueError, match="finite"):
        Hopped(INNER, 0.2).embed(CLIP, np.array([np.nan]))


def test_on_real_speech_a_short_hop_changes_little(media: Path) -> None:
    file = media / "av" / "hdtf_AlexandriaOcasioCortez_000.mp4"
    with closing(AudioDecoder(file, probe(file))) as decoder:
        sound = list(decoder)
    times = np.arange(1, 6, 0.033)
    every, valid = streamed(INNER, iter(sound), times)
    spread = every[valid].std(axis=0)
    errors = []
    for hop in (0.04, 0.1, 0.2):
        some, valid_too = streamed(Hopped(INNER, hop), iter(sound), times)
        np.testing.assert_array_equal(valid, valid_too)
        error = np.sqrt(((every[valid] - some[valid]) ** 2).mean(axis=0))
        errors.append(float(np.median(error / spread)))
    assert errors == sorted(errors)
    assert 0 < errors[0] < 0.05
    assert errors[2] < 0.3
