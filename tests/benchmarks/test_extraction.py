"""The benchmark of speed at toy size, and that it notices features that are not the same."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from face_makers import make_face_clip

import grjca
from benchmarks import extraction
from benchmarks.naive import Naive
from grjca.errors import GrjcaError


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_face_clip(tmp_path_factory.mktemp("media") / "one.mp4", [True] * 55 + [False] * 5)


@pytest.mark.long
def test_parts_script_and_ours_are_measured(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extraction, "SECONDS", 1.0)
    figures = extraction.run(clip.parent, tmp_path, rounds=1, clips=[clip.name])
    (row,) = figures.rows
    assert row["rows"] == 60
    parts = [float(row[f"{name} ms"] or 0) for name in ("decode", "detect", "embed", "speech")]
    assert min(parts) > 0
    assert sum(parts) / extraction.available_cores() <= float(row["limit ms"] or 0) + 0.05
    assert float(row["apart visual"] or 0) < 1e-3


def test_other_features_and_other_rows_are_noticed(clip: Path, tmp_path: Path) -> None:
    grjca.extract([clip], tmp_path / "store", workers=1)
    script = tmp_path / "script.h5"
    assert Naive(1).extract(clip, script) == 60
    apart = extraction.compare(script, tmp_path / "store", clip.name)
    assert max(apart.values()) < extraction.TOLERANCE
    with h5py.File(script, "r+") as file:
        file["visual"][:] = np.roll(file["visual"][:], 1, axis=1)
    assert extraction.compare(script, tmp_path / "store", clip.name)["visual"] > 1
    with h5py.File(script, "r+") as file:
        del file["time"]
        file["time"] = np.arange(59)
    with pytest.raises(GrjcaError, match="59 rows by the script, 60 in the store"):
        extraction.compare(script, tmp_path / "store", clip.name)
