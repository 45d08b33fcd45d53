"""The overlay: every frame at its own time, marks where they belong, the sound untouched."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from click.testing import CliRunner, Result
from face_makers import make_face_clip
from hypothesis import given
from hypothesis import strategies as st
from media_makers import make_clip
from numpy.typing import NDArray

from grjca.cli import main
from grjca.errors import GrjcaError, UsageError
from grjca.fusion.predictor import Prediction
from grjca.fusion.tables import read_table
from grjca.fusion.writers import WRITERS
from grjca.overlay.job import overlay
from grjca.overlay.matching import RowsOfFrames
from grjca.overlay.tables import find_table
from grjca.report.overlay import Overlay, OverlayRows
from grjca.stages.frame_rate import resampled
from grjca.stages.probe import probe
from grjca.stages.types import FrameBatch
from grjca.stages.video import frame_times

YELLOW, SKY = (240, 228, 66), (86, 180, 233)


def grjca(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)


def write_table(path: Path, time: NDArray[np.float64]) -> Path:
    """A table as grjca predict writes it, of values that go round in the plane."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["frame", "time", "valence", "arousal", "face_valid", "audio_valid"])
        for i, t in enumerate(time.tolist()):
            values = (f"{0.7 * np.cos(3 * t):.6f}", f"{0.7 * np.sin(3 * t):.6f}")
            writer.writerow([i, f"{t:.6f}", *values, 1, 0])
    return path


def decoded(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Frames and their times from the file's start, by PyAV."""
    with av.open(str(path)) as container:
        start = (container.start_time or 0) / 1e6
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
        times = np.array([float(f.pts * stream.time_base) - start for f in frames])
        return np.stack([frame.to_ndarray(format="rgb24") for frame in frames]), times


def sound_of(path: Path, index: int) -> tuple[list[str], NDArray[np.float64]]:
    """Digests of a sound stream's packets, and their times from the file's start."""
    with av.open(str(path)) as container:
        start = (container.start_time or 0) / 1e6
        stream = container.streams[index]
        packets = [packet for packet in container.demux(stream) if packet.size]
        times = [float(packet.pts * stream.time_base) - start for packet in packets]
        # MPEG-TS puts a header of 7 bytes before each AAC packet; MP4 has that once for all.
        ts = container.format.name == "mpegts"
        bare = [bytes(packet)[7 if ts else 0 :] for packet in packets]
        return [hashlib.sha256(data).hexdigest() for data in bare], np.array(times)


def check_same(source: Path, out: Path) -> None:
    """As many frames, at the same times, and the same sound at the same time."""
    before, after = probe(source), probe(out)
    _, times = decoded(out)
    wanted = frame_times(source, before)
    assert len(times) == len(wanted)
    assert np.abs(times - wanted).max() < 1e-3
    assert (after.audio is None) == (before.audio is None)
    if before.audio is not None and after.audio is not None:
        (words, then), (heard, now) = (
            sound_of(source, before.audio.index), sound_of(out, after.audio.index),
        )  # fmt: skip
        assert heard == words
        assert np.abs(now - then).max() < 2e-3


def rows_of(count: int, **arrays: NDArray[np.float64]) -> OverlayRows:
    time = np.arange(count) / 25
    values = np.stack([np.linspace(-1, 1, count), np.linspace(1, -1, count)], axis=1)
    there = np.ones(count, bool)
    given = {"values": values, "face_valid": there, "audio_valid": there, **arrays}
    return OverlayRows(time, names=("valence", "arousal"), **given)


@pytest.mark.parametrize("size", [(640, 360), (1920, 1080), (1080, 1920), (160, 120), (48, 64)])
@pytest.mark.parametrize("shade", [0, 255])
def test_the_box_is_drawn_where_the_face_is(size: tuple[int, int], shade: int) -> None:
    width, height = size
    box = np.array([0.5 * width, 0.1 * height, 0.8 * width, 0.4 * height])
    plain = np.full((height, width, 3), shade, np.uint8)
    with_box = Overlay(rows_of(3, box=np.tile(box, (3, 1))), size).draw(plain, 1)
    without = Overlay(rows_of(3), size).draw(plain, 1)
    assert (plain == shade).all()
    y, x = np.nonzero((with_box != without).any(axis=2))
    reach = 3 + height / 100
    assert abs(x.min() - box[0]) <= reach
    assert abs(x.max() - box[2]) <= reach
    assert abs(y.min() - box[1]) <= reach
    assert abs(y.max() - box[3]) <= reach
    inside = (
        (x > box[0] + reach) & (x < box[2] - reach) & (y > box[1] + reach) & (y < box[3] - reach)
    )
    assert not inside.any()
    left = with_box[round(0.25 * height), round(box[0])].astype(int)
    assert np.abs(left - YELLOW).max() < 40


def test_landmarks_and_a_place_in_between() -> None:
    plain = np.full((360, 640, 3), 90, np.uint8)
    box = np.tile([300.0, 40, 420, 200], (2, 1))
    points = np.tile(np.array([[330.0, 90], [390, 90], [360, 120], [340, 160], [380, 160]]),
                     (2, 1, 1))  # fmt: skip
    rows = rows_of(2, box=box, landmarks=points, interpolated=np.array([False, True]))
    seen, between = (Overlay(rows, (640, 360)).draw(plain, row) for row in (0, 1))
    for x, y in points[0].astype(int).tolist():
        assert np.abs(seen[y, x].astype(int) - SKY).max() < 10
    # Only the corners of a box that was not seen: the middle of its sides stays as it was.
    assert (seen[40, 360] != 90).any()
    assert (between[40, 360] == 90).all()
    assert (between[40, 305] != 90).any()


def test_the_point_lies_where_the_values_say_and_has_a_tail() -> None:
    values = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5]])
    found = []
    for row in range(3):
        panel = Overlay(rows_of(3, values=values), (640, 360)).draw(
            np.zeros((360, 640, 3), np.uint8), row
        )
        white = (panel[:, :120] == 255).all(axis=2)
        core = white & np.roll(white, 2, 0) & np.roll(white, -2, 0) & np.roll(white, 2, 1)
        y, x = np.nonzero(core)
        found.append((x.mean(), y.mean()))
    assert found[1][0] - found[0][0] > 20
    assert abs(found[1][1] - found[0][1]) < 2
    assert found[1][1] - found[2][1] > 20
    alone = Overlay(rows_of(1, values=values[2:]), (640, 360))
    with_tail = Overlay(rows_of(3, values=values), (640, 360))
    black = np.zeros((360, 640, 3), np.uint8)
    differing = (alone.draw(black, 0) != with_tail.draw(black, 2)).any(axis=2)
    assert 30 < differing.sum() < 2000


