"""Probing: what is found, what is refused, and that nothing else is opened."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
from media_makers import join, make_clip, number_frame, read_number

from grjca.errors import GrjcaError, UsageError
from grjca.stages.audio import AudioDecoder
from grjca.stages.ffmpeg import ffmpeg_version, find_ffmpeg
from grjca.stages.probe import probe
from grjca.stages.types import AudioStream, MediaInfo, VideoStream
from grjca.stages.video import VideoDecoder

HARD = {
    "audio_only.mp4": (None, "aac"),
    "decord_video_rot90.mov": ((320, 568, 270), None),
    "fire2_rotated_vfr_phone.mp4": ((1280, 720, 180), "aac"),
    "nasa_13013_multistream.mp4": ((320, 180, 0), "aac"),
    "no_duration.webm": ((1280, 720, 0), "opus"),
}
REFUSED = {
    "chunk_out_of_range.mp4": "STSC and STCO",
    "header_only.flv": "End of file",
    "no_streams.mp4": "holds no picture and no sound stream",
}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("clips") / "clip.mp4", frames=10, channels=2)


def test_picture_and_sound(clip: Path) -> None:
    info = probe(clip)
    assert info.video == VideoStream(0, "h264", 160, 120, 0, 25.0, 10)
    assert info.audio == AudioStream(1, "aac", 44_100, 2)
    assert "mp4" in info.container
    assert info.duration == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_size_is_that_of_the_displayed_picture(tmp_path: Path, rotation: int) -> None:
    path = make_clip(tmp_path / "turned.mp4", frames=3, rotation=rotation, sound=None)
    video = probe(path).video
    assert video is not None
    assert (video.width, video.height, video.rotation) == (160, 120, rotation)


def test_sound_only_and_picture_only_are_ordinary(tmp_path: Path) -> None:
    sound = probe(make_clip(tmp_path / "sound.wav", frames=5, video=False))
    picture = probe(make_clip(tmp_path / "picture.mkv", frames=5, sound=None))
    assert (sound.video, picture.audio) == (None, None)
    assert sound.audio is not None
    assert picture.video is not None
    assert picture.video.frames is None


def test_cover_art_is_not_the_picture(tmp_path: Path) -> None:
    song = make_clip(tmp_path / "song.m4a", frames=25, video=False)
    cover = tmp_path / "cover.png"
    cv2.imwrite(os.fspath(cover), number_frame(1))
    both = tmp_path / "both.m4a"
    inputs = ["-i", os.fspath(cover), "-i", os.fspath(song), "-map", "0", "-map", "1"]
    mark = ["-c", "copy", "-disposition:v:0", "attached_pic"]
    subprocess.run([find_ffmpeg(), "-v", "error", *inputs, *mark, both], check=True)
    info = probe(both)
    assert info.video is None
    assert info.audio is not None


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of 160 and of 120 pixels, then sound of 8 and of 16 kHz."""
    folder = tmp_path_factory.mktemp("streams")
    parts = [
        make_clip(folder / "a.mp4", frames=5, sound=None),
        make_clip(folder / "b.mp4", frames=5, size=(120, 160), sound=None),
        make_clip(folder / "c.m4a", frames=5, video=False, sound_rate=8_000),
        make_clip(folder / "d.m4a", frames=5, video=False, sound_rate=16_000, channels=2),
    ]
    return join(parts, folder / "all.mkv")


def found(path: Path, **choice: int) -> tuple[int | None, int | None]:
    """Width of the picture and rate of the sound that are found."""
    info = probe(path, **choice)
    return info.video and info.video.width, info.audio and info.audio.rate


def test_a_stream_by_its_number(streams: Path) -> None:
    assert found(streams, video_stream=0) == (160, 8_000)
    assert found(streams, video_stream=1) == (120, 8_000)
    assert found(streams, video_stream=1, audio_stream=1) == (120, 16_000)
    info = probe(streams, video_stream=1, audio_stream=1)
    assert info.video is not None
    assert info.audio is not None
    assert (info.video.index, info.audio.index) == (1, 3)


