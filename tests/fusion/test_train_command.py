"""``grjca train`` and ``grjca config`` on a real store: settings, folds, resume, fine-tuning."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result
from stores import write_clip

from grjca.commands.config import config
from grjca.commands.train import train
from grjca.errors import GrjcaError
from grjca.fusion.checkpoint import load_checkpoint

CLIPS = 6
QUICK = ("--epochs", 2, "--window", 32, "--hop", 16, "--quiet")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of clips of random features, and labels by frame and by clip."""
    folder = tmp_path_factory.mktemp("work")
    rng = np.random.default_rng(0)
    for number in range(CLIPS):
        about = {"subject": f"s{number // 2}", "partition": "validation" if number > 3 else "train"}
        write_clip(folder / "store", f"c{number}.mp4", 40 + number, seed=number, about=about)
        write_clip(folder / "plain", f"c{number}.mp4", 40 + number, seed=number)
    lines = ["clip,frame,valence,arousal"]
    for number in range(CLIPS):
        values = rng.uniform(-1, 1, (40 + number, 2))
        lines += [f"c{number}.mp4,{i},{v:.3f},{a:.3f}" for i, (v, a) in enumerate(values)]
    (folder / "labels.csv").write_text("\n".join(lines))
    return folder


def run(work: Path, out: Path, *words: object, store: str = "store") -> Result:
    given = ("--store", work / store, "--labels", work / "labels.csv", "--out", out, *words)
    result = CliRunner().invoke(train, [str(word) for word in given])
    if result.exception is not None:
        assert isinstance(result.exception, GrjcaError | SystemExit), result.exception
    return result


def refused(result: Result, message: str) -> None:
    assert result.exit_code
    said = f"{result.output} {result.exception}"
    assert message in said, said


def table(run: Path) -> list[str]:
    return [line.rpartition(",")[0] for line in (run / "metrics.csv").read_text().splitlines()]


def test_a_runs_own_settings_give_the_same_run(work: Path, tmp_path: Path) -> None:
    first = run(
        work, tmp_path / "a", *QUICK, "--fusion", "rjca", "--val", "c0.mp4,c1.mp4", "--lr", 0.01
    )
    assert first.exit_code == 0, first.output
    again = run(work, tmp_path / "b", "--config", tmp_path / "a" / "config.yaml", "--preset",
                "paper", "--quiet")  # fmt: skip
    assert again.exit_code == 0, again.output
    assert table(tmp_path / "a") == table(tmp_path / "b")
    assert (tmp_path / "a" / "config.yaml").read_text() == (
        tmp_path / "b" / "config.yaml"
    ).read_text()
    assert str(work) not in (tmp_path / "a" / "config.yaml").read_text()
    files = [(tmp_path / x / "model.safetensors").read_bytes() for x in "ab"]
    assert files[0] == files[1]


