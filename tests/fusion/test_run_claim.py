"""Two trainings in one folder: one at a time, whoever is killed, asleep, or somewhere else."""

import contextlib
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from test_resume import CONFIG, FUSION, assert_same, fit, table
from toy_features import largest_file, make_toy

from grjca.cache import claims
from grjca.cache.owners import STALE, Owner
from grjca.errors import GrjcaError, UsageError
from grjca.files import temporary_name
from grjca.fusion import run_claim
from grjca.fusion.run_claim import TRAINING, RunClaim, check_free, claimed
from grjca.fusion.trainer import train

CLAIM = Path(".grjca") / "claims"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def held_by(folder: Path, owner: Owner, age: float = 0.0) -> Path:
    """A claim as another process left it, last touched ``age`` seconds ago."""
    path = claims._path(folder, owner.clip)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(owner.as_json())
    then = time.time() - age
    os.utime(path, (then, then))
    return path


@pytest.fixture
def dead() -> Owner:
    child = subprocess.Popen(["true"])
    owner = dataclasses.replace(Owner.of_this_process(TRAINING), pid=child.pid, started=1)
    child.wait()
    return owner


@pytest.fixture
def elsewhere() -> Owner:
    own = Owner.of_this_process(TRAINING)
    return dataclasses.replace(own, host="node7", machine="another boot")


def test_one_at_a_time_and_nothing_left(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with claimed(folder):
        here = f"process {os.getpid()} on {os.uname().nodename} is at work in this folder"
        with pytest.raises(UsageError, match=re.escape(here)), claimed(folder):
            pass
        with pytest.raises(UsageError, match=re.escape(here)):
            check_free(folder)
        with claimed(folder, "trial"):
            pass
    check_free(folder)
    assert names(folder) == []
    with claimed(folder):
        pass


def test_a_training_beside_a_living_one_is_refused_and_disturbs_nothing(tmp_path: Path) -> None:
    toy, out = make_toy(4, 1), tmp_path / "run"
    refused: list[str] = []

    def intrude(_: Mapping[str, float]) -> None:
        for wish in ({"resume": True}, {"overwrite": True}, {}):
            with pytest.raises(UsageError) as caught:
                fit(toy, out, **wish)
            refused.append(str(caught.value))

    config = replace(CONFIG, epochs=2)
    train(toy.source, toy.labels, toy.split, FUSION, config, out, log=intrude, progress=False)
    assert len(refused) == 6
    for line in refused:
        assert line.startswith(f"{out}: train: process {os.getpid()} on {os.uname().nodename} is")
        assert "\n" not in line
    fit(toy, tmp_path / "alone", config)
    assert_same(out, tmp_path / "alone")
    assert names(out) == names(tmp_path / "alone")


def test_one_that_begins_while_another_reads_its_clips_is_found_out(tmp_path: Path) -> None:
    """The other one comes and goes between the first look at the folder and the start."""
    toy, out = make_toy(4, 1), tmp_path / "run"
    config = replace(CONFIG, epochs=1)
    real, done = toy.source.embedders, []

    def embedders(clip: str) -> dict[str, list[str]]:
        if not done:
            done.append(clip)
            fit(make_toy(4, 1), out, config)
        return real(clip)

    toy.source.embedders = embedders  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="holds a run already"):
        fit(toy, out, config)
    fit(make_toy(4, 1), tmp_path / "alone", config)
    assert_same(out, tmp_path / "alone")


KILLED = """
import sys
from pathlib import Path
sys.path[:0] = {path!r}
import test_resume
from toy_features import make_toy

test_resume.fit(make_toy(4, 1), Path(sys.argv[1]), log=lambda row: print(row["epoch"], flush=True))
"""


@pytest.mark.slow
def test_a_stopped_one_holds_its_folder_and_a_killed_one_does_not(tmp_path: Path) -> None:
    out = tmp_path / "run"
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED.format(path=[str(Path(__file__).parent)]), out],
        stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline().startswith("1")
    child.send_signal(signal.SIGSTOP)
    toy = make_toy(4, 1)
    with pytest.raises(UsageError, match=f"process {child.pid} on"):
        fit(toy, out, resume=True)
    child.kill()
    child.wait()
    claimed_then = Owner.from_json(next((out / CLAIM).iterdir()).read_text())
    (out / f".{claimed_then.token}-77.tmp").write_bytes(b"half a checkpoint")
    fit(toy, out, resume=True)
    fit(toy, tmp_path / "alone")
    assert_same(out, tmp_path / "alone")
    assert names(out) == names(tmp_path / "alone")


