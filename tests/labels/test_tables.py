"""Tables of one value per clip, tables of a clip each, and several raters' tables."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from grjca.errors import GrjcaError
from grjca.labels.ewe import rater_weights
from grjca.labels.readers import read_labels
from grjca.labels.rows import labels_for_rows
from grjca.labels.subjects import subject_of


def test_one_value_per_clip(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("clip,valence,arousal,subject\na.mp4,.5,-5,p\nb.mp4,,-.25,q\n")
    labels = read_labels(file)
    assert labels.clip_level
    np.testing.assert_array_equal(labels.clips["a.mp4"].values, [[0.5, np.nan]])
    np.testing.assert_array_equal(labels.clips["b.mp4"].values, [[np.nan, -0.25]])
    assert labels.clips["b.mp4"].subject == "q"
    rows = labels_for_rows(labels.clips["a.mp4"], np.arange(4) / 25)
    np.testing.assert_array_equal(rows, [[0.5, np.nan]] * 4)


def test_the_real_tables_of_a_clip_each(media: Path) -> None:
    folder = media / "features" / "omg_empathy"
    labels = read_labels(folder)
    assert len(labels.clips) == 35
    assert labels.names == ("valence",)
    own = labels.clips["Subject_3_Story_4"]
    with gzip.open(folder / "Subject_3_Story_4.csv.gz", "rt") as stream:
        wanted = [float(line.split(",")[1]) for line in stream.readlines()[1:]]
    rows = labels_for_rows(own, np.arange(len(wanted)) / 25)
    np.testing.assert_array_equal(rows[:, 0], wanted)
    assert not labels.clip_level
    assert subject_of(own.clip) == "OMG-Empathy subject 3"


def test_clips_tables_may_have_different_dimensions_and_axes(tmp_path: Path) -> None:
    (tmp_path / "day").mkdir()
    (tmp_path / "day" / "a.csv").write_text("valence,subject\n.1,p\n.2,p\n")
    (tmp_path / "b.v2.CSV").write_text("time,arousal\n0.5,.3\n")
    labels = read_labels(tmp_path)
    np.testing.assert_array_equal(labels.clips["day/a"].values, [[0.1, np.nan], [0.2, np.nan]])
    assert labels.clips["day/a"].subject == "p"
    np.testing.assert_array_equal(labels.clips["b.v2"].time, [0.5])
    np.testing.assert_array_equal(labels.clips["b.v2"].values, [[np.nan, 0.3]])


RATED = {
    "anna": {"a": [0.1, 0.4, 0.9, 0.2], "b": [-0.5, -0.1]},
    "bob": {"a": [0.0, 0.5, 0.7, 0.4], "b": [-0.3, -0.2]},
    "carl": {"a": [0.3, 0.2, 0.8, -0.5], "b": [0.1, 0.0]},
}


def by_hand() -> dict[str, list[float]]:
    columns = [np.array(clips["a"] + clips["b"]) for clips in RATED.values()]
    weights = []
    for i, own in enumerate(columns):
        others = sum(c for j, c in enumerate(columns) if j != i) / 2
        weights.append(np.corrcoef(own, others)[0, 1])
    mean = sum(w * c for w, c in zip(weights, columns, strict=True)) / sum(weights)
    return {"a": list(mean[:4]), "b": list(mean[4:])}


def test_raters_in_a_column(tmp_path: Path) -> None:
    lines = [
        f"{clip},{frame},{value},{rater}"
        for rater, clips in RATED.items()
        for clip, values in clips.items()
        for frame, value in enumerate(values)
    ]
    np.random.default_rng(1).shuffle(lines)
    (tmp_path / "x.csv").write_text("\n".join(["clip,frame,valence,rater", *lines]))
    labels = read_labels(tmp_path / "x.csv")
    for clip, wanted in by_hand().items():
        np.testing.assert_allclose(labels.clips[clip].values[:, 0], wanted, atol=1e-12)
        np.testing.assert_array_equal(labels.clips[clip].frame, np.arange(len(wanted)))
    assert "evaluator-weighted mean of 3 raters" in labels.mapping
    assert "anna 0.9" in labels.mapping


def test_a_table_of_each_rater(tmp_path: Path) -> None:
    for rater, clips in RATED.items():
        lines = [f"{c},{i / 25},{v}" for c, values in clips.items() for i, v in enumerate(values)]
        (tmp_path / f"{rater}.csv").write_text("\n".join(["clip,time,valence", *lines]))
    labels = read_labels(tmp_path)
    for clip, wanted in by_hand().items():
        np.testing.assert_allclose(labels.clips[clip].values[:, 0], wanted, atol=1e-12)
        np.testing.assert_allclose(labels.clips[clip].time, np.arange(len(wanted)) / 25)


def test_whole_clips_rated_by_several_with_gaps(tmp_path: Path) -> None:
    text = "clip,rater,arousal\na,p,.1\nb,p,.5\nc,p,.9\na,q,.3\nb,q,.4\nc,q,\nd,q,.7\n"
    (tmp_path / "x.csv").write_text(text)
    labels = read_labels(tmp_path / "x.csv")
    assert labels.clip_level
    found = {clip: own.values[0, 0] for clip, own in labels.clips.items()}
    assert found == pytest.approx({"a": 0.2, "b": 0.45, "c": 0.9, "d": 0.7})


def test_raters_of_a_clip_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("rater,valence\np,.1\np,.3\nq,.2\nq,.6\n")
    (tmp_path / "b.csv").write_text("rater,valence\np,.5\n")
    labels = read_labels(tmp_path)
    np.testing.assert_allclose(labels.clips["a"].values, [[0.15], [0.45]])
    np.testing.assert_allclose(labels.clips["b"].values, [[0.5]])
    (tmp_path / "a.csv").write_text("rater,valence\np,.1\np,.3\nq,.2\n")
    with pytest.raises(GrjcaError, match=r"1 rows for clip a, 2 in .*a\.csv"):
        read_labels(tmp_path)


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ("clip,frame,valence\na,0,.1\n", "frame,valence\n0,.1\n", r"y.csv.*no column 'clip'"),
        ("clip,frame,valence\na,0,.1\n", "clip,time,valence\na,0,.1\n", "by time here, by frame"),
        ("clip,frame,valence\na,0,.1\n", "clip,valence\nb,.1\n", "labels of whole clips, and"),
        ("clip,valence,subject\na,.1,p\n", "clip,valence,subject\na,.1,q\n", "of subject 'q' here"),
        ("clip,valence,rater\na,.1,p\n", "clip,valence\na,.1\n", "x.csv.* has a column 'rater'"),
        ("clip,valence\na,.1\n", "clip,valence\na,high\n", r"y\.csv: labels: line 2: 'high'"),
    ],
)
def test_tables_that_do_not_go_together(tmp_path: Path, first: str, second: str, says: str) -> None:
    (tmp_path / "x.csv").write_text(first)
    (tmp_path / "y.csv").write_text(second)
    with pytest.raises(GrjcaError, match=says):
        read_labels(tmp_path)


def test_one_name_packed_and_not(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("clip,valence\na,.1\n")
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"clip,valence\na,.1\n"))
    with pytest.raises(GrjcaError, match=r"x\.csv: labels: stands beside x\.csv\.gz"):
        read_labels(tmp_path)


def test_raters_at_different_times_are_brought_together(tmp_path: Path) -> None:
    time = np.arange(0, 5, 0.1)
    for rater, shift in (("p", 0.0), ("q", 0.03)):
        at = time + shift
        lines = [f"a,{t:.6f},{0.15 * t:.9f}" for t in at]
        (tmp_path / f"{rater}.csv").write_text("\n".join(["clip,time,valence", *lines]))
    own = read_labels(tmp_path).clips["a"]
    assert own.time is not None
    assert len(own) == 100
    np.testing.assert_allclose(own.values[:, 0], 0.15 * own.time, atol=1e-7)


def test_weights_are_told_of_all_dimensions(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = "a,p,.1,.1\nb,p,.5,.9\na,q,.2,.8\nb,q,.4,.2\na,r,0,0\nb,r,0,0\n"
    (tmp_path / "x.csv").write_text("clip,rater,valence,arousal\n" + rows)
    labels = read_labels(tmp_path / "x.csv")
    assert "valence: p 1.00, q 1.00, r 0.00" in labels.mapping
    # p and q contradict each other about arousal, r does not answer: nobody is left to weigh.
    assert "arousal: p 1.00, q 1.00, r 1.00" in labels.mapping
    assert labels.clips["a"].values[0] == pytest.approx([0.15, 0.3])
    assert "no rater of arousal agrees" in caplog.text
    assert "raters of valence who always say the same or contradict the others" in caplog.text
    assert rater_weights(np.array([[0.1, 0.8, 0.0], [0.9, 0.2, 0.0]])).tolist() == [0, 0, 0]
