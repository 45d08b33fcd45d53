"""Planning a run: what is left, in which order, and at what cost where almost all is done."""

from __future__ import annotations

import dataclasses
import json
import os
import tracemalloc
from pathlib import Path

import pytest
from face_makers import make_face_clip
from stores import RECIPE as STORED
from stores import write_clip

import grjca
from grjca.cache import FeatureStore
from grjca.cache.index import StoreIndex
from grjca.cache.keys import SourceId
from grjca.pipeline.inputs import Inputs, find_inputs
from grjca.pipeline.outcome import ClipOutcome
from grjca.pipeline.parts import Part, report_path
from grjca.pipeline.plan import make_plan
from grjca.pipeline.report import RunReport
from grjca.pipeline.source import ClipSource

RECIPE = dataclasses.replace(STORED, faces={**STORED.faces, "choice": "main"})
LIGHT = grjca.ExtractConfig(visual="hog", audio="logmel")


def make_done(folder: Path, store: Path, clips: int) -> None:
    """Sources, and an index that tells of files of theirs which nobody opens."""
    (store / ".grjca").mkdir(parents=True)
    folder.mkdir()
    lines = []
    for number in range(clips):
        source, file = folder / f"{number}.mp4", store / f"{number}.mp4.h5"
        source.write_bytes(b"%d" % number)
        file.write_bytes(b"never opened")
        known = SourceId.of(source)
        stat = file.stat()
        lines.append(
            {
                "clip": source.name, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns,
                "source": dataclasses.asdict(known),
                "digests": RECIPE.group_digests(known.sha256), "rows": number,
            }
        )  # fmt: skip
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (store / ".grjca" / "index.jsonl").write_text(text)


def test_what_is_left_of_many_comes_largest_first(tmp_path: Path) -> None:
    folder, store = tmp_path / "clips", tmp_path / "store"
    make_done(folder, store, 20)
    for number, size in ((3, 30), (7, 300), (11, 3)):
        (folder / f"new{number}.mp4").write_bytes(b"x" * size)
    (store / "5.mp4.h5").unlink()
    (folder / "8.mp4").write_bytes(b"8 is another")
    index = StoreIndex(FeatureStore(store))
    plan = make_plan(find_inputs([folder]), index, RECIPE, overwrite=False)
    assert [task.clip for task in plan.tasks] == ["new7.mp4", "new3.mp4", "new11.mp4", "5.mp4"]
    assert [task.size for task in plan.tasks] == [300, 30, 3, 1]
    assert all(task.missing == set(RECIPE.groups("")) for task in plan.tasks)
    assert len({id(task.missing) for task in plan.tasks}) == 1
    assert all(task.run is RECIPE for task in plan.tasks)
    told = {outcome.clip: (outcome.status, outcome.rows) for outcome in plan.known}
    assert told.pop("8.mp4") == ("failed", 0)
    assert told == {f"{n}.mp4": ("skipped", n) for n in range(20) if n not in (5, 8)}


def test_overwriting_takes_all(tmp_path: Path) -> None:
    folder, store = tmp_path / "clips", tmp_path / "store"
    make_done(folder, store, 3)
    index = StoreIndex(FeatureStore(store))
    plan = make_plan(find_inputs([folder]), index, RECIPE, overwrite=True)
    assert len(plan.tasks) == 3
    assert all(task.overwrite for task in plan.tasks)


def test_a_clip_of_its_own_kind_has_its_own_recipe(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"x")
    part = ClipSource(path, start=1.0, end=2.0, faces="all")
    index = StoreIndex(FeatureStore(tmp_path))
    inputs = Inputs({"a.mp4": ClipSource(path), "part": part})
    whole, second = make_plan(inputs, index, RECIPE, overwrite=False).tasks
    assert whole.recipe == RECIPE
    assert not whole.everyone
    assert second.everyone
    assert second.recipe.video["part"] == {"start": 1.0, "end": 2.0}
    assert second.recipe.faces["choice"] == "all"


