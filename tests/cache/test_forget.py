"""Forgetting a person: every trace in the store, nobody else's features."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from stores import arrays, write_clip

from grjca.cache import FeatureStore
from grjca.cache.claims import claim
from grjca.cache.forget import forget, search
from grjca.cache.index import StoreIndex
from grjca.errors import GrjcaError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Clips of Anna, of Ann and of people unknown, with an index and a report."""
    write_clip(tmp_path, "anna/one.mp4", about={"subject": "Anna"})
    write_clip(tmp_path, "anna/two.mp4", about={"subject": "Anna"})
    write_clip(tmp_path, "b.mp4", about={"subject": "Ann"})
    write_clip(tmp_path, "anna.mp4")
    for number in (1, 2):
        write_clip(tmp_path, f"pair.mp4@{number}", people=2, about={"subject": "Anna"})
    index = StoreIndex(FeatureStore(tmp_path))
    for clip in FeatureStore(tmp_path).clips():
        index.lookup(clip)
    index.save()
    (tmp_path / ".grjca/last-run.json").write_text('{"clips": ["anna/one.mp4"]}')
    return tmp_path


def everything(root: Path) -> bytes:
    """Names and contents of all files."""
    return b"".join(
        os.fsencode(path.relative_to(root)) + (path.read_bytes() if path.is_file() else b"")
        for path in sorted(root.rglob("*"))
    )


def test_a_subject_is_gone_everywhere_and_nobody_else(root: Path) -> None:
    before = arrays(root)
    found = search(root, subjects=["Anna"])
    assert sorted(found.names) == ["anna/one.mp4", "anna/two.mp4", "pair.mp4@1", "pair.mp4@2"]
    assert found.unknown == 1
    assert arrays(root) == before, "searching removes nothing"
    done = forget(root, found)
    assert done.failed == []
    assert sorted(done.clips) == sorted(found.names)
    assert done.notes == [".grjca/last-run.json"]
    assert FeatureStore(root).clips() == ["anna.mp4", "b.mp4"]
    assert arrays(root) == {n: d for n, d in before.items() if n.startswith(("anna.mp4", "b.mp4"))}
    rest = everything(root)
    for trace in (b"Anna", b"anna/", b"one.mp4", b"two.mp4", b"pair"):
        assert trace not in rest
    assert b"anna.mp4" in rest
    assert not (root / "anna").exists(), "a folder may be called after a person"


def test_reports_of_parts_go_too_and_are_named(root: Path) -> None:
    folder = root / ".grjca/reports"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"part-{number}-of-2.json").write_text('{"clips": ["anna/one.mp4"]}')
    done = forget(root, search(root, subjects=["Anna"]))
    assert {f".grjca/reports/part-{number}-of-2.json" for number in (1, 2)} < set(done.notes)
    assert not list(folder.glob("*"))


def test_a_clip_stands_for_its_people_and_a_person_for_one(root: Path) -> None:
    assert search(root, clips=["pair.mp4"]).clips == {"pair.mp4": ["pair.mp4@1", "pair.mp4@2"]}
    assert search(root, clips=["pair.mp4@2"]).clips == {"pair.mp4": ["pair.mp4@2"]}
    assert search(root, clips=["anna.mp4", "b.mp4"]).names == ["anna.mp4", "b.mp4"]
    with pytest.raises(GrjcaError, match="no such clip in the store"):
        search(root, clips=["anna.mp4", "nobody.mp4"])
    with pytest.raises(GrjcaError, match="not a clip's name"):
        search(root, clips=["../anna.mp4"])


def test_a_clip_in_other_hands_is_reported(root: Path) -> None:
    held = claim(root, "pair.mp4")
    assert held is not None
    with held:
        done = forget(root, search(root, subjects=["Anna"]))
    assert [error.source for error in done.failed] == ["pair.mp4"]
    assert "run forget again" in done.failed[0].remedy.lower()
    assert sorted(done.clips) == ["anna/one.mp4", "anna/two.mp4"]
    assert sorted(forget(root, search(root, subjects=["Anna"])).clips) == [
        "pair.mp4@1",
        "pair.mp4@2",
    ]


def test_a_damaged_file_is_told_and_can_be_named(root: Path) -> None:
    (root / "b.mp4.h5").write_bytes(b"broken")
    found = search(root, subjects=["Ann"])
    assert not found.clips
    assert [error.source for error in found.unreadable] == ["b.mp4.h5"]
    assert forget(root, search(root, clips=["b.mp4"])).clips == ["b.mp4"]
    assert not (root / "b.mp4.h5").exists()


def test_a_run_that_goes_on_does_not_bring_the_index_entry_back(root: Path) -> None:
    running = StoreIndex(FeatureStore(root))
    for clip in ("anna/one.mp4", "b.mp4"):
        running.lookup(clip)
    forget(root, search(root, subjects=["Anna"]))
    running.save()
    told = (root / ".grjca/index.jsonl").read_text()
    assert "anna/" not in told
    assert "b.mp4" in told


def test_remains_of_a_killed_run_go_too(root: Path) -> None:
    orphan = root / "anna" / f".{'0' * 32}-0.tmp"
    half = root / ".grjca" / f".{'0' * 32}.{'f' * 8}.11.tmp"
    orphan.write_text("Anna")
    half.write_text("Anna")
    forget(root, search(root, subjects=["Anna"]))
    assert not orphan.exists()
    assert not half.exists()
