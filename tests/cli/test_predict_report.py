"""``predict --report`` and ``predict`` with several checkpoints, and the report of ``train``."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from face_makers import make_face_clip
from page_makers import Parsed

import grjca
from grjca.cli import main
from grjca.fusion.checkpoint import load_checkpoint, save_checkpoint

SETTINGS = ("--val", "s2.mp4", "--epochs", 1, "--window", 16, "--hop", 16, "--quiet")


def command(*words: object) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three clips, their store, labels, and runs of two seeds."""
    folder = tmp_path_factory.mktemp("work")
    rng = np.random.default_rng(0)
    (folder / "clips").mkdir()
    with (folder / "labels.csv").open("w") as stream:
        stream.write("clip,frame,valence,arousal\n")
        for number in range(3):
            make_face_clip(folder / f"clips/s{number}.mp4", [True] * 20)
            for frame, (v, a) in enumerate(rng.uniform(-1, 1, (20, 2))):
                stream.write(f"s{number}.mp4,{frame},{v},{a}\n")
    made = command("extract", folder / "clips", "--store", folder / "store", "--visual", "hog",
                   "--audio", "logmel", "--workers", 1, "--quiet")  # fmt: skip
    assert made.exit_code == 0, made.output
    for seed in (1, 2):
        trained = command("train", "--store", folder / "store", "--labels", folder / "labels.csv",
                          "--out", folder / f"run{seed}", "--seed", seed, *SETTINGS,
                          "--set", "model.linear=none")  # fmt: skip
        assert trained.exit_code == 0, trained.output
        assert f"{folder}/run{seed}/report.html" in trained.output
    return folder


def rows(path: Path) -> list[dict[str, float]]:
    with path.open() as stream:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(stream)]


def pictures(page: Path) -> int:
    return len(Parsed(page.read_text()).data["faces"])


def test_one_video_has_one_page_with_its_video_and_faces(work: Path, tmp_path: Path) -> None:
    """The store is thrown away, so that what the page shows of it must be taken before."""
    result = command("predict", work / "clips/s0.mp4", "--checkpoint", work / "run1", "--out",
                     tmp_path, "--report", "--workers", 1, "--quiet")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == str(tmp_path / "report.html")
    page = Parsed((tmp_path / "report.html").read_text())
    assert "s0.mp4" in page.text
    (video,) = [a["src"] for tag, a in page.tags if tag in ("video", "source") and a.get("src")]
    assert (tmp_path / str(video)).resolve() == work / "clips/s0.mp4"
    assert pictures(tmp_path / "report.html") > 5
    assert not (tmp_path / "report_files").exists()


def test_a_folder_has_an_index_of_the_clips_of_this_run(work: Path, tmp_path: Path) -> None:
    words = ("predict", "--checkpoint", work / "run1", "--store", work / "store", "--quiet",
             "--no-plots", "--out", tmp_path, "--report", "--no-faces", "--embed")  # fmt: skip
    assert command(*words, work / "clips/s2.mp4").exit_code == 0
    (tmp_path / "bad").mkdir()
    for name in ("s0.mp4", "s1.mp4"):
        shutil.copy(work / "clips" / name, tmp_path / "bad" / name)
    (tmp_path / "bad/broken.mp4").write_text("no video")
    result = command(*words, tmp_path / "bad")
    assert result.exit_code == 1, result.output
    index = (tmp_path / "report.html").read_text()
    assert "s0.mp4" in index
    assert "s1.mp4" in index
    assert "s2.mp4" not in index
    page = tmp_path / "report_files/s0.mp4.html"
    assert "data:video/mp4;base64," in page.read_text()
    assert pictures(page) == 0
    # What is there already is in the page as well.
    again = command(*words, tmp_path / "bad")
    assert "0 predicted, 2 already there" in again.output
    assert "s1.mp4" in (tmp_path / "report.html").read_text()


