import gzip
from pathlib import Path

import numpy as np
import pytest

from grjca.errors import GrjcaError
from grjca.labels.readers import read_labels


def folder(tmp_path: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (tmp_path / f"{name}.txt").write_text(text)
    return tmp_path


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(text)
    return path


def test_text_files_keep_row_order_and_mask_each_dimension(tmp_path: Path) -> None:
    (tmp_path / "monday").mkdir()
    (tmp_path / "monday" / "a.txt").write_text("valence,arousal\n0.1,-5\n-5,0.25\n-1,1\n")
    (tmp_path / "b.txt").write_text("valence,arousal\r\n0,0\r\n\r\n")
    (tmp_path / ".hidden.txt").write_text("not labels")
    labels = read_labels(tmp_path)
    assert labels.names == ("valence", "arousal")
    assert "-5" in labels.mapping
    assert set(labels.clips) == {"monday/a", "b"}
    a = labels.clips["monday/a"]
    np.testing.assert_array_equal(a.values, [[0.1, np.nan], [np.nan, 0.25], [-1, 1]])
    assert a.frame is None
    assert a.time is None
    assert a.source.name == "a.txt"
    assert len(labels.clips["b"]) == 1


def test_columns_go_by_their_names_and_one_may_be_missing(tmp_path: Path) -> None:
    labels = read_labels(folder(tmp_path, a="arousal,valence\n.2,.1\n", b="valence\n.3\n"))
    np.testing.assert_array_equal(labels.clips["a"].values, [[0.1, 0.2]])
    np.testing.assert_array_equal(labels.clips["b"].values, [[0.3, np.nan]])


def test_one_dimension_only(tmp_path: Path) -> None:
    labels = read_labels(folder(tmp_path, a="arousal\n.2\n-5\n"))
    assert labels.names == ("arousal",)
    np.testing.assert_array_equal(labels.clips["a"].values, [[0.2], [np.nan]])


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("valence,arousal\n.1,.2\n.1,abc\n", "line 3", "'abc' is not a number"),
        ("valence,arousal\n.1,.2\n.1\n", "line 3", "1 cells under 2 columns"),
        ("valence,arousal\n.1,1.5\n", "line 2", "1.5 lies outside [-1, 1]"),
        ("valence,arousal\n.1,-7\n", "line 2", "-7 lies outside"),
        ("valence,arousal\n.1,nan\n", "line 2", "outside"),
        ("valence,arousal\n.1,.2\n\n.3,.4\n", "line 3", "empty line"),
        ("valence,arousal\n.1,\n", "line 2", "is not a number"),
        (".1,.2\n.1,.2\n", "a.txt", "the header is '.1,.2'"),
        ("valence,valence\n.1,.2\n", "a.txt", "the header is"),
        ("", "a.txt", "the header is ''"),
    ],
)
def test_bad_text_names_file_line_and_cause(
    tmp_path: Path, text: str, line: str, says: str
) -> None:
    with pytest.raises(GrjcaError) as caught:
        read_labels(folder(tmp_path, a=text))
    message = str(caught.value)
    assert "a.txt" in message
    assert line in message
    assert says in message
    assert "\n" not in message


def test_csv_by_frame_in_any_order_with_subjects_and_other_columns(tmp_path: Path) -> None:
    text = (
        "\ufeffsubject,clip,frame,arousal,mood\n"
        "p1,lab/a.mp4,7,.5,x\np1,lab/a.mp4,2,-.5,y\n,b.mp4,0,,z\np1,lab/a.mp4,3,-5,z\n"
    )
    labels = read_labels(table(tmp_path, text))
    assert labels.names == ("arousal",)
    a, b = labels.clips["lab/a.mp4"], labels.clips["b.mp4"]
    np.testing.assert_array_equal(a.frame, [2, 3, 7])
    np.testing.assert_array_equal(a.values, [[-0.5], [np.nan], [0.5]])
    assert (a.subject, b.subject) == ("p1", None)
    assert np.isnan(b.values).all()


