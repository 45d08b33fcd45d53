"""Claims: one run at a time, taken over from the dead and the silent, never from the living."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stores import RECIPE, SOURCE, random_columns, with_visual, write_clip

from grjca.cache import FeatureStore, claims
from grjca.cache.claims import Claim, ClaimLostError, claim, owner_of
from grjca.cache.owners import Owner
from grjca.cache.writer import ClipWriter, remove_leftovers
from grjca.errors import GrjcaError

CLIP = "lab/a.mp4"


def files(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.is_file())


def held_by(root: Path, owner: Owner, age: float = 0.0) -> Path:
    """A claim as another process left it, last touched ``age`` seconds ago."""
    path = claims._path(root, owner.clip)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(owner.as_json())
    then = time.time() - age
    os.utime(path, (then, then))
    return path


@pytest.fixture
def elsewhere() -> Owner:
    """A process of another machine."""
    here = Owner.of_this_process(CLIP)
    return dataclasses.replace(here, host="node7", machine="another boot")


@pytest.fixture
def dead() -> Owner:
    """A process of this machine that has ended."""
    child = subprocess.Popen(["true"])
    owner = dataclasses.replace(Owner.of_this_process(CLIP), pid=child.pid, started=1)
    child.wait()
    return owner


def test_one_at_a_time_and_free_afterwards(tmp_path: Path) -> None:
    held = claim(tmp_path, CLIP)
    assert held is not None
    with held:
        assert claim(tmp_path, CLIP) is None
        assert claim(tmp_path, "lab/b.mp4") is not None
        assert owner_of(tmp_path, CLIP) == f"process {os.getpid()} on {os.uname().nodename}"
        held.confirm()
    assert owner_of(tmp_path, CLIP) == "nobody"
    assert claim(tmp_path, CLIP) is not None


def test_an_error_inside_frees_it(tmp_path: Path) -> None:
    held = claim(tmp_path, CLIP)
    assert held is not None
    with pytest.raises(KeyboardInterrupt), held:
        raise KeyboardInterrupt
    assert files(tmp_path) == []


def test_the_dead_are_taken_over_at_once(tmp_path: Path, dead: Owner) -> None:
    held_by(tmp_path, dead)
    assert claim(tmp_path, CLIP) is not None


def test_a_pid_used_again_is_not_taken_for_the_owner(tmp_path: Path) -> None:
    later = Owner.of_this_process(CLIP)
    held_by(tmp_path, dataclasses.replace(later, started=later.started - 1))
    assert claim(tmp_path, CLIP) is not None


def test_a_living_process_of_this_machine_is_never_taken_over(tmp_path: Path) -> None:
    held_by(tmp_path, Owner.of_this_process(CLIP), age=1e6)
    assert claim(tmp_path, CLIP) is None


def test_another_machine_is_judged_by_its_silence(tmp_path: Path, elsewhere: Owner) -> None:
    held_by(tmp_path, elsewhere, age=claims.STALE - 30)
    assert claim(tmp_path, CLIP) is None
    assert owner_of(tmp_path, CLIP).endswith("on node7")
    held_by(tmp_path, elsewhere, age=claims.STALE + 1)
    assert claim(tmp_path, CLIP) is not None


def test_a_zombie_is_dead(tmp_path: Path) -> None:
    child = subprocess.Popen(["true"])
    owner = dataclasses.replace(Owner.of_this_process(CLIP), pid=child.pid, started=0)
    while Path(f"/proc/{child.pid}/stat").read_text().split()[2] != "Z":
        time.sleep(0.01)
    held_by(tmp_path, owner)
    assert claim(tmp_path, CLIP) is not None
    child.wait()


def test_clocks_of_machines_do_not_matter(
    tmp_path: Path, elsewhere: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_by(tmp_path, elsewhere)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert claim(tmp_path, CLIP) is None


def test_signs_of_life_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "HEARTBEAT", 0.05)
    held = claim(tmp_path, CLIP)
    assert held is not None
    with held:
        path = claims._path(tmp_path, CLIP)
        first = path.stat().st_mtime_ns
        deadline = time.monotonic() + 5
        while path.stat().st_mtime_ns == first and time.monotonic() < deadline:
            time.sleep(0.02)
        assert path.stat().st_mtime_ns > first
    assert not [t for t in threading.enumerate() if t.name == "grjca-claim"]


def test_an_owner_that_wakes_up_does_not_touch_its_successor(
    tmp_path: Path, elsewhere: Owner
) -> None:
    held = claim(tmp_path, CLIP)
    assert held is not None
    with held:
        path = held_by(tmp_path, elsewhere)
        path.unlink()  # taken over: another inode under the name
        path = held_by(tmp_path, elsewhere, age=50)
        before = path.stat().st_mtime_ns
        os.utime(held._handle)
        assert path.stat().st_mtime_ns == before
        with pytest.raises(ClaimLostError, match="taken this clip over"):
            held.confirm()
    assert path.exists(), "and leaving does not remove it"


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=200))
def test_any_content_of_a_claim_is_survived(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    root = tmp_path_factory.mktemp("claims")
    path = claims._path(root, CLIP)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert claim(root, CLIP) is None, "it may be a claim that is being written"
    os.utime(path, (1, 1))
    assert claim(root, CLIP) is not None


@pytest.mark.parametrize("wrong", [{"pid": "1"}, {"pid": -1}, {"pid": True}, {"token": "../x"},
                                   {"clip": 3}, {"started": 1 << 70}])  # fmt: skip
def test_an_owner_of_odd_values_is_none(wrong: dict[str, object]) -> None:
    values = json.loads(Owner.of_this_process(CLIP).as_json()) | wrong
    with pytest.raises(ValueError, match=r"."):
        Owner.from_json(json.dumps(values))


def test_names_that_leave_the_store_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GrjcaError, match="not a clip's name"):
        claim(tmp_path, "../a.mp4")


def test_a_store_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / ".grjca").write_text("a file")
    with pytest.raises(GrjcaError, match=r"cannot claim lab/a\.mp4"):
        claim(tmp_path, CLIP)


def opened_writer(root: Path, held: Claim) -> ClipWriter:
    writer = ClipWriter(root, CLIP, SOURCE, RECIPE.groups(SOURCE.sha256), held)
    writer.__enter__()
    for group, columns in random_columns(10, RECIPE, 0).items():
        if not group.startswith("crops"):
            writer.append(group, columns)
    return writer


def test_an_owner_asleep_while_taken_over_writes_nothing(tmp_path: Path) -> None:
    write_clip(tmp_path, CLIP)
    before = (tmp_path / f"{CLIP}.h5").read_bytes()
    held = claim(tmp_path, CLIP)
    assert held is not None
    with held:
        writer = opened_writer(tmp_path, held)
        make_remote_and_silent(tmp_path)
        successor = claim(tmp_path, CLIP)
        assert successor is not None
        with successor:
            assert [n for n in files(tmp_path) if n.endswith(".tmp")] == []
            with pytest.raises(ClaimLostError):
                writer.commit({})
            writer.__exit__(None, None, None)
            successor.confirm()
    assert (tmp_path / f"{CLIP}.h5").read_bytes() == before


def test_an_owner_asleep_just_before_the_rename_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Taken over after its last look at the claim, it has nothing left to rename."""
    write_clip(tmp_path, CLIP)
    held = claim(tmp_path, CLIP)
    assert held is not None
    real, looks = held.confirm, []

    def confirm_then_sleep() -> None:
        real()
        looks.append(1)
        if len(looks) == 2:
            make_remote_and_silent(tmp_path)
            successor = claim(tmp_path, CLIP)
            assert successor is not None
            with successor:
                pass
            write_clip(tmp_path, CLIP, recipe=with_visual("hog"), groups=frozenset({"visual/hog"}))

    with held:
        writer = opened_writer(tmp_path, held)
        monkeypatch.setattr(held, "confirm", confirm_then_sleep)
        with pytest.raises(ClaimLostError):
            writer.commit({})
        writer.__exit__(None, None, None)
    assert FeatureStore(tmp_path).embedders(CLIP)["visual"] == ["fer", "hog"]


