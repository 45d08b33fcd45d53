"""What README and tutorial tell to type works, block after block, on a smaller made set."""

from __future__ import annotations

import glob
import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from blocks import PAGES, ROOT, Block, blocks, lines, words
from click.testing import CliRunner
from media_makers import make_clip
from PIL import Image

import grjca
from demo.clips import build_clips
from grjca.cli import main
from grjca.stages.onnx_visual import OnnxVisual, OnnxVisualConfig

RUN = (ROOT / "README.md", ROOT / "docs/tutorial.md")
SHOWN = {"text", "csv", "yaml", "bibtex"}
"""Languages of blocks that show something and are nothing to type."""

SMALLER = {
    "demo.make talks": "demo.make talks --quick",
    "unseen24": "unseen04",
    "--preset paper": "--preset small --epochs 1",
    "--folds 6": "--folds 2",
}
"""What is typed for what a page says: six clips are made and not thirty-two, an epoch is enough."""

ONE_WORKER = ("extract", "predict")
"""Commands that get ``--workers 1``: starting processes would take longer than these clips do."""


def type_in(line: str) -> None:
    """Do a line of a shell: ``grjca`` alone in this process, everything else in a shell."""
    commands = words(line)
    if not commands:
        return
    (name, *arguments), *others = commands
    if name == "grjca" and not others:
        found = [sorted(glob.glob(word)) or [word] for word in arguments]
        arguments = list(itertools.chain.from_iterable(found))
        if arguments[0] in ONE_WORKER:
            arguments += ["--workers", "1"]
        result = CliRunner().invoke(main, arguments, catch_exceptions=False)
        assert result.exit_code == 0, f"{line}\n{result.output}"
        return
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    subprocess.run(
        ["bash", "-c", line],
        check=True, env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def follow(page: Path) -> None:
    """Do everything that a page tells to do, in order, where this process stands."""
    for block in blocks(page):
        if block.reason is not None or block.language in SHOWN:
            continue
        text = block.text
        for full, small in SMALLER.items():
            text = text.replace(full, small)
        if block.language == "python":
            code = compile(text, str(block), "exec")
            exec(code, {"__name__": "__main__"})  # noqa: S102 - our own page
        else:
            assert block.language == "bash", f"{block}: neither to be run nor to be looked at"
            for line in lines(text):
                type_in(line)


@pytest.mark.slow
def test_the_readme_can_be_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = build_clips(tmp_path / "made", seed=3407, quick=True)
    for clip in made.train[:3]:
        (tmp_path / "videos" / clip).parent.mkdir(parents=True)
        shutil.move(made.clips / clip, tmp_path / "videos" / clip)
    shutil.move(made.labels, tmp_path / "labels.csv")
    shutil.move(made.clips / made.unseen[0], tmp_path / "new.mp4")
    monkeypatch.chdir(tmp_path)
    follow(ROOT / "README.md")
    assert Path("predictions/new.mp4.csv").is_file()
    assert Path("predictions/report.html").is_file()


@pytest.mark.slow
def test_the_tutorial_can_be_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    follow(ROOT / "docs/tutorial.md")
    assert [path.name for path in tmp_path.iterdir()] == [], "the last line cleans up"


def test_the_page_on_imported_features_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    page = ROOT / "docs/howto/imported.md"
    rng = np.random.default_rng(3407)
    labels = ["clip,frame,valence,arousal,subject"]
    for folder in ("openface", "wav2vec"):
        Path(folder).mkdir()
    for number, clip in enumerate("ab"):
        rows = rng.normal(size=(120, 4))
        table = [f"{i + 1},{i / 30:.4f},{a:.4f},{b:.4f}" for i, (a, b, *_) in enumerate(rows)]
        header = "frame, timestamp, AU01_r, AU02_r"
        Path(f"openface/{clip}.csv").write_text("\n".join([header, *table]) + "\n")
        np.save(f"wav2vec/{clip}.npy", rows[:, 2:])
        shown = np.tanh(rows[:, ::2])
        labels += [f"{clip}.mp4,{i},{v:.4f},{a:.4f},p{number}" for i, (v, a) in enumerate(shown)]
    Path("labels.csv").write_text("\n".join(labels) + "\n")
    (manifest,) = [block.text for block in blocks(page) if block.language == "csv"]
    Path("lab.csv").write_text(manifest)
    follow(page)
    found = grjca.FeatureStore("features").read("a.mp4", visual="au", audio="wav2vec")
    assert found.visual.shape == found.audio.shape == (120, 2)
    answer = CliRunner().invoke(main, ["predict", "a.mp4", "--checkpoint", "run", "--out", "no"])
    assert answer.exit_code != 0
    assert "import" in answer.output


@pytest.mark.slow
def test_the_page_on_affwild2_can_be_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(3407)
    Path("videos").mkdir()
    frames, sets = 30, {"1": "Train_Set", "2_left": "Train_Set", "3": "Validation_Set", "4": ""}
    for trial, partition in sets.items():
        crops = Path("cropped_aligned", trial)
        crops.mkdir(parents=True)
        # No face was found in the last frame: the organisers leave such images out.
        for number, picture in enumerate(rng.integers(0, 255, (frames - 1, 112, 112, 3)), start=1):
            Image.fromarray(picture.astype(np.uint8)).save(crops / f"{number:05d}.jpg")
        make_clip(Path("videos", trial.partition("_")[0] + ".mp4"), frames=frames)
        if partition:
            shown = np.tanh(rng.normal(size=(frames, 2)))
            shown[0] = -5
            lines_of = ["valence,arousal", *(f"{v:.3f},{a:.3f}" for v, a in shown)]
            file = Path("Annotations/VA_Estimation_Challenge", partition, f"{trial}.txt")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(lines_of) + "\n")
    wanted = [f"4/{number:05d}.jpg" for number in range(1, frames + 1)]
    Path("CVPR_test_set_sample.txt").write_text("\n".join(["image_location", *wanted]) + "\n")
    follow(ROOT / "docs/howto/affwild2.md")
    header, *written = Path("predictions.txt").read_text().splitlines()
    assert header == "image_location,valence,arousal"
    assert [line.split(",")[0] for line in written] == wanted
    clip = grjca.FeatureStore("features").read("2_left", visual="fer", audio="speech+logmel")
    assert clip.visual_valid.tolist() == [True] * (frames - 1) + [False]
    assert clip.audio_valid.any()


def test_the_page_on_onnx_makes_a_model_that_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = {block.language: block.text for block in blocks(ROOT / "docs/howto/onnx.md")}
    exec(compile(found["python"], "onnx.md", "exec"), {})  # noqa: S102 - our own page
    Path("face.yaml").write_text(found["yaml"])
    network = OnnxVisual(OnnxVisualConfig(file="face.onnx"))
    assert network.dim == 64
    assert network.name == "onnx:face"


def _all(language: str) -> list[Block]:
    return [block for page in PAGES for block in blocks(page) if block.language == language]


@pytest.mark.parametrize("block", _all("python"), ids=str)
def test_python_on_a_page_is_python(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", _all("yaml"), ids=str)
def test_yaml_on_a_page_is_yaml(block: Block) -> None:
    assert isinstance(yaml.safe_load(block.text), dict)
