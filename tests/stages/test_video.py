"""Row i is decoded frame i: numbers burnt into the pictures, real clips, and how processes end."""

from __future__ import annotations

import csv
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_makers import children, join, make_clip, read_number
from numpy.typing import NDArray

from grjca.errors import GrjcaError
from grjca.stages.ffmpeg import find_ffmpeg
from grjca.stages.frame_clock import FrameClock
from grjca.stages.probe import probe
from grjca.stages.process import DecoderProcess, Words, describe_exit
from grjca.stages.types import FrameBatch
from grjca.stages.video import VideoDecoder

HANDFUL = [
    "av/grid_bbaf2n.mpg",
    "av/retalking_face_1_vfr.mp4",
    "av/short_hamilton_clip.mp4",
    "av/lrs_demo_0p9s.mp4",
    "video_only/eamm_mead_sad.mp4",
    "video_only/asl_again.mkv",
    "hard/fire2_rotated_vfr_phone.mp4",
    "hard/nasa_13013_multistream.mp4",
    "hard/no_duration.webm",
    "hard/minimal_one_frame.mp4",
]
NO_PICTURE = {
    "chunk_out_of_range.mp4",
    "header_only.flv",
    "no_streams.mp4",
    "audio_only.mp4",
    "invalid_userdata_truncated.mp4",
}
# OpenCV stops at the first packet that does not decode; see test_a_bad_packet_costs_one_frame.
OPENCV_IS_WRONG = {"hard/decord_corrupted.mp4": 49}


def decode(path: Path, **options: int) -> tuple[FrameBatch, VideoDecoder]:
    """All frames of a small clip as one batch."""
    with VideoDecoder(path, probe(path), **options) as decoder:
        batches = list(decoder)
    firsts = np.cumsum([0, *(len(batch) for batch in batches[:-1])])
    assert [batch.first for batch in batches] == firsts.tolist()
    frames = np.concatenate([batch.frames for batch in batches])
    return FrameBatch(frames, np.concatenate([batch.time for batch in batches]), 0), decoder


def numbers(clip: FrameBatch) -> list[int | None]:
    return [read_number(frame) for frame in clip.frames]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".ts"])
@pytest.mark.parametrize("fps", [25.0, 30.0])
def test_constant_rate(tmp_path: Path, suffix: str, fps: float) -> None:
    path = make_clip(tmp_path / f"clip{suffix}", frames=40, fps=fps, sound=None)
    clip, decoder = decode(path, batch=7)
    assert numbers(clip) == list(range(40))
    tolerance = 1e-3 if suffix == ".mkv" else 1.2e-5  # Matroska counts milliseconds
    np.testing.assert_allclose(clip.time, np.arange(40) / fps, atol=tolerance)
    assert (decoder.warnings, decoder.repaired) == ((), 0)


QUIET = {"x265-params": "log-level=error"}
INTERLACED = {"flags": "+ilme+ildct"}
CODECS: list[tuple[str, str, str, dict[str, str]]] = [
    (".mp4", "libx264", "yuv420p", INTERLACED | {"x264-params": "tff=1"}),
    (".mpg", "mpeg2video", "yuv420p", INTERLACED | {"bf": "2"}),
    (".mp4", "libx264", "yuv420p10le", {}),
    (".mp4", "libx264", "yuv444p", {}),
    (".flv", "libx264", "yuv420p", {}),
    (".mp4", "libx265", "yuv420p", QUIET),
    (".mov", "libx265", "yuv420p10le", QUIET),
    (".mkv", "libsvtav1", "yuv420p", {"preset": "8", "crf": "5"}),
    (".webm", "libvpx", "yuv420p", {}),
    (".webm", "libvpx-vp9", "yuv420p", {}),
    (".mpg", "mpeg1video", "yuv420p", {"bf": "2"}),
    (".wmv", "wmv2", "yuv420p", {}),
    (".avi", "mjpeg", "yuvj420p", {}),
    (".avi", "mpeg4", "yuv420p", {"bf": "2"}),
    (".avi", "rawvideo", "bgr24", {}),
    (".mov", "prores", "yuv422p10le", {}),
    (".mov", "mjpeg", "yuvj422p", {}),
    (".mkv", "ffv1", "yuv444p10le", {}),
]


