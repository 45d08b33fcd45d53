"""Sound at 16 kHz on the clip's clock: rate, level, place, gaps, and streaming without seams."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st
from media_makers import beep, make_clip
from numpy.typing import NDArray

from grjca.stages.audio import JITTER, LONGEST_SILENCE, AudioDecoder, SoundClock
from grjca.stages.probe import probe
from grjca.stages.resample import StreamResampler, decoding_rate
from grjca.stages.types import AUDIO_RATE, AudioSegment
from grjca.stages.video import VideoDecoder


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def decode(path: Path, block: float = 10.0) -> tuple[AudioSegment, AudioDecoder]:
    """All sound of a clip as one segment, with the blocks' borders checked."""
    with AudioDecoder(path, probe(path), block=block) as decoder:
        blocks = list(decoder)
    starts = np.cumsum([0, *(len(b) for b in blocks)])[:-1]
    assert [b.start for b in blocks] == starts.tolist()
    assert all(len(b) == round(block * AUDIO_RATE) for b in blocks[:-1])
    samples = np.concatenate([np.zeros(0, np.float32), *(b.samples for b in blocks)])
    present = np.concatenate([np.zeros(0, np.bool_), *(b.present for b in blocks)])
    assert np.abs(samples).max(initial=0) <= 1
    assert not samples[~present].any()
    return AudioSegment(samples, present, 0), decoder


def onset(sound: AudioSegment, level: float = 0.1) -> float:
    """Seconds of the first sample louder than ``level``."""
    return float(np.argmax(np.abs(sound.samples) > level)) / AUDIO_RATE


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_rate_and_level(tmp_path: Path, rate: int, channels: int) -> None:
    path = make_clip(tmp_path / "clip.wav", video=False, sound_rate=rate, channels=channels)
    sound, decoder = decode(path)
    assert len(sound) == AUDIO_RATE
    assert sound.present.all()
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(AUDIO_RATE) / AUDIO_RATE)
    middle = slice(200, -200)
    # Equal channels keep their level: the mixture of two is their mean.
    np.testing.assert_allclose(sound.samples[middle], expected[middle], atol=2e-3)
    assert decoder.warnings == ()


@pytest.mark.parametrize("block", [0.1, 0.37, 10.0])
def test_blocks_do_not_change_the_sound(tmp_path: Path, block: float) -> None:
    path = make_clip(tmp_path / "clip.wav", video=False, frames=60)
    whole, _ = decode(path, block=100.0)
    parts, _ = decode(path, block=block)
    np.testing.assert_array_equal(parts.samples, whole.samples)
    np.testing.assert_array_equal(parts.present, whole.present)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("start", [0.5, -0.5, 0.0])
def test_the_beep_lies_at_the_flash(tmp_path: Path, suffix: str, start: float) -> None:
    seen = 30 / 25  # by the pictures' own clock, which starts -start s late when that is positive
    sound = beep(44_100, 2.0, at=seen - start)
    path = make_clip(
        tmp_path / f"clip{suffix}", frames=50, flash=30, sound=sound, sound_start=start
    )
    with VideoDecoder(path, probe(path)) as decoder:
        pictures = list(decoder)
    bright = np.concatenate([batch.frames.mean(axis=(1, 2, 3)) for batch in pictures])
    times = np.concatenate([batch.time for batch in pictures])
    flash = times[np.argmax(bright)]
    heard, _ = decode(path)
    assert flash == pytest.approx(seen + max(-start, 0), abs=1e-3)
    # Lossy coding smears an onset over a few milliseconds; a frame lasts 40.
    assert onset(heard) == pytest.approx(flash, abs=0.005)
    begin = np.argmax(heard.present) / AUDIO_RATE
    # AAC's priming samples (23 ms) lie before the nominal start.
    assert max(start, 0) - 0.025 <= begin <= max(start, 0) + 1e-3


