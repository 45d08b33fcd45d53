"""Killed, poisoned, stopped, out of space: nothing is lost, nothing redone but the clip in hand.

Everything is real: Dask's processes, signals, and the command with its exit code.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import Client, LocalCluster
from face_makers import make_face_clip
from odd_job import Odd
from stores import arrays

import grjca
from grjca.pipeline.children import Children
from grjca.pipeline.flow import Flow
from grjca.pipeline.work import Item, packed

LIGHT = grjca.ExtractConfig(visual="hog", audio="logmel")
PATIENCE = 150.0


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(4):
        make_face_clip(folder / f"{number}.mp4", [True] * (40 + number))
    return folder


@pytest.fixture(scope="module")
def undisturbed(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Every array of a run in which nothing happens."""
    store = tmp_path_factory.mktemp("undisturbed")
    grjca.extract([clips], store, LIGHT, workers=1)
    return arrays(store)


@contextlib.contextmanager
def extracting(
    clips: Path, store: Path, before: Callable[[], None] | None = None, workers: int = 2
) -> Iterator[psutil.Popen]:
    """The command in a session of its own; at the end nothing of it may be left running."""
    command = [
        *(sys.executable, "-c", "from grjca.cli import main; main()"),
        *("extract", str(clips), "--store", str(store), "--visual", "hog", "--audio", "logmel"),
        *("--workers", str(workers), "--quiet"),
    ]
    process = psutil.Popen(command, start_new_session=True, preexec_fn=before)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)


def wait_for(what: Callable[[], Any], process: psutil.Popen) -> Any:
    """The first truth, while a process runs."""
    deadline = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.005)
    raise AssertionError(f"it did not come; exit code {process.poll()}")


def in_hand(store: Path) -> dict[str, int]:
    """Clips that are claimed, with the process that has each."""
    found = {}
    for path in store.glob(".grjca/claims/*.json"):
        with contextlib.suppress(OSError, ValueError):
            told = json.loads(path.read_text())
            found[told["clip"]] = told["pid"]
    return found


def report_of(store: Path) -> dict[str, Any]:
    return json.loads((store / ".grjca" / "last-run.json").read_text())


def left_over(store: Path) -> list[Path]:
    """Temporary files and claims."""
    return [*store.rglob(".*.tmp"), *store.glob(".grjca/claims/*")]


@pytest.mark.long
def test_workers_killed_at_random_ten_times(tmp_path: Path) -> None:
    log, killed = tmp_path / "log", Counter[str]()
    items = [Item(str(number), "sleep 0.2") for number in range(50)]
    over = threading.Event()
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        client.register_plugin(Children("run", packed(Odd(str(log))), str(tmp_path)), name="run")
        here = psutil.Process()

        def kill() -> None:
            draw = random.Random(0)
            while not over.is_set() and killed["workers"] < 10:
                over.wait(draw.uniform(0.1, 0.4))
                for child in here.children(recursive=True):
                    with contextlib.suppress(psutil.Error):
                        if "grjca.pipeline.child" in child.cmdline():
                            child.parent().kill()
                            killed["workers"] += 1
                            break

        killer = threading.Thread(target=kill)
        killer.start()
        flow = Flow(client, "run", on_rows=lambda *_: None, on_workers=lambda _: None)
        found = {item.name: result for item, result in flow.results(items)}
        over.set()
        killer.join()
        client.unregister_worker_plugin("run")
    assert killed["workers"] == 10
    assert found.keys() == {item.name for item in items}
    assert all(isinstance(pid, int) for pid in found.values()), found
    # Each kill costs the item in hand, and one whose result was on its way.
    assert 50 <= len(log.read_text().splitlines()) <= 50 + 2 * 10


@pytest.mark.long
def test_a_poisonous_clip_is_set_aside(
    clips: Path, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    store, killed = tmp_path / "store", set[int]()
    with extracting(clips, store) as process:
        # As the kernel does when memory runs out: whoever works on this clip is killed.
        while process.poll() is None:
            pid = in_hand(store).get("2.mp4")
            if pid and pid not in killed:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
            time.sleep(0.005)
        assert process.wait() == 1
    assert len(killed) == 2
    told = {clip["clip"]: clip for clip in report_of(store)["clips"]}
    assert {name: clip["status"] for name, clip in told.items()} == {
        "0.mp4": "done", "1.mp4": "done", "2.mp4": "failed", "3.mp4": "done"
    }  # fmt: skip
    assert told["2.mp4"]["error"]["stage"] == "worker"
    assert "died twice (SIGKILL), the second time alone" in told["2.mp4"]["error"]["message"]
    assert arrays(store) == {
        name: array for name, array in undisturbed.items() if not name.startswith("2.mp4")
    }
    assert left_over(store) == []


@pytest.mark.long
def test_the_client_killed_and_then_two_at_once(
    clips: Path, tmp_path: Path, undisturbed: dict[str, bytes]
) -> None:
    store = tmp_path / "store"
    with extracting(clips, store) as process:
        wait_for(lambda: in_hand(store), process)
        family = process.children(recursive=True)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        # What it had started ends by itself, and its children give back what they had in hand.
        _, left = psutil.wait_procs(family, 30)
        assert left == []
    assert not list(store.glob("*.tmp"))
    with extracting(clips, store) as one, extracting(clips, store, workers=1) as other:
        assert [process.wait(PATIENCE) for process in (one, other)] == [0, 0]
    assert arrays(store) == undisturbed
    assert left_over(store) == []


@pytest.mark.long
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_stops_cleanly(
    clips: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    store = tmp_path / "store"

    def as_in_a_terminal() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with extracting(clips, store, as_in_a_terminal) as process:
        wait_for(lambda: in_hand(store), process)
        family = process.children(recursive=True)
        # Ctrl-C goes to all processes of a terminal, a batch system's signal to one.
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        assert process.wait(PATIENCE) == code
        _, left = psutil.wait_procs(family, 30)
        assert left == []
    assert report_of(store)["interrupted"]
    assert left_over(store) == []


@pytest.mark.long
def test_a_full_disk(clips: Path, tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    store = tmp_path / "store"
    size = max(len(array) for array in undisturbed.values()) // 2

    def no_space() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    with extracting(clips, store, no_space) as process:
        assert process.wait(PATIENCE) == 1
    told = report_of(store)
    assert told["counts"] == {"done": 0, "skipped": 0, "failed": 4}
    assert all("File too large" in clip["error"]["message"] for clip in told["clips"])
    assert left_over(store) == []
    assert arrays(store) == {}
    report = grjca.extract([clips], store, LIGHT, workers=1)
    assert len(report.with_status("done")) == 4
    assert arrays(store) == undisturbed
