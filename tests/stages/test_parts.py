"""Parts of a file: exactly the frames and the sound that all of the file has there."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_makers import children, join, make_clip, read_number
from numpy.typing import NDArray

from grjca.errors import GrjcaError
from grjca.stages.audio import LONGEST_SILENCE, AudioDecoder
from grjca.stages.decoder import Part
from grjca.stages.probe import probe
from grjca.stages.types import AUDIO_RATE, AudioSegment, MediaInfo
from grjca.stages.video import VideoDecoder, frame_times

FRAMES = 200
GROUPS = {"preset": "ultrafast", "bf": "3", "b-adapt": "0", "g": "30"}
OPEN = {"x265-params": "log-level=error:open-gop=1:bframes=3:keyint=30:min-keyint=30"}


def varying() -> list[float]:
    steps = np.random.default_rng(7).choice([1, 5, 33, 40, 41, 300], FRAMES - 1)
    return (np.cumsum([0, *steps]) / 1000).tolist()


def late(path: Path) -> Path:
    """The container's own clock starts at 5.5 s."""
    clip = make_clip(path.with_name(f"early-{path.name}"), frames=FRAMES, options=GROUPS)
    return join([clip], path, before=["-itsoffset", "5.5"])


def fragmented(path: Path) -> Path:
    clip = make_clip(path.with_name(f"whole-{path.name}"), frames=FRAMES, options=GROUPS)
    return join([clip], path, options=["-movflags", "frag_keyframe+empty_moov"])


def refreshed(path: Path) -> Path:
    """Has no whole picture after the first; a column is renewed with every frame."""
    options = {"preset": "ultrafast", "g": "60", "bf": "0", "intra-refresh": "1"}
    return make_clip(path, frames=FRAMES, options=options, sound=None)


def plain(**options: object) -> Callable[[Path], Path]:
    return lambda path: make_clip(path, **({"frames": FRAMES, "options": GROUPS} | options))  # type: ignore[arg-type]


CLIPS: dict[str, Callable[[Path], Path]] = {
    "plain.mp4": plain(),
    "varying.mkv": plain(times=varying()),
    "varying.mp4": plain(times=varying()),
    "turned.mov": plain(rotation=90, sound=None),
    "open.mp4": plain(video_codec="libx265", options=OPEN, sound=None),
    "open.mkv": plain(video_codec="libx265", options=OPEN, sound=None),
    "late-sound.mp4": plain(sound_start=-0.5),
    "late.mkv": late,
    "late.mp4": late,
    "fragmented.mp4": fragmented,
    "refreshed.mp4": refreshed,
    "indexed.avi": plain(video_codec="mpeg4", options={"bf": "2", "g": "30"}),
    "single.avi": plain(video_codec="mjpeg", pixel_format="yuvj420p", options={}, sound=None),
    "program.mpg": plain(video_codec="mpeg1video", options={"bf": "2", "g": "15"}),
    "transport.ts": plain(),
    "windows.wmv": plain(video_codec="wmv2", options={"g": "30"}, sound=None),
    "flash.flv": plain(sound=None),
}


@pytest.fixture(scope="module", params=CLIPS)
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    name: str = request.param
    return CLIPS[name](tmp_path_factory.mktemp("clips") / name)


def pictures(
    path: Path, info: MediaInfo, start: float = 0.0, end: float | None = None
) -> tuple[NDArray[np.float64], list[int | None]]:
    """Times of the frames and the numbers that they show."""
    times, numbers = [], []
    with VideoDecoder(path, info, start=start, end=end, batch=16) as decoder:
        for batch in decoder:
            assert batch.first == len(numbers)
            times.append(batch.time)
            numbers += [read_number(frame) for frame in batch.frames]
    assert decoder.repaired == 0
    return np.concatenate(times), numbers


