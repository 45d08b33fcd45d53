from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import pytest
import yaml
from click.testing import CliRunner

from grjca.ablation.plan import AblationConfig, splits, trials
from grjca.ablation.run import ablate
from grjca.ablation.scores import SCORE, read_score
from grjca.cache import FeatureStore
from grjca.commands.ablate import ablate as command
from grjca.errors import GrjcaError, UsageError
from grjca.fusion.data_config import DataConfig
from grjca.labels.matching import match
from grjca.labels.readers import read_labels
from grjca.pipeline.parts import Part
from grjca.synth.complementarity import Complementarity
from grjca.synth.writing import MadeSet, write_complementarity

MODEL = {"visual_channels": [4], "audio_channels": [4], "head_hidden": 4, "temporal": "none"}
TRAIN = {"epochs": 2, "window": 20, "hop": 20, "batch": 8, "lr": 0.01, "save_seconds": 3600.0}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeSet:
    config = Complementarity(0.5, clips=10, seconds=8.0, fps=5.0)
    return write_complementarity(config, tmp_path_factory.mktemp("made") / "set")


def run(made: MadeSet, out: Path, **values: Any) -> Any:
    asked = {"variants": ("concat", "grjca", "ridge"), "seeds": 2, "model": MODEL, "config": TRAIN}
    return ablate(made.store, made.labels, out, **{**asked, **values})


def table(out: Path) -> list[dict[str, str]]:
    with (out / "trials.csv").open() as stream:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(stream)]