def test_what_killed_trainings_left_is_swept_and_nothing_else(
    tmp_path: Path, dead: Owner, elsewhere: Owner
) -> None:
    gone = re.sub(r"\d+\.tmp$", f"{dead.pid}.tmp", temporary_name())
    alive = temporary_name()
    far = re.sub(r"\.[0-9a-f]{8}\.", ".00000000.", temporary_name())
    old = re.sub(r"\.[0-9a-f]{8}\.", ".11111111.", temporary_name())
    lost, busy = f".{dead.token}-0.tmp", f".{elsewhere.token}-3.tmp"
    mine = ["model.safetensors", "notes.tmp", ".hidden.tmp", f".{'0' * 31}-1.tmp"]
    for name in (gone, alive, far, old, lost, busy, *mine):
        (tmp_path / name).write_text("x")
    os.utime(tmp_path / old, (1, 1))
    held_by(tmp_path, dataclasses.replace(elsewhere, clip="trial"))
    with claimed(tmp_path):
        assert set(names(tmp_path)) == {alive, far, busy, *mine, ".grjca"}


def test_another_machine_is_waited_for(
    tmp_path: Path, elsewhere: Owner, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """Silent: taken over when it has been silent for long enough. Alive: refused at once."""
    monkeypatch.setattr(run_claim, "_POLL", 0.05)
    began = time.monotonic()
    path = held_by(tmp_path, elsewhere, age=STALE - 2)
    with claimed(tmp_path):
        assert time.monotonic() - began > 1.9
    assert "held by process" in caplog.text
    path = held_by(tmp_path, elsewhere, age=STALE / 2)
    done = threading.Event()

    def beat() -> None:
        while not done.wait(0.2):
            os.utime(path)

    pulse = threading.Thread(target=beat)
    pulse.start()
    with pytest.raises(UsageError, match="on node7 is at work in this folder"), claimed(tmp_path):
        pass
    done.set()
    pulse.join()
    assert Owner.from_json(path.read_text()) == elsewhere


def take_over(folder: Path) -> None:
    """Make the present claim one of another machine that was silent for long, and take it."""
    path = claims._path(folder, TRAINING)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"machine": "another boot"}))
    os.utime(path, (1, 1))
    assert claims.claim(folder, TRAINING) is not None


def test_one_that_was_asleep_while_taken_over_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("mine")
    lost = r"process \d+ on .* has taken the folder over"

    def write(held: RunClaim) -> None:
        with held.written(tmp_path / "metrics.csv") as file:
            file.write_text("yours")
            take_over(tmp_path)

    with claimed(tmp_path) as held:
        with pytest.raises(GrjcaError, match=lost):
            write(held)
        with pytest.raises(GrjcaError, match=lost):
            held.confirm()
    assert (tmp_path / "metrics.csv").read_text() == "mine"
    assert not [name for name in names(tmp_path) if name.endswith(".tmp")]


def test_asleep_just_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "metrics.csv").write_text("mine")
    real = RunClaim.confirm

    def confirm_then_sleep(self: RunClaim) -> None:
        real(self)
        take_over(tmp_path)

    monkeypatch.setattr(RunClaim, "confirm", confirm_then_sleep)
    with (
        claimed(tmp_path) as held,
        pytest.raises(GrjcaError, match="has taken the folder over"),
        held.written(tmp_path / "metrics.csv") as file,
    ):
        file.write_text("yours")
    assert (tmp_path / "metrics.csv").read_text() == "mine"


def test_a_training_that_was_taken_over_stops_with_one_line(tmp_path: Path) -> None:
    toy, out = make_toy(4, 1), tmp_path / "run"

    def lose(row: Mapping[str, float]) -> None:
        if row["epoch"] == 2:
            take_over(out)

    with pytest.raises(GrjcaError, match="has taken the folder over") as caught:
        train(toy.source, toy.labels, toy.split, FUSION, CONFIG, out, log=lose, progress=False)
    assert "\n" not in str(caught.value)
    assert len(table(out)) == 3


@pytest.mark.parametrize("what", ["file", "full"])
def test_a_folder_that_cannot_be_written(tmp_path: Path, what: str) -> None:
    (tmp_path / "file").write_text("")
    folder = tmp_path / "file" / "run" if what == "file" else tmp_path / "run"
    with (
        largest_file(10_000 if what == "file" else 0),
        pytest.raises(GrjcaError, match="cannot write it") as caught,
        claimed(folder),
    ):
        pass
    assert str(caught.value).startswith(str(folder))


def test_a_write_that_fails_names_the_file_and_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mine")
    with claimed(tmp_path) as held:
        with (
            largest_file(3000),
            pytest.raises(GrjcaError, match=r"config\.yaml: write: cannot write it"),
            held.written(tmp_path / "config.yaml") as file,
        ):
            file.write_text("x" * 5000)
        assert (tmp_path / "config.yaml").read_text() == "mine"
        assert set(names(tmp_path)) == {"config.yaml", ".grjca"}


def test_many_at_once(tmp_path: Path) -> None:
    """Owners come and go, and the claim's folder with them; never are there two."""
    inside, most = [0], [0]

    def work() -> int:
        held = 0
        for _ in range(20):
            with contextlib.suppress(UsageError), claimed(tmp_path):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                held += 1
                inside[0] -= 1
        return held

    with ThreadPoolExecutor(4) as pool:
        assert sum(future.result() for future in [pool.submit(work) for _ in range(4)]) >= 1
    assert most == [1]
    assert names(tmp_path) == []