def test_a_part_has_exactly_its_frames(clip: Path) -> None:
    info = probe(clip)
    times, numbers = pictures(clip, info)
    assert numbers == list(range(FRAMES))
    np.testing.assert_array_equal(frame_times(clip, info), times)
    last = float(times[-1])
    parts = [
        # On frames' own times: the first is in, the last is not.
        (float(times[FRAMES // 2]), float(times[FRAMES // 2 + 7])),
        (0.9 * last, None),
    ]
    for start, end in parts:
        low, high = round(start, 6), math.inf if end is None else round(end, 6)
        inside = (times >= (low or -math.inf)) & (times < high)
        part, shown = pictures(clip, info, start, end)
        assert shown == np.flatnonzero(inside).tolist()
        np.testing.assert_allclose(part, times[inside] - low, rtol=0, atol=1e-9)
        assert part[0] >= 0
    np.testing.assert_array_equal(frame_times(clip, info, start=start, end=end), part)


def test_a_part_is_looked_up_where_that_is_sure(tmp_path: Path) -> None:
    for name, sought in {"plain.mp4": True, "varying.mkv": True, "transport.ts": False}.items():
        path = make_clip(tmp_path / name, frames=FRAMES, size=(320, 240), sound=None)
        with VideoDecoder(path, probe(path), start=4.0, batch=1) as decoder:
            batches = iter(decoder)
            next(batches)
            (pid,) = children()
            command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        assert ("-ss" in command) == sought


def test_of_several_streams_the_part_is_the_chosen_ones(media: Path) -> None:
    path = media / "hard" / "nasa_13013_multistream.mp4"
    info = probe(path, video_stream=1)
    whole = frame_times(path, info)
    part = frame_times(path, info, start=7.3, end=9.1)
    np.testing.assert_allclose(part, whole[(whole >= 7.3) & (whole < 9.1)] - 7.3, atol=1e-9)


@pytest.mark.parametrize(
    "name",
    [
        "av/retalking_face_1_vfr.mp4",
        "av/grid_bbaf2n.mpg",
        "hard/decord_corrupted.mp4",
        "video_only/asl_again.mkv",
        "video_only/eamm_mead_sad.mp4",
    ],
)
def test_parts_of_real_clips(media: Path, name: str) -> None:
    info = probe(media / name)
    with VideoDecoder(media / name, info) as decoder:
        batches = list(decoder)
    times = np.concatenate([batch.time for batch in batches])
    frames = np.concatenate([batch.frames[:, ::4, ::4] for batch in batches])
    np.testing.assert_array_equal(frame_times(media / name, info), times)
    start, end = round(0.6 * float(times[-1]), 6), round(0.75 * float(times[-1]), 6)
    with VideoDecoder(media / name, info, start=start, end=end) as decoder:
        part = list(decoder)
    inside = (times >= start) & (times < end)
    found = np.concatenate([batch.time for batch in part])
    np.testing.assert_allclose(found, times[inside] - start, atol=1e-9)
    np.testing.assert_array_equal(
        np.concatenate([batch.frames[:, ::4, ::4] for batch in part]), frames[inside]
    )
    assert not any("header claims" in line for line in decoder.warnings)


def test_a_size_that_changes_and_a_clock_that_starts_again(tmp_path: Path) -> None:
    first = make_clip(tmp_path / "first.ts", frames=30, sound=None)
    second = make_clip(tmp_path / "second.ts", frames=30, size=(80, 60), sound=None)
    both = tmp_path / "both.ts"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    info = probe(both)
    times, numbers = pictures(both, info)
    np.testing.assert_array_equal(frame_times(both, info), times)
    part, shown = pictures(both, info, 1.0, 2.0)
    inside = (times >= 1) & (times < 2)
    assert shown == [n for n, there in zip(numbers, inside, strict=True) if there]
    np.testing.assert_allclose(part, times[inside] - 1, atol=1e-9)


def test_parts_without_a_frame(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", times=[0, 0.04, 3.0, 3.04], sound=None)
    info = probe(path)
    between = r"from 1 s to 2 s, the last one before it is at 0\.040 s, the next one is at 3\.000 s"
    behind = r"from 9 s to the end, the last one before it is at 3\.040 s, .* duration of 3\.\d+ s"
    for start, end, cause in ((1.0, 2.0, between), (9.0, None, behind)):
        with pytest.raises(GrjcaError, match=cause):
            list(VideoDecoder(path, info, start=start, end=end))
        with pytest.raises(GrjcaError, match=cause):
            frame_times(path, info, start=start, end=end)
    assert children() == []


NONE = [(math.nan, None), (0.0, math.nan), (math.inf, None), (2.0, 2.0), (2.0, 1.0), (0.0, -1.0)]


@pytest.mark.parametrize(("start", "end"), [*NONE, (-1.0, None)])
def test_what_is_no_part_of_a_video(tmp_path: Path, start: float, end: float | None) -> None:
    path = make_clip(tmp_path / "clip.mp4", frames=3)
    info = probe(path)
    with pytest.raises(ValueError, match="part"):
        VideoDecoder(path, info, start=start, end=end)
    with pytest.raises(ValueError, match="part"):
        frame_times(path, info, start=start, end=end)


@pytest.mark.parametrize(("start", "end"), [*NONE, (-LONGEST_SILENCE - 1, None)])
def test_what_is_no_part_of_a_sound(tmp_path: Path, start: float, end: float | None) -> None:
    path = make_clip(tmp_path / "clip.wav", frames=3, video=False)
    with pytest.raises(ValueError, match=r"part|too long before"):
        AudioDecoder(path, probe(path), start=start, end=end)


def test_times_without_pictures_say_what_pictures_say(media: Path, tmp_path: Path) -> None:
    sound = make_clip(tmp_path / "sound.wav", frames=3, video=False)
    with pytest.raises(GrjcaError, match="no picture stream"):
        frame_times(sound, probe(sound))
    cut = media / "hard" / "invalid_userdata_truncated.mp4"
    with pytest.raises(GrjcaError, match="partial file"):
        frame_times(cut, probe(cut))
    path = make_clip(tmp_path / "clip.mp4", frames=3)
    info = probe(path)
    path.unlink()
    with pytest.raises(GrjcaError, match="no such file"):
        frame_times(path, info)


@given(
    start=st.floats(0, 1e4),
    length=st.none() | st.floats(2e-6, 1e4),
    container=st.sampled_from(["mov,mp4", "matroska,webm", "mpegts"]),
)
def test_places_to_begin_at(start: float, length: float | None, container: str) -> None:
    part = Part(start, None if length is None else start + length)
    places = part.seeks(container, {"mov", "matroska"})
    assert places[-1] is None
    sought = [place for place in places if place is not None]
    assert all(0 < place < start for place in sought)
    assert sought == sorted(sought, reverse=True)
    assert bool(sought) == (start > 1 and container != "mpegts")


def hear(
    path: Path, start: float = 0.0, end: float | None = None, block: float = 10.0
) -> tuple[AudioSegment, AudioDecoder]:
    with AudioDecoder(path, probe(path), start=start, end=end, block=block) as decoder:
        blocks = list(decoder)
    assert [b.start for b in blocks] == np.cumsum([0, *(len(b) for b in blocks)])[:-1].tolist()
    samples = np.concatenate([np.zeros(0, np.float32), *(b.samples for b in blocks)])
    present = np.concatenate([np.zeros(0, np.bool_), *(b.present for b in blocks)])
    assert not samples[~present].any()
    return AudioSegment(samples, present, 0), decoder


def chirp(seconds: float, rate: int) -> NDArray[np.float32]:
    """Sound of which no two moments are alike."""
    t = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * (300 + 200 * t) * t)).astype(np.float32)


SOUNDS: dict[str, dict[str, object]] = {
    "clip.wav": {"video": False, "sound_rate": 44_100},
    "odd.wav": {"video": False, "sound_rate": 44_099},
    "clip.mp4": {"sound_rate": 48_000},
    "late.mp4": {"sound_start": 0.5},
    "early.mov": {"sound_start": -0.5},
    "gaps.mkv": {"sound_gaps": [(2.5, 0.4)]},
    "clip.mkv": {"sound_codec": "libopus", "sound_rate": 48_000},
    "clip.avi": {"video_codec": "mpeg4", "sound_codec": "libmp3lame"},
    "clip.ts": {},
    "song.mp3": {"video": False, "sound_codec": "libmp3lame"},
}


@pytest.fixture(scope="module", params=SOUNDS)
def song(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    name: str = request.param
    options = SOUNDS[name]
    rate = options.get("sound_rate", 44_100)
    assert isinstance(rate, int)
    path = tmp_path_factory.mktemp("songs") / name
    return make_clip(path, frames=125, sound=chirp(5.0, rate), **options)  # type: ignore[arg-type]


def test_a_part_has_exactly_its_sound(song: Path) -> None:
    whole, _ = hear(song)
    for start, end in ((1.5, 2.75), (3.5, None), (-1.25, 0.5)):
        part, decoder = hear(song, start, end, block=0.3)
        first = round(start * AUDIO_RATE)
        last = len(whole) if end is None else round(end * AUDIO_RATE)
        before = max(-first, 0)
        expected = whole.samples[max(first, 0) : last]
        np.testing.assert_allclose(part.samples[before:], expected, atol=2e-4)
        np.testing.assert_array_equal(part.present[before:], whole.present[max(first, 0) : last])
        assert not part.present[:before].any()
        assert decoder.warnings == ()


def test_a_part_between_two_samples(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.wav", video=False, frames=100)
    whole, _ = hear(path)
    part, _ = hear(path, 1.00002, 1.50002)
    np.testing.assert_allclose(part.samples, whole.samples[16_000:24_000], atol=1e-6)


def test_parts_without_sound(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.wav", video=False, frames=50)
    before, decoder = hear(path, -3.0, -1.0)
    assert (len(before), before.present.any()) == (2 * AUDIO_RATE, False)
    assert decoder.warnings == ("no sound lies in the part from -3 s to -1 s",)
    behind, decoder = hear(path, 10.0, 11.0)
    assert len(behind) == 0
    assert decoder.warnings == ("no sound lies in the part from 10 s to 11 s",)
    assert children() == []


def test_a_part_of_a_recording_is_not_decoded_from_its_beginning(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.wav", video=False, frames=750, sound_rate=48_000)
    with AudioDecoder(path, probe(path), start=2.0, block=0.1) as decoder:
        blocks = iter(decoder)
        next(blocks)
        (pid,) = children()
        command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    assert "-ss" in command
