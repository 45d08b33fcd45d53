import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grjca.errors import GrjcaError
from grjca.labels.matching import match
from grjca.labels.readers import read_labels
from grjca.labels.rows import labels_for_rows
from grjca.labels.subjects import subject_of


def written(path: Path, frames: Any, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"frames": frames, **more}))
    return path


def test_the_real_example(media: Path) -> None:
    folder = media / "features" / "afew_va_example"
    file = folder / "video3" / "video3.json"
    by_hand = json.loads(file.read_text())["frames"]
    wanted = [[by_hand[f"{i:05d}"][n] / 10 for n in ("valence", "arousal")] for i in range(1, 40)]
    for given, clip in ((folder, "video3"), (folder / "video3", "video3"), (file, "video3")):
        labels = read_labels(given)
        assert labels.names == ("valence", "arousal")
        own = match(labels, [clip]).labels.clips[clip]
        np.testing.assert_allclose(labels_for_rows(own, np.arange(39) / 25), wanted, atol=1e-12)
        assert own.values.max() == 0.6
    assert subject_of("video3", labels) == "subject Emma Watson"
    assert "divided by 10" in labels.mapping


def test_minus_five_is_a_label(tmp_path: Path) -> None:
    written(tmp_path / "a.json", {"1": {"valence": -5, "arousal": -10}})
    np.testing.assert_array_equal(read_labels(tmp_path).clips["a"].values, [[-0.5, -1.0]])


def test_frames_count_from_zero_or_one_and_may_miss(tmp_path: Path) -> None:
    written(tmp_path / "001" / "001.json", {"00002": {"valence": 1}, "00000": {"valence": 2}})
    written(tmp_path / "002" / "002.json", {"00004": {"valence": 3}, "00002": {"valence": None}})
    labels = read_labels(tmp_path)
    assert labels.names == ("valence",)
    assert set(labels.clips) == {"001", "002"}
    np.testing.assert_array_equal(labels.clips["001"].frame, [0, 2])
    np.testing.assert_array_equal(labels.clips["002"].frame, [1, 3])
    np.testing.assert_array_equal(labels.clips["002"].values, [[np.nan], [0.3]])


def test_a_dimension_that_some_frames_lack(tmp_path: Path) -> None:
    written(tmp_path / "a.json", {"1": {"valence": 1}, "2": {"arousal": 2}})
    wanted = [[0.1, np.nan], [np.nan, 0.2]]
    np.testing.assert_array_equal(read_labels(tmp_path).clips["a"].values, wanted)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not a readable JSON file"),
        ("[" * 100_000, "not a readable JSON file"),
        ("[1]", "no frames in it"),
        ('{"frames": []}', "no frames in it"),
        ('{"frames": {}}', "no frames in it"),
        ('{"frames": {"one": {"valence": 1}}}', "frame 'one' has no number"),
        ('{"frames": {"-1": {"valence": 1}}}', "frame '-1' has no number"),
        ('{"frames": {"1": {"valence": 1}, "01": {"valence": 1}}}', "two frames are number 1"),
        ('{"frames": {"1": 3}}', "frame 1 holds 3"),
        ('{"frames": {"1": {"valence": "high"}}}', 'valence of frame 1 is "high"'),
        ('{"frames": {"1": {"valence": true}}}', "valence of frame 1 is true"),
        ('{"frames": {"1": {"valence": 11}}}', r"valence of frame 1 is 11, outside \[-10, 10\]"),
        ('{"frames": {"1": {"valence": NaN}}}', "valence of frame 1 is nan, outside"),
        ('{"frames": {"1": {"landmarks": []}}}', "no valence and no arousal"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(GrjcaError, match=says) as caught:
        read_labels(tmp_path)
    assert "a.json" in str(caught.value)


def test_two_files_of_a_clip(tmp_path: Path) -> None:
    written(tmp_path / "a.json", {"1": {"valence": 1}})
    written(tmp_path / "a" / "a.json", {"1": {"valence": 1}})
    with pytest.raises(GrjcaError, match="clip a is also in"):
        read_labels(tmp_path)