def test_a_page_that_cannot_be_written_takes_nothing_away(work: Path, tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    result = command("predict", work / "clips/s0.mp4", "--checkpoint", work / "run1", "--out",
                     tmp_path, "--report", "--store", work / "store", "--quiet")  # fmt: skip
    assert result.exit_code == 1
    (error,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "report.html" in error
    assert len(rows(tmp_path / "s0.mp4.csv")) == 20


@pytest.mark.parametrize("words", [("--embed",), ("--no-faces",), ("--report", "--part", "1/2")])
def test_what_is_about_no_page_is_refused(
    work: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    result = command("predict", work / "clips/s0.mp4", "--checkpoint", work / "run1", "--out",
                     tmp_path, *words)  # fmt: skip
    assert result.exit_code == 2
    assert "report" in result.output
    assert not list(tmp_path.iterdir())


def test_several_models_predict_their_mean(work: Path, tmp_path: Path) -> None:
    common = ("predict", work / "clips/s0.mp4", "--store", work / "store", "--no-plots", "--quiet")
    one, two = (("--checkpoint", work / f"run{seed}") for seed in (1, 2))
    for name, checkpoints in {"a": one, "b": two, "both": (*one, *two)}.items():
        result = command(*common, *checkpoints, "--out", tmp_path / name)
        assert result.exit_code == 0, result.output
        assert ("mean of 2 models" in result.output) == (name == "both")
    tables = {name: rows(tmp_path / name / "s0.mp4.csv") for name in ("a", "b", "both")}
    for a, b, both in zip(*tables.values(), strict=True):
        for dimension in ("valence", "arousal"):
            mean = (a[dimension] + b[dimension]) / 2
            assert both[dimension] == pytest.approx(mean, abs=2e-6)
        assert both["time"] == a["time"]
    assert not any(name.startswith("gate") for name in tables["both"][0])
    # What is done is known by all models together.
    assert "1 already" in command(*common, *one, *two, "--out", tmp_path / "both").output
    assert "frames, mean" in command(*common, *one, "--out", tmp_path / "both").output
    (record,) = (tmp_path / "a/.grjca/predicted").glob("*.json")
    digest = grjca.predicting.file_digest(work / "run1/model.safetensors")
    assert json.loads(record.read_text())["model"] == digest


def test_the_function_takes_a_path_or_several(work: Path, tmp_path: Path) -> None:
    made = [
        grjca.predict([work / "clips/s0.mp4"], given, tmp_path / str(i), store=work / "store",
                      plots=False)
        for i, given in enumerate((work / "run1", [work / "run1"], [work / "run1", work / "run2"]))
    ]  # fmt: skip
    assert [result.models for result in made] == [1, 1, 2]
    values = [result.predictions["s0.mp4"].values for result in made]
    assert np.array_equal(values[0], values[1])
    assert not np.array_equal(values[0], values[2])
    assert made[0].report is None


def test_models_of_other_features_are_refused_in_one_line(work: Path, tmp_path: Path) -> None:
    run = load_checkpoint(work / "run1")
    recipe: dict[str, Any] = json.loads(json.dumps(run.recipe))
    recipe["visual"]["config"]["cells"] = 5
    kept = ("rate", "window", "hop", "mapping", "visual", "audio")
    named = {name: getattr(run, name) for name in kept} | {"modalities": run.inputs.modalities}
    save_checkpoint(
        tmp_path / "other.safetensors", run.fusion, run.model.state_dict(),
        {**named, "recipe": recipe},
    )  # fmt: skip
    result = command(
        "predict", work / "clips/s0.mp4", "--checkpoint", work / "run1", "--checkpoint",
        tmp_path / "other.safetensors", "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert "other.safetensors" in line
    assert "visual" in line
    assert "predict with the others apart" in line
    assert not (tmp_path / "out").exists()


def test_a_training_leaves_its_page(work: Path, tmp_path: Path) -> None:
    text = (work / "run1/report.html").read_text()
    assert "best epoch" in Parsed(text).text.lower()
    words = ("train", "--store", work / "store", "--labels", work / "labels.csv", *SETTINGS)
    made = command(*words, "--out", tmp_path / "none", "--no-report")
    assert made.exit_code == 0
    assert "report" not in made.output
    assert not (tmp_path / "none/report.html").exists()


def test_a_page_that_fails_does_not_fail_the_training(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("torn\ntemplate")

    monkeypatch.setattr("grjca.api.make_report", broken)
    made = command("train", "--store", work / "store", "--labels", work / "labels.csv", *SETTINGS,
                   "--out", tmp_path / "run")  # fmt: skip
    assert made.exit_code == 0, made.output
    (line,) = [line for line in made.output.splitlines() if "report" in line]
    assert re.fullmatch(r"note: no report \(torn template\); make it with: grjca report .*", line)
    assert (tmp_path / "run/model.safetensors").exists()


def test_public_names_are_loaded_when_used() -> None:
    from grjca.reporting.making import make_report

    assert grjca.make_report is make_report
    assert {"make_report", "MakeResult", "ReportConfig"} <= set(grjca.__all__)
    for name in grjca.__all__:
        assert getattr(grjca, name).__doc__, name