def test_settings_from_a_file_and_options_over_them(work: Path, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("model: {fusion: concat}\ntrain: {lr: 1e-2, epochs: 9}\n")
    result = run(work, tmp_path / "run", "--config", tmp_path / "c.yaml", *QUICK)
    assert result.exit_code == 0, result.output
    settings = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert settings["model"]["fusion"] == "concat"
    assert (settings["train"]["lr"], settings["train"]["epochs"]) == (0.01, 2)
    (tmp_path / "c.yaml").write_text("train:\n  learning_rate: 1e-2\n")
    refused(run(work, tmp_path / "no", "--config", tmp_path / "c.yaml"), "line 2: config: train.l")
    assert not (tmp_path / "no").exists()


def test_folds_are_rolled_over_the_subjects(work: Path, tmp_path: Path) -> None:
    validated: list[str] = []
    for fold in (1, 2, 3):
        out = tmp_path / str(fold)
        result = run(work, out, *QUICK, "--folds", 3, "--fold", fold, "--epochs", 1)
        assert result.exit_code == 0, result.output
        split = load_checkpoint(out).meta["split"]
        assert len({clip[1] for clip in split["val"]}) == 2
        assert {int(clip[1]) // 2 for clip in split["val"]}.isdisjoint(
            int(clip[1]) // 2 for clip in split["train"]
        )
        validated += split["val"]
    assert sorted(validated) == [f"c{number}.mp4" for number in range(CLIPS)]
    refused(run(work, tmp_path / "x", "--folds", 3), "folds goes together with fold")
    refused(run(work, tmp_path / "x", "--folds", 3, "--fold", 4), "fold must lie between 1 and 3")
    refused(run(work, tmp_path / "x", "--folds", 4, "--fold", 1), "leave 1 folds without a clip")
    refused(run(work, tmp_path / "x", "--folds", 3, "--fold", 1, "--val", 0.2), "give one of them")
    assert not (tmp_path / "x").exists()


def test_the_stores_partitions_are_the_default_split(work: Path, tmp_path: Path) -> None:
    assert run(work, tmp_path / "a", *QUICK, "--epochs", 1).exit_code == 0
    assert load_checkpoint(tmp_path / "a").meta["split"]["val"] == ["c4.mp4", "c5.mp4"]
    assert run(work, tmp_path / "b", *QUICK, "--epochs", 1, store="plain").exit_code == 0
    assert len(load_checkpoint(tmp_path / "b").meta["split"]["val"]) == 1


def test_resume_and_overwrite(work: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert run(work, whole, *QUICK).exit_code == 0
    assert run(work, parts, *QUICK, "--epochs", 1, "--resume").exit_code == 0
    refused(run(work, parts, *QUICK), "holds a run already")
    refused(run(work, parts, *QUICK, "--resume", "--overwrite"), "goes on or is replaced")
    refused(run(work, parts, *QUICK, "--resume", "--seed", 1), "train.seed: 3407, 1")
    assert run(work, parts, *QUICK, "--resume").exit_code == 0
    assert table(whole) == table(parts)


def test_fine_tuning_takes_the_models_settings(work: Path, tmp_path: Path) -> None:
    first = run(work, tmp_path / "a", *QUICK, "--fusion", "jca", "--preset", "paper", "--epochs", 1)
    assert first.exit_code == 0, first.output
    tuned = run(work, tmp_path / "b", "--init", tmp_path / "a", "--epochs", 1, "--quiet")
    assert tuned.exit_code == 0, tuned.output
    one, other = load_checkpoint(tmp_path / "a"), load_checkpoint(tmp_path / "b")
    assert other.fusion == one.fusion
    assert (other.window, other.hop, other.rate) == (one.window, one.hop, one.rate)
    assert other.meta["train"]["lr"] == 1e-3
    refused(
        run(work, tmp_path / "c", "--init", tmp_path / "a", "--fusion", "concat", "--quiet"),
        "weights do not fit",
    )


def test_single_settings_go_over_all_others(work: Path, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("train: {plateau_patience: 7}\n")
    words = ("--config", tmp_path / "c.yaml", *QUICK, "--lr", 0.5, "--set", "train.lr=1e-3",
             "--set", "train.plateau_patience=30", "--set", "model.attention_dropout=0.25",
             "--set", "data.label_smoothing_seconds=0.5", "--label-delay", "auto", "--set",
             "data.label_delay=0.1")  # fmt: skip
    result = run(work, tmp_path / "run", *words)
    assert result.exit_code == 0, result.output
    settings = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (settings["train"]["lr"], settings["train"]["plateau_patience"]) == (1e-3, 30)
    assert settings["model"]["attention_dropout"] == 0.25
    assert settings["data"]["label_smoothing_seconds"] == 0.5
    assert settings["data"]["label_delay"] == 0.1
    no = tmp_path / "no"
    refused(run(work, no, "--set", "train.lrr=1"), "--set train.lrr=1: config: train.lrr: no such")
    refused(run(work, no, "--set", "train.lr=fast"), "--set train.lr=fast: config: train.lr must")
    refused(run(work, no, "--set", "train.window=9"), "train.hop must not exceed the window's 9")
    refused(run(work, no, "--set", "lr=1"), "give SECTION.NAME=VALUE")
    refused(run(work, no, *QUICK, "--set", "data.label_smoothing_seconds=-1"), "must be finite and")
    assert not no.exists()


def test_what_a_reader_should_know_is_printed(work: Path, tmp_path: Path) -> None:
    (tmp_path / "store").symlink_to(work / "plain")
    lines = [x for x in (work / "labels.csv").read_text().splitlines() if "c5" not in x]
    (tmp_path / "labels.csv").write_text("\n".join([*lines, "gone.mp4,0,0.5,0.5"]))
    result = run(tmp_path, tmp_path / "run", *QUICK)
    assert result.exit_code == 0, result.output
    notes = [x for x in result.output.splitlines() if x.startswith("note: ")]
    assert notes[0].startswith("note: the subject of 5 of 5 clips is not known (c0.mp4, ")
    assert notes[1:] == [
        "note: 1 of 6 labelled clips are not in the store: gone.mp4",
        "note: 1 of 6 clips of the store have no labels: c5.mp4",
    ]


def test_one_clip_only(work: Path, tmp_path: Path) -> None:
    (tmp_path / "store").symlink_to(work / "plain")
    lines = [x for x in (work / "labels.csv").read_text().splitlines() if x[:2] in ("cl", "c0")]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    refused(run(tmp_path, tmp_path / "x", *QUICK), "there is one clip: a side would be empty")
    refused(run(tmp_path, tmp_path / "x", *QUICK, "--val", "c0.mp4"), "no clip on this side")
    refused(
        run(tmp_path, tmp_path / "x", *QUICK, "--folds", 2, "--fold", 1),
        "1 clips of 1 subjects leave 1 folds without a clip",
    )
    assert not (tmp_path / "x").exists()


def test_labels_that_come_late_or_are_too_many(work: Path, tmp_path: Path) -> None:
    lines = (work / "labels.csv").read_text().splitlines()
    (tmp_path / "store").symlink_to(work / "store")
    (tmp_path / "labels.csv").write_text("\n".join([*lines, "c5.mp4,45,0.5,0.5"]))
    refused(run(tmp_path, tmp_path / "x", *QUICK), "c5.mp4, which has 45 frames")
    shifted = (*QUICK, "--align", "truncate", "--label-delay", 0.4)
    assert run(tmp_path, tmp_path / "run", *shifted).exit_code == 0
    data = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["data"]
    assert (data["align"], data["label_delay"]) == ("truncate", 0.4)


def test_what_a_cpu_does_not_do(work: Path, tmp_path: Path) -> None:
    for words in (("--device", "cpu", "--amp"), ("--device", "cpu", "--compile")):
        refused(run(work, tmp_path / "x", *words), "for CUDA devices only")
    words = ("--device", "cpu", "--attention", "triton")
    refused(run(work, tmp_path / "x", *words), "the kernels need a CUDA device, this is a CPU")
    refused(run(work, tmp_path / "x", "--device", "tpu"), "device must be auto")


def test_config_show_prints_what_train_takes(tmp_path: Path) -> None:
    shown = CliRunner().invoke(config, ["show", "--preset", "paper"])
    assert shown.exit_code == 0
    settings = yaml.safe_load(shown.output)
    assert settings["model"]["time_mix"] == "dense"
    assert settings["train"]["epochs"] == 100
    (tmp_path / "c.yaml").write_text("train:\n  epochs: 7\n")
    again = CliRunner().invoke(config, ["show", "--config", str(tmp_path / "c.yaml")])
    assert yaml.safe_load(again.output)["train"]["epochs"] == 7
    (tmp_path / "c.yaml").write_text(shown.output)
    back = CliRunner().invoke(config, ["show", "--config", str(tmp_path / "c.yaml")])
    assert back.output == shown.output