@pytest.mark.parametrize("value", [np.nan, np.inf, -5.0, 5.0])
def test_odd_values_and_odd_boxes_are_drawn_without_fuss(value: float) -> None:
    values = np.full((2, 2), value)
    box, marks = np.full((2, 4), 1e9 * value), np.full((2, 5, 2), value)
    rows = rows_of(2, values=values, box=box, landmarks=marks, labels=values,
                   face_valid=np.zeros(2, bool))  # fmt: skip
    drawn = Overlay(rows, (320, 180)).draw(np.full((180, 320, 3), 60, np.uint8), 1)
    assert drawn.shape == (180, 320, 3)
    assert (drawn != 60).any()


def test_the_panel_goes_where_it_hides_no_face() -> None:
    box = np.tile([0.0, 200, 300, 360], (4, 1))
    plain = np.full((360, 640, 3), 255, np.uint8)
    assert (Overlay(rows_of(4), (640, 360)).draw(plain, 0)[300, 60] != 255).any()
    clear = Overlay(rows_of(4, box=box), (640, 360)).draw(plain, 0)
    assert (clear[300, 60] == 255).all()
    assert (clear[300, 500] != 255).any()


@given(
    st.lists(st.integers(1, 120), min_size=0, max_size=30), st.sampled_from([3.0, 10.0, 25.0, 60.0])
)
def test_rows_at_another_rate_hold_until_the_next(steps: list[int], fps: float) -> None:
    times = np.concatenate([[0], np.cumsum(steps)]) / 100 + 0.04
    batch = FrameBatch(np.zeros((len(times), 2, 2, 3), np.uint8), times, 0)
    made = list(resampled([batch], fps))
    time = np.concatenate([part.time for part in made])
    index = np.concatenate([part.index for part in made if part.index is not None])
    finder = RowsOfFrames(time, index)
    for frame, at in enumerate(times.tolist()):
        shown = [row for row in range(len(index)) if index[row] == frame]
        before = [row for row in range(len(index)) if index[row] < frame]
        wanted = shown[0] if shown else before[-1] if before else None
        assert finder.next(at) == wanted
    finder.finish()


