"""A Dask cluster of SLURM jobs, on a real SLURM: jobs vanish in the middle, the client stops."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
from slurm.cluster import Cluster
from slurm.jobs import (
    GRJCA,
    LIGHT,
    Serial,
    clips_in,
    grjca,
    in_the_middle,
    last_report,
    leftovers,
)
from stores import arrays

pytestmark = pytest.mark.slurm

# One node on the loopback; elsewhere the interface that nodes reach each other by.
CONFIG = """
cores: 1
memory: 2GB
walltime: "00:30:00"
interface: lo
log_directory: logs
local_directory: scratch
prologue:
  - export OMP_NUM_THREADS=1
"""


def start(cluster: Cluster, folder: Path, serial: Serial, more: str = "") -> subprocess.Popen[str]:
    (folder / "cluster.yaml").write_text(CONFIG + more)
    return subprocess.Popen(
        [*GRJCA, "extract", str(serial.clips), "--store", "features", *LIGHT, "--quiet",
         "--cluster", "slurm", "--jobs", "2", "--cluster-config", "cluster.yaml"],
        cwd=folder, env=cluster.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def workers(cluster: Cluster) -> list[str]:
    """The Dask jobs that are queued or run."""
    return [job.number for job in cluster.jobs() if job.name == "grjca"]


def test_cancelled_jobs_are_replaced_and_cost_only_the_clips_in_hand(
    cluster: Cluster, serial: Serial, tmp_path: Path
) -> None:
    store = tmp_path / "features"
    client = start(cluster, tmp_path, serial)
    try:
        done = in_the_middle(cluster, store, serial.names, lambda: client.poll() is None)
        lost = workers(cluster)
        cluster.run("scancel", lost[0])
        cluster.wait_until(lambda: len(clips_in(store)) > len(done), "one more clip")
        # Now no job is left but what is submitted in place of these.
        cluster.run("scancel", *lost)
        said, errors = client.communicate(timeout=120)
    finally:
        client.kill()
    assert client.returncode == 0, errors
    assert ", 0 failed" in said
    assert clips_in(store) == serial.names
    assert arrays(store) == serial.arrays
    assert leftovers(store) == []
    cluster.wait_until(lambda: workers(cluster) == [], "an empty queue", seconds=20)
    ended = [job for job in cluster.finished() if job["Name"] == "grjca"]
    assert len(lost) == 2
    assert set(lost) < {job["JobId"] for job in ended}
    report = last_report(store)
    assert not report["interrupted"]
    assert [clip["clip"] for clip in report["clips"]] == serial.names
    # Who lost its job may have finished its clip all the same: then that one is skipped.
    assert report["counts"]["done"] >= len(serial.names) - 2
    assert grjca(cluster, tmp_path, "status", "features", serial.clips).code == 0


def test_a_stopped_client_takes_its_jobs_along(
    cluster: Cluster, serial: Serial, tmp_path: Path
) -> None:
    store = tmp_path / "features"
    client = start(cluster, tmp_path, serial, "gpus_per_job: 1\n")
    try:
        in_the_middle(cluster, store, serial.names, lambda: client.poll() is None)
        client.send_signal(signal.SIGTERM)
        _, errors = client.communicate(timeout=60)
    finally:
        client.kill()
    assert client.returncode in (130, 143), errors
    cluster.wait_until(lambda: workers(cluster) == [], "an empty queue", seconds=20)
    report = last_report(store)
    assert report["interrupted"]
    assert 0 < len(clips_in(store)) < len(serial.names)
    assert arrays(store).items() <= serial.arrays.items()
    cluster.wait_until(lambda: leftovers(store) == [], "claims given back", seconds=20)
    told = grjca(cluster, tmp_path, "status", "features", serial.clips)
    assert told.code == 1
    assert "the last run was stopped before its end" in told.said


def test_what_sbatch_refuses_is_told_in_one_line(
    cluster: Cluster, serial: Serial, tmp_path: Path
) -> None:
    client = start(cluster, tmp_path, serial, "partition: nowhere\n")
    said, errors = client.communicate(timeout=60)
    assert client.returncode == 1
    assert said == ""
    assert "Invalid partition name specified" in errors
    assert "Traceback" not in errors
    assert len(errors.splitlines()) == 1
