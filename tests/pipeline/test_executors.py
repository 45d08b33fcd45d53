"""Where the work is done: the options that say so, children of workers, and what they may break."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from distributed import Client, LocalCluster
from odd_job import Odd

import grjca
from grjca.errors import GrjcaError, UsageError
from grjca.pipeline.child_process import Child, ChildFailedError
from grjca.pipeline.children import Children, devices
from grjca.pipeline.config import Components
from grjca.pipeline.executors import Extraction
from grjca.pipeline.flow import Flow
from grjca.pipeline.placing import Placement
from grjca.pipeline.progress import Progress
from grjca.pipeline.stopping import StoppedError, Stopper, check
from grjca.pipeline.work import Died, Failed, Finished, Item, Refused, packed

CONFIG = Path("cluster.yaml")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"workers": 0}, "workers"),
        ({"workers": 2, "scheduler": "tcp://a:1"}, "--workers"),
        ({"scheduler": "tcp://a:1", "cluster": "slurm"}, "--scheduler"),
        ({"jobs": 2}, "--jobs: .* for --cluster"),
        ({"cluster_config": CONFIG}, "--cluster-config: .* for --cluster"),
        ({"cluster": "slurm", "jobs": 2}, "how many jobs, or what a job is"),
        ({"cluster": "slurm", "cluster_config": CONFIG}, "how many jobs"),
        ({"cluster": "pbs", "jobs": 2, "cluster_config": CONFIG}, "pbs is not known"),
        ({"workers": 1, "dashboard": True}, "without Dask"),
    ],
)
def test_placements_that_make_no_sense(given: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        Placement(**given)


def test_placements() -> None:
    assert Placement().local
    assert not Placement(scheduler="tcp://a:1", dashboard=True).local
    assert not Placement(cluster="slurm", jobs=2, cluster_config=CONFIG).local


def started(note: str = "", folder: str = "/", **options: str) -> Child:
    return Child(packed(Odd(note)), folder, **options)


def quiet(_rows: int) -> None:
    """Not interested."""


def test_a_child_is_kept_between_items_and_tells_of_rows() -> None:
    child = started(device="7")
    try:
        told: list[int] = []
        first = child.work(packed("rows"), told.append)
        second = child.work(packed("where CUDA_VISIBLE_DEVICES"), quiet)
        assert isinstance(first, Finished)
        assert first.result == child.pid
        assert told == [12]
        assert isinstance(second, Finished)
        assert second.result == ("/", "1", "7")
    finally:
        child.close()
    assert not child.alive


@pytest.mark.parametrize(
    ("item", "ending"),
    [
        ("abort", Died("SIGABRT")),
        ("say out of luck", Died("exit status 3", "out of luck")),
        ("raise clip", Failed("KeyError: 'clip'")),
    ],
)
def test_how_a_child_ends(item: str, ending: Died | Failed) -> None:
    child = started()
    try:
        found = child.work(packed(item), quiet)
        assert isinstance(found, type(ending))
        assert found == ending
        assert child.alive == isinstance(ending, Failed)
        if isinstance(ending, Died):
            assert child.work(packed("next"), quiet) is None
    finally:
        child.close()


def test_a_job_that_cannot_be_opened() -> None:
    with pytest.raises(ChildFailedError) as refused:
        started("refuse")
    assert refused.value.how == Refused("weights.onnx: detector: no such file", "Put it there.")
    with pytest.raises(ChildFailedError) as crashed:
        started("crash")
    assert crashed.value.how == Died("SIGILL")


def test_a_child_ends_with_its_parent() -> None:
    text = (
        "import time\n"
        "from grjca.pipeline.child_process import Child\n"
        "from grjca.pipeline.work import packed\n"
        "from odd_job import Odd\n"
        "child = Child(packed(Odd()), '/')\n"
        "print(child.pid, flush=True)\n"
        "child.work(packed('rows'), lambda _: None)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert parent.stdout is not None
    with parent.stdout as out:
        child = int(out.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{child}/cmdline").exists() and time.monotonic() < deadline:
        if not Path(f"/proc/{child}/cmdline").read_bytes():
            break
        time.sleep(0.05)
    else:
        assert not Path(f"/proc/{child}").exists()


def test_a_worker_that_would_compute_something_else(tmp_path: Path) -> None:
    config = grjca.ExtractConfig(visual="hog", audio="logmel")
    recipe = Components.load(config).recipe("an ffmpeg of the past")
    with pytest.raises(GrjcaError, match=r"ffmpeg is .*, where the run was started an ffmpeg of"):
        Extraction(config, tmp_path, recipe).open()


@pytest.mark.parametrize(
    ("gpus", "visible", "expected"),
    [(0, None, []), (0, "0,1", []), (2, None, ["0", "1"]), (2, "4,6,7", ["4", "6"])],
)
def test_gpus_of_children(gpus: int, visible: str | None, expected: list[str]) -> None:
    assert devices(gpus, visible) == expected


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def through(
    client: Client,
    items: list[str],
    note: str = "",
    *,
    folder: str | None = None,
    proof: str | None = None,
    files: dict[str, tuple[str, ...]] | None = None,
) -> dict[str, object]:
    """What became of items whose names are what they do."""
    name = f"test-{time.monotonic_ns()}"
    children = Children(name, packed(Odd(note)), folder or os.getcwd(), proof=proof)
    client.register_plugin(children, name=name)
    try:
        flow = Flow(client, name, on_rows=lambda *_: None, on_workers=lambda _: None)
        names = [f"{item} #{number}" for number, item in enumerate(items)]
        seen = files or {}
        asked = [Item(n, item, seen.get(n, ())) for n, item in zip(names, items, strict=True)]
        return {item.name: result for item, result in flow.results(asked)}
    finally:
        client.unregister_worker_plugin(name)


def test_a_poisonous_item_is_tried_once_more_and_alone(client: Client, tmp_path: Path) -> None:
    log = tmp_path / "log"
    items = ["abort", *["pid"] * 8, "raise x", "say enough"]
    found = through(client, items, str(log))
    assert len(found) == len(items)
    assert "died twice (SIGABRT), the second time alone" in str(found.pop("abort #0"))
    assert "it last said: enough" in str(found.pop("say enough #10"))
    assert "KeyError: 'x'" in str(found.pop("raise x #9"))
    assert all(isinstance(pid, int) for pid in found.values())
    order = log.read_text().splitlines()
    assert order.count("pid") == 8
    assert order.count("abort") == 2
    # The second time comes when all others are done.
    assert set(order[-2:]) == {"abort", "say enough"}


def test_an_item_is_not_begun_for_ever(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grjca.pipeline.flow.TRIES", 0)
    found = through(client, ["sleep 1"])
    assert "its worker vanished each time" in str(found["sleep 1 #0"])


def test_refusals_end_a_run(client: Client) -> None:
    with pytest.raises(GrjcaError, match=r"weights\.onnx: detector: no such file"):
        through(client, ["pid"], "refuse")
    with pytest.raises(GrjcaError, match="died while it loaded its models: SIGILL"):
        through(client, ["pid"], "crash")


def test_a_store_that_workers_do_not_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    monkeypatch.setattr("grjca.pipeline.children.clock.sleep", looks.append)
    proof = str(tmp_path / "nowhere" / ".grjca" / "proof")
    children = Children("run", b"", "/", proof=proof)
    children.setup(None)
    refused = children.work(grjca.__version__, "clip", b"", ())
    assert isinstance(refused, Refused)
    assert f"does not see the store {tmp_path / 'nowhere'}" in refused.cause
    assert sum(looks) >= 3, "a network disk may show it late"


def test_files_that_workers_do_not_see(client: Client, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").touch()
    gone, hidden = (str(tmp_path / "gone.mp4"),), ("clip.mp4",)
    with contextlib.chdir(tmp_path):
        found = through(client, ["pid", "pid"], files={"pid #1": gone})
        assert isinstance(found["pid #0"], int)
        assert "gone.mp4: read: No such file" in str(found["pid #1"])
        with pytest.raises(GrjcaError, match=r"/clip\.mp4: cluster: a worker does not see this"):
            through(client, ["pid"], folder="/", files={"pid #0": hidden})


def test_another_version_is_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grjca, "__version__", "99.0")
    with pytest.raises(GrjcaError, match=r"runs grjca 0\.\S+, and this is 99\.0"):
        through(client, ["pid"])


def test_the_first_signal_raises_and_is_remembered() -> None:
    with Stopper() as stopper:
        with pytest.raises(StoppedError) as stopped:
            os.kill(os.getpid(), signal.SIGTERM)
        assert stopped.value.code == 143
        assert stopper.caught == signal.SIGTERM
        with pytest.raises(StoppedError):
            check()
    check()


def test_a_second_signal_ends_at_once() -> None:
    text = (
        "import os, signal, sys\n"
        "from grjca.pipeline.stopping import Stopper, StoppedError\n"
        "with Stopper(patient=len(sys.argv) > 1):\n"
        "    for _ in range(2):\n"
        "        try:\n"
        "            os.kill(os.getpid(), signal.SIGTERM)\n"
        "        except StoppedError:\n"
        "            print('first', flush=True)\n"
        "print('second')\n"
    )
    hasty = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert (hasty.returncode, hasty.stdout) == (-signal.SIGTERM, "first\n")
    patient = subprocess.run([sys.executable, "-c", text, "p"], capture_output=True, text=True)
    assert (patient.returncode, patient.stdout) == (0, "first\nsecond\n")


def test_a_stopper_outside_the_main_thread_does_nothing() -> None:
    def enter() -> object:
        with Stopper():
            check()
            return signal.getsignal(signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(enter).result() == signal.getsignal(signal.SIGTERM)


def test_the_time_that_is_left_follows_the_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    from grjca.pipeline import progress
    from grjca.pipeline.outcome import ClipOutcome

    now = [100.0]
    monkeypatch.setattr(progress.clock, "monotonic", lambda: now[0])
    with Progress(3, 0, 1000, shown=False) as bar:
        assert bar.seconds_left() is None
        now[0] = 110.0
        bar.ended(ClipOutcome("a", "done", rows=50), 500)
        assert bar.seconds_left() == pytest.approx(10)
        # 25 rows in hand stand for 250 bytes, as 50 did for 500.
        bar.rows("b", 20)
        bar.more_rows("b", 5)
        now[0] = 115.0
        assert bar.seconds_left() == pytest.approx(5)
        bar.given_back("b")
        assert bar.seconds_left() == pytest.approx(15)
