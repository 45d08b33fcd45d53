"""Garbage collection: only what nobody names goes, and nothing by a typing error."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import h5py
import pytest
from stores import RECIPE, arrays, with_visual, write_clip

from grjca.cache import FeatureStore
from grjca.cache.claims import claim
from grjca.cache.gc import gc
from grjca.cache.verify import verify
from grjca.errors import UsageError

CROPS = dataclasses.replace(RECIPE, keep_crops=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two clips with two visual embedders each, one with kept crops, and one of two people."""
    for clip in ("a.mp4", "lab/b.mp4"):
        write_clip(tmp_path, clip, rows=300, about={"subject": "S1"})
        write_clip(tmp_path, clip, 300, recipe=with_visual("hog"), groups=frozenset({"visual/hog"}))
    write_clip(tmp_path, "c.mp4", recipe=CROPS)
    for number in (1, 2):
        write_clip(tmp_path, f"d.mp4@{number}", people=2)
    return tmp_path


def test_listing_changes_nothing(root: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}
    collected = gc(root, ["visual/fer"])
    assert dict(collected.clips) == {"visual/hog": 2, "audio/logmel": 5, "crops/face64-64": 1}
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()} == before


def test_what_is_kept_is_the_same_and_what_is_not_is_gone(root: Path) -> None:
    before = arrays(root)
    sizes = sum(path.stat().st_size for path in root.rglob("*.h5"))
    collected = gc(root, ["visual/fer", "audio/logmel"], delete=True)
    assert dict(collected.clips) == {"visual/hog": 2, "crops/face64-64": 1}
    gone = ("visual/hog", "crops/face64-64")
    assert arrays(root) == {
        name: data for name, data in before.items() if not any(part in name for part in gone)
    }
    freed = sizes - sum(path.stat().st_size for path in root.rglob("*.h5"))
    assert freed > 0.9 * sum(collected.bytes.values())
    assert verify(root) == []
    assert FeatureStore(root).about("lab/b.mp4") == {"subject": "S1"}
    assert FeatureStore(root).people("d.mp4@1") == 2
    assert not gc(root, ["visual/fer", "audio/logmel"], delete=True).clips


@pytest.mark.parametrize("delete", [True, False])
def test_a_typing_error_deletes_nothing(root: Path, delete: bool) -> None:
    before = arrays(root)
    with pytest.raises(UsageError, match=r"no clip has visual/fre.*There are: audio/logmel, "):
        gc(root, ["visual/fre", "audio/logmel"], delete=delete)
    assert arrays(root) == before


def test_frames_and_faces_stay_when_they_alone_are_named(root: Path) -> None:
    gc(root, ["faces"], delete=True)
    with h5py.File(root / "a.mp4.h5") as file:
        assert sorted(file) == ["faces", "frames"]
    assert verify(root) == []


def test_a_clip_in_other_hands_is_left_alone(root: Path) -> None:
    held = claim(root, "d.mp4")
    assert held is not None
    with held:
        collected = gc(root, ["visual/fer"], delete=True)
    assert [str(error).split(":")[0] for error in collected.failed] == ["d.mp4@1", "d.mp4@2"]
    assert f"process {os.getpid()}" in str(collected.failed[0])
    assert collected.clips["audio/logmel"] == 3
    assert FeatureStore(root).embedders("d.mp4@1")["audio"] == ["logmel"]


def test_a_damaged_clip_is_reported_and_the_others_are_done(root: Path) -> None:
    (root / "a.mp4.h5").write_bytes(b"nothing")
    collected = gc(root, ["visual/fer"], delete=True)
    assert [error.source for error in collected.failed] == ["a.mp4.h5"]
    assert collected.clips["visual/hog"] == 1


def test_leftovers_go_and_what_may_be_in_use_stays(root: Path) -> None:
    before = arrays(root)
    held = claim(root, "lab/b.mp4")
    assert held is not None
    with held:
        in_use = held.temporary(root / "lab/b.mp4.h5")
        orphan = root / "lab" / f".{'0' * 32}-0.tmp"
        old = root / ".grjca" / f".{'1' * 32}.{'f' * 8}.12.tmp"
        new = root / ".grjca" / f".{'2' * 32}.{'f' * 8}.12.tmp"
        foreign = root / "lab" / ".mine.tmp"
        for path in (in_use, orphan, old, new, foreign):
            path.touch()
        os.utime(old, (1, 1))
        (root / "x/y/z").mkdir(parents=True)
        listed = gc(root)
        assert {stray.path for stray in listed.strays} == {orphan, old, root / "x/y/z"}
        assert orphan.exists()
        collected = gc(root, delete=True)
        gone = {orphan, old, root / "x/y/z", root / "x/y", root / "x"}
        assert {stray.path for stray in collected.strays} == gone
        assert not any(path.exists() for path in gone)
        assert in_use.exists()
        assert new.exists()
        assert foreign.exists()
    assert arrays(root) == before