def test_frames_of_another_clip_are_noticed() -> None:
    time = np.arange(5) / 25
    finder = RowsOfFrames(time)
    with pytest.raises(ValueError, match="row 1 is at"):
        [finder.next(t) for t in (0.0, 0.05)]
    finder = RowsOfFrames(time)
    for t in time:
        finder.next(t)
    with pytest.raises(ValueError, match="more frames"):
        finder.next(0.2)
    finder = RowsOfFrames(time)
    finder.next(0.0)
    with pytest.raises(ValueError, match="fewer frames"):
        finder.finish()
    finder = RowsOfFrames(np.arange(3) / 5, np.array([0, 5, 10]))
    for t in np.arange(30) / 25:
        finder.next(t)
    with pytest.raises(ValueError, match="rows end at"):
        finder.finish()


VFR = [0.0, 0.021, 0.1, 0.1404, 0.5, 0.5333, 0.9, 0.9011]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("odd.mp4", {"size": (641, 243), "pixel_format": "yuv444p", "frames": 8}),
        ("vfr.mp4", {"times": VFR, "size": (640, 240)}),
        ("vfr.mkv", {"times": VFR, "size": (640, 240)}),
        ("turned.mp4", {"rotation": 90, "size": (640, 240), "frames": 8}),
        ("late.mp4", {"sound_start": -0.3, "size": (640, 240), "frames": 8}),
        ("gap.mp4", {"sound_start": 0.2, "size": (640, 240), "frames": 8}),
        ("mute.webm", {"sound": None, "video_codec": "libvpx", "size": (640, 240), "frames": 8}),
        ("stream.ts", {"size": (640, 240), "frames": 8, "sound_start": 0.2}),
    ],
)
def test_frames_and_sound_stay_what_they_were(
    tmp_path: Path, name: str, options: dict[str, object]
) -> None:
    clip = make_clip(tmp_path / name, **options)  # type: ignore[arg-type]
    info = probe(clip)
    assert info.video is not None
    table = write_table(tmp_path / "p" / f"{name}.csv", frame_times(clip, info))
    out = tmp_path / f"out{'.mkv' if name.endswith('.mkv') else '.mp4'}"
    result = overlay(clip, table.parent, out)
    check_same(clip, out)
    frames, _ = decoded(out)
    assert result.frames == len(frames)
    width, height = info.video.width, info.video.height
    assert frames.shape[1:3] == (height + height % 2, width + width % 2)
    # Of all frames of the source, in the part without marks, the i-th is the nearest to the i-th.
    free = slice(round(0.27 * width), width)
    shown = upright(clip)[:, :, free]
    for i, frame in enumerate(frames[:, :height, free]):
        apart = np.abs(shown.astype(int) - frame).mean(axis=(1, 2, 3))
        assert apart.argmin() == i
        assert apart[i] < 12
    assert sorted(tmp_path.glob(".*")) == []


