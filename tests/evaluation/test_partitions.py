from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_runs import make_run

from grjca.errors import UsageError
from grjca.evaluation.partitions import choose
from grjca.labels.records import ClipLabels, Labels


def labels(clips: str, **partitions: str) -> Labels:
    made = {
        clip: ClipLabels(clip, np.zeros((3, 1)), None, None, None, Path("x.csv"),
                         partition=partitions.get(clip))
        for clip in clips
    }  # fmt: skip
    return Labels(made, ("valence",), "as they are")


def test_a_run_answers_for_its_own_sides() -> None:
    run = make_run("ab", "cd")
    everything = labels("abcdef")
    assert choose([run], everything, "val").clips == {"c": (0,), "d": (0,)}
    assert choose([run], everything, "train").clips == {"a": (0,), "b": (0,)}
    assert choose([run], everything, "test").clips == {"e": (0,), "f": (0,)}
    assert list(choose([run], everything, "all").clips) == list("abcdef")
    assert choose([run], everything, "all").notes == ("2 of 6 clips were trained on",)
    assert "best epoch" in choose([run], everything, "val").notes[0]


def test_folds_answer_for_what_they_did_not_train_on() -> None:
    folds = [make_run("bc", "a"), make_run("ac", "b"), make_run("ab", "c")]
    assert choose(folds, labels("abcd"), "val").clips == {"a": (0,), "b": (1,), "c": (2,)}
    assert choose(folds, labels("abcd"), "train").clips["a"] == (1, 2)
    assert choose(folds, labels("abcd"), "test").clips == {"d": (0, 1, 2)}


def test_seeds_answer_together() -> None:
    seeds = [make_run("ab", "c"), make_run("ab", "c")]
    assert choose(seeds, labels("abc"), "val").clips == {"c": (0, 1)}


def test_test_clips_are_those_that_are_called_so() -> None:
    run = make_run("a", "b")
    assert list(choose([run], labels("abcd", d="test"), "test").clips) == ["d"]
    kept = make_run("a", "b", meta={"split": {"train": ["a"], "val": ["b"], "test": ["c"]}})
    assert list(choose([kept], labels("abcde", d="test"), "test").clips) == ["c"]
    # What was trained on is no test, whatever the annotations say.
    assert list(choose([run], labels("abcd", a="test", d="test"), "test").clips) == ["d"]


def test_missing_clips_are_told() -> None:
    panel = choose([make_run("a", "bc")], labels("ab"), "val")
    assert panel.clips == {"b": (0,)}
    assert panel.notes[0] == "1 of 2 validation clips are not labelled here: c"


@pytest.mark.parametrize(
    ("run", "clips", "partition", "message"),
    [
        ({"train": "ab", "val": "cd"}, "xy", "val", "none of the run's 2 validation clips"),
        ({"train": "ab", "val": "cd"}, "xy", "train", "none of the run's 2 training clips"),
        ({"train": "ab", "val": "c"}, "abc", "test", "every labelled clip was trained or"),
        ({"meta": {"split": None}}, "abc", "val", "records no split"),
        ({"meta": {"split": None}}, "abc", "test", "records no split"),
    ],
)
def test_nothing_to_evaluate(run: Any, clips: str, partition: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        choose([make_run(**run)], labels(clips), partition)


def test_a_run_without_a_split_can_be_scored_on_all() -> None:
    bare = replace(make_run(), meta={})
    assert list(choose([bare], labels("ab"), "all").clips) == ["a", "b"]
