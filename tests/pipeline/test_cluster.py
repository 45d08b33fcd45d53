"""Dask elsewhere: a scheduler that runs already, and jobs of a SLURM that two scripts act."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask
import psutil
import pytest
import yaml
from dask_jobqueue.slurm import SLURMJob
from face_makers import make_face_clip
from stores import arrays

import grjca
from grjca.errors import GrjcaError, UsageError
from grjca.files import temporary_name
from grjca.pipeline.placing import Placement
from grjca.pipeline.slurm_jobs import SlurmJobs

LIGHT = grjca.ExtractConfig(visual="hog", audio="logmel")
GOLDEN = Path(__file__).parent / "data" / "dask_job.sh"
FULL = {
    "cores": 8, "memory": "16GB", "walltime": "04:00:00", "partition": "cpu", "account": "lab",
    "gpus_per_job": 2, "prologue": ["module load ffmpeg"], "directives": ["--exclude=node7"],
    "interface": "lo", "local_directory": "/scratch",
}  # fmt: skip
SMALL: dict[str, Any] = {"cores": 1, "memory": "2GB", "walltime": "00:10:00", "interface": "lo"}

SBATCH = """#!/bin/sh
cp "$1" "{folder}/submitted"
cp "$1" "{folder}/job.$$"
setsid bash "{folder}/job.$$" >>"{folder}/log" 2>&1 &
echo "$!" >>"{folder}/jobs"
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
kill -TERM -- "-$1"
"""
REFUSES = """#!/bin/sh
echo "sbatch: error: invalid partition specified: cpu" >&2
exit 1
"""


def as_yaml(path: Path, values: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(values))
    return path


def test_a_jobs_text(tmp_path: Path) -> None:
    jobs = SlurmJobs.read(as_yaml(tmp_path / "c.yaml", {**FULL, "log_directory": str(tmp_path)}))
    text = SLURMJob(scheduler="tcp://HOST:8786", name="grjca-0", **jobs.options()).job_script()
    text = text.replace(str(tmp_path), "/logs").replace(sys.executable, "/opt/py/bin/python")
    assert text == GOLDEN.read_text()
    restarted = dataclasses.replace(jobs, lifetime="10m", lifetime_restart=True, python="/py")
    extra = restarted.options()["worker_extra_args"]
    assert "--lifetime-restart" in extra
    assert "600s" in extra
    assert restarted.options()["python"] == "exec /py"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"queue": "cpu"}, "no such settings: queue"),
        ({"cores": None}, "cores: None is no value"),
        ({"cores": "8"}, "cores: 8 is no value .* of type int"),
        ({"cores": True}, "cores: True is no value"),
        ({"cores": 0}, "cores: 0 .* 1 or more"),
        ({"memory": "16"}, "memory: 16 is no value"),
        ({"memory": 16}, "memory: 16 .* of type str"),
        ({"walltime": 14400}, "walltime: 14400 .* in quotes"),
        ({"walltime": "four hours"}, "walltime: four hours"),
        ({"lifetime": "4h"}, r"lifetime: 4h .* below the walltime"),
        ({"lifetime": "3h", "lifetime_stagger": "90m"}, r"lifetime: 3h \+- 90m"),
        ({"lifetime": "soon"}, "lifetime: soon .* 50m"),
        ({"processes": 9}, "processes: 9 .* 8 cores"),
        ({"gpus_per_job": 9, "processes": None}, "processes: 9 .* 8 cores"),
        ({"partition": "a b"}, "partition: a b .* without blanks"),
        ({"prologue": "module load x"}, "prologue: .* list of texts"),
        ({"directives": ["--a\n--b"]}, "each line as an item"),
        ({"tls": "no"}, "tls: no .* of type bool"),
    ],
)
def test_configurations_that_make_no_sense(
    change: dict[str, Any], told: str, tmp_path: Path
) -> None:
    path = as_yaml(tmp_path / "c.yaml", {**FULL, **change})
    with pytest.raises(UsageError, match=told) as refused:
        SlurmJobs.read(path)
    assert refused.value.source == str(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [("cores: 8", "lacks memory, walltime"), ("- 1", "not a table"), ("a: b: c", "mapping")],
)
def test_files_that_are_no_configuration(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UsageError, match=told):
        SlurmJobs.read(tmp_path / "c.yaml")
    with pytest.raises(UsageError, match="No such file"):
        SlurmJobs.read(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("walltime", "life", "stagger"),
    [
        ("04:00:00", 4 * 3600 - 240 - 600, 600),
        ("1-00:00:00", 86400 - 240 - 600, 600),
        ("00:10:00", 600 - 120 - 30, 30),
    ],
)
def test_a_worker_ends_before_its_job(walltime: str, life: int, stagger: int) -> None:
    jobs = SlurmJobs(1, "1GB", walltime)
    assert (jobs.seconds_of_life, jobs.seconds_of_stagger) == (life, stagger)
    assert life + stagger < jobs.seconds


def test_clips_side_by_side_in_a_job() -> None:
    jobs = SlurmJobs(8, "1GB", "1:00:00")
    assert jobs.slots == 8
    assert dataclasses.replace(jobs, gpus_per_job=2).slots == 2
    assert dataclasses.replace(jobs, gpus_per_job=2, processes=4).slots == 4


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(4):
        make_face_clip(folder / f"{number}.mp4", [True] * (20 + number))
    return folder


@pytest.fixture(scope="module")
def alone(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every array of a run in one process."""
    store = tmp_path_factory.mktemp("alone")
    grjca.extract([clips], store, LIGHT, workers=1)
    return arrays(store)