def upright(clip: Path) -> NDArray[np.uint8]:
    """The frames as they are shown, by ffmpeg on its own."""
    info = probe(clip).video
    assert info is not None
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(clip), "-map", "0:v:0",
               "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]  # fmt: skip
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, info.height, info.width, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["av/retalking_face_1_vfr.mp4", "av/grid_bbaf2n.mpg"])
def test_real_clips(media: Path, tmp_path: Path, name: str) -> None:
    clip = media / name
    write_table(tmp_path / "p" / f"{clip.name}.csv", frame_times(clip, probe(clip)))
    overlay(clip, tmp_path / "p", tmp_path / "out.mp4")
    check_same(clip, tmp_path / "out.mp4")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip with a face in most frames, its store, and the same at 10 rows a second."""
    folder = tmp_path_factory.mktemp("work")
    clip = make_face_clip(folder / "talk.mp4", [i not in (4, 5, 20, 21, 22) for i in range(24)],
                          side=320)  # fmt: skip
    for store, more in (("store", ()), ("slow", ("--fps", "10"))):
        told = grjca("extract", clip, "--store", folder / store, "--visual", "hog", "--audio",
                     "logmel", "--workers", 1, "--quiet", *more)  # fmt: skip
        assert told.exit_code == 0, told.output
    return folder


def stored(store: Path, path: str) -> NDArray[np.float64]:
    import h5py

    with h5py.File(store / "talk.mp4.h5", "r") as file:
        return np.asarray(file[path][:])


def test_the_stores_box_is_found_in_the_picture(work: Path, tmp_path: Path) -> None:
    clip, store = work / "talk.mp4", work / "store"
    write_table(tmp_path / "p" / "talk.mp4.csv", stored(store, "frames/time"))
    out = tmp_path / "new" / "out.mp4"
    told = grjca("overlay", clip, "--predictions", tmp_path / "p", "--store", store, "--out", out)
    assert told.exit_code == 0, told.output
    assert "24 frames" in told.output
    check_same(clip, out)
    frames, source, boxes = decoded(out)[0], upright(clip), stored(store, "faces/box")
    for row, (frame, plain) in enumerate(zip(frames, source, strict=True)):
        changed = np.abs(frame.astype(int) - plain).max(axis=2) > 60
        yellow = changed & (np.abs(frame.astype(int) - YELLOW).max(axis=2) < 60)
        if np.isnan(boxes[row]).any():
            # Without a face, the panel alone changes the picture.
            assert changed.mean() < 0.25
            assert yellow[90:].sum() == 0
            continue
        left, top, right, bottom = boxes[row]
        y, x = np.nonzero(yellow)
        # Not the panel above, whose orange is near.
        y, x = y[y > top - 6], x[y > top - 6]
        assert len(y) > 100
        on_line = (
            (abs(x - left) < 3) | (abs(x - right) < 3) | (abs(y - top) < 3) | (abs(y - bottom) < 3)
        )
        assert on_line.mean() > 0.95
    interpolated = stored(store, "faces/interpolated").astype(bool)
    assert interpolated[[4, 5]].all()


def test_resampled_rows_need_their_store(work: Path, tmp_path: Path) -> None:
    clip, store = work / "talk.mp4", work / "slow"
    time = stored(store, "frames/time")
    table = write_table(tmp_path / "p" / "talk.mp4.csv", time)
    overlay(clip, table, tmp_path / "out.mp4", store=store)
    check_same(clip, tmp_path / "out.mp4")
    # Frames 3 and 4 lie between the rows of frames 2 (0.1 s) and 5 (0.2 s): no value changes.
    frames, _ = decoded(tmp_path / "out.mp4")
    index = stored(store, "frames/index").tolist()
    assert index[:3] == [0, 2, 5]
    panel = frames[:, 240:315, 10:110].astype(int)
    assert np.abs(panel[3] - panel[2]).mean() < 2
    assert np.abs(panel[5] - panel[4]).mean() > 2 * np.abs(panel[3] - panel[2]).mean()
    with pytest.raises(GrjcaError, match=f"{len(time)} rows of predictions for 24 frames"):
        overlay(clip, table, tmp_path / "no.mp4")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "p"]


def test_labels_are_drawn_beside(work: Path, tmp_path: Path) -> None:
    clip, store = work / "talk.mp4", work / "store"
    table = write_table(tmp_path / "p" / "talk.mp4.csv", stored(store, "frames/time"))
    labels = tmp_path / "labels.csv"
    rows = "".join(f"talk.mp4,{i},0.5,-0.5\n" for i in range(24))
    labels.write_text(f"clip,frame,valence,arousal\n{rows}")
    overlay(clip, table, tmp_path / "with.mp4", store=store, labels=labels)
    overlay(clip, table, tmp_path / "without.mp4", store=store)
    with_labels, without = (decoded(tmp_path / name)[0][6] for name in ("with.mp4", "without.mp4"))
    assert (np.abs(with_labels.astype(int) - without) > 80).any(axis=2).sum() > 50
    labels.write_text(labels.read_text().replace("talk.mp4", "other.mp4"))
    with pytest.raises(UsageError, match="0 clips of the annotations"):
        overlay(clip, table, tmp_path / "no.mp4", labels=labels)


def test_tables_of_every_form_say_the_same(tmp_path: Path) -> None:
    time = np.arange(7) / 25
    values = np.random.default_rng(0).uniform(-1, 1, (7, 2))
    face, sound = time > 0.1, time < 0.2
    made = Prediction("lab/a.mp4", time, values, ("valence", "arousal"), face, sound, {})
    for ending, write in WRITERS.items():
        path = tmp_path / f"a.mp4.{ending}"
        write(made, path)
        table = read_table(path)
        assert table.names == ("valence", "arousal")
        np.testing.assert_allclose(table.values, values, atol=1e-6)
        np.testing.assert_allclose(table.time, time, atol=1e-6)
        assert (table.face_valid == face).all()
        assert (table.audio_valid == sound).all()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no columns time"),
        ("a,b\n1,2\n", "no columns time and valence or arousal; there are: a, b"),
        ("time,valence\n", "no rows"),
        ("time,valence\n0,0.1\n0.1\n", "line 3 has 1 cells"),
        ("time,valence\n0,0.1\n0.1,x\n", "row 1 holds no number under valence"),
        ("time,valence\n0.1,0.1\n0,0\n", "times are missing or do not increase"),
        ("time,valence\nnan,0.1\n", "times are missing or do not increase"),
    ],
)
def test_what_is_no_table_is_refused_with_the_place(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(GrjcaError, match=words):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    "data", [b"[1, 2]", b"{", b"\xff\xfe", b'{"columns": {"time": 3}}', b"[" * 100_000]
)
def test_json_that_is_no_table(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t.json").write_bytes(data)
    with pytest.raises(GrjcaError, match="predictions"):
        read_table(tmp_path / "t.json")


def test_the_table_in_a_folder_is_the_one_named_as_the_video(tmp_path: Path) -> None:
    time = np.arange(3) / 25
    for name in ("lab/monday/a.mp4", "a.mp4", "lab/b.mp4", "c/d.mp4", "e/d.mp4", "f.mp4@1"):
        write_table(tmp_path / "p" / f"{name}.csv", time)
    find = {
        "videos/lab/monday/a.mp4": "lab/monday/a.mp4", "videos/x/a.mp4": "a.mp4",
        "elsewhere/b.mp4": "lab/b.mp4", "f.mp4": "f.mp4@1",
    }  # fmt: skip
    for video, table in find.items():
        assert find_table(tmp_path / "p", tmp_path / video) == tmp_path / "p" / f"{table}.csv"
    with pytest.raises(UsageError, match=r"several tables may be meant: .*c/d\.mp4\.csv"):
        find_table(tmp_path / "p", tmp_path / "d.mp4")
    with pytest.raises(UsageError, match=r"no table of z\.mp4"):
        find_table(tmp_path / "p", tmp_path / "z.mp4")
    with pytest.raises(UsageError, match="no such file"):
        find_table(tmp_path / "q", tmp_path / "z.mp4")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder with a clip of 30 frames and its table."""
    clip = make_clip(tmp_path / "a.mp4", frames=30, size=(320, 240))
    write_table(tmp_path / "a.mp4.csv", frame_times(clip, probe(clip)))
    return tmp_path


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_cannot_be_is_one_line_and_leaves_nothing(small: Path, media: Path) -> None:
    clip, table = small / "a.mp4", small / "a.mp4.csv"
    short = write_table(small / "short.csv", np.arange(10) / 25)
    long = write_table(small / "long.csv", np.arange(40) / 25)
    other = write_table(small / "other.csv", np.arange(30) / 24)
    (small / "list.mp4").write_text("ffconcat version 1.0\nfile a.mp4\n")
    there = left(small)
    cases: list[tuple[tuple[object, ...], int, str]] = [
        ((clip, "--predictions", short), 1, "10 rows of predictions for 30 frames"),
        ((clip, "--predictions", long), 1, "40 rows of predictions for 30 frames"),
        ((clip, "--predictions", other), 1, "row 1 is at 0.042 s, its frame at 0.040 s"),
        ((small / "no.mp4", "--predictions", table), 1, "no such file"),
        ((small / "list.mp4", "--predictions", table), 1, "probe"),
        ((media / "hard/audio_only.mp4", "--predictions", table), 1, "no picture stream"),
        ((clip, "--predictions", table, "--store", small / "none"), 1, "no such folder"),
        ((clip, "--predictions", table, "--store", small), 1, "no clip that"),
        ((clip, "--predictions", table, "--labels", small / "none"), 1, "no such file"),
        ((clip, "--predictions", clip), 2, "no form of predictions"),
    ]
    for words, code, said in cases:
        told = grjca("overlay", *words, "--out", small / "out.mp4", "--quiet")
        lines = [line for line in told.output.splitlines() if line]
        assert (told.exit_code, len(lines)) == (code, 1), told.output
        assert said in lines[0]
    for out, said in ((clip, "this is the video itself"), (table, "not a container"),
                      (small / "long.csv" / "x.mp4", "cannot write it")):  # fmt: skip
        told = grjca("overlay", clip, "--predictions", table, "--out", out, "--quiet")
        assert said in told.output
        assert told.exit_code in (1, 2)
    assert left(small) == there