def test_cover_art_is_not_counted(streams: Path, tmp_path: Path) -> None:
    cover = tmp_path / "cover.png"
    cv2.imwrite(os.fspath(cover), number_frame(1))
    path = join([cover, streams], tmp_path / "all.mp4", options=["-disposition:0", "attached_pic"])
    assert found(path, video_stream=0) == (160, 8_000)
    assert found(path, video_stream=1) == (120, 8_000)
    with pytest.raises(GrjcaError, match="has 2 picture streams"):
        probe(path, video_stream=2)


@pytest.mark.parametrize("number", [2, 100, -1])
def test_a_stream_that_is_not_there(streams: Path, clip: Path, number: int) -> None:
    with pytest.raises(GrjcaError, match=f"picture stream {number} was.*has 2 picture streams"):
        probe(streams, video_stream=number)
    with pytest.raises(GrjcaError, match=f"sound stream {number} was.*has 1 sound stream,"):
        probe(clip, audio_stream=number)


def test_no_stream_of_the_kind(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "sound.wav", frames=5, video=False)
    with pytest.raises(GrjcaError, match=r"picture stream 0 was.*has 0 picture streams"):
        probe(path, video_stream=0)


def test_the_default_stream_is_the_marked_one(streams: Path, tmp_path: Path) -> None:
    none = ["-disposition", "0"]
    cases: list[tuple[list[int], tuple[int, int]]] = [
        ([], (160, 8_000)),
        ([1], (120, 8_000)),
        ([3], (160, 16_000)),
        ([0, 1, 2, 3], (160, 8_000)),
    ]
    for number, (marked, expected) in enumerate(cases):
        marks = [word for index in marked for word in (f"-disposition:{index}", "default")]
        path = join([streams], tmp_path / f"{number}.mkv", options=[*none, *marks])
        assert found(path) == expected


def test_streams_of_a_real_file(media: Path) -> None:
    path = media / "hard" / "nasa_13013_multistream.mp4"
    assert found(path) == found(path, video_stream=0, audio_stream=0) == (320, 8_000)
    assert found(path, video_stream=1, audio_stream=1) == (480, 16_000)
    with VideoDecoder(path, probe(path, video_stream=1)) as decoder:
        assert sum(len(batch) for batch in decoder) == 390


@pytest.mark.parametrize("name", sorted(HARD))
def test_real_hard_inputs(media: Path, name: str) -> None:
    picture, sound = HARD[name]
    info = probe(media / "hard" / name)
    video = info.video and (info.video.width, info.video.height, info.video.rotation)
    assert (video, info.audio and info.audio.codec) == (picture, sound)
    if name == "no_duration.webm":
        assert info.duration is None


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_real_files_that_are_none_give_one_line(media: Path, name: str) -> None:
    with pytest.raises(GrjcaError, match=REFUSED[name]) as caught:
        probe(media / "hard" / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "notes.mp4").write_text("these are no pictures\n" * 100)
    os.mkfifo(tmp_path / "fifo.mp4")
    expected = {
        "missing.mp4": "no such file",
        ".": "this is a folder",
        "empty.mp4": "empty",
        "notes.mp4": "Invalid data found when processing input",
        "fifo.mp4": "not a regular file",
    }
    for name, cause in expected.items():
        with pytest.raises(GrjcaError, match=cause):
            probe(tmp_path / name)


def test_a_truncated_file_says_so(clip: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[:3000])
    with pytest.raises(GrjcaError, match="moov atom not found"):
        probe(cut)


