"""Digests change with what they cover, and with nothing else."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from grjca.cache.keys import Recipe, SourceId

RECIPE = Recipe(
    video={"ffmpeg": "7"},
    sound={"ffmpeg": "7", "rate": 16000},
    faces={"detector": {"name": "retinaface", "config": {}, "weights": "aa"}},
    visual={"name": "fer", "config": {"views": 9}, "template": "face64", "crop_size": 64},
    audio={"name": "logmel", "config": {}, "weights": None},
)


def changed(recipe: Recipe, other: Recipe) -> set[str]:
    before, after = recipe.group_digests("content"), other.group_digests("content")
    return {group for group in after if before.get(group) != after[group]}


def test_another_visual_setting_leaves_faces_and_audio() -> None:
    other = dataclasses.replace(RECIPE, visual={**RECIPE.visual, "weights": "cc"})
    assert changed(RECIPE, other) == {"visual/fer"}


def test_another_audio_embedder_leaves_the_picture() -> None:
    other = dataclasses.replace(RECIPE, audio={**RECIPE.audio, "name": "speech"})
    assert changed(RECIPE, other) == {"audio/speech"}


def test_another_detector_makes_visual_anew_but_not_audio() -> None:
    other = dataclasses.replace(RECIPE, faces={"detector": {"name": "other"}})
    assert changed(RECIPE, other) == {"faces", "visual/fer"}


def test_another_decoder_makes_all_anew() -> None:
    other = dataclasses.replace(RECIPE, video={"ffmpeg": "8"})
    assert changed(RECIPE, other) == {"frames", "faces", "visual/fer", "audio/logmel"}


def test_content_counts_and_time_of_change_does_not() -> None:
    assert RECIPE.group_digests("one") != RECIPE.group_digests("two")


def test_source_is_told_by_size_and_time_then_by_content(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"12345")
    source = SourceId.of(path)
    assert source.looks_unchanged(path)
    os.utime(path, ns=(0, source.mtime_ns + 1))
    assert not source.looks_unchanged(path)
    assert SourceId.of(path).sha256 == source.sha256
    path.write_bytes(b"12346")
    assert SourceId.of(path).sha256 != source.sha256
