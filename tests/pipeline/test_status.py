from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from face_makers import make_face_clip

import grjca
from grjca.cache.claims import claim
from grjca.cli import main
from grjca.errors import GrjcaError
from grjca.files import written_in_one_step
from grjca.pipeline.merging import merge_reports, read_reports, told_by
from grjca.pipeline.parts import LAST, Part, report_path
from grjca.pipeline.status import status_of

LIGHT = grjca.ExtractConfig(visual="hog", audio="logmel")
NOON = 1_700_000_000


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for number in range(3):
        make_face_clip(folder / f"{number}.mp4", [True] * 10)
    return folder


@pytest.fixture(scope="module")
def extracted(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("store")
    grjca.extract([clips], store, LIGHT, workers=1)
    return store


@pytest.fixture
def store(extracted: Path, tmp_path: Path) -> Path:
    """A store of three clips and no report."""
    store = tmp_path / "store"
    store.mkdir()
    for path in extracted.glob("*.h5"):
        (store / path.name).write_bytes(path.read_bytes())
        os.utime(store / path.name, (NOON, NOON))
    return store


def status(*words: object) -> Result:
    result = CliRunner().invoke(main, ["status", *map(str, words)])
    assert "Traceback" not in result.output
    return result


def report(
    store: Path, path: Path, written: float, *, interrupted: bool = False, **clips: str | None
) -> None:
    """A report with a clip ``name.mp4`` per keyword; its value is what went wrong with it."""
    told = [
        {"clip": f"{name}.mp4", "status": "failed" if cause else "done", "rows": 10,
         "error": {"message": f"{name}.mp4: {cause}"} if cause else None}
        for name, cause in clips.items()
    ]  # fmt: skip
    document = {
        "schema": "grjca.run/1", "interrupted": interrupted, "seconds": 2.5, "frames": 30,
        "counts": {}, "passed_over": 1, "recipe": {}, "versions": {}, "clips": told,
    }  # fmt: skip
    (store / path).parent.mkdir(parents=True, exist_ok=True)
    with written_in_one_step(store / path) as temporary:
        temporary.write_text(json.dumps(document))
        os.utime(temporary, (written, written))


def part(number: int, of: int) -> Path:
    return report_path(Path(), Part(number, of))


LATEST = Path(".grjca") / LAST


def merged(store: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((store / LATEST).read_text())
    return document


def test_a_finished_store_is_told_with_rows_hours_and_groups(store: Path, clips: Path) -> None:
    found = status_of(store, {"0.mp4", "1.mp4", "2.mp4"}, hours=True)
    assert found.complete
    assert (found.clips, found.rows, found.missing) == (3, 30, [])
    seconds = sum(grjca.FeatureStore(store).summary(f"{n}.mp4").seconds for n in range(3))
    assert found.hours == pytest.approx(seconds / 3600)
    assert found.lacking == {"audio/logmel": [], "faces": [], "frames": [], "visual/hog": []}
    result = status(store, clips)
    assert result.exit_code == 0
    assert "3 clips done, 30 rows" in result.output
    assert "0 missing" in result.output


def test_clips_that_are_not_there_are_missing_only_when_asked_for(store: Path, clips: Path) -> None:
    (store / "1.mp4.h5").unlink()
    assert status_of(store).complete
    assert status(store).exit_code == 0
    result = status(store, clips)
    assert result.exit_code == 1
    assert "1 missing: 1.mp4" in result.output


def test_a_manifest_says_what_should_be_there(store: Path, clips: Path, tmp_path: Path) -> None:
    table = tmp_path / "m.csv"
    table.write_text(f"clip,video\n0.mp4,{clips / '0.mp4'}\nother,{clips / '1.mp4'}\n")
    assert "1 missing: other" in status(store, "--manifest", table).output


def test_people_of_a_clip_stand_for_it(store: Path) -> None:
    (store / "0.mp4.h5").rename(store / "0.mp4@1.h5")
    assert status_of(store, {"0.mp4", "1.mp4"}).missing == []


def test_a_group_that_some_clips_lack_is_named_with_them(store: Path, clips: Path) -> None:
    other = grjca.ExtractConfig(visual="hog", audio="speech")
    (store / "2.mp4.h5").unlink()
    grjca.extract([clips / "2.mp4"], store, other, workers=1)
    found = status_of(store)
    assert found.lacking["audio/speech"] == ["0.mp4", "1.mp4"]
    assert found.lacking["audio/logmel"] == ["2.mp4"]
    assert "audio/logmel: 2 of 3; not 2.mp4" in status(store).output


def test_failures_come_from_the_latest_report_that_names_the_clip(store: Path) -> None:
    report(store, part(1, 2), NOON + 10, a="old trouble", b="trouble")
    report(store, part(2, 2), NOON + 20, a="new trouble")
    found = status_of(store)
    assert [(own.clip, own.message) for own in found.failed] == [
        ("a.mp4", "a.mp4: new trouble"), ("b.mp4", "b.mp4: trouble")
    ]  # fmt: skip
    result = status(store)
    assert result.exit_code == 1
    assert "2 failed\n  a.mp4: new trouble\n" in result.output


def test_a_failure_is_over_once_the_clip_was_written(store: Path) -> None:
    report(store, part(1, 1), NOON - 10, **{"0": "trouble"})
    assert status_of(store).failed == []
    # The other way round the file is from before, and lacks what failed.
    report(store, part(1, 1), NOON + 10, **{"0": "trouble"})
    assert [own.clip for own in status_of(store).failed] == ["0.mp4"]


def test_failures_of_clips_that_are_no_longer_wanted_do_not_count(store: Path) -> None:
    report(store, LATEST, NOON + 10, gone="trouble")
    assert not status_of(store).complete
    assert status_of(store, {"0.mp4"}).complete


def test_a_damaged_file_is_a_failure(store: Path) -> None:
    (store / "1.mp4.h5").write_bytes(b"half of it")
    result = status(store)
    assert result.exit_code == 1
    assert "1 failed\n  1.mp4.h5: store: not a readable HDF5 file" in result.output
    assert "2 clips done" in result.output


def test_a_clip_in_hand_is_told_with_its_owner(store: Path, clips: Path) -> None:
    (store / "1.mp4.h5").unlink()
    held = claim(store, "1.mp4")
    assert held is not None
    with held:
        found = status_of(store, {"0.mp4", "1.mp4", "2.mp4"})
        assert found.missing == []
        (own,) = found.in_hand
        assert (own.clip, own.alive) == ("1.mp4", True)
        assert str(os.getpid()) in own.owner
        assert own.silent < 10
        assert "1 in hand\n  1.mp4: process" in status(store, clips).output
    assert status_of(store).in_hand == []


def test_a_claim_of_a_killed_run_is_told_as_such(store: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from grjca.cache.claims import claim;"
        "held = claim(Path(sys.argv[1]), 'x.mp4'); held.__enter__(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(store)], check=False)
    (own,) = status_of(store).in_hand
    assert not own.alive
    assert "the next run takes it over" in status(store).output


def test_parts_that_have_not_ended_are_named(store: Path) -> None:
    report(store, part(1, 4), NOON + 10, a=None)
    report(store, part(3, 4), NOON + 11, interrupted=True, b=None)
    report(store, part(5, 7), NOON + 5, c=None)
    found = status_of(store)
    assert (found.parts, found.unfinished, found.interrupted) == (4, (2, 3, 4), True)
    assert "1 of 4 parts have ended; not 2, 3, 4" in status(store).output
    # A later run over everything makes the parts a thing of the past.
    report(store, LATEST, NOON + 20, a=None, b=None)
    assert status_of(store).complete


def test_an_interrupted_run_is_not_complete(store: Path) -> None:
    report(store, LATEST, NOON + 10, interrupted=True)
    assert status(store).exit_code == 1


def test_merging_keeps_the_latest_word_on_every_clip(store: Path) -> None:
    report(store, LATEST, NOON + 5, a="trouble", b="trouble", **{"0": None})
    report(store, part(1, 2), NOON + 10, a=None)
    report(store, part(2, 2), NOON + 11, c="trouble", **{"1": "trouble before"})
    os.utime(store / "1.mp4.h5", (NOON + 30, NOON + 30))
    merge_reports(store)
    document = merged(store)
    assert {clip["clip"]: clip["status"] for clip in document["clips"]} == {
        "0.mp4": "done", "1.mp4": "done", "a.mp4": "done", "b.mp4": "failed", "c.mp4": "failed"
    }  # fmt: skip
    assert document["counts"] == {"done": 3, "skipped": 0, "failed": 2}
    assert (document["seconds"], document["frames"], document["interrupted"]) == (5.0, 60, False)
    assert document["schema"] == "grjca.run/1"
    assert document["parts"] == {"of": 2, "unfinished": []}


def test_merging_again_changes_nothing(store: Path) -> None:
    report(store, LATEST, NOON + 5, a="trouble", b="trouble")
    report(store, part(1, 3), NOON + 10, a=None)
    report(store, part(2, 3), NOON + 11, interrupted=True, c="trouble")
    merge_reports(store)
    once = merged(store)
    assert once["interrupted"]
    merge_reports(store)
    assert merged(store) == once
    assert status_of(store).unfinished == (2, 3)


def test_what_was_merged_does_not_outdate_a_report_that_came_meanwhile(store: Path) -> None:
    report(store, part(1, 2), NOON + 10, a="trouble")
    report(store, part(2, 2), NOON + 11, b=None)
    merge_reports(store)
    # Written before the merged report, which has not seen it.
    report(store, part(1, 2), NOON + 15, a=None)
    assert (store / LATEST).stat().st_mtime > NOON + 15
    assert status_of(store).failed == []
    merge_reports(store)
    assert merged(store)["counts"]["failed"] == 0


def test_parts_that_end_together_leave_nothing_out(store: Path) -> None:
    def end(number: int) -> None:
        report(store, part(number, 6), NOON + number, **{f"c{number}": "trouble"})
        merge_reports(store)

    threads = [threading.Thread(target=end, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    document = merged(store)
    assert len(document["clips"]) == 6
    assert document["parts"]["unfinished"] == []


def test_nothing_to_merge_is_said(store: Path) -> None:
    result = status(store, "--merge")
    assert result.exit_code == 1
    assert "no run has left a report" in result.output


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"schema": "grjca.run/9"}', '{"schema": "grjca.run/1", "clips": [{}]}',
     '{"schema": "grjca.run/1", "interrupted": 1, "clips": []}',
     '{"schema": "grjca.run/1", "interrupted": false, "clips": [{"clip": 1, "status": "done"}]}'],
)  # fmt: skip
def test_a_damaged_report_is_named(store: Path, text: str) -> None:
    path = store / part(1, 2)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(GrjcaError, match="part-1-of-2"):
        status_of(store)


def test_json_tells_the_same_to_programs(store: Path, clips: Path) -> None:
    (store / "2.mp4.h5").unlink()
    result = status(store, clips, "--json")
    told = json.loads(result.output)
    assert result.exit_code == 1
    assert told["missing"] == ["2.mp4"]
    assert told["complete"] is False
    assert told["hours"] is None


def test_a_packed_store_is_told_of_too(store: Path, clips: Path, tmp_path: Path) -> None:
    from grjca.cache.packing import pack

    packed = tmp_path / "packed"
    pack(store, packed)
    whole, found = status_of(store, hours=True), status_of(packed, hours=True)
    assert found == whole
    assert status(packed, clips).exit_code == 0
    (shard,) = packed.glob("*.h5")
    shard.write_bytes(shard.read_bytes()[:1000])
    assert status(packed, clips).exit_code == 1


def test_no_store_is_bad_usage(tmp_path: Path) -> None:
    assert status(tmp_path / "nowhere").exit_code == 2


def test_a_store_that_is_being_written_can_be_asked(clips: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    run = threading.Thread(target=lambda: grjca.extract([clips], store, LIGHT, workers=1))
    run.start()
    seen = []
    while run.is_alive():
        seen.append(status_of(store, {"0.mp4", "1.mp4", "2.mp4"}))
        time.sleep(0.01)
    run.join()
    assert [found.clips for found in seen] == sorted(found.clips for found in seen)
    assert any(found.in_hand for found in seen)
    assert not any(found.failed for found in seen)
    assert status_of(store, {"0.mp4", "1.mp4", "2.mp4"}).complete


def test_reports_of_many_clips_are_read_quickly(tmp_path: Path) -> None:
    for number in range(1, 21):
        names: dict[str, str | None] = {f"{number}-{n}": None for n in range(1000)}
        report(tmp_path, part(number, 20), NOON + number, **names)
    began = time.perf_counter()
    told = told_by(read_reports(tmp_path), tmp_path)
    assert len(told.clips) == 20_000
    assert time.perf_counter() - began < 5
