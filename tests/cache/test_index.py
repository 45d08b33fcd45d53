"""The index is only a memory: true while the files are as it saw them."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import pytest
from stores import RECIPE, SOURCE, with_visual, write_clip

from grjca.cache import FeatureStore
from grjca.cache.index import StoreIndex
from grjca.cache.keys import SourceId
from grjca.errors import GrjcaError


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    write_clip(tmp_path, "a.mp4")
    return FeatureStore(tmp_path)


def test_what_was_saved_is_known_without_opening_the_clip(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = StoreIndex(store)
    entry = index.lookup("a.mp4")
    assert entry is not None
    assert entry.digests == RECIPE.group_digests(SOURCE.sha256)
    index.save()
    again = StoreIndex(store)
    monkeypatch.setattr(store, "open", None)
    assert again.lookup("a.mp4") == entry


def test_a_clip_written_since_is_read_anew(store: FeatureStore) -> None:
    index = StoreIndex(store)
    index.lookup("a.mp4")
    index.save()
    write_clip(store.root, "a.mp4", recipe=with_visual("hog"), groups=frozenset({"visual/hog"}))
    entry = StoreIndex(store).lookup("a.mp4")
    assert entry is not None
    assert "visual/hog" in entry.digests


def test_a_deleted_clip_is_gone(store: FeatureStore) -> None:
    index = StoreIndex(store)
    index.lookup("a.mp4")
    index.save()
    (store.root / "a.mp4.h5").unlink()
    assert StoreIndex(store).lookup("a.mp4") is None


def test_a_torn_or_foreign_index_costs_only_time(store: FeatureStore) -> None:
    index = StoreIndex(store)
    whole = index.lookup("a.mp4")
    index.save()
    path = store.root / ".grjca" / "index.jsonl"
    path.write_text('{"other": 1}\n[]\n' + path.read_text()[:40])
    assert StoreIndex(store).lookup("a.mp4") == whole


def test_a_touched_source_with_the_same_content_is_remembered(store: FeatureStore) -> None:
    index = StoreIndex(store)
    index.lookup("a.mp4")
    touched = SourceId(SOURCE.size, SOURCE.mtime_ns + 1, SOURCE.sha256)
    index.confirm_source("a.mp4", touched)
    index.save()
    entry = StoreIndex(store).lookup("a.mp4")
    assert entry is not None
    assert entry.source == touched


def test_two_runs_do_not_lose_each_others_entries(store: FeatureStore) -> None:
    first, second = StoreIndex(store), StoreIndex(store)
    write_clip(store.root, "b.mp4")
    first.lookup("a.mp4")
    second.lookup("b.mp4")
    first.save()
    second.save()
    lines = (store.root / ".grjca" / "index.jsonl").read_text().splitlines()
    assert {json.loads(line)["clip"] for line in lines} == {"a.mp4", "b.mp4"}


def test_a_damaged_clip_is_an_error_that_names_it(store: FeatureStore) -> None:
    with h5py.File(store.root / "a.mp4.h5", "r+") as file:
        del file.attrs["rows"]
    with pytest.raises(GrjcaError, match=r"a\.mp4: store: damaged file"):
        StoreIndex(store).lookup("a.mp4")
