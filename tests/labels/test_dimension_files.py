from pathlib import Path

import numpy as np
import pytest

from grjca.errors import GrjcaError
from grjca.labels.readers import read_labels


def test_the_real_recordings(media: Path) -> None:
    folder = media / "features" / "speech_va"
    labels = read_labels(folder)
    assert labels.clip_level
    assert labels.names == ("valence", "arousal")
    assert set(labels.clips) == {file.name for file in folder.glob("*.wav")}
    for i, name in enumerate(labels.names):
        wanted = np.genfromtxt(folder / f"{name}.csv", delimiter=",", dtype=None, encoding="utf-8")
        for clip, value in wanted:
            assert labels.clips[str(clip)].values[0, i] == value


def test_one_dimension_and_gaps(tmp_path: Path) -> None:
    (tmp_path / "arousal.csv").write_text("a.wav,.5\nb.wav,\n")
    assert read_labels(tmp_path).names == ("arousal",)
    (tmp_path / "valence.csv").write_text("c.wav,-1\n")
    labels = read_labels(tmp_path)
    found = {clip: own.values[0].tolist() for clip, own in labels.clips.items()}
    np.testing.assert_equal(
        found, {"a.wav": [np.nan, 0.5], "b.wav": [np.nan, np.nan], "c.wav": [-1.0, np.nan]}
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a.wav,.5\na.wav,.4\n", "line 2: a.wav is there twice"),
        ("a.wav,.5,.4\n", "line 1: 'a.wav,.5,.4' is not a recording and a value"),
        (",.5\n", "line 1: ',.5' is not a recording and a value"),
        ("file,valence\na.wav,.5\n", "line 1: 'valence' is not a number"),
        ("a.wav,-5\n", r"line 1: the value -5 lies outside \[-1, 1\]"),
        ("a.wav,nan\n", "line 1: the value nan lies outside"),
        ("", "no line in it"),
    ],
)
def test_bad_lines(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "valence.csv").write_text(text)
    with pytest.raises(GrjcaError, match=says):
        read_labels(tmp_path)


def test_two_files_of_a_dimension(tmp_path: Path) -> None:
    for part in ("x", "y"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "valence.csv").write_text("a.wav,.5\n")
    with pytest.raises(GrjcaError, match="a second file of valence"):
        read_labels(tmp_path)


def test_a_table_called_by_a_dimension_is_a_table(tmp_path: Path) -> None:
    (tmp_path / "valence.csv").write_text("clip,frame,valence\na,3,.5\n")
    np.testing.assert_array_equal(read_labels(tmp_path).clips["a"].frame, [3])