def test_every_fusion_seed_and_fold_is_tried_once() -> None:
    config = AblationConfig(("concat", "audio"), seeds=2, folds=3)
    planned = trials(config)
    assert len(set(planned)) == len(planned) == 2 * 2 * 3
    assert planned[0].train() == {"seed": 3407}
    assert planned[1].model() == {"fusion": "concat"}
    assert planned[1].train()["modalities"] == ("audio",)


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"variants": ("concat", "late")}, "fusions"), ({"variants": ()}, "fusions"),
        ({"variants": ("concat", "concat")}, "fusions"), ({"seeds": 0}, "seeds"),
        ({"folds": 2}, "folds"), ({"reference": "rjca"}, "reference"), ({"workers": 0}, "workers"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(
    made: MadeSet, tmp_path: Path, values: dict[str, Any], word: str
) -> None:
    with pytest.raises(UsageError, match=word):
        run(made, tmp_path / "out", **values)
    assert not (tmp_path / "out").exists()


def test_every_clip_is_tested_on_once_and_never_trained_or_validated_on(made: MadeSet) -> None:
    store = FeatureStore(made.store)
    labels = match(read_labels(made.labels), store.clips()).labels
    found = splits(store, labels, DataConfig(), 4)
    assert list(found) == [1, 2, 3, 4]
    tested = [clip for split in found.values() for clip in split.test]
    assert sorted(tested) == store.clips()
    for split in found.values():
        assert sorted((*split.train, *split.val, *split.test)) == store.clips()
    with pytest.raises(UsageError, match="11 folds"):
        splits(store, labels, DataConfig(), 11)


def test_tables_and_plot_say_what_the_runs_reached(made: MadeSet, tmp_path: Path) -> None:
    found = run(made, tmp_path, folds=3)
    assert len(found.scores) == 2 * 3 * 3
    rows = table(tmp_path)
    assert [(r["fusion"], r["seed"], r["fold"]) for r in rows[:3]] == [
        ("concat", "3407", "1"), ("grjca", "3407", "1"), ("ridge", "3407", "1")
    ]  # fmt: skip
    document = json.loads((tmp_path / "ablation.json").read_text())
    by = {own["variant"]: own for own in document["fusions"]}
    for name, own in by.items():
        values = [float(r["ccc_mean"]) for r in rows if r["fusion"] == name]
        assert own["ccc"]["mean"]["value"] == pytest.approx(sum(values) / 6)
    assert by["grjca"]["ensemble"]["mean"] is not None
    assert 0 <= by["grjca"]["entropy"] <= by["grjca"]["mean_entropy"] + 1e-9
    assert by["concat"]["choosing"] is None
    assert (tmp_path / "ablation.png").stat().st_size > 10_000
    assert (tmp_path / "ablation.md").read_text().count("\n") > 5
    score = tmp_path / "runs" / "grjca" / "seed-3407" / "fold-2" / SCORE
    assert read_score(score).trial == found.scores[4].trial
    assert (score.parent / "model.safetensors").exists()


def test_a_second_run_repeats_nothing_and_a_lost_score_is_made_again(
    made: MadeSet, tmp_path: Path
) -> None:
    run(made, tmp_path)
    before = table(tmp_path)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.*")}
    lost = tmp_path / "runs" / "grjca" / "seed-3407" / "fold-0"
    (lost / SCORE).unlink()
    run(made, tmp_path)
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.*")}
    assert all(after[path] == time for path, time in files.items() if path.parent != lost)
    assert (lost / SCORE).exists()
    assert table(tmp_path) == before


def test_more_seeds_go_over_what_is_there(made: MadeSet, tmp_path: Path) -> None:
    run(made, tmp_path, seeds=1)
    first = table(tmp_path)
    run(made, tmp_path, seeds=2)
    assert table(tmp_path)[:3] == first
    # The mean over two seeds is of no use where three are asked for: it is made again.
    score = tmp_path / "runs/grjca/ensemble/fold-0" / SCORE
    two, plan = read_score(score), json.loads(score.read_text())["plan"]
    found = run(made, tmp_path, seeds=3)
    assert json.loads(score.read_text())["plan"] != plan
    assert read_score(score).ccc != two.ccc
    assert len(found.scores) == 9
    when = score.stat().st_mtime_ns
    run(made, tmp_path, seeds=3)
    assert score.stat().st_mtime_ns == when


def test_other_settings_in_the_same_folder_are_refused(made: MadeSet, tmp_path: Path) -> None:
    run(made, tmp_path, seeds=1)
    with pytest.raises(UsageError, match="other settings"):
        run(made, tmp_path, seeds=1, config={**TRAIN, "epochs": 3})


@pytest.mark.parametrize("text", ["", "[]", '{"format": 1}', '{"format": "x", "version": 9}'])
def test_a_damaged_score_is_named(made: MadeSet, tmp_path: Path, text: str) -> None:
    run(made, tmp_path, seeds=1, variants=("ridge",), reference="ridge")
    score = tmp_path / "runs" / "ridge" / "seed-3407" / "fold-0" / SCORE
    score.write_text(text)
    with pytest.raises(GrjcaError, match=SCORE):
        run(made, tmp_path, seeds=1, variants=("ridge",), reference="ridge")


def test_folds_belong_to_the_ablation_not_to_the_settings(made: MadeSet, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--folds"):
        run(made, tmp_path, data={"folds": 3, "fold": 1})


def test_one_modality_alone_ignores_the_other(made: MadeSet, tmp_path: Path) -> None:
    found = run(made, tmp_path, seeds=1, variants=("visual", "audio"), reference="audio")
    assert [score.trial.variant for score in found.scores] == ["visual", "audio"]
    for name in ("visual", "audio"):
        config = (tmp_path / "runs" / name / "seed-3407" / "fold-0" / "config.yaml").read_text()
        assert f"modalities: [{name}]" in config


@pytest.mark.long
def test_a_killed_ablation_goes_on_and_processes_side_by_side_find_the_same(
    made: MadeSet, tmp_path: Path
) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps({"model": MODEL, "train": {**TRAIN, "save_seconds": 0.2}}))
    asked = [
        "--store", str(made.store), "--labels", str(made.labels), "--config", str(config),
        "--fusions", "concat,rjca", "--seeds", "2", "--epochs", "8", "--quiet",
    ]  # fmt: skip
    code = "import sys; from grjca.commands.ablate import ablate; ablate(sys.argv[1:])"
    line = [sys.executable, "-c", code, *asked, "--out", str(tmp_path / "killed")]
    process = subprocess.Popen([*line, "--workers", "2"], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "killed").rglob("metrics.csv")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    # Its workers end by themselves: nothing is written any more.
    time.sleep(1.0)
    seen = sorted((p, p.stat().st_mtime_ns) for p in (tmp_path / "killed").rglob("*.*"))
    time.sleep(1.0)
    assert seen == sorted((p, p.stat().st_mtime_ns) for p in (tmp_path / "killed").rglob("*.*"))
    assert len(list((tmp_path / "killed").rglob(SCORE))) < 4
    for name, workers in (("killed", "2"), ("whole", "1")):
        out = ["--out", str(tmp_path / name), "--workers", workers]
        result = CliRunner().invoke(command, [*asked, *out])
        assert result.exit_code == 0, result.output
    assert table(tmp_path / "killed") == table(tmp_path / "whole")


def test_the_command_prints_the_table_and_refuses_unknown_fusions(
    made: MadeSet, tmp_path: Path
) -> None:
    base = ["--store", str(made.store), "--labels", str(made.labels), "--out", str(tmp_path / "o")]
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps({"model": MODEL, "train": TRAIN}))
    asked = [*base, "--config", str(config), "--fusions", "ridge,concat", "--seeds", "1", "--quiet"]
    result = CliRunner().invoke(command, asked)
    assert result.exit_code == 0, result.output
    assert "| fusion |" in result.output
    assert "less ridge" in result.output
    refused = CliRunner().invoke(command, [*base, "--fusions", "concat,late"])
    assert refused.exit_code == 2
    assert "late" in refused.output