@contextlib.contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_running_scheduler(clips: Path, tmp_path: Path, alone: dict[str, bytes]) -> None:
    file, port = tmp_path / "scheduler.json", free_port()
    scheduler = ("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port))
    worker = ("distributed.cli.dask_worker", f"tcp://127.0.0.1:{port}", "--nthreads", "2")
    with (
        running(*scheduler, "--scheduler-file", str(file), "--no-dashboard"),
        running(*worker, "--no-dashboard", "--local-directory", str(tmp_path)) as started,
    ):
        deadline = time.monotonic() + 60
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        with contextlib.chdir(clips.parent):
            place = Placement(scheduler=str(file))
            report = grjca.extract([clips.name], tmp_path / "store", LIGHT, placement=place)
        assert len(report.with_status("done")) == 4
        assert arrays(tmp_path / "store") == alone
        assert list((tmp_path / "store").rglob(".*.tmp")) == []
        # The children of the run have gone with it, the worker stays for the next one.
        family = psutil.Process(started.pid).children(recursive=True)
        assert not [one for one in family if "grjca.pipeline.child" in one.cmdline()]


def test_no_scheduler(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grjca.pipeline.cluster.REACH", 1)
    nobody = Placement(scheduler=f"tcp://127.0.0.1:{free_port()}")
    with pytest.raises(GrjcaError, match="no Dask scheduler answers there"):
        grjca.extract([clips], tmp_path, LIGHT, placement=nobody)
    with pytest.raises(UsageError, match="neither an address nor a scheduler file"):
        grjca.extract([clips], tmp_path, LIGHT, placement=Placement(scheduler="none.json"))
    assert not list((tmp_path / ".grjca").glob(".*"))


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder where sbatch and scancel are acted, which run jobs on this machine."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (folder / name).write_text(text.format(folder=folder))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    yield folder
    jobs = folder / "jobs"
    for number in jobs.read_text().split() if jobs.exists() else ():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(number), signal.SIGKILL)


@pytest.mark.slow
def test_a_job_of_slurm_vanishes_and_is_replaced(
    slurm: Path, clips: Path, tmp_path: Path, alone: dict[str, bytes]
) -> None:
    place = Placement(cluster="slurm", jobs=1, cluster_config=as_yaml(tmp_path / "c.yaml", SMALL))
    store, jobs = tmp_path / "store", slurm / "jobs"

    def vanish() -> None:
        while not list(store.glob(".grjca/claims/*")):
            time.sleep(0.01)
        os.killpg(int(jobs.read_text().split()[0]), signal.SIGKILL)

    killer = threading.Thread(target=vanish, daemon=True)
    killer.start()
    # How long Dask waits for a worker's own nanny to bring it back.
    with dask.config.set({"distributed.deploy.lost-worker-timeout": "1s"}):
        report = grjca.extract([clips], store, LIGHT, placement=place)
    # A clip may have been written whole and not been told of yet: the next job finds it there.
    assert not report.failed, (slurm / "log").read_text()
    assert len(report.with_status("done")) + len(report.with_status("skipped")) == 4
    assert arrays(store) == alone
    assert "--tls-key" in (slurm / "submitted").read_text()
    assert not list((store / ".grjca").glob(".*"))
    numbers = [int(number) for number in jobs.read_text().split()]
    assert len(numbers) == 2
    deadline = time.monotonic() + 20
    while any(psutil.pid_exists(number) for number in numbers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [number for number in numbers if psutil.pid_exists(number)]


def test_what_sbatch_says_against_it(slurm: Path, clips: Path, tmp_path: Path) -> None:
    (slurm / "sbatch").write_text(REFUSES)
    config = as_yaml(tmp_path / "c.yaml", {**SMALL, "tls": False, "partition": "cpu"})
    place = Placement(cluster="slurm", jobs=2, cluster_config=config)
    with pytest.raises(GrjcaError, match=r"sbatch: .*invalid partition specified: cpu") as refused:
        grjca.extract([clips], tmp_path / "store", LIGHT, placement=place)
    assert "\n" not in str(refused.value)


def test_keys_of_a_killed_run_go_with_the_next(slurm: Path, clips: Path, tmp_path: Path) -> None:
    (slurm / "sbatch").write_text(REFUSES)
    gone = subprocess.Popen(["true"])
    gone.wait()
    mine = temporary_name()
    kept = [
        tmp_path / "store" / ".grjca" / mine.replace(f".{os.getpid()}.", f".{pid}.")
        for pid in (gone.pid, os.getppid())
    ]
    for folder in kept:
        folder.mkdir(parents=True)
        (folder / "tls_client_key").write_text("a key")
    place = Placement(cluster="slurm", jobs=1, cluster_config=as_yaml(tmp_path / "c.yaml", SMALL))
    with pytest.raises(GrjcaError, match="sbatch"):
        grjca.extract([clips], tmp_path / "store", LIGHT, placement=place)
    assert [folder.exists() for folder in kept] == [False, True]
    assert not [path for path in kept[0].parent.glob(".*") if path != kept[1]]