@pytest.mark.parametrize(("suffix", "codec", "pixels", "options"), CODECS)
def test_codecs(
    tmp_path: Path, suffix: str, codec: str, pixels: str, options: dict[str, str]
) -> None:
    path = make_clip(
        tmp_path / f"clip{suffix}",
        frames=40,
        video_codec=codec,
        pixel_format=pixels,
        options=options,
        sound=None,
    )
    clip, decoder = decode(path, batch=16)
    assert numbers(clip) == list(range(40))
    np.testing.assert_allclose(np.diff(clip.time), 0.04, atol=1e-3)
    assert (decoder.warnings, decoder.repaired) == ((), 0)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
    assert frame.format.name == pixels
    assert frame.interlaced_frame == ("flags" in options)


@pytest.mark.parametrize("claimed", [3, 50, 2**31 - 1])
def test_a_wrong_number_of_frames_in_the_header(tmp_path: Path, claimed: int) -> None:
    path = make_clip(tmp_path / "clip.avi", frames=40, video_codec="mpeg4", sound=None)
    content = bytearray(path.read_bytes())
    # dwTotalFrames of the main header, and dwLength of the stream's.
    for place in (content.index(b"avih") + 8 + 16, content.index(b"strh") + 8 + 32):
        assert int.from_bytes(content[place : place + 4], "little") == 40
        content[place : place + 4] = claimed.to_bytes(4, "little")
    path.write_bytes(content)
    clip, decoder = decode(path)
    assert numbers(clip) == list(range(40))
    told = f"40 frames decode where the header claims {claimed}"
    assert decoder.warnings == ((told,) if claimed > 40 else ())


def test_several_streams(tmp_path: Path) -> None:
    parts = [
        make_clip(tmp_path / "left.mkv", frames=10, size=(160, 120), sound=None),
        make_clip(tmp_path / "right.mkv", frames=20, size=(120, 160), sound=None),
    ]
    both = join(parts, tmp_path / "both.mkv")
    for stream, (path, frames) in enumerate(zip(parts, (10, 20), strict=True)):
        with VideoDecoder(both, probe(both, video_stream=stream)) as decoder:
            here = np.concatenate([batch.frames for batch in decoder])
        np.testing.assert_array_equal(here, decode(path)[0].frames)
        assert len(here) == frames


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_rate(tmp_path: Path, suffix: str) -> None:
    # Frames far closer than the nominal 40 ms, and long pauses: a constant rate would drop some
    # of them and repeat others.
    steps = [40, 1, 1, 150, 33, 33, 2, 900, 40, 7, 5, 11, 400, 40, 40, 1]
    times = np.concatenate([[0], np.cumsum(steps)]) / 1000
    path = make_clip(tmp_path / f"clip{suffix}", times=times.tolist())
    clip, decoder = decode(path)
    assert numbers(clip) == list(range(len(times)))
    np.testing.assert_allclose(clip.time, times, atol=1.2e-5)
    assert decoder.repaired == 0


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_is_applied(tmp_path: Path, rotation: int) -> None:
    times = [0, 0.04, 0.3, 0.31, 0.5]
    path = make_clip(tmp_path / "clip.mp4", times=times, rotation=rotation, sound=None)
    clip, _ = decode(path)
    assert clip.frames.shape == (5, 120, 160, 3)
    assert numbers(clip) == list(range(5))
    np.testing.assert_allclose(clip.time, times, atol=1.2e-5)