@pytest.mark.parametrize(
    "name",
    ["-i.mp4", "with space.mp4", "line\nbreak.mp4", "ünï-日本.mp4", "%03d.mp4", "a:b,[c]';#?.mp4"],
)
def test_names_mean_nothing(
    clip: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(name)
    path.write_bytes(clip.read_bytes())
    info = probe(path)
    with VideoDecoder(path, info) as pictures:
        assert sum(len(batch) for batch in pictures) == 10
    with AudioDecoder(path, info) as sound:
        assert sum(len(block) for block in sound) > 6000


def test_a_name_that_is_not_unicode(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"latin-\xfc.mp4")
    path.write_bytes(clip.read_bytes())
    info = probe(path)
    with VideoDecoder(path, info) as pictures:
        assert sum(len(batch) for batch in pictures) == 10


@pytest.mark.parametrize("suffix", [".wav", ".mkv", ".avi"])
def test_titles_need_not_be_unicode(tmp_path: Path, suffix: str) -> None:
    source = make_clip(
        tmp_path / f"clip{suffix}", frames=3, video=suffix != ".wav", video_codec="mpeg4"
    )
    titled = tmp_path / f"titled{suffix}"
    title = ["-metadata", "title=cafXXXX", "-c", "copy"]
    subprocess.run([find_ffmpeg(), "-v", "error", "-i", source, *title, titled], check=True)
    titled.write_bytes(titled.read_bytes().replace(b"cafXXXX", b"caf\xe9\xff\xfe!"))
    assert probe(titled) == probe(source)


def test_time_limit(clip: Path) -> None:
    with pytest.raises(GrjcaError, match="time is up"):
        probe(clip, time_limit=0.001)


def test_modules_in_the_working_directory_are_not_imported(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "av.py").write_text("raise SystemExit('imported from the working directory')")
    monkeypatch.chdir(tmp_path)
    assert probe(clip.resolve()).video is not None


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        listening.settimeout(0.2)
        yield listening


def test_playlists_open_no_other_file_and_no_connection(
    clip: Path, tmp_path: Path, server: socket.socket
) -> None:
    port = server.getsockname()[1]
    other = tmp_path / "other.mp4"
    other.write_bytes(clip.read_bytes())
    segment = make_clip(tmp_path / "segment.ts", frames=10, sound=None)
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"
    lists = {
        "concat.mp4": "ffconcat version 1.0\nfile other.mp4\n",
        "hls.mp4": hls.format(segment.name),
        "hls.m3u8": hls.format(segment.name),
        "web.mp4": hls.format(f"http://127.0.0.1:{port}/segment.ts"),
        "dash.mp4": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011">'
        f"<Period><AdaptationSet><Representation><BaseURL>http://127.0.0.1:{port}/x.mp4"
        "</BaseURL></Representation></AdaptationSet></Period></MPD>",
        "session.sdp": f"v=0\nc=IN IP4 127.0.0.1\nm=video {port} RTP/AVP 96\n",
    }
    # Both decoders are tried too, as if probing had let the file pass.
    info = MediaInfo(
        "mp4", 1.0, VideoStream(0, "h264", 160, 120, 0, 25, 10), AudioStream(1, "aac", 44_100, 1)
    )
    for name, content in lists.items():
        path = tmp_path / name
        path.write_text(content)
        with pytest.raises(GrjcaError):
            probe(path)
        with pytest.raises(GrjcaError, match=r"whitelist|Invalid data"):
            list(VideoDecoder(path, info))
        assert list(AudioDecoder(path, info)) == []
    with pytest.raises(TimeoutError):
        server.accept()


def test_a_web_address_is_a_missing_file(server: socket.socket) -> None:
    port = server.getsockname()[1]
    with pytest.raises(GrjcaError, match="no such file"):
        probe(Path(f"http://127.0.0.1:{port}/x.mp4"))
    with pytest.raises(TimeoutError):
        server.accept()


def test_which_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_ffmpeg()
    assert ffmpeg_version(found)[0].isalnum()
    old = tmp_path / "ffmpeg"
    old.write_text("#!/bin/sh\necho 'ffmpeg version 4.4.2\nlibavcodec     58.134.100'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", os.fspath(tmp_path), prepend=os.pathsep)
    assert find_ffmpeg() != old
    assert ffmpeg_version(old) == "4.4.2"
    monkeypatch.setenv("GRJCA_FFMPEG", os.fspath(old))
    with pytest.raises(UsageError, match=r"5\.1 or later"):
        find_ffmpeg()
    monkeypatch.setenv("GRJCA_FFMPEG", sys.executable)
    with pytest.raises(UsageError):
        find_ffmpeg()
    monkeypatch.setenv("GRJCA_FFMPEG", os.fspath(found))
    assert find_ffmpeg() == found


def test_makers_agree_with_themselves() -> None:
    assert [read_number(number_frame(n)) for n in (0, 1, 1000, 4095)] == [0, 1, 1000, 4095]
    assert read_number(np.ascontiguousarray(np.rot90(number_frame(7)))) is None