def parted(made: MadeSet, out: Path, number: int, of: int, **values: Any) -> Any:
    asked = {"variants": ("concat", "ridge"), "reference": "ridge", "part": Part(number, of)}
    return run(made, out, **{**asked, **values})


def test_parts_together_are_the_whole_and_the_last_one_writes_the_tables(
    made: MadeSet, tmp_path: Path
) -> None:
    # More parts than trials: some have none.
    found = {number: parted(made, tmp_path / "parts", number, 5) for number in (4, 2, 5, 3)}
    assert {number: len(own.scores) for number, own in found.items()} == {4: 1, 2: 2, 5: 2, 3: 3}
    assert [trial.variant for trial in found[3].lacking] == ["concat"]
    assert not list((tmp_path / "parts").glob("*.*"))
    last = parted(made, tmp_path / "parts", 1, 5)
    assert last.lacking == ()
    whole = run(made, tmp_path / "whole", variants=("concat", "ridge"), reference="ridge")
    assert table(tmp_path / "parts") == table(tmp_path / "whole")
    assert [own.ccc for own in last.scores] == [own.ccc for own in whole.scores]
    # Put back into the queue after its end, a part repeats nothing and writes the same tables.
    assert parted(made, tmp_path / "parts", 2, 5).results == last.results


def test_the_whole_command_completes_what_parts_left(made: MadeSet, tmp_path: Path) -> None:
    assert parted(made, tmp_path, 1, 2).lacking
    found = run(made, tmp_path, variants=("concat", "ridge"), reference="ridge")
    assert not found.lacking
    assert len(table(tmp_path)) == 4


