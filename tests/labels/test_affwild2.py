from pathlib import Path

import numpy as np
import pytest

from grjca.errors import GrjcaError
from grjca.labels.readers import read_labels


def write(root: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = root / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def sets(va: Path, train: str = "Train_Set") -> Path:
    write(va / train, a="valence,arousal\n.1,.2\n-5,-5\n", b_left="valence,arousal\n0,0\n")
    write(va / "Validation_Set", c="valence,arousal\n.5,-.5\n")
    write(va / "Test_Set", d="valence,arousal\n-5,-5\n")
    return va


@pytest.mark.parametrize(
    ("tree", "train", "given"),
    [
        ("9th ABAW Annotations/VA_Estimation_Challenge", "Train_Set", "."),
        ("9th ABAW Annotations/VA_Estimation_Challenge", "Train_Set", "9th ABAW Annotations"),
        ("annotations/VA_Set", "Training_Set", "annotations"),
        ("VA_Set", "Train_Set", "VA_Set"),
    ],
)
def test_partitions_by_folder(tmp_path: Path, tree: str, train: str, given: str) -> None:
    va = sets(tmp_path / tree, train)
    # The other challenges' annotations beside it are no such texts and must not be read.
    write(va.parent / "EXPR_Recognition_Challenge" / "Train_Set", a="Neutral,Anger\n0\n")
    write(va.parent / "EXPR_Set" / "Training_Set", a="Neutral,Anger\n0\n")
    labels = read_labels(tmp_path / given)
    assert {clip: own.partition for clip, own in labels.clips.items()} == {
        "a": "train", "b_left": "train", "c": "val", "d": "test",
    }  # fmt: skip
    np.testing.assert_array_equal(labels.clips["a"].values, [[0.1, 0.2], [np.nan, np.nan]])
    assert labels.clips["c"].source == va / "Validation_Set" / "c.txt"
    assert "Aff-Wild2" in labels.mapping


def test_some_partitions_only(tmp_path: Path) -> None:
    write(tmp_path / "VA_Set" / "Validation_Set", c="valence,arousal\n.5,-.5\n")
    assert read_labels(tmp_path).clips["c"].partition == "val"


def test_a_flat_folder_has_no_partition(tmp_path: Path) -> None:
    sets(tmp_path)
    assert read_labels(tmp_path / "Train_Set").clips["a"].partition is None


def test_a_clip_in_two_partitions(tmp_path: Path) -> None:
    sets(tmp_path)
    write(tmp_path / "Validation_Set", a="valence,arousal\n0,0\n")
    with pytest.raises(GrjcaError, match=r"clip a is also in Train_Set/a\.txt"):
        read_labels(tmp_path)


def test_two_trees(tmp_path: Path) -> None:
    sets(tmp_path / "old" / "VA_Set")
    sets(tmp_path / "new" / "VA_Estimation_Challenge")
    with pytest.raises(GrjcaError, match=r"several sets of annotations: new/VA_Est.*, old/VA_Set"):
        read_labels(tmp_path)


def test_a_tree_without_files(tmp_path: Path) -> None:
    (tmp_path / "VA_Set" / "Train_Set").mkdir(parents=True)
    with pytest.raises(GrjcaError, match=r"VA_Set: labels: no \.txt file in Train_Set"):
        read_labels(tmp_path)
