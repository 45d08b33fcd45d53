"""What readers of the store get besides features: source frames, what manifests said, crops."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from stores import RECIPE, SOURCE, write_clip

from grjca.cache import ClipFeatures, FeatureStore
from grjca.cache.claims import claim
from grjca.cache.writer import ClipWriter
from grjca.exchange import import_features


def test_a_resampled_clip_tells_the_source_frame_of_each_row(tmp_path: Path) -> None:
    held = claim(tmp_path, "a.mp4")
    assert held is not None
    index = np.arange(0, 20, 2)
    with held, ClipWriter(tmp_path, "a.mp4", SOURCE, RECIPE.groups("00"), held) as writer:
        writer.append("frames", {"time": np.arange(10) / 5, "index": index})
        writer.commit({})
    clip = FeatureStore(tmp_path).read("a.mp4", rows=slice(3, 6))
    np.testing.assert_array_equal(clip.index, index[3:6])
    assert clip.index is not None
    assert clip.index.dtype == np.int64


def test_an_index_must_have_a_number_per_row() -> None:
    none = np.zeros(2, bool)
    with pytest.raises(ValueError, match=r"index is int64 \(3,\)"):
        ClipFeatures("a", np.arange(2.0), None, none, None, none, np.arange(3))


def test_a_summary_tells_of_crops_people_and_the_manifest(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, keep_crops=True)
    write_clip(tmp_path, "a@1", rows=12, recipe=recipe, about={"subject": "7"}, people=2)
    write_clip(tmp_path, "b", rows=12)
    store = FeatureStore(tmp_path)
    summary = store.summary("a@1")
    assert (summary.about, summary.people, summary.crops) == ({"subject": "7"}, 2, ("face64-64",))
    assert summary.interpolated == pytest.approx(2 / 12)
    assert (store.about("a@1"), store.people("a@1")) == ({"subject": "7"}, 2)
    assert (store.about("b"), store.people("b")) == ({}, None)
    assert [group.path for group in summary.groups] == ["visual/fer", "audio/logmel"]


def test_what_was_imported_is_not_in_the_recipe_but_how_is(tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    for number, clip in enumerate(("a", "b", "c")):
        np.save(tmp_path / f"{clip}.npy", np.full((4, 2), number))
        manifest.write_text(f"clip,visual,fps\n{clip},{clip}.npy,5\n")
        import_features(manifest, tmp_path / "store", zeros_are_missing=clip == "c")
    store = FeatureStore(tmp_path / "store")
    assert store.recipe("a", "imported", None) == store.recipe("b", "imported", None)
    assert store.recipe("a", "imported", None) != store.recipe("c", "imported", None)