def test_two_do_not_train_in_one_folder(made: MadeSet, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "ridge" / "seed-3407" / "fold-0"
    code = (
        "import sys; from pathlib import Path; from grjca.fusion.run_claim import claimed\n"
        "with claimed(Path(sys.argv[1]), 'trial'): print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline()
        with pytest.raises(UsageError, match=f"process {other.pid}"):
            parted(made, tmp_path, 2, 4)
        other.communicate()
    assert parted(made, tmp_path, 2, 4).scores


def changed(made: MadeSet, folder: Path) -> MadeSet:
    """The set with another recording under the name of one of its clips."""
    shutil.copytree(made.store, folder)
    first, second, *_ = FeatureStore(folder).files()
    with h5py.File(first, "r+") as file, h5py.File(second) as other:
        for group in ("visual", "audio"):
            (name,) = file[group]
            own, theirs = file[group][name], other[group][name]
            own["features"][:] = theirs["features"][:]
            own.attrs["digest"] = theirs.attrs["digest"]
    return dataclasses.replace(made, store=folder)


def test_features_that_changed_are_noticed_and_trained_on_when_wanted(
    made: MadeSet, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    asked = {"seeds": 2, "variants": ("concat", "ridge")}
    run(made, out, **asked)
    before = table(out)
    (out / "runs" / "ridge" / "seed-3407" / "fold-0" / SCORE).unlink()
    other = changed(made, tmp_path / "store")
    with pytest.raises(UsageError, match="no longer holds") as told:
        run(other, out, **asked)
    assert "--overwrite" in str(told.value)
    # Nothing was done before it was noticed.
    assert not (out / "runs" / "ridge" / "seed-3407" / "fold-0" / SCORE).exists()
    run(other, out, overwrite=True, **asked)
    run(other, tmp_path / "fresh", **asked)
    assert table(out) == table(tmp_path / "fresh") != before
    run(other, out, **asked)


def test_overwriting_does_only_again_what_does_not_fit(made: MadeSet, tmp_path: Path) -> None:
    asked = {"seeds": 1, "variants": ("concat", "ridge")}
    run(made, tmp_path, **asked)
    scores = {path: path.stat().st_mtime_ns for path in tmp_path.rglob(SCORE)}
    run(made, tmp_path, overwrite=True, **asked)
    assert scores == {path: path.stat().st_mtime_ns for path in tmp_path.rglob(SCORE)}
    run(made, tmp_path, overwrite=True, config={**TRAIN, "epochs": 3}, **asked)
    assert [row["epochs"] for row in table(tmp_path)] == ["3", "0"]


def test_an_embedder_that_no_trial_takes_may_change(made: MadeSet, tmp_path: Path) -> None:
    asked = {"seeds": 1, "variants": ("audio",), "reference": "audio"}
    run(made, tmp_path / "out", **asked)
    shutil.copytree(made.store, tmp_path / "store")
    for path in FeatureStore(tmp_path / "store").files():
        with h5py.File(path, "r+") as file:
            (name,) = file["visual"]
            file["visual"][name].attrs["digest"] = "another"
    run(dataclasses.replace(made, store=tmp_path / "store"), tmp_path / "out", **asked)


def test_scores_from_before_features_were_recorded_are_still_read(
    made: MadeSet, tmp_path: Path
) -> None:
    asked = {"seeds": 1, "variants": ("ridge",), "reference": "ridge"}
    first = run(made, tmp_path, **asked)
    (path,) = tmp_path.rglob(SCORE)
    old = json.loads(path.read_text())
    del old["features"]
    path.write_text(json.dumps({**old, "version": 1}))
    assert run(made, tmp_path, **asked).scores == first.scores
    assert json.loads(path.read_text())["version"] == 1


def test_single_settings_are_given_on_the_command_line(made: MadeSet, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps({"model": MODEL, "train": TRAIN}))
    base = [
        "--store", str(made.store), "--labels", str(made.labels), "--out", str(tmp_path / "o"),
        "--config", str(config), "--fusions", "concat", "--seeds", "1", "--epochs", "5", "--quiet",
    ]  # fmt: skip
    single = ["--set", "train.epochs=1", "--set", "model.attention_dropout=0.3", "--set",
              "train.lr=2e-3"]  # fmt: skip
    result = CliRunner().invoke(command, [*base, *single, "--part", "1/2"])
    assert result.exit_code == 0, result.output
    path = tmp_path / "o" / "runs/concat/seed-3407/fold-0/config.yaml"
    written = yaml.safe_load(path.read_text())
    assert (written["train"]["epochs"], written["train"]["lr"]) == (1, 0.002)
    assert written["model"]["attention_dropout"] == 0.3
    assert "| fusion |" in result.output


def test_a_part_says_what_is_still_lacking(made: MadeSet, tmp_path: Path) -> None:
    base = ["--store", str(made.store), "--labels", str(made.labels), "--out", str(tmp_path / "o")]
    words = [*base, "--fusions", "ridge", "--seeds", "3", "--part", "2/3", "--quiet"]
    result = CliRunner().invoke(command, words)
    assert result.exit_code == 0, result.output
    assert result.output == "1 of 3 trials are finished; no tables yet\n"


@pytest.mark.parametrize(
    ("pair", "told"),
    [
        ("epochs=1", "SECTION.NAME=VALUE"), ("train.epochs", "SECTION.NAME=VALUE"),
        ("trian.epochs=1", "model, train, data"), ("train.epoch=1", "Did you mean epochs?"),
        ("train.epochs=many", "a whole number"), ("train.epochs=[", "not YAML"),
        ("train.epochs=0", "train.epochs must be at least 1"), ("train.=1", "SECTION.NAME=VALUE"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused_by_their_place(
    made: MadeSet, tmp_path: Path, pair: str, told: str
) -> None:
    from grjca.cli import main

    base = ["--store", str(made.store), "--labels", str(made.labels), "--out", str(tmp_path / "o")]
    result = CliRunner().invoke(main, ["ablate", *base, "--set", pair])
    assert result.exit_code == 2
    assert told in result.output
    twice = CliRunner().invoke(
        main, ["ablate", *base, "--set", "train.seed=1", "--set", "train.seed=2"]
    )
    assert "second time" in twice.output
