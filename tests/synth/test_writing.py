from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from grjca.cache import FeatureStore
from grjca.commands.synth import synth
from grjca.errors import UsageError
from grjca.labels.readers import read_labels
from grjca.synth.complementarity import STREAMS, Complementarity, make_clip
from grjca.synth.writing import NAME, write_complementarity

CONFIG = Complementarity(0.5, "both", clips=5, seconds=4.0, fps=5.0)


def test_store_and_labels_hold_what_was_made(tmp_path: Path) -> None:
    made = write_complementarity(CONFIG, tmp_path / "set")
    store, labels = FeatureStore(made.store), read_labels(made.labels)
    assert store.clips() == [f"clip00{i}" for i in range(5)] == sorted(labels.clips)
    with made.failures.open() as stream:
        failures = list(csv.DictReader(stream))
    for number, name in enumerate(store.clips()):
        clip, read = make_clip(CONFIG, number), store.read(name, NAME, NAME)
        np.testing.assert_array_equal(read.visual, clip.features["visual"])
        np.testing.assert_array_equal(read.audio, clip.features["audio"])
        np.testing.assert_allclose(labels.clips[name].values, clip.target, atol=1e-6)
        np.testing.assert_allclose(read.time, np.arange(20) / 5)
        own = [row for row in failures if row["clip"] == name]
        assert [(r["stream"], r["failure"], int(r["start"]), int(r["stop"])) for r in own] == [
            (s.stream, s.failure, s.start, s.stop) for s in clip.spans
        ]
        absent = {s.stream for s in clip.spans if s.failure == "absent"}
        assert (~read.visual_valid).any() == ("visual" in absent)
    partitions = [store.about(name)["partition"] for name in store.clips()]
    assert partitions == ["train", "train", "train", "val", "test"]
    about = json.loads((tmp_path / "set" / "synth.json").read_text())
    assert (about["dial"], about["seed"]) == (0.5, 3407)


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(UsageError, match="not an empty folder"):
        write_complementarity(CONFIG, tmp_path)
    with pytest.raises(UsageError, match="not an empty folder"):
        write_complementarity(CONFIG, tmp_path / "x")
    assert (tmp_path / "x").read_text() == "mine"


def test_the_command_writes_the_same_each_time(tmp_path: Path) -> None:
    texts = []
    for name in ("a", "b"):
        asked = [
            "complementarity", "--out", str(tmp_path / name), "--dial", "0.25", "--clips", "5",
            "--seconds", "3", "--fps", "5", "--quiet",
        ]  # fmt: skip
        result = CliRunner().invoke(synth, asked)
        assert result.exit_code == 0, result.output
        texts.append([(tmp_path / name / n).read_text() for n in ("labels.csv", "failures.csv")])
    assert texts[0] == texts[1]
    assert "5 clips of 15 rows" in result.output


def test_the_command_refuses_what_cannot_be(tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "a")]
    too_far = CliRunner().invoke(synth, ["complementarity", *out, "--dial", "0.9"])
    assert too_far.exit_code == 2
    short = CliRunner().invoke(
        synth, ["complementarity", *out, "--dial", "0.5", "--seconds", "0.1"]
    )
    assert isinstance(short.exception, UsageError)
    assert not (tmp_path / "a").exists()
    assert STREAMS == ("visual", "audio")
