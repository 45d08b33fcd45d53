"""A run that is killed and goes on is the run that was left alone."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from toy_features import QUICK, SMALL, Toy, ToySource, largest_file, make_toy, row_labels

from grjca.cache.records import ClipFeatures
from grjca.errors import GrjcaError, UsageError
from grjca.files import temporary_name
from grjca.fusion.checkpoint import load_checkpoint
from grjca.fusion.train_config import TrainConfig
from grjca.fusion.trainer import TrainResult, train

# Dropout and modality dropout draw random numbers, the rate falls, and weights are reloaded.
FUSION = {**SMALL, "modality_dropout": 0.2}
CONFIG = replace(
    QUICK, epochs=7, batch=3, lr=0.1, plateau_patience=0, warmup_epochs=0, min_lr=0, save_seconds=0
)
ONE_EPOCH = replace(CONFIG, epochs=1)
FILES = ("model.safetensors", "last.safetensors")


def fit(toy: Toy, out: Path, config: TrainConfig = CONFIG, **more: Any) -> TrainResult:
    return train(toy.source, toy.labels, toy.split, FUSION, config, out, progress=False, **more)


def table(run: Path) -> list[str]:
    """The curve without its last column, the seconds."""
    return [line.rpartition(",")[0] for line in (run / "metrics.csv").read_text().splitlines()]


def assert_same(run: Path, reference: Path) -> None:
    assert table(run) == table(reference)
    for name in FILES:
        one, other = load_checkpoint(run / name), load_checkpoint(reference / name)
        assert one.meta["epoch"] == other.meta["epoch"]
        assert one.meta["val_ccc"] == other.meta["val_ccc"]
        for key, tensor in other.model.state_dict().items():
            assert torch.equal(one.model.state_dict()[key], tensor), (name, key)
    assert not [path.name for path in run.iterdir() if path.name.endswith(".tmp")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("reference") / "run"
    result = fit(make_toy(4, 1), out)
    rates = [row["lr"] for row in result.rows]
    assert len(rates) == 7
    assert min(rates) < max(rates)
    assert len(set(table(out))) == 8
    return out


class EndOfProcessError(Exception):
    """Stands for the end of the process."""


class Interrupting(ToySource):
    """Raises at the n-th read of features after the start of the training."""

    countdown = -1

    def read(self, *args: Any, **more: Any) -> ClipFeatures:
        if self.countdown == 0:
            raise EndOfProcessError
        self.countdown -= 1
        return super().read(*args, **more)


@pytest.mark.parametrize("save_seconds", [0.0, 0.05, 1e9])
def test_interrupted_anywhere_it_goes_on_as_if_nothing_had_been(
    tmp_path: Path, undisturbed: Path, save_seconds: float
) -> None:
    toy = make_toy(4, 1)
    # From the store, so that each step reads, and a read is where it can be interrupted.
    config = replace(CONFIG, save_seconds=save_seconds, memory_limit=0)
    rng = np.random.default_rng(int(save_seconds))
    out, interruptions = tmp_path / "run", 0
    for _ in range(400):
        source = Interrupting(toy.source.features)
        source.countdown = int(rng.integers(18, 50))
        try:
            # The caller's generators must not matter.
            torch.manual_seed(interruptions)
            fit(replace(toy, source=source), out, config, resume=True)
            break
        except EndOfProcessError:
            interruptions += 1
            if save_seconds > 1e8 and interruptions == 3:
                config = replace(config, save_seconds=0)
    assert interruptions >= 3
    assert_same(out, undisturbed)


KILLED = """
import os, signal, sys, time
from pathlib import Path
sys.path[:0] = {path!r}
import test_resume
from toy_features import make_toy

out, toy = Path(sys.argv[1]), make_toy(4, 1)
# What torch imports at its first step is imported once, before the first fork.
test_resume.fit(toy, out.parent / "warm", test_resume.ONE_EPOCH)
kills = 0
for wait in {waits!r}:
    child = os.fork()
    if child == 0:
        try:
            test_resume.fit(toy, out, resume=True)
        finally:
            os._exit(0)
    state = out / "state.safetensors"
    before = state.stat().st_mtime_ns if state.exists() else 0
    # Counted from the first state of this part of the run, so that each part gets somewhere.
    while not state.exists() or state.stat().st_mtime_ns == before:
        if os.waitpid(child, os.WNOHANG)[0]:
            break
        time.sleep(0.001)
    else:
        time.sleep(wait)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        kills += os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
