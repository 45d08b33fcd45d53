"""The commands as a user types them: the whole way, exit codes, one clear line per error."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from click.testing import CliRunner, Result
from face_makers import make_face_clip
from media_makers import make_clip
from PIL import Image

from grjca.cli import main


def grjca(*words: object) -> Result:
    """Run a command; whatever happens, no traceback reaches the user."""
    result = CliRunner().invoke(main, [str(word) for word in words])
    if result.exception is not None:
        assert isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips, labels, store and a trained run, made by the commands themselves."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "clips").mkdir()
    rng = np.random.default_rng(0)
    with (folder / "labels.csv").open("w") as stream:
        stream.write("clip,frame,valence,arousal\n")
        for number in range(4):
            make_face_clip(folder / "clips" / f"s{number}.mp4", [i % 9 < 7 for i in range(40)])
            for frame, (v, a) in enumerate(rng.uniform(-1, 1, (40, 2))):
                stream.write(f"s{number}.mp4,{frame},{v},{a}\n")
    light = ("--visual", "hog", "--audio", "logmel", "--workers", "1", "--quiet")
    assert grjca("extract", folder / "clips", "--store", folder / "store", *light).exit_code == 0
    trained = grjca(
        "train", "--store", folder / "store", "--labels", folder / "labels.csv",
        "--out", folder / "run", "--val", "s3.mp4", "--epochs", 2, "--window", 32, "--hop", 16,
        "--quiet",
    )  # fmt: skip
    assert trained.exit_code == 0, trained.output
    return folder


def test_help_is_instant() -> None:
    code = (
        "import sys, grjca.cli\n"
        "try: grjca.cli.main(['predict', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'cv2', 'dask', 'h5py', 'av', 'matplotlib', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "room", ["grjca.reporting", "grjca.cache.packing", "grjca.overlay.job", "grjca.stages.tracking"]
)
def test_what_computes_with_no_model_does_without_torch(room: str) -> None:
    code = f"import sys, {room}; print(sorted({{'torch', 'scipy'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_extract_tells_what_it_did_and_writes_its_report(work: Path, tmp_path: Path) -> None:
    result = grjca(
        "extract", work / "clips", "--store", work / "store", "--visual", "hog",
        "--audio", "logmel", "--json", tmp_path / "report.json", "--quiet",
    )  # fmt: skip
    assert result.exit_code == 0
    assert "0 extracted, 4 already there, 0 failed" in result.output
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["counts"]["skipped"] == 4
    assert report["recipe"]["visual"]["name"] == "hog"


def test_some_clips_failed_is_exit_code_1(work: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_text("no video")
    result = grjca(
        "extract", tmp_path / "bad.mp4", work / "clips" / "s0.mp4", "--store", tmp_path / "store",
        "--visual", "hog", "--audio", "logmel", "--workers", "1", "--quiet",
    )  # fmt: skip
    assert result.exit_code == 1
    assert "1 extracted, 0 already there, 1 failed" in result.output
    assert sum("bad.mp4" in line for line in result.output.splitlines()) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("extract",),
        ("extract", "x.mp4"),
        ("extract", "x.mp4", "--store", "s", "--visual", "nothing"),
        ("extract", "@nowhere.txt", "--store", "s"),
        ("train", "--store", "s"),
        ("predict", "x.mp4"),
        ("inspect", "nowhere"),
        ("nonsense",),
    ],
)
def test_bad_usage_is_exit_code_2(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert grjca(*words).exit_code == 2


def test_inspect_shows_store_and_clip(work: Path) -> None:
    told = grjca("inspect", work / "store")
    assert told.exit_code == 0
    assert "s0.mp4" in told.output
    assert "4 clips, 160 rows" in told.output
    assert "visual/hog" in told.output
    assert " 100%" in told.output
    clip = grjca("inspect", work / "store" / "s0.mp4.h5")
    assert "40 in 1.600 s, 25.00 a second" in clip.output
    assert "20.0% of the rows interpolated" in clip.output
    assert "digest" in clip.output
    listed = json.loads(grjca("inspect", work / "store", "--json").output)
    assert [entry["rows"] for entry in listed] == [40] * 4


def test_inspect_names_what_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "x.mp4.h5").write_bytes(b"nothing")
    result = grjca("inspect", tmp_path)
    assert result.exit_code == 1
    assert "x.mp4.h5: store: not a readable HDF5 file" in result.output
    assert grjca("inspect", tmp_path / "x.mp4.h5").exit_code == 1


def test_train_leaves_a_complete_run(work: Path) -> None:
    run = work / "run"
    with (run / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert "val_ccc_valence" in rows[0]
    assert "grjca" in (run / "config.yaml").read_text()
    assert Image.open(run / "curves.png").size[0] > 500
    assert str(work) not in (run / "config.yaml").read_text()
    assert str(work).encode() not in (run / "model.safetensors").read_bytes()


def test_train_does_not_write_over_a_run(work: Path) -> None:
    words = ("train", "--store", work / "store", "--labels", work / "labels.csv", "--quiet")
    result = grjca(*words, "--out", work / "run")
    assert result.exit_code == 2
    assert "--overwrite" in result.output


def test_predict_gives_every_frame_a_row(work: Path, tmp_path: Path) -> None:
    clip = make_face_clip(tmp_path / "new.mp4", [True] * 20 + [False] * 13)
    result = grjca(
        "predict", clip, "--checkpoint", work / "run", "--out", tmp_path / "out",
        "--workers", "1", "--quiet",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    with (tmp_path / "out" / "new.mp4.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 33
    assert list(rows[0])[:6] == ["frame", "time", "valence", "arousal", "face_valid", "audio_valid"]
    assert {"gate_visual_0", "gate_audio_2"} <= set(rows[0])
    assert [row["face_valid"] for row in rows] == ["1"] * 20 + ["0"] * 13
    assert all(-1 <= float(row["valence"]) <= 1 for row in rows)
    assert Image.open(tmp_path / "out" / "new.mp4.png").size[0] > 500


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_predict_in_other_forms(work: Path, tmp_path: Path, form: str) -> None:
    result = grjca(
        "predict", work / "clips" / "s0.mp4", "--checkpoint", work / "run", "--out", tmp_path,
        "--format", form, "--no-plots", "--store", work / "store", "--quiet",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.glob("[!.]*")] == [f"s0.mp4.{form}"]


def test_predict_on_odd_but_ordinary_clips(work: Path, tmp_path: Path) -> None:
    """No sound, no face, sound only, one frame: each is predicted, masked where it must be."""
    make_clip(tmp_path / "mute.mp4", frames=5, sound=None)
    make_clip(tmp_path / "one.mp4", frames=1)
    make_clip(tmp_path / "voice.m4a", video=False)
    result = grjca(
        "predict", tmp_path, "--checkpoint", work / "run", "--out", tmp_path / "out",
        "--workers", "1", "--quiet",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "mute.mp4.csv  5 frames" in result.output
    assert "one.mp4.csv  1 frames" in result.output


def test_predict_goes_on_after_a_bad_clip(work: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_text("no video")
    result = grjca(
        "predict", tmp_path / "bad.mp4", work / "clips" / "s0.mp4", "--checkpoint", work / "run",
        "--out", tmp_path / "out", "--workers", "1", "--quiet",
    )  # fmt: skip
    assert result.exit_code == 1
    assert "1 predicted, 1 failed" in result.output
    assert (tmp_path / "out" / "s0.mp4.csv").exists()


def tables(out: Path) -> dict[str, int]:
    """When each file below a folder was written; what is hidden is left out."""
    return {p.name: p.stat().st_mtime_ns for p in out.rglob("[!.]*.mp4.*")}


@pytest.mark.parametrize("kept", [True, False])
def test_predict_leaves_out_what_it_has_predicted(work: Path, tmp_path: Path, kept: bool) -> None:
    clips, out = tmp_path / "clips", tmp_path / "out"
    clips.mkdir()
    for name in ("s0.mp4", "s1.mp4", "s2.mp4"):
        shutil.copy(work / "clips" / name, clips)
    store = ("--store", tmp_path / "store") if kept else ()

    def predict(*words: object) -> str:
        result = grjca(
            "predict", clips, "--checkpoint", work / "run", "--out", out, "--no-plots", *store,
            "--workers", 1, "--quiet", *words,
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        return result.output

    assert predict().count("frames, mean valence") == 3
    before = tables(out)
    # One table lost, one cut short, one source touched: the first two are made anew.
    (out / "s0.mp4.csv").unlink()
    (out / "s1.mp4.csv").write_text("half")
    (clips / "s2.mp4").touch()
    assert predict().endswith("\n2 predicted, 1 already there, 0 failed\n")
    after = tables(out)
    assert {name for name in before if before[name] != after[name]} == {"s0.mp4.csv", "s1.mp4.csv"}
    assert predict("--format", "json").count("frames, mean valence") == 3
    # Both forms are there now.
    assert predict() == "0 predicted, 3 already there, 0 failed\n"
    if kept:
        assert predict("--overwrite").count("frames, mean valence") == 3
        return
    # With a store the extraction refuses another source of the same name.
    shutil.copy(work / "clips" / "s3.mp4", clips / "s2.mp4")
    assert "1 predicted, 2 already there" in predict()


def test_predict_with_another_model_is_made_anew(work: Path, tmp_path: Path) -> None:
    words = ("predict", work / "clips" / "s0.mp4", "--store", work / "store", "--out",
             tmp_path / "out", "--no-plots", "--quiet", "--checkpoint")  # fmt: skip
    assert "1 predicted" not in grjca(*words, work / "run").output
    shutil.copytree(work / "run", tmp_path / "copy")
    assert "0 predicted, 1 already" in grjca(*words, tmp_path / "copy").output
    trained = grjca(
        "train", "--store", work / "store", "--labels", work / "labels.csv", "--out",
        tmp_path / "run", "--val", "s3.mp4", "--epochs", 1, "--window", 32, "--hop", 16, "--quiet",
    )  # fmt: skip
    assert trained.exit_code == 0
    assert "frames, mean" in grjca(*words, tmp_path / "run").output


def test_predict_of_every_person_is_done_when_all_are(work: Path, tmp_path: Path) -> None:
    words = ("predict", work / "clips" / "s0.mp4", "--checkpoint", work / "run", "--out", tmp_path,
             "--faces", "all", "--workers", 1, "--quiet")  # fmt: skip
    assert "s0.mp4@1.csv" in grjca(*words).output
    assert "0 predicted, 1 already there" in grjca(*words).output
    (tmp_path / "s0.mp4@1.png").unlink()
    assert "s0.mp4@1.csv" in grjca(*words).output


def test_predict_in_parts_predicts_every_clip_once(work: Path, tmp_path: Path) -> None:
    whole = ("predict", work / "clips", "--checkpoint", work / "run", "--store", work / "store",
             "--no-plots", "--quiet")  # fmt: skip
    told = [
        grjca(*whole, "--out", tmp_path / "parts", "--part", f"{k}/6").output for k in range(1, 7)
    ]
    assert sum(output.count("frames, mean") for output in told) == 4
    # Some parts have nothing to do, which is no error.
    assert "0 predicted, 0 failed\n" in told
    grjca(*whole, "--out", tmp_path / "whole")
    for name in tables(tmp_path / "whole"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    merged = grjca("status", work / "store", work / "clips", "--merge")
    assert merged.exit_code == 0, merged.output
    assert "6 of 6 parts have ended" in merged.output


def test_predict_elsewhere_needs_a_store(work: Path, tmp_path: Path) -> None:
    result = grjca("predict", work / "clips", "--checkpoint", work / "run", "--out", tmp_path,
                   "--scheduler", "tcp://127.0.0.1:1")  # fmt: skip
    assert result.exit_code == 2
    assert "--store" in result.output


def test_predict_refuses_other_weights_and_names_both(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from grjca.stages.retinaface import RetinaFace

    monkeypatch.setattr(RetinaFace, "weights", property(lambda _: "0ther"))
    result = grjca(
        "predict", work / "clips" / "s0.mp4", "--checkpoint", work / "run", "--out", tmp_path
    )
    assert result.exit_code == 1
    assert "0ther" in result.output
    assert "were trained" in result.output or "was trained" in result.output
    assert not list(tmp_path.iterdir())


def test_checkpoints_of_another_kind_are_refused(work: Path, tmp_path: Path) -> None:
    torch.save({"weights": torch.zeros(2)}, tmp_path / "model.pth")
    safetensors.torch.save_file({"x": torch.zeros(2)}, tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    for name in ("model.pth", "other.safetensors", "text.safetensors", "missing", "."):
        result = grjca(
            "predict", work / "clips" / "s0.mp4", "--checkpoint", tmp_path / name,
            "--out", tmp_path / "out",
        )  # fmt: skip
        assert result.exit_code == 1, name
        assert len(result.output.splitlines()) == 1
        assert "checkpoint" in result.output


LABELS = {
    "unknown clip": "clip,frame,valence,arousal\nother.mp4,0,0.1,0.1\n",
    "not a number": "clip,frame,valence,arousal\ns0.mp4,0,high,0.1\n",
    "out of range": "clip,frame,valence,arousal\ns0.mp4,0,7,0.1\n",
    "frame beyond the end": "clip,frame,valence,arousal\ns0.mp4,999,0.1,0.1\n",
    "no header": "s0.mp4,0,0.1,0.1\n",
    "empty": "",
}


@pytest.mark.parametrize("case", LABELS)
def test_bad_labels_are_named(work: Path, tmp_path: Path, case: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(LABELS[case])
    result = grjca(
        "train", "--store", work / "store", "--labels", path, "--out", tmp_path / "run", "--quiet"
    )
    assert result.exit_code in (1, 2)
    assert result.output.startswith("error: ")
    assert len(result.output.splitlines()) == 1
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize("rows", [39, 41])
def test_aff_wild2_rows_must_match_frames(work: Path, tmp_path: Path, rows: int) -> None:
    for number in range(4):
        lines = ["0.1,0.2"] * (rows if number == 2 else 40)
        (tmp_path / f"s{number}.txt").write_text("\n".join(["valence,arousal", *lines]) + "\n")
    result = grjca(
        "train", "--store", work / "store", "--labels", tmp_path, "--out", tmp_path / "run",
        "--quiet",
    )  # fmt: skip
    assert result.exit_code == 1
    assert "s2" in result.output
    assert str(rows) in result.output
    assert "40" in result.output