def make_remote_and_silent(root: Path) -> None:
    """Make the present claim look like one of another machine that was silent for long."""
    path = claims._path(root, CLIP)
    owner = json.loads(path.read_text())
    path.write_text(json.dumps(owner | {"machine": "another boot"}))
    os.utime(path, (1, 1))


def test_the_slower_of_two_takers_leaves_the_quicker_ones_claim(
    tmp_path: Path, elsewhere: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both see one stale claim; the slower one goes on when the quicker one is done."""
    path = held_by(tmp_path, elsewhere, age=1000)
    quick: list[Claim | None] = []
    real = claims._create

    def create(mark: Path, owner: Owner) -> int | None:
        if mark.suffix == claims.MARK:
            monkeypatch.setattr(claims, "_create", real)
            quick.append(claim(tmp_path, CLIP))
        return real(mark, owner)

    monkeypatch.setattr(claims, "_create", create)
    assert claim(tmp_path, CLIP) is None
    assert quick[0] is not None
    with quick[0] as held:
        held.confirm()
        assert files(tmp_path) == [path.name]


def test_only_one_takes_away_at_a_time(tmp_path: Path, elsewhere: Owner, dead: Owner) -> None:
    path = held_by(tmp_path, elsewhere, age=1000)
    mark = path.with_name(f"{path.stem}.{elsewhere.token}{claims.MARK}")
    mark.write_text(Owner.of_this_process(CLIP).as_json())
    assert claim(tmp_path, CLIP) is None, "a living run is about it"
    mark.write_text(dead.as_json())
    assert claim(tmp_path, CLIP) is not None
    assert files(tmp_path) == [path.name]


RACE = """
import sys, time
from pathlib import Path
from grjca.cache.claims import claim
root, log = Path({root!r}), open({log!r}, "a", buffering=1)
end = time.monotonic() + 2.0
while time.monotonic() < end:
    held = claim(root, "a.mp4")
    if held is None:
        continue
    if {die} and time.monotonic_ns() % 7 == 0:
        import os; log.write("die\\n"); os._exit(1)
    with held:
        log.write("in\\n")
        held.confirm()
        log.write("out\\n")
"""


def test_many_processes_never_hold_one_clip_together(tmp_path: Path) -> None:
    """Appends of a line are atomic, so an 'in' between another's 'in' and 'out' would show."""
    log = tmp_path / "log"
    scripts = [RACE.format(root=str(tmp_path / "s"), log=str(log), die=n % 2) for n in range(5)]
    children = [subprocess.Popen([sys.executable, "-c", script]) for script in scripts]
    assert [child.wait() for child in children].count(0) >= 3
    lines = [line for line in log.read_text().splitlines() if line != "die"]
    assert lines == ["in", "out"] * (len(lines) // 2)
    assert len(lines) > 50
    assert files(tmp_path / "s") in ([], [claims._path(tmp_path, "a.mp4").name])


HOLD = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from stores import *
keys = RECIPE.groups(SOURCE.sha256)
with claim(Path({root!r}), "lab/a.mp4") as held:
    with ClipWriter(Path({root!r}), "lab/a.mp4", SOURCE, keys, held) as writer:
        writer.append("frames", {{"time": np.arange(500) / 25}})
        print("open", flush=True)
        time.sleep(60)
"""


def holding_child(root: Path) -> subprocess.Popen[bytes]:
    script = HOLD.format(tests=str(Path(__file__).parent), root=str(root))
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    child.stdout.close()
    return child


def test_killed_owner_is_taken_over_with_its_temporary_file(tmp_path: Path) -> None:
    child = holding_child(tmp_path)
    assert claim(tmp_path, CLIP) is None
    assert remove_leftovers(tmp_path) == 0
    child.send_signal(signal.SIGSTOP)
    assert claim(tmp_path, CLIP) is None, "stopped is not dead"
    child.kill()
    child.wait()
    assert len(files(tmp_path)) == 2
    assert remove_leftovers(tmp_path) == 1
    assert files(tmp_path) == []
    child = holding_child(tmp_path)
    child.kill()
    child.wait()
    write_clip(tmp_path, CLIP)
    assert files(tmp_path) == ["a.mp4.h5"]


def test_interrupted_owner_leaves_nothing(tmp_path: Path) -> None:
    child = holding_child(tmp_path)
    child.send_signal(signal.SIGINT)
    child.wait()
    assert files(tmp_path) == []


def test_a_sweep_cut_short_is_finished_by_the_next(
    tmp_path: Path, dead: Owner, elsewhere: Owner
) -> None:
    path = held_by(tmp_path, dead)
    mark = path.rename(path.with_name(f"{path.stem}.{elsewhere.token}{claims.MARK}"))
    (tmp_path / "lab").mkdir()
    (tmp_path / f"lab/.{elsewhere.token}-0.tmp").touch()
    (tmp_path / f"lab/.{'0' * 32}-0.tmp").touch()
    assert remove_leftovers(tmp_path) == 1
    assert not mark.exists()
    assert files(tmp_path) == [f".{'0' * 32}-0.tmp"], "another's file stays"


def test_a_forked_child_does_not_give_the_claim_up(tmp_path: Path) -> None:
    held = claim(tmp_path, CLIP)
    assert held is not None
    with held:
        pid = os.fork()
        if pid == 0:
            held.__exit__(None, None, None)
            os._exit(0)
        os.waitpid(pid, 0)
        held.confirm()


def test_two_runs_one_after_the_other_both_land(tmp_path: Path) -> None:
    """Four processes add an embedder each to one clip, waiting for their turn."""
    script = """
import sys, time
sys.path.insert(0, {tests!r})
from stores import *
root, name = Path({root!r}), {name!r}
recipe = with_visual(name)
while (held := claim(root, "a.mp4")) is None:
    time.sleep(0.01)
with held, ClipWriter(root, "a.mp4", SOURCE, recipe.groups(SOURCE.sha256), held) as writer:
    new = not (root / "a.mp4.h5").exists()
    for group, columns in random_columns(300, recipe, 0).items():
        if group == f"visual/{{name}}" or (new and not group.startswith("crops")):
            writer.append(group, columns)
    writer.commit({{}})
"""
    names = ["one", "two", "three", "four"]
    children = [
        subprocess.Popen([sys.executable, "-c", script.format(
            tests=str(Path(__file__).parent), root=str(tmp_path), name=name)])
        for name in names
    ]  # fmt: skip
    assert [child.wait() for child in children] == [0] * 4
    assert set(FeatureStore(tmp_path).embedders("a.mp4")["visual"]) == set(names)
    assert files(tmp_path) == ["a.mp4.h5"]
