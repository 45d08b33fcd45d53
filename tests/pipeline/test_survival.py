"""Killed, interrupted, or out of memory's way: the store holds only whole files."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from face_makers import make_face_clip
from media_makers import make_clip
from stores import arrays

import grjca

LIGHT = grjca.ExtractConfig(visual="hog", audio="logmel")

# A shell's background jobs, and what they start, ignore Ctrl-C unless told otherwise.
RUN = """
import signal, sys, grjca
signal.signal(signal.SIGINT, signal.default_int_handler)
light = grjca.ExtractConfig(visual="hog", audio="logmel")
grjca.extract([sys.argv[1]], sys.argv[2], light, workers=1)
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(6):
        make_face_clip(folder / f"{number}.mp4", [i % 5 != 0 for i in range(60 + number)])
    return folder


def start(clips: Path, store: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", RUN, str(clips), str(store)])


@pytest.mark.parametrize("finished", [0, 2])
def test_kill_9_and_a_second_run_completes(clips: Path, tmp_path: Path, finished: int) -> None:
    undisturbed = tmp_path / "undisturbed"
    grjca.extract([clips], undisturbed, LIGHT, workers=1)
    # The file of a clip is open for a moment only, which may be over before the signal comes.
    for attempt in range(5):
        store = tmp_path / f"store-{attempt}"
        run = start(clips, store)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            in_hand = list(store.glob(".*.tmp"))
            if len(list(store.glob("*.h5"))) >= finished and in_hand:
                break
            time.sleep(0.002)
        run.send_signal(signal.SIGKILL)
        run.wait()
        if list(store.glob(".*.tmp")):
            break
    assert list(store.glob(".*.tmp")), "killed while a temporary file was open"
    whole = arrays(store)
    expected = arrays(undisturbed)
    assert whole.items() <= expected.items()
    assert len(whole) < len(expected)
    report = grjca.extract([clips], store, LIGHT, workers=1)
    assert not report.failed
    assert len(report.with_status("skipped")) >= finished
    assert arrays(store) == expected
    assert list(store.rglob(".*.tmp")) == []


def test_sigint_leaves_a_report(clips: Path, tmp_path: Path) -> None:
    # Python drops an interrupt that arrives while it clears a weak reference, and the run goes on
    # to its end: then all over again.
    for attempt in range(5):
        store = tmp_path / f"store-{attempt}"
        run = start(clips, store)
        deadline = time.monotonic() + 60
        # With the second clip's file there, the first clip is surely accounted for.
        while len(list(store.glob("*.h5"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.002)
        run.send_signal(signal.SIGINT)
        if run.wait(60) != 0:
            break
    saved = json.loads((store / ".grjca" / "last-run.json").read_text())
    assert saved["interrupted"]
    assert saved["counts"]["done"] >= 1
    assert list(store.rglob(".*.tmp")) == []


MEASURE = """
import re, sys, grjca
from pathlib import Path
light = grjca.ExtractConfig(visual="hog", audio="logmel")
grjca.extract([sys.argv[1]], sys.argv[2], light, workers=1)
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1))
"""


@pytest.mark.long
def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    peaks = []
    for frames in (500, 3000):
        clip = make_clip(tmp_path / f"{frames}.mp4", frames=frames, size=(64, 48))
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(clip), str(tmp_path / f"store{frames}")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks.append(int(done.stdout))
    assert peaks[1] < 1.15 * peaks[0]