def test_memory_of_a_plan_where_almost_all_is_done(tmp_path: Path) -> None:
    folder, store = tmp_path / "clips", tmp_path / "store"
    make_done(folder, store, 2000)
    tracemalloc.start()
    try:
        inputs = find_inputs([folder])
        before = tracemalloc.get_traced_memory()[0]
        index = StoreIndex(FeatureStore(store), inputs.clips)
        plan = make_plan(inputs, index, RECIPE, overwrite=False)
        RunReport(plan.known, 1.0, {}, {}).write(tmp_path / "report.json")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # An index entry's text has about 600 bytes, an outcome about 200.
    assert (peak - before) / 2000 < 1500


def test_the_index_keeps_only_what_is_asked_for(tmp_path: Path) -> None:
    write_clip(tmp_path, "a.mp4")
    write_clip(tmp_path, "b.mp4@1", people=1)
    write_clip(tmp_path, "c.mp4")
    store = FeatureStore(tmp_path)
    index = StoreIndex(store)
    for clip in store.clips():
        index.lookup(clip)
    index.save()
    some = StoreIndex(store, {"b.mp4", "c.mp4"})
    assert set(some._lines) == {"b.mp4@1", "c.mp4"}
    (tmp_path / "c.mp4.h5").unlink()
    assert some.lookup("c.mp4") is None
    some.save()
    text = (tmp_path / ".grjca" / "index.jsonl").read_text()
    assert [json.loads(line)["clip"] for line in text.splitlines()] == ["a.mp4", "b.mp4@1"]


def test_an_index_that_learnt_nothing_is_not_written(tmp_path: Path) -> None:
    write_clip(tmp_path, "a.mp4")
    index = StoreIndex(FeatureStore(tmp_path))
    index.lookup("a.mp4")
    index.save()
    path = tmp_path / ".grjca" / "index.jsonl"
    os.utime(path, (1, 1))
    again = StoreIndex(FeatureStore(tmp_path))
    again.lookup("a.mp4")
    again.lookup("none.mp4")
    again.save()
    assert path.stat().st_mtime == 1


def test_a_report_is_json_whatever_is_in_it(tmp_path: Path) -> None:
    outcomes = [
        ClipOutcome('a\n".mp4', "done", rows=3, warnings=("w",), computed=("frames",)),
        ClipOutcome("b.mp4", "failed", error={"stage": "read", "message": "m"}),
    ]
    for some in ([], outcomes):
        report = RunReport(some, 2.0, {"video": {}}, {"grjca": "1"}, 4, True)
        report.write(tmp_path / "r.json")
        told = json.loads((tmp_path / "r.json").read_text())
        assert told == json.loads(report.as_json())
        assert [clip["clip"] for clip in told["clips"]] == [outcome.clip for outcome in some]
        assert told["counts"]["done"] == len(some) // 2
        assert told["interrupted"]
        assert told["passed_over"] == 4
    assert told["clips"][1]["error"]["stage"] == "read"
    assert told["clips"][0]["warnings"] == ["w"]


@pytest.mark.slow
def test_parts_share_the_clips_and_report_apart(tmp_path: Path) -> None:
    folder, store = tmp_path / "clips", tmp_path / "store"
    folder.mkdir()
    for number in range(4):
        make_face_clip(folder / f"{number}.mp4", [True] * 5)
    statuses: dict[str, list[str]] = {}
    for number in (1, 2, 3):
        part = Part(number, 3)
        report = grjca.extract([folder], store, LIGHT, part=part, workers=1)
        told = json.loads(report_path(store, part).read_text())
        assert [clip["clip"] for clip in told["clips"]] == [out.clip for out in report.outcomes]
        for outcome in report.outcomes:
            statuses.setdefault(outcome.clip, []).append(outcome.status)
    assert statuses == {f"{number}.mp4": ["done"] for number in range(4)}
    assert not (store / ".grjca" / "last-run.json").exists()
