"""Each benchmark at toy size, and that it notices what it is there to notice."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from benchmarks import identity, kills, memory, rows, sync
from benchmarks.__main__ import _conclude, main
from benchmarks.figures import Figures
from benchmarks.machine import describe
from grjca.errors import GrjcaError

CELLS = {"clip": "a.mp4", "rows": 3, "apart": 0.123456, "right": True, "unknown": None}


def test_figures_as_a_table_and_as_json(tmp_path: Path) -> None:
    figures = Figures("toy", "all is well", True, [CELLS, CELLS], {"clips": 2})
    lines = figures.as_text().splitlines()
    assert lines[0].split("|")[1:3] == [" clip  ", " rows "]
    assert len({len(line) for line in lines[:4]}) == 1
    assert "0.123" in lines[2]
    assert lines[-1] == "goal reached: all is well"
    figures.write(tmp_path / "f.json", command="c", seconds=1.23, surroundings=describe())
    told = json.loads((tmp_path / "f.json").read_text())
    assert told["rows"] == [CELLS, CELLS]
    assert told["machine"]["cores"] >= 1
    assert told["versions"]["ffmpeg"]


def test_figures_refuse_an_odd_table() -> None:
    with pytest.raises(ValueError, match="nothing"):
        Figures("toy", "", True, [])
    with pytest.raises(ValueError, match="differ"):
        Figures("toy", "", True, [CELLS, {"clip": "b"}])


def test_a_missed_goal_is_exit_code_1(tmp_path: Path) -> None:
    missed = Figures("toy", "all is well", False, [CELLS])
    with pytest.raises(SystemExit) as ended:
        _conclude(lambda _: missed, None, tmp_path / "f.json")
    assert ended.value.code == 1
    assert json.loads((tmp_path / "f.json").read_text())["reached"] is False


@pytest.mark.parametrize(
    "name",
    [
        "rows",
        "sync",
        "memory",
        "kills",
        "identity",
        "training",
        "workers",
        "planning",
        "overhead",
        "shards",
    ],
)
def test_every_benchmark_has_a_command(name: str) -> None:
    assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0


def write_index(folder: Path, entries: dict[str, tuple[str, int]]) -> None:
    lines = [f"{file},{audio},{frames}" for file, (audio, frames) in entries.items()]
    text = "\n".join(["file,audio,frames_decoded", *lines])
    (folder / "media_index.csv").write_text(text + "\n")


def test_rows(tmp_path: Path) -> None:
    media = tmp_path / "media"
    rows.make_clips(media / "av")
    (media / "av" / "broken.mp4").write_bytes(b"no clip at all")
    write_index(media, {"av/variable.mkv": ("pcm", 26), "av/broken.mp4": ("none", 0)})
    figures = rows.run(media, tmp_path / "scratch", workers=1)
    assert figures.reached, figures.as_text()
    assert figures.summary["refused"] == 1
    assert len(figures.rows) == 10


def test_rows_counts_every_frame_once(tmp_path: Path) -> None:
    clips = rows.make_clips(tmp_path / "clips")
    counted = {name: rows.count_frames(tmp_path / "clips" / name) for name in clips}
    assert counted == {name: len(clip.times) for name, clip in clips.items()}
    assert rows.count_frames(tmp_path / "none.mp4") == 0


@pytest.mark.parametrize("fault", ["one row less", "late", "group", "turned", "mute"])
def test_rows_notices_what_is_wrong(fault: str) -> None:
    times = np.arange(5) / 25
    made = rows.MadeClip(times, 64, 48)
    video = {"index": 0, "width": 64, "height": 48}
    right = rows.StoredClip(times, {"frames/time": 5, "faces/box": 5}, 1.0, {"video": video})
    wrong = {
        "one row less": {"times": times[:4], "lengths": {"frames/time": 4}},
        "late": {"times": times + np.array([0, 0, 0, 0.01, 0])},
        "group": {"lengths": {"frames/time": 5, "faces/box": 4}},
        "turned": {"media": {"video": video | {"width": 48, "height": 64}}},
        "mute": {"sound": 0.0},
    }
    assert rows.judge_made("a", right, made)["right"]
    assert not rows.judge_made("a", dataclasses.replace(right, **wrong[fault]), made)["right"]


def test_sync(tmp_path: Path) -> None:
    cases = [sync.Case("mp4", 44_100, "constant", 0.5), sync.Case("mkv", 8_000, "variable", -0.5)]
    figures = sync.run(tmp_path, workers=1, cases=cases, length=4)
    assert figures.reached, figures.as_text()


@pytest.mark.parametrize("middle", [1.0, 1.013, 1.7])
def test_sync_finds_the_middle_of_a_plateau(middle: float) -> None:
    time = np.cumsum(np.random.default_rng(0).choice([0.01, 0.03, 0.05], 120))
    away = np.abs(time - middle)
    trapezium = np.clip((0.5 - away) / 0.2, 0, 1) - 3
    trapezium[:2] = np.nan
    assert sync.middle_of_peak(time, trapezium) == pytest.approx(middle, abs=0.005)
    with pytest.raises(ValueError, match="no peak"):
        sync.middle_of_peak(time, time)


ALLOCATE = """
import subprocess, sys, time
block = bytearray(b"x") * (120 << 20)
if len(sys.argv) > 1:
    child = subprocess.Popen([sys.executable, "-c", sys.argv[1]])
    time.sleep(0.5)
    child.wait()
