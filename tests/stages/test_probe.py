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
from media_makers import make_clip, number_frame, read_number

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
