"""The challenge's form: a list of our own making, in the shape of the official one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grjca.errors import GrjcaError
from grjca.evaluation.submission import (
    Wanted,
    fill_in,
    read_list,
    rows_for,
    write_submission,
)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_list_with_and_without_header_and_columns(tmp_path: Path) -> None:
    lines = ["1-30-1280x720/00001.jpg", "sub/video5_left/00002.jpg", "1-30-1280x720/00007.jpg"]
    wanted = [
        Wanted(lines[0], "1-30-1280x720", 0),
        Wanted(lines[1], "sub/video5_left", 1),
        Wanted(lines[2], "1-30-1280x720", 6),
    ]
    plain = "\n".join(lines)
    assert read_list(write(tmp_path / "a.txt", plain)) == wanted
    header = "image_location,valence,arousal\n" + "\r\n".join(f"{x},," for x in lines) + "\n\n"
    assert read_list(write(tmp_path / "b.txt", header)) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line below the header"),
        ("image_location,valence,arousal\n", "no line below the header"),
        ("a/00001.jpg\n\na/00002.jpg", "line 2: '' names no frame"),
        ("a/00001.jpg\nb.jpg", "line 2: 'b.jpg' names no frame"),
        ("a/00000.jpg", "line 1"),
        ("a/x1.jpg", "line 1"),
        ("a/-1.jpg", "line 1"),
        ("a/\u0661.jpg", "line 1"),
        ("a/00001", "line 1"),
        ("/00001.jpg", "line 1"),
    ],
)
def test_lists_that_make_no_sense(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(GrjcaError, match=message):
        read_list(write(tmp_path / "list.txt", text))


def test_files_that_are_no_list(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00a")
    for path in (tmp_path, tmp_path / "nothing", tmp_path / "x"):
        with pytest.raises(GrjcaError, match="not a readable text file"):
            read_list(path)


@settings(deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1), st.lists(st.integers(0, 40), min_size=1))
def test_the_nearest_row_is_the_nearest(shown: list[int], wanted: list[int]) -> None:
    frames = np.array(sorted(shown))
    rows, exact = rows_for(frames, np.array(wanted))
    for frame, row, own in zip(wanted, rows, exact, strict=True):
        assert abs(frames[row] - frame) == np.abs(frames - frame).min()
        assert own == (frame in shown)


def numbers(trial: str, rows: int) -> Any:
    return np.stack([np.arange(rows) / 100, -np.arange(rows) / 50 - len(trial) / 10], axis=1)


def test_lines_get_their_own_frames_in_the_lists_order(tmp_path: Path) -> None:
    order = [("b", 3), ("a", 0), ("b", 0), ("a", 4), ("a", 4)]
    wanted = [Wanted(f"{t}/{f + 1:05d}.jpg", t, f) for t, f in order]
    made = {"a": numbers("a", 5), "b": numbers("b", 40)}
    filled = fill_in(wanted, made, {t: np.arange(len(v)) for t, v in made.items()}, "error")
    np.testing.assert_allclose(filled, [np.clip(made[t][f], -1, 1) for t, f in order])
    write_submission(tmp_path / "p.txt", wanted, filled)
    assert (tmp_path / "p.txt").read_bytes().decode().splitlines() == [
        "image_location,valence,arousal",
        "b/00004.jpg,0.030000,-0.160000",
        "a/00001.jpg,0.000000,-0.100000",
        "b/00001.jpg,0.000000,-0.100000",
        "a/00005.jpg,0.040000,-0.180000",
        "a/00005.jpg,0.040000,-0.180000",
    ]


def test_values_stay_in_range() -> None:
    wanted = [Wanted("a/00001.jpg", "a", 0)]
    filled = fill_in(wanted, {"a": np.array([[1.5, -7.0]])}, {"a": np.arange(1)}, "error")
    assert filled.tolist() == [[1.0, -1.0]]


def test_frames_beyond_a_clip_are_counted_or_filled() -> None:
    wanted = [Wanted(f"a/{i:05d}.jpg", "a", i - 1) for i in range(1, 9)]
    wanted += [Wanted("b/00001.jpg", "b", 0)]
    made = {"a": numbers("a", 5), "b": numbers("b", 5)}
    frames = {"a": np.arange(5), "b": np.arange(5)}
    with pytest.raises(GrjcaError, match=r"1 of 2 trials: .*a \(3 of 8, first 00006\).*--fill"):
        fill_in(wanted, made, frames, "error")
    filled = fill_in(wanted, made, frames, "nearest")
    np.testing.assert_array_equal(filled[5:8], np.repeat(made["a"][4:5], 3, axis=0))


def test_a_clip_at_another_rate_answers_by_the_frames_it_shows() -> None:
    wanted = [Wanted(f"a/{i:05d}.jpg", "a", i - 1) for i in (1, 3, 4)]
    made, frames = {"a": numbers("a", 3)}, {"a": np.array([0, 2, 4])}
    with pytest.raises(GrjcaError, match=r"1 of 3, first 00004"):
        fill_in(wanted, made, frames, "error")
    filled = fill_in(wanted, made, frames, "nearest")
    np.testing.assert_array_equal(filled, made["a"][[0, 1, 1]])


def test_a_clip_without_rows() -> None:
    with pytest.raises(GrjcaError, match="a: submit: the clip has no rows"):
        fill_in([Wanted("a/00001.jpg", "a", 0)], {"a": np.empty((0, 2))}, {"a": np.arange(0)},
                "nearest")  # fmt: skip
