"""The array script: held against golden files, read by bash, and run as SLURM would run it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from face_makers import make_face_clip
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import arrays

import grjca
from grjca.cli import main
from grjca.errors import UsageError
from grjca.pipeline.parts import Part, report_path
from grjca.pipeline.slurm_script import ArrayJob, quoted

DATA = Path(__file__).parent / "data"


def job(**values: Any) -> ArrayJob:
    given: dict[str, Any] = {
        "command": "extract", "arguments": ("videos", "--store", "features"), "tasks": 4,
        "folder": Path("/data/study"), "python": "/opt/env/bin/python",
    }  # fmt: skip
    return ArrayJob(**{**given, **values})


JOBS = {
    "extract": job(store=Path("features"), name="grjca-extract"),
    "everything": job(
        arguments=("--quiet", "it's \"odd\"", "two\nlines", "--store", "my features"),
        store=Path("my features"), name="big job", partition="cpu,long", account="lab 7",
        time="1-12:00:00", cpus=4, memory="8G", gpus="a100:2", array_limit=20,
        log_dir=Path("/data/50% logs"), prologue=("module load ffmpeg", "export TMPDIR=/scratch"),
        requeues=3,
    ),
    "ablate": job(command="ablate", arguments=("--store", "features", "--out", "runs")),
}  # fmt: skip


@pytest.mark.parametrize("name", JOBS)
def test_the_script_is_the_golden_one(name: str) -> None:
    text = JOBS[name].text()
    assert text == (DATA / f"{name}.sh").read_text()
    subprocess.run(["bash", "-n"], input=text.encode(), check=True)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), max_size=5))
@settings(deadline=None, max_examples=50)
def test_bash_reads_every_word_back_as_it_was(words: list[str]) -> None:
    line = "printf '%s\\0' " + " ".join(map(quoted, words)) if words else ":"
    out = subprocess.run(["bash", "-c", line], capture_output=True, check=True)
    assert out.stdout == b"".join(word.encode() + b"\0" for word in words)
    # sbatch refuses scripts with line ends of DOS, and a word must not begin a line of its own.
    assert not {"\n", "\r"} & set(line)


@pytest.mark.parametrize(
    "values",
    [
        {"tasks": 0}, {"cpus": 0}, {"requeues": -1}, {"time": "soon"}, {"time": "1h"},
        {"memory": "lots"}, {"memory": "8GB"}, {"gpus": "a100"}, {"name": "a/b"}, {"name": ""},
        {"partition": "x\n#SBATCH --uid=0"}, {"log_dir": Path("a\nb")}, {"account": "\t"},
    ],
)  # fmt: skip
def test_what_slurm_could_not_read_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(values)).replace('_', '-')}"):
        job(**values)


@pytest.mark.parametrize("value", ["90", "30:00", "4:00:00", "1-0", "1-12:00", "1-12:00:00"])
def test_times_in_every_form_of_slurm_are_taken(value: str) -> None:
    assert f"#SBATCH --time={value}\n" in job(time=value).text()


# The command.


def script(*words: object) -> Result:
    result = CliRunner().invoke(main, ["slurm-script", *map(str, words)])
    assert "Traceback" not in result.output
    return result


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "videos").mkdir()
    return tmp_path


PREDICT = ("--checkpoint", "r", "--out", "o")
EXTRACT = ("--", "extract", "videos", "--store", "features")


def test_the_command_prints_a_script_and_makes_the_folder_of_logs(here: Path) -> None:
    result = script("--tasks", 9, "--cpus", 3, "--log-dir", "logs", *EXTRACT)
    assert result.exit_code == 0
    assert "#SBATCH --array=1-9\n" in result.output
    assert "#SBATCH --job-name=grjca-extract\n" in result.output
    assert "--quiet --workers 3 videos --store features &" in result.output
    assert f"cd -- {shlex.quote(str(here))} || exit" in result.output
    assert f"#SBATCH --output={here}/logs/grjca-extract-%A_%a.out" in result.output
    assert (here / "logs").is_dir()
    assert sys.executable in result.output


@pytest.mark.usefixtures("here")
def test_what_the_user_says_of_workers_counts() -> None:
    out = script("--tasks", 2, "--cpus", 3, *EXTRACT, "--workers", 2, "--quiet").output
    assert "    videos --store features --workers 2 --quiet &" in out


def test_lines_before_the_command_come_from_file_and_options(here: Path) -> None:
    (here / "pro.sh").write_bytes(b"module load a\r\nexport B='c d'\r\n")
    out = script("--tasks", 2, "--prologue", "pro.sh", "--line", "umask 027", *EXTRACT).output
    assert "module load a\nexport B='c d'\numask 027\n" in out
    assert "\r" not in out


@pytest.mark.usefixtures("here")
def test_no_merge_when_not_wanted_or_nothing_to_merge() -> None:
    assert "status --merge" in script("--tasks", 2, *EXTRACT).output
    assert "status --merge" not in script("--tasks", 2, "--no-merge", *EXTRACT).output
    ablate = ("--", "ablate", "--store", "s", "--labels", "l", "--out", "o")
    out = script("--tasks", 2, *ablate).output
    assert "status --merge" not in out
    assert '"${grjca[@]}" ablate --part "$SLURM_ARRAY_TASK_ID/2"' in out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--", "extract", "videos", "--stor", "s"), "--stor"),
        (("--", "extract", "videos"), "--store"),
        (("--", "extract", "--store", "s"), "which clips"),
        (("--", "extract", "videoz", "--store", "s"), "videoz"),
        (("--", "extract", "@videoz.txt", "--store", "s"), "videoz.txt"),
        ((*EXTRACT, "--visual", "ferr"), "ferr"),
        ((*EXTRACT, "--part", "1/2"), "--part"),
        ((*EXTRACT, "--scheduler", "tcp://a:1"), "--scheduler"),
        (("--", "train", "--store", "s"), "train"),
        (("--", "predict", "videos", *PREDICT), "--store"),
        (("--", "predict", "videos", *PREDICT, "--store", "s", "--report"), "grjca report"),
        (("--time", "4h", *EXTRACT), "--time"),
        (("--line", "echo 'open", *EXTRACT), "--prologue or --line"),
        ((), "extract"),
    ],
)
def test_a_mistake_is_found_now_and_nothing_printed(
    here: Path, words: tuple[object, ...], told: str
) -> None:
    result = script("--tasks", 2, "--log-dir", "logs", *words)
    assert result.exit_code == 2
    assert told in result.output
    assert "#SBATCH" not in result.output
    assert not (here / "logs").exists()


# The script as bash runs it, with a program in grjca's place.


def executable(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


class Cluster:
    """What of SLURM the script sees: variables of a task, ``squeue`` and ``scontrol``."""

    def __init__(self, folder: Path, program: str, *, state: str = "RUNNING") -> None:
        self.folder = folder
        tools = folder / "tools"
        tools.mkdir()
        # As SLURM's own, it tells of every task when asked for the array's number.
        many = f"[[ $* == *70_[1-3]* ]] || echo {state}"
        executable(tools / "squeue", f"echo {state}; {many}" if state else "exit 1")
        executable(tools / "scontrol", f'echo "$@" >> {folder}/requeued')
        self.path = f"{tools}:{os.environ['PATH']}"
        python = executable(folder / "python", f"cd {folder}\n{program}")
        self.script = folder / "job.sh"
        text = job(folder=folder, python=str(python), store=Path("s"), tasks=3, requeues=2).text()
        self.script.write_text(text)

    def start(
        self, task: int, *, count: int = 3, restarts: int | None = None
    ) -> subprocess.Popen[bytes]:
        restarted = {} if restarts is None else {"SLURM_RESTART_COUNT": str(restarts)}
        numbers = {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_JOB_ID": 70, "SLURM_JOB_ID": 70,
                   "SLURM_ARRAY_TASK_COUNT": count}  # fmt: skip
        env = {**os.environ, **{k: str(v) for k, v in numbers.items()}, **restarted}
        return subprocess.Popen(
            ["bash", self.script], env={**env, "PATH": self.path}, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


WORKING = """
echo "$@" >> calls
case "$*" in *status*) exit 1;; esac
trap 'echo >> stopped; /bin/sleep 0.2; exit {code}' TERM
echo >> started
while :; do /bin/sleep 0.02; done
"""


def stopped_in_its_work(cluster: Cluster, *, all_of_it: bool = False, **values: Any) -> int:
    """Exit code of a task whose shell, or all of which, gets a SIGTERM in its work."""
    process = cluster.start(2, **values)
    while not cluster.lines("started"):
        assert process.poll() is None
        time.sleep(0.01)
    if all_of_it:
        os.killpg(process.pid, signal.SIGTERM)
    else:
        process.send_signal(signal.SIGTERM)
    code = process.wait(30)
    # Once, whoever sent it: a second one could end a program before its report is written.
    assert cluster.lines("stopped") == [""]
    return code


@pytest.mark.parametrize("code", [130, 143])
def test_a_task_whose_time_is_up_goes_back_into_the_queue(tmp_path: Path, code: int) -> None:
    cluster = Cluster(tmp_path, WORKING.format(code=code))
    assert stopped_in_its_work(cluster, restarts=1) == code
    assert cluster.lines("requeued") == ["requeue 70_2"]
    # It has not ended: nothing is merged, and no mark is left.
    assert len(cluster.lines("calls")) == 1
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("state", "code", "restarts"),
    [("COMPLETING", 130, 0), ("", 130, 0), ("RUNNING", 130, 2), ("RUNNING", 1, 0)],
)
def test_a_cancelled_task_one_that_was_put_back_often_and_a_failed_one_do_not(
    tmp_path: Path, state: str, code: int, restarts: int
) -> None:
    cluster = Cluster(tmp_path, WORKING.format(code=code), state=state)
    cancelled = state == "COMPLETING"
    assert stopped_in_its_work(cluster, restarts=restarts, all_of_it=cancelled) == code
    assert cluster.lines("requeued") == []


def test_a_task_stopped_before_its_program_began_is_put_back(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, "kill -TERM $PPID; exec /bin/sleep 60")
    assert cluster.start(1).wait(30) == 143
    assert cluster.lines("requeued") == ["requeue 70_1"]


ENDING = """
echo "$@" >> calls
case "$*" in *part*/3*) exit "$(cat code)";; esac
"""


@pytest.mark.parametrize("code", [0, 1, 2, 137])
def test_the_last_task_to_end_merges_whatever_became_of_it(tmp_path: Path, code: int) -> None:
    (tmp_path / "code").write_text("0")
    cluster = Cluster(tmp_path, ENDING)
    for task in (3, 1, 1):
        assert cluster.start(task).wait(30) == 0
    assert not any("status" in line for line in cluster.lines("calls"))
    (tmp_path / "code").write_text(str(code))
    assert cluster.start(2).wait(30) == code
    assert cluster.lines("calls")[-1] == f"-P -m grjca status --merge {tmp_path}/s"
    assert cluster.lines("requeued") == []
    assert list((tmp_path / "s" / ".grjca" / "reports").iterdir()) == []


def test_some_tasks_submitted_again_merge_when_they_have_ended(tmp_path: Path) -> None:
    (tmp_path / "code").write_text("0")
    cluster = Cluster(tmp_path, ENDING)
    assert cluster.start(2, count=1).wait(30) == 0
    assert "status --merge" in cluster.lines("calls")[-1]


def test_a_script_run_by_hand_says_what_it_is_for(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, "echo > ran")
    env = {k: v for k, v in os.environ.items() if not k.startswith("SLURM")}
    done = subprocess.run(["bash", cluster.script], env=env, capture_output=True, check=False)
    assert done.returncode
    assert b"sbatch" in done.stderr
    assert not (tmp_path / "ran").exists()


# The script with grjca itself.


@pytest.mark.long
def test_all_parts_together_make_the_store_of_one_run(here: Path) -> None:
    odd = here / "videos" / 'it\'s\n"odd" $HOME'
    odd.mkdir()
    # The third part has nothing to do.
    names = [name for name in map("{}.mp4".format, range(20)) if not Part(3, 3).keeps(name)]
    good, bad = names[:2], names[2]
    for name in good:
        make_face_clip(odd / name, [True] * 10)
    (odd / bad).write_text("no video")
    result = script("--tasks", 3, "--", "extract", odd, "--store", "my store", "--visual", "hog",
                    "--audio", "logmel")  # fmt: skip
    assert result.exit_code == 0
    Path("job.sh").write_text(result.output)
    for task in (1, 2, 3):
        numbers = {"SLURM_ARRAY_TASK_ID": task, "SLURM_ARRAY_JOB_ID": 5, "SLURM_JOB_ID": 6,
                   "SLURM_ARRAY_TASK_COUNT": 3}  # fmt: skip
        env = {**os.environ, **{k: str(v) for k, v in numbers.items()}}
        done = subprocess.run(["bash", "job.sh"], env=env, capture_output=True, check=False)
        share = [name for name in (*good, bad) if Part(task, 3).keeps(name)]
        assert done.returncode == int(bad in share), done.stderr
        report = json.loads(report_path(Path("my store"), Part(task, 3)).read_text())
        assert sorted(clip["clip"] for clip in report["clips"]) == sorted(share)
    merged = json.loads(Path("my store/.grjca/last-run.json").read_text())
    assert merged["counts"] == {"done": 2, "skipped": 0, "failed": 1}
    config = grjca.ExtractConfig(visual="hog", audio="logmel")
    grjca.extract([odd], here / "alone", config, workers=1)
    assert arrays(here / "my store") == arrays(here / "alone")