def test_an_existing_video_stays_unless_it_may_go(small: Path) -> None:
    words = ("overlay", small / "a.mp4", "--predictions", small, "--out", small / "o.mp4",
             "--quiet")  # fmt: skip
    (small / "o.mp4").write_text("mine")
    assert grjca(*words).exit_code == 2
    assert (small / "o.mp4").read_text() == "mine"
    assert grjca(*words, "--overwrite").exit_code == 0
    check_same(small / "a.mp4", small / "o.mp4")


def test_sound_that_the_container_does_not_take(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", frames=5, size=(640, 240), sound_codec="wavpack")
    table = write_table(tmp_path / "a.mkv.csv", frame_times(clip, probe(clip)))
    overlay(clip, table, tmp_path / "o.mkv")
    check_same(clip, tmp_path / "o.mkv")
    with pytest.raises(GrjcaError) as caught:
        overlay(clip, table, tmp_path / "o.mp4")
    assert "ends in .mkv" in str(caught.value)
    assert str(tmp_path / "o.mp4") in str(caught.value)
    assert ".tmp" not in str(caught.value)
    assert left(tmp_path) == ["a.mkv", "a.mkv.csv", "o.mkv"]


def test_an_ffmpeg_without_the_encoder(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = small / "ffmpeg.sh"
    real = shlex.quote(imageio_ffmpeg.get_ffmpeg_exe())
    fake.write_text(
        '#!/bin/bash\nwords=()\nfor word; do words+=("${word/libx264/libx264none}"); done\n'
        f'exec {real} "${{words[@]}}"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("GRJCA_FFMPEG", str(fake))
    with pytest.raises(GrjcaError, match="Unknown encoder") as caught:
        overlay(small / "a.mp4", small / "a.mp4.csv", small / "o.mp4")
    assert "GRJCA_FFMPEG" in caught.value.remedy
    assert not (small / "o.mp4").exists()


def test_a_disk_that_fills_up(small: Path) -> None:
    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))

    there = left(small)
    told = subprocess.run(
        [sys.executable, "-m", "grjca", "overlay", "a.mp4", "--predictions", ".", "--out", "o.mp4",
         "--quiet"],
        cwd=small, preexec_fn=bound, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert told.returncode == 1
    assert len(told.stderr.splitlines()) == 1
    assert "the encoder failed" in told.stderr
    assert left(small) == there


def test_titles_and_places_do_not_come_along(small: Path) -> None:
    titled = small / "titled.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(small / "a.mp4"), "-c",
               "copy", "-metadata", "title=secret", "-metadata", "location=+52.5+13.4/",
               str(titled)]  # fmt: skip
    subprocess.run(command, check=True)
    overlay(titled, small / "a.mp4.csv", small / "o.mp4")
    with av.open(str(small / "o.mp4")) as container:
        assert "secret" not in json.dumps(container.metadata)
    assert b"secret" not in (small / "o.mp4").read_bytes()