def test_csv_by_time_and_frame_before_time(tmp_path: Path) -> None:
    by_time = read_labels(table(tmp_path, "clip,time,valence\na,0.5,.1\na,0.25,.2\n")).clips["a"]
    np.testing.assert_array_equal(by_time.time, [0.25, 0.5])
    np.testing.assert_array_equal(by_time.values, [[0.2], [0.1]])
    both = read_labels(table(tmp_path, "clip,time,frame,valence\na,9,4,.1\n")).clips["a"]
    np.testing.assert_array_equal(both.frame, [4])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("clip,mood\na,.1\n", "the header is 'clip,mood'"),
        ("clip,valence\na,.1\na,.2\n", "line 3: a second row for clip a"),
        ("clip,frame,valence,rater\na,0,.1,\n", "line 2: the cell 'rater' is empty"),
        ("clip,frame,valence,rater\na,0,.1,p\na,0,.2,p\n", "two rows for frame 0"),
        ("clip,frame,valence\na,1" + "0" * 400 + ",.1\n", "is not a whole number"),
        ("frame,valence\n0,.1\n", "the header is"),
        ("clip,frame\na,0\n", "the header is"),
        ("clip,frame,valence\n", "no row below the header"),
        ("clip,frame,valence\na,0,.1\na,0,.2\n", "clip a has two rows for frame 0"),
        ("clip,time,valence\na,0.5,.1\na,.50,.2\n", "clip a has two rows for time 0.5"),
        ("clip,frame,valence\na,0,.1\na,x,.2\n", "line 3: frame 'x' is not a whole number"),
        ("clip,frame,valence\na,1.5,.1\n", "line 2: frame '1.5' is not a whole number"),
        ("clip,frame,valence\na,-1,.1\n", "line 2: frame -1 is before"),
        ("clip,time,valence\na,inf,.1\n", "line 2: time inf"),
        ("clip,time,valence\na,nan,.1\n", "line 2: time nan"),
        ("clip,frame,valence\na,0,high\n", "line 2: 'high' is not a number"),
        ("clip,frame,valence\na,0,-5.5\n", "line 2: the value -5.5 lies outside"),
        ("clip,frame,valence\n,0,.5\n", "line 2: the cell 'clip' is empty"),
        ("clip,frame,valence\na,0\n", "line 2: 2 cells under 3 columns"),
        ("clip,frame,valence,subject\na,0,.1,p\na,1,.1,q\n", "line 3: clip a is of subject 'q'"),
    ],
)
def test_bad_csv_names_file_and_cause(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(GrjcaError) as caught:
        read_labels(table(tmp_path, text))
    assert "labels.csv" in str(caught.value)
    assert says in str(caught.value)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(GrjcaError, match="no such file or folder"):
        read_labels(tmp_path / "none")
    with pytest.raises(GrjcaError, match="the folder holds no labels"):
        read_labels(tmp_path)


def test_forms_side_by_side_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("valence\n0\n")
    (tmp_path / "b.csv").write_text("clip,valence\nb,0\n")
    with pytest.raises(GrjcaError, match=r"labels of several forms: a\.txt, b\.csv"):
        read_labels(tmp_path)


def test_one_file_of_a_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("valence\n0.5\n")
    (tmp_path / "b.json").write_text('{"frames": {"1": {"arousal": 5}}}')
    text, json = read_labels(tmp_path / "a.txt"), read_labels(tmp_path / "b.json")
    assert (list(text.clips), text.names) == (["a"], ("valence",))
    assert (list(json.clips), json.names) == (["b"], ("arousal",))


@pytest.mark.parametrize("name", ["labels.csv", "labels.csv.gz"])
def test_a_table_may_be_packed(tmp_path: Path, name: str) -> None:
    text = b"clip,time,valence\na,0.5,.1\n"
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    for path in (tmp_path / name, tmp_path):
        np.testing.assert_array_equal(read_labels(path).clips["a"].time, [0.5])


@pytest.mark.parametrize("cut", [5, 30])
def test_a_damaged_pack(tmp_path: Path, cut: int) -> None:
    packed = gzip.compress(b"clip,time,valence\n" + b"a,0.5,.1\n" * 50, mtime=0)
    (tmp_path / "x.csv.gz").write_bytes(packed[:cut])
    with pytest.raises(GrjcaError, match=r"x\.csv\.gz: labels: not a readable text file"):
        read_labels(tmp_path / "x.csv.gz")


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"\xff\xfe\x00\x01" * 10)
    with pytest.raises(GrjcaError, match="not a readable text file"):
        read_labels(path)
