"""Two runs on one store at the same time, as from two shells or two nodes on a shared disk."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from face_makers import make_face_clip
from stores import arrays

import grjca
from grjca.cache.claims import claim
from grjca.pipeline.report import RunReport

LIGHT = grjca.ExtractConfig(visual="hog", audio="logmel")

RUN = """
import sys, grjca
config = grjca.ExtractConfig(visual=sys.argv[3], audio="logmel")
report = grjca.extract([sys.argv[1]], sys.argv[2], config, workers=1)
report.write(sys.argv[4])
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(4):
        make_face_clip(folder / f"{number}.mp4", [True] * 60)
    return folder


def run_both(clips: Path, store: Path, visual: tuple[str, str]) -> list[dict[str, str]]:
    """Two processes at once; the clips' statuses as each of them reports them."""
    reports = [store.parent / f"report{number}.json" for number in (0, 1)]
    runs = [
        subprocess.Popen([sys.executable, "-c", RUN, str(clips), str(store), name, str(report)])
        for name, report in zip(visual, reports, strict=True)
    ]
    assert [run.wait(300) for run in runs] == [0, 0]
    told = [json.loads(report.read_text())["clips"] for report in reports]
    return [{clip["clip"]: clip["status"] for clip in clips} for clips in told]


@pytest.mark.long
def test_two_runs_share_the_work_and_redo_none_of_it(clips: Path, tmp_path: Path) -> None:
    statuses = run_both(clips, tmp_path / "store", ("hog", "hog"))
    for clip in ("0.mp4", "1.mp4", "2.mp4", "3.mp4"):
        assert sorted(told[clip] for told in statuses) == ["done", "skipped"]
    grjca.extract([clips], tmp_path / "alone", LIGHT, workers=1)
    assert arrays(tmp_path / "store") == arrays(tmp_path / "alone")


@pytest.mark.long
def test_two_runs_with_different_embedders_both_land(clips: Path, tmp_path: Path) -> None:
    statuses = run_both(clips, tmp_path / "store", ("hog", "fer"))
    assert all(set(told.values()) == {"done"} for told in statuses)
    store = grjca.FeatureStore(tmp_path / "store")
    for clip in store.clips():
        assert store.embedders(clip) == {"visual": ["fer", "hog"], "audio": ["logmel"]}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_clip_in_other_hands_is_waited_for(clips: Path, tmp_path: Path, workers: int) -> None:
    store = tmp_path / "store"
    store.mkdir()
    held = claim(store, "1.mp4")
    assert held is not None
    done: list[RunReport] = []
    thread = threading.Thread(
        target=lambda: done.append(grjca.extract([clips], store, LIGHT, workers=workers))
    )
    with held:
        thread.start()
        deadline = time.monotonic() + 120
        while len(list(store.glob("*.h5"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.5)
        assert not (store / "1.mp4.h5").exists()
        assert thread.is_alive()
    thread.join(120)
    assert [outcome.status for outcome in done[0].outcomes] == ["done"] * 4