def test_gaps_are_kept(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mkv", frames=50, sound_gaps=[(0.5, 0.3), (1.0, 0.02)])
    sound, _ = decode(path)
    absent = np.flatnonzero(~sound.present) / AUDIO_RATE
    # The pause of 20 ms is jitter; the other begins with the first piece after 0.5 s.
    assert len(absent) == pytest.approx(0.3 * AUDIO_RATE, abs=20)
    assert absent[0] == pytest.approx(np.ceil(0.5 * 44_100 / 1024) * 1024 / 44_100, abs=1e-3)
    assert len(sound) == pytest.approx(2.3 * AUDIO_RATE, abs=20)


def test_samples_that_are_no_numbers_are_absent(tmp_path: Path) -> None:
    tone = np.full(16_000, 0.25, np.float32)
    tone[4_000:8_000] = np.nan
    tone[12_000] = np.inf
    path = make_clip(
        tmp_path / "clip.wav", video=False, sound=tone, sound_rate=16_000, sound_codec="pcm_f32le"
    )
    sound, _ = decode(path)
    np.testing.assert_array_equal(sound.present, np.isfinite(tone))
    np.testing.assert_allclose(sound.samples[sound.present], 0.25, atol=1e-6)


def test_loud_sound_is_clipped(tmp_path: Path) -> None:
    loud = np.full(8_000, 3.0, np.float32)
    path = make_clip(
        tmp_path / "clip.wav", video=False, sound=loud, sound_rate=16_000, sound_codec="pcm_f32le"
    )
    sound, _ = decode(path)
    assert (sound.samples == 1).all()


def test_silence_is_sound(tmp_path: Path) -> None:
    sound, _ = decode(make_clip(tmp_path / "clip.mp4", sound="silence"))
    assert sound.present.all()
    assert not sound.samples.any()


def test_no_sound_stream(tmp_path: Path) -> None:
    sound, decoder = decode(make_clip(tmp_path / "clip.mp4", frames=3, sound=None))
    assert len(sound) == 0
    assert decoder.warnings == ()


def test_a_stream_that_yields_nothing_warns(media: Path) -> None:
    sound, decoder = decode(media / "hard" / "invalid_userdata_truncated.mp4")
    assert len(sound) == 0
    assert "no sound decodes" in decoder.warnings
    assert any("partial file" in line for line in decoder.warnings)


def test_early_end_leaves_nothing_behind(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.wav", video=False, frames=2000)
    info = probe(path)
    files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for segment in AudioDecoder(path, info, block=0.5):
        assert len(segment) == 8000
        break
    with AudioDecoder(path, info, block=0.5) as decoder:
        next(iter(decoder))
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == files


REAL = {
    "av/01-01-01-01-01-01-01.mp4": (0.0, 3.303),
    "av/grid_bbaf2n.mpg": (0.0, 2.978),
    "av/pyfeat_face_noface.mov": (2.430, 6.396),
    "hard/chaplin.mp4": (0.0, 9.614),
    "hard/flipping_a_pancake.mkv": (0.0, 10.368),
    "hard/nasa_13013_multistream.mp4": (0.0, 13.056),
    "hard/audio_only.mp4": (0.0, 0.046),
}


@pytest.mark.parametrize("name", sorted(REAL))
def test_real_sound_agrees_with_pyav(media: Path, name: str) -> None:
    sound, _ = decode(media / name)
    begin, end = REAL[name]
    assert np.argmax(sound.present) / AUDIO_RATE == pytest.approx(begin, abs=2e-3)
    assert sound.stop / AUDIO_RATE == pytest.approx(end, abs=2e-3)
    with av.open(str(media / name)) as container:
        start = (container.start_time or 0) / av.time_base
        stream = container.streams.audio[0]
        frames = list(container.decode(stream))
    rate = frames[0].sample_rate
    pieces = [frame.to_ndarray().mean(axis=0) for frame in frames]
    scale = 32_768 if frames[0].format.name.startswith("s16") else 1
    # None of these has gaps; Matroska's stamps, in milliseconds, must not make any.
    first = round((frames[0].time - start) * rate)
    mono = np.concatenate([np.zeros(max(first, 0)), *pieces])[max(-first, 0) :] / scale
    mono = mono.astype(np.float32)
    expected = torchaudio.functional.resample(torch.from_numpy(mono), rate, AUDIO_RATE).numpy()
    # Versions of the libraries differ in whether they cut the last frame to the edit list's end.
    assert len(expected) == pytest.approx(len(sound), abs=0.025 * AUDIO_RATE)
    common = min(len(expected), len(sound)) - 20
    # Whole against pieces, and two builds of the decoder's libraries.
    difference = sound.samples[:common] - expected[:common].clip(-1, 1)
    assert np.abs(difference[sound.present[:common]]).max() < 2e-3


@settings(max_examples=25, deadline=None)
@given(
    rate=st.sampled_from([8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000]),
    sizes=st.lists(st.integers(0, 3_000), max_size=8),
    seed=st.integers(0, 2**32 - 1),
)
def test_pieces_equal_the_whole(rate: int, sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    whole = rng.uniform(-0.5, 0.5, sum(sizes)).astype(np.float32)
    resampler = StreamResampler(rate)
    done: list[NDArray[np.float32]] = []
    masks: list[NDArray[np.bool_]] = []
    present = rng.random(len(whole)) < 0.9
    for first, size in zip(np.cumsum([0, *sizes]), sizes, strict=False):
        here = slice(first, first + size)
        samples, mask = resampler.push(whole[here], present[here])
        done, masks = [*done, samples], [*masks, mask]
    samples, mask = resampler.finish()
    pieces = np.concatenate([*done, samples])
    heard = np.concatenate([*masks, mask])
    assert len(pieces) == len(heard) == -(-len(whole) * AUDIO_RATE // rate)
    if not len(whole):
        return
    reference = torchaudio.transforms.Resample(rate, AUDIO_RATE)(torch.from_numpy(whole)).numpy()
    nearest = np.arange(len(pieces)) * rate // AUDIO_RATE
    np.testing.assert_array_equal(heard, present[nearest])
    np.testing.assert_allclose(pieces[heard], reference[heard], atol=2e-6)


def test_memory_does_not_grow_with_the_signal() -> None:
    resampler = StreamResampler(44_100)
    for _ in range(50):
        resampler.push(np.zeros(44_100, np.float32), np.ones(44_100, np.bool_))
    assert len(resampler._samples) < 10_000


stamps = st.none() | st.integers(-(2**40), 2**40) | st.integers(-5_000_000, 20_000_000)


@given(st.lists(st.tuples(stamps, st.integers(0, 5000))))
def test_the_sounds_clock_only_runs_forward(pieces: list[tuple[int | None, int]]) -> None:
    clock, filled = SoundClock(16_000), 0
    for stamp, count in pieces:
        before = clock.position
        gap, drop = clock.place(stamp, count)
        filled += gap
        assert gap >= 0
        assert 0 <= drop <= count
        assert clock.position == before + gap + count - drop
    assert filled <= LONGEST_SILENCE * 16_000


@given(st.lists(st.floats(-0.9 * JITTER, 0.9 * JITTER), min_size=1, max_size=50))
def test_jitter_is_no_gap(offsets: list[float]) -> None:
    clock = SoundClock(48_000)
    clock.place(0, 4800)
    for i, offset in enumerate(offsets, start=1):
        assert clock.place(round((i * 0.1 + offset) * 1e6), 4800) == (0, 0)


def test_places() -> None:
    clock = SoundClock(1000)
    assert clock.place(-300_000, 200) == (0, 200)  # wholly before 0
    assert clock.place(-100_000, 200) == (0, 100)  # half of it
    assert clock.place(100_000, 100) == (0, 0)
    assert clock.place(500_000, 100) == (300, 0)  # a gap
    assert clock.place(500_000, 150) == (0, 100)  # an overlap
    assert clock.place(None, 50) == (0, 0)
    assert clock.position == 700
    assert clock.place(10_700_000, 300) == (10_000, 0)
    assert clock.place(0, 100) == (0, 0)  # a clock that starts again ...
    assert clock.place(100_000, 100) == (0, 0)
    assert clock.place(400_000, 100) == (200, 0)  # ... and then has a gap
    assert clock.place(10**12, 100) == (0, 0)  # eleven days later, they say
    assert clock.broken == 1


@pytest.mark.parametrize(
    ("claimed", "used"),
    [(44_100, 44_100), (8_000, 8_000), (11_025, 11_025), (44_099, 48_000), (1, 48_000)],
)
def test_rates_that_cannot_be_resampled_are_changed_by_ffmpeg(claimed: int, used: int) -> None:
    assert decoding_rate(claimed) == used


def test_an_odd_rate_is_decoded(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.wav", video=False, sound_rate=44_099)
    sound, _ = decode(path)
    assert len(sound) == pytest.approx(AUDIO_RATE, abs=20)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(AUDIO_RATE) / AUDIO_RATE)
    np.testing.assert_allclose(sound.samples[500:15_000], expected[500:15_000], atol=5e-3)


def test_a_block_holds_a_sample(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.wav", video=False)
    with pytest.raises(ValueError, match="holds no sample"):
        AudioDecoder(path, probe(path), block=0.0)
