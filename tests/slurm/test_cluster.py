"""The test cluster itself: its jobs run, several of it run side by side, and nothing stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from slurm.cluster import Cluster, ClusterError, free_ports

pytestmark = pytest.mark.slurm

HOLD = """
import sys, time
from slurm.cluster import Cluster
with Cluster() as cluster:
    script = cluster.folder / "job.sh"
    script.write_text("#!/bin/sh\\nsetsid sleep 1000 &\\nexec sleep 1000\\n")
    number = cluster.submit(script)
    cluster.wait_until(lambda: cluster.running(number) != [], "a running job")
    print(cluster.folder, flush=True)
    time.sleep(1000)
"""


def processes_of(folder: Path) -> list[int]:
    """Processes that were started with this cluster's configuration, or work in its folder."""
    mark = f"SLURM_CONF={folder}/".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def test_a_requeued_task_of_an_array_runs_once_more(cluster: Cluster, tmp_path: Path) -> None:
    script = tmp_path / "job.sh"
    script.write_text(
        "#!/bin/bash\n#SBATCH --array=1-3\n#SBATCH --gres=gpu:1\n"
        'echo "$SLURM_ARRAY_TASK_ID ${SLURM_RESTART_COUNT:-0} $CUDA_VISIBLE_DEVICES" >> told\n'
        '[ "$SLURM_ARRAY_TASK_ID ${SLURM_RESTART_COUNT:-0}" != "1 0" ] || sleep 100\n'
    )
    number = cluster.submit(script)
    told = tmp_path / "told"
    cluster.wait_until(lambda: told.exists() and "1 0" in told.read_text(), "the first task")
    cluster.run("scontrol", "requeue", f"{number}_1")
    cluster.wait_for_end(number)
    lines = sorted(line.rsplit(" ", 1) for line in told.read_text().splitlines())
    assert [line[0] for line in lines] == ["1 0", "1 1", "2 0", "3 0"]
    assert {line[1] for line in lines} <= {"0", "1"}
    states = [job["JobState"] for job in cluster.finished() if job["ArrayJobId"] == number]
    assert sorted(states) == ["COMPLETED", "COMPLETED", "COMPLETED", "PENDING"]


def test_what_a_client_refuses_is_told_in_its_words(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match="Invalid job id"):
        cluster.run("scontrol", "requeue", "987654")
    with pytest.raises(ClusterError, match=r"never: not within 0 s\n--- squeue"):
        cluster.wait_until(lambda: False, "never", seconds=0.1)


def test_two_clusters_side_by_side_know_nothing_of_each_other(
    cluster: Cluster, tmp_path: Path
) -> None:
    script = tmp_path / "job.sh"
    script.write_text("#!/bin/sh\necho ran\n")
    with Cluster(cpus=1) as other:
        number = other.submit(script, "--hold")
        assert [job.state for job in other.jobs()] == ["PENDING"]
        assert [job for job in cluster.jobs() if job.name == "job.sh"] == []
        other.run("scontrol", "release", number)
        other.wait_for_end(number)
        assert [job["JobState"] for job in other.finished()] == ["COMPLETED"]
    assert not other.folder.exists()
    assert processes_of(other.folder) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_parent_leaves_no_process_and_no_file(
    cluster: Cluster, number: signal.Signals
) -> None:
    tests = Path(__file__).resolve().parents[1]
    parent = subprocess.Popen(
        [sys.executable, "-c", HOLD], env={**os.environ, "PYTHONPATH": str(tests)},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert parent.stdout is not None
    folder = Path(parent.stdout.readline().strip())
    assert len(processes_of(folder)) >= 5
    parent.send_signal(number)
    parent.wait()
    cluster.wait_until(
        lambda: not processes_of(folder) and not folder.exists(), "nothing left", seconds=30
    )


def test_ports_are_free_and_differ() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert all(20_000 <= port < 32_000 for port in ports)
