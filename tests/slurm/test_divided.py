"""Other commands as job arrays on a real SLURM, and extraction with the default embedders."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from slurm.cluster import Cluster
from slurm.jobs import Serial, clips_in, grjca, leftovers, text_of, write_script
from stores import arrays

from grjca.synth.complementarity import Complementarity
from grjca.synth.writing import write_complementarity

pytestmark = pytest.mark.slurm

SMALL = """
train: {epochs: 2, window: 20, hop: 20, batch: 8}
model: {visual_channels: [4], audio_channels: [4], head_hidden: 4, temporal: none}
"""


def trials(folder: Path) -> list[dict[str, str]]:
    """The scores of an ablation; only how long each training took may differ."""
    with (folder / "trials.csv").open(newline="") as stream:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(stream)]


def tables(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.csv")}


def test_an_ablation_divided_among_tasks_is_the_one_of_a_single_run(
    cluster: Cluster, tmp_path: Path
) -> None:
    config = Complementarity(0.5, clips=10, seconds=8.0, fps=5.0)
    made = write_complementarity(config, tmp_path / "made")
    (tmp_path / "small.yaml").write_text(SMALL)
    asked = ("--store", made.store, "--labels", made.labels, "--fusions", "concat,grjca,ridge",
             "--seeds", "2", "--config", "small.yaml", "--quiet")  # fmt: skip
    script = write_script(
        cluster, tmp_path, "--tasks", "2", "--time", "10", "--log-dir", "logs",
        "--", "ablate", *asked, "--out", "divided",
    )  # fmt: skip
    job = cluster.submit(script)
    alone = grjca(cluster, tmp_path, "ablate", *asked, "--out", "alone")
    assert alone.code == 0, alone
    cluster.wait_for_end(job)
    assert trials(tmp_path / "divided") == trials(tmp_path / "alone")
    assert len(trials(tmp_path / "divided")) == 6
    assert "| grjca |" in text_of(tmp_path / "logs", "*.out")


def test_predictions_divided_among_tasks_are_those_of_a_single_run(
    cluster: Cluster, serial: Serial, tmp_path: Path
) -> None:
    assert serial.arrays
    shutil.copytree(serial.store, tmp_path / "features")
    (tmp_path / "small.yaml").write_text(SMALL)
    lines = [
        f"{clip},{number / 8:.3f},{-number / 8:.3f}" for number, clip in enumerate(serial.names)
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["clip,valence,arousal", *lines]) + "\n")
    trained = grjca(cluster, tmp_path, "train", "--store", "features", "--labels", "labels.csv",
                    "--out", "run", "--config", "small.yaml", "--val", "0.25",
                    "--quiet")  # fmt: skip
    assert trained.code == 0, trained
    asked = ("predict", serial.clips, "--checkpoint", "run", "--no-plots", "--quiet",
             "--store", "features")  # fmt: skip
    script = write_script(
        cluster, tmp_path, "--tasks", "2", "--time", "10", "--log-dir", "logs",
        "--", *asked, "--out", "divided",
    )  # fmt: skip
    job = cluster.submit(script)
    alone = grjca(cluster, tmp_path, *asked, "--out", "alone", "--workers", "1")
    assert alone.code == 0, alone
    cluster.wait_for_end(job)
    assert len(tables(tmp_path / "divided")) == len(serial.names)
    assert tables(tmp_path / "divided") == tables(tmp_path / "alone")


def test_the_default_embedders_give_the_features_of_a_single_run(
    cluster: Cluster, serial: Serial, tmp_path: Path
) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in serial.names[1:3]:
        shutil.copy(serial.clips / name, videos)
    script = write_script(
        cluster, tmp_path, "--tasks", "2", "--time", "10", "--log-dir", "logs",
        "--", "extract", "videos", "--store", "features",
    )  # fmt: skip
    job = cluster.submit(script)
    alone = grjca(cluster, tmp_path, "extract", "videos", "--store", "alone", "--workers", "1",
                  "--quiet")  # fmt: skip
    assert alone.code == 0, alone
    cluster.wait_for_end(job)
    assert len(clips_in(tmp_path / "features")) == 2
    assert arrays(tmp_path / "features") == arrays(tmp_path / "alone")
    assert leftovers(tmp_path / "features") == []
