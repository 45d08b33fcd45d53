import logging
from pathlib import Path

import numpy as np
import pytest

from grjca.errors import GrjcaError, UsageError
from grjca.labels.partitions import by_partition, partition_of
from grjca.labels.records import ClipLabels, Labels

WHO: dict[str, str | None] = {"a": "p", "b": "q", "c": "r", "d": "s"}


@pytest.mark.parametrize(
    ("word", "wanted"),
    [("train", "train"), ("Validation", "val"), ("dev", "val"), (" test ", "test"), (None, None)],
)
def test_the_stores_words(word: str | None, wanted: str | None) -> None:
    assert partition_of("a", None, word) == wanted


def test_an_unknown_word_is_refused() -> None:
    with pytest.raises(GrjcaError, match=r"^a: split: the store's partition is 'fold1'"):
        partition_of("a", None, "fold1")


def test_the_annotations_count_first() -> None:
    own = ClipLabels("a", np.zeros((1, 1)), None, None, None, Path("x"), "val")
    labels = Labels({"a": own}, ("valence",), "as they are")
    assert partition_of("a", labels, "train") == "val"
    assert partition_of("b", labels, "train") == "train"


def test_three_sides() -> None:
    split = by_partition(list("dcba"), {"a": "train", "b": "train", "c": "val", "d": "test"}, WHO)
    assert (split.train, split.val, split.test) == (("a", "b"), ("c",), ("d",))
    assert split.grouped
    assert split.notes == ()


def test_what_is_wrong_is_said(caplog: pytest.LogCaptureFixture) -> None:
    who = WHO | {"d": "p"}
    with caplog.at_level(logging.WARNING):
        split = by_partition(list("abcd"), {"a": "train", "c": "val", "d": "test"}, who)
    assert split.train == ("a",)
    assert not split.grouped
    assert "1 of 4 clips have no partition and take no part (b)" in caplog.text
    assert "on both sides of the split: p" in caplog.text
    assert len(split.notes) == 2


def test_clips_left_out_do_not_make_a_split_ungrouped() -> None:
    assert by_partition(list("abc"), {"a": "train", "c": "val"}, WHO).grouped


@pytest.mark.parametrize("missing", ["train", "val"])
def test_an_empty_side(missing: str) -> None:
    partitions = {"a": "train", "b": "val", "c": "test"}
    kept: dict[str, str | None] = {c: p for c, p in partitions.items() if p != missing}
    with pytest.raises(UsageError, match="no clip on this side"):
        by_partition(list(kept), kept, WHO)
