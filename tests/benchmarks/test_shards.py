"""The benchmark of packed stores measures what it says, at a toy size."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest

from benchmarks import shards
from grjca.cache.verify import verify


def test_the_copies_are_whole_clips_of_their_own_name(tmp_path: Path) -> None:
    clips = shards.make_store(tmp_path, shards.MADE + 3)
    assert len(set(clips)) == len(clips)
    assert verify(tmp_path) == []
    with h5py.File(tmp_path / f"{clips[-1]}.h5") as file:
        assert file.attrs["clip"] == clips[-1]
        arrays = [node for group in file.values() for node in _arrays(group)]
    assert sum(arrays) == shards.raw_bytes()


def _arrays(group: h5py.Group) -> list[int]:
    found: list[int] = []
    group.visititems(
        lambda _, node: found.append(node.nbytes) if isinstance(node, h5py.Dataset) else None
    )
    return found


def test_a_toy_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "DROP", tmp_path / "nowhere" / "drop_caches")
    figures = shards.run(tmp_path / "scratch", count=100, windows=30, rounds=1)
    own, packed = figures.rows
    assert (own["files"], packed["files"]) == (100, 1)
    assert figures.summary["clips"] == 100
    assert "posix_fadvise" in str(figures.summary["cold start"])
    assert all(float(str(row["cold windows/s"])) > 0 for row in figures.rows)
