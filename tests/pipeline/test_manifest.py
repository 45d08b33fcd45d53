"""A table of clips: what its cells mean, and what is refused with the line's number."""

from __future__ import annotations

from pathlib import Path

import pytest

from grjca.errors import UsageError
from grjca.pipeline.manifest import read_manifest, seconds
from grjca.pipeline.source import ClipSource


def write(folder: Path, *lines: str, header: str = "clip,video") -> Path:
    path = folder / "manifest.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_every_column_arrives(tmp_path: Path) -> None:
    header = (
        "clip,video,audio,offset,camera,start,end,subject,session,partition,faces,"
        "video_stream,audio_stream"
    )
    path = write(
        tmp_path,
        "p1/greeting,rec/cam1.mp4,rec/mic.wav,-2.5,cam1,1:02.5,1:01:00,p1,s2,train,left,1,0",
        "p1/rest,rec/cam1.mp4,,,,,,,,,,,",
        header=header,
    )
    clips = read_manifest(path).clips
    about = {"camera": "cam1", "subject": "p1", "session": "s2", "partition": "train"}
    assert clips == {
        "p1/greeting": ClipSource(
            tmp_path / "rec/cam1.mp4", sound=tmp_path / "rec/mic.wav", offset=-2.5, start=62.5,
            end=3660.0, video_stream=1, audio_stream=0, faces="left", about=about,
        ),
        "p1/rest": ClipSource(tmp_path / "rec/cam1.mp4", about={}),
    }  # fmt: skip


def test_a_clip_is_called_by_its_video_where_nothing_else_is_said(tmp_path: Path) -> None:
    assert list(read_manifest(write(tmp_path, "./a/b.mp4", header="video")).clips) == ["a/b.mp4"]
    with pytest.raises(UsageError, match=r"manifest\.csv:2.*needs a name"):
        read_manifest(write(tmp_path, ",/data/b.mp4"))


def test_a_folder_is_one_of_images(tmp_path: Path) -> None:
    (tmp_path / "trial").mkdir()
    clips = read_manifest(write(tmp_path, "trial,25", header="video,fps")).clips
    assert clips["trial"].images
    assert clips["trial"].fps == 25


def test_a_spreadsheets_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes('\ufeffvideo, subject\r\n"a, b.mp4", Zoë\r\n\r\n'.encode())
    assert read_manifest(path).clips["a, b.mp4"].about == {"subject": "Zoë"}


@pytest.mark.parametrize(
    ("header", "line", "said"),
    [
        ("clip,vido", "a,b", "unknown columns: vido"),
        ("clip,clip,video", "a,b,c", "columns twice: clip"),
        ("clip,audio", "a,b", "no column video"),
        ("clip,video", "a,b,c", "not 2 cells"),
        ("clip,video", "a", "not 2 cells"),
        ("clip,video", "a,", ":2: .*no video named|:2.*no video named"),
        ("clip,video", "../a,b.mp4", "not a clip's name"),
        ("clip,video,start", "a,b.mp4,soon", "start 'soon' is not a time"),
        ("clip,video,start", "a,b.mp4,-1", "no part of a recording"),
        ("clip,video,start,end", "a,b.mp4,5,5", "no part of a recording"),
        ("clip,video,end", "a,b.mp4,nan", "is not a time"),
        ("clip,video,offset", "a,b.mp4,3", "no audio file"),
        ("clip,video,faces", "a,b.mp4,both", "known: main, left, right, all"),
        ("clip,video,video_stream", "a,b.mp4,first", "not a whole number"),
        ("clip,video,fps", "a,b.mp4,0", "0.0 images a second"),
    ],
)
def test_what_makes_no_sense_is_refused_in_its_line(
    tmp_path: Path, header: str, line: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said) as error:
        read_manifest(write(tmp_path, line, header=header))
    assert "\n" not in str(error.value)


def test_two_clips_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"manifest\.csv:3.*a second clip called a"):
        read_manifest(write(tmp_path, "a,b.mp4", "a,c.mp4"))


def test_no_manifest_at_all(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(UsageError, match="manifest"):
            read_manifest(path)
    with pytest.raises(UsageError, match="no clips in it"):
        read_manifest(write(tmp_path))
    (tmp_path / "latin.csv").write_bytes(b"video\n\xe9.mp4\n")
    with pytest.raises(UsageError, match="UTF-8"):
        read_manifest(tmp_path / "latin.csv")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("1.5", 1.5),
        ("2:03.5", 123.5),
        ("1:00:00", 3600),
        ("-0:30", -30),
        ("90:00", 5400),
    ],
)
def test_times(text: str, value: float) -> None:
    assert seconds(text) == value