def test_pictures_that_start_after_the_sound(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", frames=10, sound_start=-0.5)
    clip, _ = decode(path)
    np.testing.assert_allclose(clip.time, 0.5 + np.arange(10) / 25, atol=1.2e-5)


def test_size_changes_in_midstream(tmp_path: Path) -> None:
    first = make_clip(tmp_path / "first.ts", frames=10, sound=None)
    second = make_clip(tmp_path / "second.ts", frames=10, size=(80, 60), sound=None)
    both = tmp_path / "both.ts"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    clip, decoder = decode(both)
    assert clip.frames.shape == (20, 120, 160, 3)
    assert numbers(clip) == [*range(10), *range(10)]
    # The second part's stamps begin again at 0.
    np.testing.assert_allclose(np.diff(clip.time), 0.04, atol=0.05)
    assert len(decoder.warnings) <= 2


def test_batches_are_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grjca.stages.video.BATCH_BYTES", 3 * 160 * 120 * 3)
    path = make_clip(tmp_path / "clip.mp4", frames=8, sound=None)
    with VideoDecoder(path, probe(path)) as decoder:
        assert [len(batch) for batch in decoder] == [3, 3, 2]


def test_pictures_are_what_pyav_decodes(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", frames=5, sound=None)
    clip, _ = decode(path)
    with av.open(str(path)) as container:
        expected = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert np.abs(clip.frames.astype(int) - np.array(expected)).max() <= 3


def index(media: Path) -> dict[str, int]:
    with (media / "media_index.csv").open() as lines:
        counts = {row["file"]: int(row["frames_decoded"]) for row in csv.DictReader(lines)}
    return counts | OPENCV_IS_WRONG


def check_real_clip(media: Path, name: str) -> NDArray[np.float64]:
    path = media / name
    info = probe(path)
    rows, times = 0, []
    with VideoDecoder(path, info) as decoder:
        for batch in decoder:
            assert batch.first == rows
            rows += len(batch)
            times.append(batch.time)
    assert rows == index(media)[name]
    assert info.video is not None
    assert batch.frames.shape[1:] == (info.video.height, info.video.width, 3)
    return np.concatenate(times)


@pytest.mark.parametrize("name", HANDFUL)
def test_real_clips(media: Path, name: str) -> None:
    times = check_real_clip(media, name)
    with av.open(str(media / name)) as container:
        start = (container.start_time or 0) / av.time_base
        expected = [frame.time - start for frame in container.decode(video=0)]
    np.testing.assert_allclose(times, expected, atol=5e-6)


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["av", "video_only", "hard"])
def test_every_real_clip(media: Path, folder: str) -> None:
    names = [f"{folder}/{path.name}" for path in sorted((media / folder).iterdir())]
    for name in names:
        if Path(name).name not in NO_PICTURE and name not in HANDFUL:
            check_real_clip(media, name)


def test_a_bad_packet_costs_one_frame(media: Path) -> None:
    path = media / "hard" / "decord_corrupted.mp4"
    clip, decoder = decode(path)
    # 50 packets, of which the one for 3.0 s does not decode.
    assert np.round(clip.time * 10).astype(int).tolist() == [i for i in range(50) if i != 30]
    assert len({frame[::8, ::8].tobytes() for frame in clip.frames}) == 49
    assert any("Invalid NAL unit size" in line for line in decoder.warnings)
    assert any("header claims 50" in line for line in decoder.warnings)
    capture, seen = cv2.VideoCapture(str(path)), 0
    while capture.read()[0]:
        seen += 1
    assert seen <= 49


def test_a_cut_off_end_is_told(media: Path) -> None:
    path = media / "video_only" / "eamm_mead_sad.mp4"
    clip, decoder = decode(path)
    assert len(clip) == 110
    assert decoder.warnings == ("110 frames decode where the header claims 157",)


def test_nothing_decodes(media: Path) -> None:
    path = media / "hard" / "invalid_userdata_truncated.mp4"
    with pytest.raises(GrjcaError, match="partial file") as caught:
        decode(path)
    assert "\n" not in str(caught.value)
    assert children() == []


def test_no_picture_stream(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "sound.wav", video=False)
    with pytest.raises(GrjcaError, match="no picture stream"):
        VideoDecoder(path, probe(path))


def test_a_picture_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_clip(tmp_path / "clip.mp4", frames=3, sound=None)
    info = probe(path)
    monkeypatch.setattr("grjca.stages.video.MAX_PIXELS", 100 * 100)
    with pytest.raises(GrjcaError, match="size"):
        list(VideoDecoder(path, info))


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("long")
    return make_clip(folder / "clip.mkv", frames=300, size=(640, 480), sound=None)


def test_early_ends_leave_nothing_behind(long_clip: Path) -> None:
    info = probe(long_clip)
    files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()

    def broken_off() -> None:
        with VideoDecoder(long_clip, info, batch=4) as decoder:
            for _ in decoder:
                break

    def without_context() -> None:
        for _ in VideoDecoder(long_clip, info, batch=4):
            break

    def failing_caller() -> None:
        with VideoDecoder(long_clip, info, batch=4) as decoder:
            next(iter(decoder))
            raise ArithmeticError

    def started_again() -> None:
        with VideoDecoder(long_clip, info, batch=4) as decoder:
            old = iter(decoder)
            assert next(old).first == 0
            new = iter(decoder)
            assert next(new).first == 0
            assert list(old) == []

    # Nothing may wait for the garbage collector.
    gc.disable()
    try:
        broken_off()
        without_context()
        assert children() == []
    finally:
        gc.enable()
    with pytest.raises(ArithmeticError):
        failing_caller()
    started_again()
    assert children() == []
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == files


def test_a_decoder_ends_with_its_parent(long_clip: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path;"
        "from grjca.stages.probe import probe; from grjca.stages.video import VideoDecoder;"
        "path = Path(sys.argv[1]); batches = iter(VideoDecoder(path, probe(path), batch=1));"
        "next(batches); print('ready', flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, os.fspath(long_clip)], stdout=subprocess.PIPE
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        assert parent.stdout.readline() == b"ready\n"
        (decoder,) = children(parent.pid)
        os.kill(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{decoder}/cmdline").exists() and time.monotonic() < deadline:
        if not Path(f"/proc/{decoder}/cmdline").read_bytes():
            break  # dead, and only waiting for its new parent to notice
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{decoder}").exists()


def test_a_killed_decoder_is_told(long_clip: Path) -> None:
    with VideoDecoder(long_clip, probe(long_clip), batch=4) as decoder:
        batches = iter(decoder)
        rows = len(next(batches))
        (pid,) = children()
        os.kill(pid, signal.SIGKILL)
        rows += sum(len(batch) for batch in batches)
    assert 4 <= rows < 300
    assert any(f"SIGKILL) after {rows} frames" in line for line in decoder.warnings)


def test_a_silent_decoder_is_ended() -> None:
    start = time.monotonic()

    def read() -> None:
        command = ["sh", "-c", "echo '[error] thinking' >&2; sleep 60 & sleep 60"]
        source = Path("clip.mp4")
        with DecoderProcess(command, stage="video", source=source, time_limit=0.5) as process:
            process.stdout.read(1)

    with pytest.raises(GrjcaError, match=r"clip\.mp4: video: time is up.*thinking"):
        read()
    assert time.monotonic() - start < 10
    assert children() == []


def test_the_callers_own_work_costs_no_time(tmp_path: Path) -> None:
    command = ["sh", "-c", "echo a; echo b"]
    with DecoderProcess(command, stage="video", source=tmp_path, time_limit=1.0) as process:
        assert process.stdout.readline() == b"a\n"
        time.sleep(1.2)
        assert process.stdout.read() == b"b\n"
        assert process.finish() == 0


def test_endless_computing_is_ended_by_the_system(tmp_path: Path) -> None:
    endless = ["-f", "lavfi", "-i", "testsrc", "-f", "null", "-"]
    command = [str(find_ffmpeg()), "-nostdin", "-v", "error", "-timelimit", "1", *endless]
    with DecoderProcess(command, stage="video", source=tmp_path) as process:
        assert process.stdout.read() == b""
        status = process.finish()
    assert status != 0


def test_a_decoder_is_limited_in_what_it_opens_and_computes(long_clip: Path) -> None:
    with VideoDecoder(long_clip, probe(long_clip), batch=1) as decoder:
        batches = iter(decoder)
        next(batches)
        command = Path(f"/proc/{children()[0]}/cmdline").read_text().split("\0")
    assert int(command[command.index("-timelimit") + 1]) >= 600
    before_input = command[: command.index("-i")]
    assert {"-protocol_whitelist", "-format_whitelist", "-max_pixels"} <= set(before_input)
    assert command[command.index("-i") + 1] == f"file:{long_clip}"
    assert describe_exit(-signal.SIGXCPU) == "SIGXCPU"


def test_a_decoder_may_not_use_all_the_memory(tmp_path: Path) -> None:
    hungry = "print(len(bytearray(300 << 20)))"
    command = [sys.executable, "-c", hungry]
    with DecoderProcess(command, stage="video", source=tmp_path, memory=1 << 30) as process:
        assert int(process.stdout.read()) == 300 << 20
        assert process.finish() == 0
    with DecoderProcess(command, stage="video", source=tmp_path, memory=256 << 20) as process:
        assert process.stdout.read() == b""
        assert process.finish() == 1
        assert "MemoryError" in process.words.cause()


def test_a_clip_that_needs_too_much_memory_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_clip(tmp_path / "clip.mkv", frames=3, size=(4096, 2304), sound=None)
    info = probe(path)
    monkeypatch.setattr("grjca.stages.video.MEMORY_LIMIT", 256 << 20)
    monkeypatch.setattr("grjca.stages.video.BYTES_PER_PIXEL", 0)
    with pytest.raises(GrjcaError) as caught:
        list(VideoDecoder(path, info))
    assert "\n" not in str(caught.value)
    assert children() == []


def test_large_pictures_fit_into_the_memory(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", frames=6, size=(4096, 2304), sound=None)
    clip, decoder = decode(path)
    assert numbers(clip) == list(range(6))
    assert decoder.warnings == ()


def test_what_cannot_be_started(tmp_path: Path) -> None:
    missing = [str(tmp_path / "no-ffmpeg")]
    with pytest.raises(GrjcaError, match="cannot be started: No such file"):
        DecoderProcess(missing, stage="video", source=tmp_path)


@given(st.lists(st.none() | st.integers(-(2**62), 2**62) | st.integers(-2000, 2_000_000)))
def test_times_always_increase(stamps: list[int | None]) -> None:
    clock = FrameClock(0.04)
    times = [clock.place(stamp) for stamp in stamps]
    assert all(np.isfinite(times))
    assert (np.diff(times) > 0).all()
    unique = sorted({stamp for stamp in stamps if stamp is not None and abs(stamp) < 2**50})
    honest = FrameClock(0.04)
    assert [honest.place(stamp) for stamp in unique] == [stamp / 1e6 for stamp in unique]
    assert honest.repaired == 0


def test_repairs() -> None:
    clock = FrameClock(0.04)
    stamps = [0, 40_000, 40_000, 80_000, None, 160_000, 5_000_000, 0, 40_000]
    times = [clock.place(stamp) for stamp in stamps]
    expected = [0, 0.04, 0.041, 0.08, 0.12, 0.16, 5, 5.04, 5.08]
    np.testing.assert_allclose(times, expected, rtol=0, atol=1e-12)
    # A restarted clock is repaired from there on: its frames no longer stand at their own stamps.
    assert clock.repaired == 4


def test_words_are_bounded_and_told_once() -> None:
    words = Words()
    for i in range(1000):
        words.add(f"[h264 @ 0x{i:x}] [error] concealing {i} errors")
        words.add(f"[mov @ 0x1] [warning] {'abcdefghij'[i % 10] * (i + 1)}")
    words.add("[swscaler @ 0x1] [warning] deprecated pixel format used")
    assert words.cause() == "[h264] concealing 0 errors"
    assert len(words.distinct()) == 21
    assert all(len(line) <= 300 for line in words.distinct())