print("kills", kills)
test_resume.fit(toy, out, resume=True)
"""


@pytest.mark.slow
def test_killed_by_sigkill_it_goes_on_as_if_nothing_had_been(
    tmp_path: Path, undisturbed: Path
) -> None:
    waits = [0.0, 0.011, 0.05, 0.003, 0.09, 0.02]
    code = KILLED.format(path=[str(Path(__file__).parent)], waits=waits)
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "run"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) >= 4, done.stdout
    assert_same(tmp_path / "run", undisturbed)


def test_a_finished_run_is_left_as_it_is(undisturbed: Path) -> None:
    before = {path.name: path.read_bytes() for path in undisturbed.iterdir()}
    result = fit(make_toy(4, 1), undisturbed, resume=True)
    assert len(result.rows) == 7
    assert result.best_epoch == load_checkpoint(undisturbed).meta["epoch"]
    assert {path.name: path.read_bytes() for path in undisturbed.iterdir()} == before


def test_more_epochs_may_be_added(tmp_path: Path, undisturbed: Path) -> None:
    fit(make_toy(4, 1), tmp_path / "run", replace(CONFIG, epochs=3))
    assert table(tmp_path / "run") == table(undisturbed)[:4]
    fit(make_toy(4, 1), tmp_path / "run", resume=True)
    assert_same(tmp_path / "run", undisturbed)


def test_what_a_killed_run_left_beside_its_state_is_put_right(
    tmp_path: Path, undisturbed: Path
) -> None:
    out = tmp_path / "run"
    toy = make_toy(4, 1)
    fit(toy, out, replace(CONFIG, epochs=4))
    with (out / "metrics.csv").open("a") as stream:
        stream.write("5,0.1,0.7")
    (out / "model.safetensors").write_bytes(b"")
    child = subprocess.Popen(["true"])
    child.wait()
    left = re.sub(r"\d+\.tmp$", f"{child.pid}.tmp", temporary_name())
    (out / left).write_bytes(b"half a state")
    (out / "notes.txt").write_text("mine")
    fit(toy, out, resume=True)
    assert_same(out, undisturbed)
    assert (out / "notes.txt").read_text() == "mine"


def refused(toy: Toy, out: Path, message: str, **more: Any) -> None:
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(GrjcaError, match=message) as caught:
        fit(toy, out, more.pop("config", CONFIG), resume=True, **more)
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_another_run_does_not_go_on_with_this_one(undisturbed: Path) -> None:
    toy = make_toy(4, 1)
    refused(toy, undisturbed, r"differs \(then, now\): train\.lr: 0\.1, 0\.2", config=replace(
        CONFIG, lr=0.2))  # fmt: skip
    refused(make_toy(3, 2), undisturbed, r"run\.split\.train")
    moved = {clip: values.copy() for clip, values in toy.truth.items()}
    moved["lab/c00.mp4"][50] = 0.123
    refused(replace(toy, labels=row_labels(moved)), undisturbed, r"run\.data")
    features = dict(toy.source.features)
    first = features["lab/c00.mp4"]
    assert first.visual is not None
    features["lab/c00.mp4"] = replace(first, visual=first.visual + 1)
    refused(replace(toy, source=ToySource(features)), undisturbed, r"run\.data")


def test_a_run_without_a_state_and_contrary_wishes(tmp_path: Path) -> None:
    toy, out = make_toy(4, 1), tmp_path / "run"
    fit(toy, out, ONE_EPOCH)
    with pytest.raises(UsageError, match="a run either goes on or is replaced"):
        fit(toy, out, resume=True, overwrite=True)
    (out / "state.safetensors").unlink()
    refused(toy, out, r"without state\.safetensors to go on from.*--overwrite")


@pytest.mark.parametrize("kept", [0, 7, 100, 0.5, 0.999])
def test_a_damaged_state(tmp_path: Path, undisturbed: Path, kept: float) -> None:
    out = tmp_path / "run"
    out.mkdir()
    for path in undisturbed.iterdir():
        (out / path.name).write_bytes(path.read_bytes())
    content = (out / "state.safetensors").read_bytes()
    (out / "state.safetensors").write_bytes(content[: int(kept if kept >= 1 else kept * 1e3)])
    refused(make_toy(4, 1), out, r"state\.safetensors: state: not a readable safetensors file")


def test_a_checkpoint_is_no_state(tmp_path: Path, undisturbed: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "state.safetensors").write_bytes((undisturbed / "model.safetensors").read_bytes())
    refused(make_toy(4, 1), out, "not a state written by 'grjca train'")


def test_a_state_holds_nothing_of_this_machine_and_no_code(undisturbed: Path) -> None:
    path = undisturbed / "state.safetensors"
    content = path.read_bytes()
    assert str(undisturbed).encode() not in content
    assert str(Path.home()).encode() + b"/" not in content
    with safe_open(path, framework="pt") as opened:
        document = json.loads(opened.metadata()["grjca"])
    assert document["format"] == "grjca.state"
    assert document["epoch"] == 8


def test_a_full_disk_keeps_the_last_state(tmp_path: Path) -> None:
    toy, out = make_toy(4, 1), tmp_path / "run"
    fit(toy, out, replace(CONFIG, epochs=2))
    before = (out / "state.safetensors").read_bytes()
    with largest_file(3000), pytest.raises(GrjcaError, match="cannot write it"):
        fit(toy, out, resume=True)
    assert (out / "state.safetensors").read_bytes() == before


@contextmanager
def clock_that_stands() -> Iterator[None]:
    real = time.perf_counter
    time.perf_counter = lambda: 1.0  # type: ignore[assignment]
    try:
        yield
    finally:
        time.perf_counter = real


def test_seconds_go_on_too(tmp_path: Path) -> None:
    toy, out = make_toy(4, 1), tmp_path / "run"
    with clock_that_stands():
        fit(toy, out, replace(CONFIG, epochs=2))
        result = fit(toy, out, replace(CONFIG, epochs=3), resume=True)
    assert [row["seconds"] for row in result.rows] == [0, 0, 0]
