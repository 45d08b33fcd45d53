"""``grjca evaluate`` and ``grjca submit`` on a real store, with a real run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from toy_features import QUICK, SMALL, make_toy

from grjca.cache.claims import claim
from grjca.cache.keys import Recipe, SourceId
from grjca.cache.store import FeatureStore
from grjca.cache.writer import ClipWriter
from grjca.commands.evaluate import evaluate
from grjca.commands.submit import submit
from grjca.errors import GrjcaError, UsageError
from grjca.fusion.checkpoint import load_checkpoint
from grjca.fusion.predictor import predict_stored
from grjca.fusion.train_config import TrainConfig
from grjca.fusion.trainer import train

RECIPE = Recipe(
    video={"fps": None, "ffmpeg": "6.0"},
    sound={"rate": 16000},
    faces={"detector": {"name": "retinaface"}},
    visual={"name": "fer", "config": {}, "weights": "ab", "template": "t", "crop_size": 64},
    audio={"name": "logmel", "config": {}, "weights": None},
)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    toy = make_toy(3, 2, rows=60)
    for clip, features in toy.source.features.items():
        held = claim(folder / "store", clip)
        assert held is not None
        with (
            held,
            ClipWriter(
                folder / "store", clip, SourceId(1, 1, "00"), RECIPE.groups("00"), held
            ) as writer,
        ):
            seen, heard = features.visual_valid, features.audio_valid
            writer.append("frames", {"time": features.time})
            writer.append("faces", {"valid": seen, "score": np.zeros(len(features), "f4")})
            writer.append("visual/fer", {"features": features.visual, "valid": seen})
            writer.append("audio/logmel", {"features": features.audio, "valid": heard})
            writer.commit({})
    with (folder / "labels.csv").open("w") as stream:
        stream.write("clip,frame,valence,arousal\n")
        for clip, values in toy.truth.items():
            for frame, (v, a) in enumerate(values.tolist()):
                stream.write(f"{clip},{frame},{v},{a}\n")
    store = FeatureStore(folder / "store")
    quick = {**vars(QUICK), "epochs": 2}
    for seed in (1, 2):
        config = TrainConfig(**{**quick, "seed": seed})
        train(store, toy.labels, toy.split, SMALL, config, folder / f"run{seed}", progress=False)
    return folder


def call(command: click.Command, *words: object) -> Result:
    return CliRunner().invoke(command, [str(word) for word in words])


def scored(work: Path, *words: object) -> Result:
    return call(
        evaluate, "--checkpoint", work / "run1", "--store", work / "store",
        "--labels", work / "labels.csv", "--quiet", *words,
    )  # fmt: skip


def test_evaluate_prints_a_table_and_writes_its_files(work: Path, tmp_path: Path) -> None:
    result = scored(
        work, "--json", tmp_path / "s.json", "--plot", tmp_path / "s.png", "--stress", "--gates",
        "--smooth", "auto",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.output.startswith("val: 2 clips, 169 frames")
    assert "lab/c03.mp4" in result.output
    assert "no picture" in result.output
    read = json.loads((tmp_path / "s.json").read_text())
    weights = (work / "run1" / "model.safetensors").read_bytes()
    digest = hashlib.sha256(weights).hexdigest()
    assert read["checkpoints"] == [{"name": "run1", "sha256": digest}]
    assert str(work) not in (tmp_path / "s.json").read_text()
    assert len(read["stress"]) == 27
    assert Image.open(tmp_path / "s.png").size[0] > 1500


def test_a_mean_of_runs_is_drawn_against_the_labels(work: Path, tmp_path: Path) -> None:
    result = scored(
        work, "--checkpoint", work / "run2", "--partition", "all", "--plot", tmp_path / "s.png",
        "--smooth", "valence=0.5,arousal=1",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "all: 5 clips" in result.output
    assert "note: 3 of 5 clips were trained on" in result.output
    assert "valence smoothed over 0.5 s" in result.output
    assert Image.open(tmp_path / "s.png").size[0] > 1000


@pytest.mark.parametrize("width", ["wide", "valence=x", "valence=1=2", "valence"])
def test_a_width_that_is_none_is_bad_usage(work: Path, width: str) -> None:
    assert scored(work, "--smooth", width).exit_code == 2


@pytest.mark.parametrize("width", ["-1", "joy=1", "nan"])
def test_a_width_out_of_range_is_told(work: Path, width: str) -> None:
    result = scored(work, "--smooth", width)
    assert isinstance(result.exception, UsageError)
    assert "smooth" in str(result.exception)


def test_test_clips_there_are_none(work: Path) -> None:
    result = scored(work, "--partition", "test")
    assert isinstance(result.exception, UsageError)
    assert "every labelled clip was trained or validated on" in str(result.exception)


def test_clips_without_features_and_without_labels_are_told(work: Path, tmp_path: Path) -> None:
    lines = (work / "labels.csv").read_text().splitlines()
    few = [line for line in lines if not line.startswith("lab/c00")] + ["gone.mp4,0,0.5,0.5"]
    (tmp_path / "labels.csv").write_text("\n".join(few))
    words = ("--checkpoint", work / "run1", "--store", work / "store", "--labels",
             tmp_path / "labels.csv", "--quiet")  # fmt: skip
    result = call(evaluate, *words)
    assert result.exit_code == 0, result.output
    assert "note: 1 of 5 labelled clips are not in the store: gone.mp4" in result.output
    assert "note: 1 of 5 clips of the store have no labels: lab/c00.mp4" in result.output
    more = [f"gone{i}.mp4,0,0.5,0.5" for i in range(9)]
    (tmp_path / "labels.csv").write_text("\n".join([*few, *more]))
    error = call(evaluate, *words).exception
    assert isinstance(error, GrjcaError)
    assert "10 of 14 labelled clips: labels: no such clip in the store: gone.mp4" in str(error)
    assert "--allow-missing" in str(error)
    assert call(evaluate, *words, "--allow-missing").exit_code == 0


def submitted(work: Path, listed: Path, out: Path, *words: object) -> Result:
    return call(
        submit, "--checkpoint", work / "run1", "--checkpoint", work / "run2", "--store",
        work / "store", "--list", listed, "--out", out, "--quiet", *words,
    )  # fmt: skip


def test_submit_has_the_lists_lines_and_the_models_mean(work: Path, tmp_path: Path) -> None:
    order = [("c03", 3), ("lab/c00", 1), ("c03", 1), ("c03", 2)]
    lines = [f"{trial}/{frame:05d}.jpg" for trial, frame in order]
    (tmp_path / "list.txt").write_text("image_location,valence,arousal\n" + "\n".join(lines))
    result = submitted(work, tmp_path / "list.txt", tmp_path / "p.txt")
    assert result.exit_code == 0, result.output
    assert "p.txt  4 lines" in result.output
    written = (tmp_path / "p.txt").read_text().splitlines()
    assert written[0] == "image_location,valence,arousal"
    assert [line.split(",")[0] for line in written[1:]] == lines
    store = FeatureStore(work / "store")
    runs = [load_checkpoint(work / f"run{i}") for i in (1, 2)]
    for line, (trial, frame) in zip(written[1:], order, strict=True):
        clip = f"lab/{trial.removeprefix('lab/')}.mp4"
        own = [predict_stored(run, store, clip).values[frame - 1] for run in runs]
        numbers = [float(cell) for cell in line.split(",")[1:]]
        np.testing.assert_allclose(numbers, np.mean(own, axis=0), atol=1e-5)


def test_submit_refuses_what_is_not_there_and_writes_nothing(work: Path, tmp_path: Path) -> None:
    listed, out = tmp_path / "list.txt", tmp_path / "p.txt"
    listed.write_text("c03/00001.jpg\nnobody/00001.jpg\nelse/00001.jpg\n")
    error = submitted(work, listed, out).exception
    assert isinstance(error, GrjcaError)
    assert "2 of 3 names: submit: no such clip in the store: nobody, else" in str(error)
    listed.write_text("c03/00001.jpg\nc03/90000.jpg\n")
    error = submitted(work, listed, out).exception
    assert isinstance(error, GrjcaError)
    assert "c03 (1 of 2, first 90000)" in str(error)
    assert not out.exists()
    assert submitted(work, listed, out, "--fill", "nearest").exit_code == 0
    assert len(out.read_text().splitlines()) == 3


def test_submit_needs_both_dimensions(work: Path, tmp_path: Path) -> None:
    toy = make_toy(3, 2, rows=60)
    config = TrainConfig(**{**vars(QUICK), "epochs": 1})
    model = {**SMALL, "outputs": ("valence",)}
    store = FeatureStore(work / "store")
    train(store, toy.labels, toy.split, model, config, tmp_path / "run", progress=False)
    (tmp_path / "list.txt").write_text("c03/00001.jpg\n")
    words = ("--store", work / "store", "--list", tmp_path / "list.txt", "--out", tmp_path / "p")
    error = call(submit, "--checkpoint", tmp_path / "run", *words, "--quiet").exception
    assert isinstance(error, UsageError)
    assert "no model predicts arousal" in str(error)