time.sleep(0.3)
"""


def test_memory_sees_the_process_and_what_is_below_it(tmp_path: Path) -> None:
    alone = memory.measure([sys.executable, "-c", ALLOCATE], tmp_path / "words")
    both = memory.measure([sys.executable, "-c", ALLOCATE, ALLOCATE], tmp_path / "words")
    assert 120 << 20 < alone.main < 170 << 20
    assert alone.tree <= 1.01 * alone.main
    assert both.main < 170 << 20
    assert both.tree > 240 << 20
    with pytest.raises(GrjcaError, match="exit code 3: oh"):
        memory.measure([sys.executable, "-c", "print('oh'); exit(3)"], tmp_path / "words")


@pytest.mark.slow
def test_memory(tmp_path: Path) -> None:
    figures = memory.run(tmp_path, [memory.LOOP / 60], ["hog"], size=(192, 144))
    (row,) = figures.rows
    assert row["rows"] == memory.LOOP * memory.FPS
    assert float(row["faces"] or 0) > 0.95
    assert float(row["process MiB"] or 0) > 100
    assert float(row["all processes MiB"] or 0) > 100


def test_memory_clips_are_as_long_as_wanted(tmp_path: Path) -> None:
    base = memory.make_base(tmp_path / "base.mp4", (96, 64))
    path = memory.repeat(base, 3 * memory.LOOP / 60, tmp_path / "long.mp4")
    with av.open(str(path)) as container:
        assert container.streams.audio
        assert container.streams.video[0].frames == 3 * memory.LOOP * memory.FPS


@pytest.mark.long
def test_kills(tmp_path: Path) -> None:
    figures = kills.run(tmp_path, instants=1, clips=2, frames=60, kinds=kills.KINDS[:1])
    assert figures.rows[0]["kills"] == 1
    assert figures.reached, figures.as_text()


def test_kills_tells_arrays_apart(tmp_path: Path) -> None:
    import h5py

    def write(store: Path, values: NDArray[np.generic]) -> dict[str, str]:
        store.mkdir()
        with h5py.File(store / "a.mp4.h5", "w") as file:
            file["visual/hog/features"] = values
        return kills.digests(store)

    values = np.array([[1.0, np.nan]], np.float32)
    first = write(tmp_path / "1", values)
    assert list(first) == ["a.mp4.h5/visual/hog/features"]
    assert write(tmp_path / "2", values.copy()) == first
    assert write(tmp_path / "3", values.T.copy()) != first
    assert write(tmp_path / "4", values.astype(np.float64)) != first


def person(x: list[float], tracks: list[int], width: int = 500) -> identity.StoredFaces:
    centre = np.stack([np.array(x), np.full(len(x), 100.0)], 1)
    track = np.array(tracks, np.int32)
    return identity.StoredFaces(centre, track, track >= 0, width)


def test_identity_notices_a_switch_on_the_strip() -> None:
    people = [person([50 + 100 * n] * 4, [n] * 4) for n in range(5)]
    assert identity.judge_strip(people, 5)["right"]
    swapped = [person([50, 50, 150, 150], [0] * 4), person([150, 150, 50, 50], [1] * 4)]
    assert not identity.judge_strip([*swapped, *people[2:]], 5)["right"]
    assert not identity.judge_strip(people[:4], 5)["right"]


def test_identity_notices_a_track_through_a_cut() -> None:
    split = [person([9.0] * 4, [0, 0, 1, 1]), person([99.0, np.nan, 99.0, 99.0], [2, -1, 3, 3])]
    assert identity.judge_cuts(split, [2])["right"]
    through = [split[0], person([99.0] * 4, [2, -1, 2, 2])]
    assert identity.judge_cuts(through, [2])["switches"] == 1
    assert not identity.judge_cuts(through, [2])["right"]


def test_identity_notices_swapped_faces() -> None:
    x = np.linspace(0, 600, 7)
    paths = [np.stack([way, np.full(7, 100.0)], 1) for way in (x, x[::-1])]
    people = [person(way.tolist(), [n] * 7) for n, way in enumerate((x, x[::-1]))]
    assert identity.judge_crossing(people, paths, "")["right"]
    bounced = np.abs(x - 300) + 300
    turned = [person(bounced.tolist(), [0] * 7), person((600 - bounced).tolist(), [1] * 7)]
    assert identity.judge_crossing(turned, paths, "")["switches"] == 2
    assert not identity.judge_crossing(turned, paths, "")["right"]


@pytest.mark.slow
def test_identity_of_faces_that_cross(tmp_path: Path) -> None:
    paths = identity.make_crossing(tmp_path / "a.mp4", seconds=0.8, apart=0.0)
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == len(paths[0])
    people = identity.people_of(tmp_path / "a.mp4", tmp_path / "store")
    found = identity.judge_crossing(people, paths, "crossing")
    assert found["right"], found
