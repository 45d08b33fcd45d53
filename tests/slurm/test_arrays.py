"""Job arrays on a real SLURM: killed, requeued and out of time, they end as one undisturbed run."""

from __future__ import annotations

from pathlib import Path

import pytest
from slurm.cluster import Cluster
from slurm.jobs import (
    LIGHT,
    Clock,
    Serial,
    clips_in,
    grjca,
    in_the_middle,
    last_report,
    leftovers,
    text_of,
    write_script,
)
from stores import arrays

from grjca.pipeline.parts import Part

pytestmark = pytest.mark.slurm

TASKS = 3


def shares(names: list[str], of: int) -> dict[int, list[str]]:
    """The clips of each part, the part with the most of them first."""
    found = {k: [name for name in names if Part(k, of).keeps(name)] for k in range(1, of + 1)}
    return dict(sorted(found.items(), key=lambda share: -len(share[1])))


def still_there(cluster: Cluster, number: str) -> bool:
    return any(job.number.startswith(f"{number}_") for job in cluster.jobs())


def is_like_the_serial_run(store: Path, serial: Serial) -> None:
    assert clips_in(store) == serial.names
    assert arrays(store) == serial.arrays
    assert leftovers(store) == []


def test_a_killed_task_is_submitted_again_and_the_reports_are_merged(
    cluster: Cluster, serial: Serial, tmp_path: Path
) -> None:
    store = tmp_path / "features"
    script = write_script(
        cluster, tmp_path, "--tasks", str(TASKS), "--time", "10", "--log-dir", "logs",
        "--", "extract", serial.clips, "--store", "features", *LIGHT,
    )  # fmt: skip
    victim, share = next(iter(shares(serial.names, TASKS).items()))
    job = cluster.submit(script)
    done = in_the_middle(cluster, store, share, lambda: still_there(cluster, job))
    cluster.run("scancel", "--signal=KILL", f"{job}_{victim}")
    cluster.wait_for_end(job)
    assert set(done) <= set(clips_in(store)) < set(serial.names)
    seen = grjca(cluster, tmp_path, "status", "features", serial.clips)
    assert seen.code == 1
    assert f"2 of {TASKS} parts have ended; not {victim}" in seen.said
    again = cluster.submit(script, f"--array={victim}")
    cluster.wait_for_end(again)
    is_like_the_serial_run(store, serial)
    report = last_report(store)
    assert [clip["clip"] for clip in report["clips"]] == serial.names
    assert not report["interrupted"]
    assert report["counts"]["failed"] == 0
    seen = grjca(cluster, tmp_path, "status", "features", serial.clips)
    assert seen.code == 0, seen
    assert f"{len(serial.names)} clips done" in seen.said
    assert "0 missing" in seen.said
    assert f"{TASKS} of {TASKS} parts have ended" in seen.said


def test_a_task_requeued_in_the_middle_goes_on_where_it_was(
    cluster: Cluster, serial: Serial, tmp_path: Path
) -> None:
    store = tmp_path / "features"
    script = write_script(
        cluster, tmp_path, "--tasks", "2", "--log-dir", "logs", "--gpus", "1",
        "--", "extract", serial.clips, "--store", "features", *LIGHT,
    )  # fmt: skip
    victim, share = next(iter(shares(serial.names, 2).items()))
    job = cluster.submit(script)
    in_the_middle(cluster, store, share, lambda: still_there(cluster, job))
    # What a preempting job, a failed node and an administrator do.
    cluster.run("scontrol", "requeue", f"{job}_{victim}")
    cluster.wait_for_end(job)
    is_like_the_serial_run(store, serial)
    states = [done["JobState"] for done in cluster.finished() if done["ArrayJobId"] == job]
    assert sorted(states) == ["COMPLETED", "COMPLETED", "PENDING"]
    assert grjca(cluster, tmp_path, "status", "features", serial.clips).code == 0


def test_tasks_out_of_time_report_give_their_claims_back_and_are_requeued(
    cluster: Cluster, serial: Serial, tmp_path: Path
) -> None:
    store = tmp_path / "features"
    script = write_script(
        cluster, tmp_path, "--tasks", "2", "--time", "5", "--log-dir", "logs",
        "--", "extract", serial.clips, "--store", "features", *LIGHT,
    )  # fmt: skip
    job = cluster.submit(script)
    # The smaller share first, lest it be over when its turn comes.
    for victim, share in reversed(shares(serial.names, 2).items()):
        in_the_middle(cluster, store, share, lambda: still_there(cluster, job))
        # To the shell of the job alone, as --signal=B:TERM@120 does near the end of the time.
        cluster.run("scancel", "--signal=TERM", "--batch", f"{job}_{victim}")
    for victim in (1, 2):
        report = store / ".grjca" / "reports" / f"part-{victim}-of-2.json"
        cluster.wait_until(report.exists, "the report of the task", step=0.01)
        assert '"interrupted": true' in report.read_text()
    cluster.wait_for_end(job)
    is_like_the_serial_run(store, serial)
    states: dict[str, list[str]] = {}
    for done in cluster.finished():
        if done["ArrayJobId"] == job:
            states.setdefault(done["ArrayTaskId"], []).append(done["JobState"])
    assert states == {"1": ["PENDING", "COMPLETED"], "2": ["PENDING", "COMPLETED"]}
    for victim in (1, 2):
        said = text_of(tmp_path / "logs", f"*_{victim}.out")
        assert "stopped; what is finished stays" in said
        assert "0 already there" not in said
    assert not last_report(store)["interrupted"]
    assert grjca(cluster, tmp_path, "status", "features", serial.clips).code == 0


def test_slurm_itself_asks_early_and_the_script_goes_back_into_the_queue(
    cluster: Cluster, clock: Clock
) -> None:
    """A stand-in for the program that only waits; all else is real, the time limit too."""
    cluster.wait_for_end(clock.job)
    told = clock.told.read_text().splitlines()
    assert told[0].startswith("began 0 ")
    assert told[0].endswith(" --part 1/1 --quiet --workers 1 videos --store features")
    assert told[1:] == ["asked 0", "began 1 " + told[0].removeprefix("began 0 "), "ended 1"]
    runs = [done for done in cluster.finished() if done["ArrayJobId"] == clock.job]
    assert [done["JobState"] for done in runs] == ["PENDING", "COMPLETED"]
    assert {done["TimeLimit"] for done in runs} == {"2"}
