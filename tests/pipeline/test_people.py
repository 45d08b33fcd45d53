"""Whose face: the main one, the left or right one, or a file per person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from face_makers import make_face_clip, paste, portrait, stranger, write_clip
from stores import arrays

import grjca
from grjca.cli import main
from grjca.pipeline.report import RunReport

LARGE, SMALL = 150, 110
FRAMES = 30


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A large face on the right, hidden for 0.2 s in between, and a smaller one on the left."""
    folder = tmp_path_factory.mktemp("two")
    large, small = portrait(LARGE), stranger(SMALL)
    pictures = []
    for i in range(FRAMES):
        # A background with structure, as a room has: a face that goes is then no shot cut.
        picture = np.tile(np.linspace(20, 230, 640)[None, :, None], (360, 1, 3)).astype(np.uint8)
        paste(picture, small, 150, 180)
        if not 12 <= i < 17:
            paste(picture, large, 460, 180)
        pictures.append(picture)
    noise = "anoisesrc=color=pink:amplitude=0.3:sample_rate=44100"
    return write_clip(folder / "two.mp4", pictures, sound=noise)


def extract(path: Path, store: Path, faces: Any, **options: Any) -> RunReport:
    visual = options.pop("visual", "hog")
    config = grjca.ExtractConfig(visual=visual, audio="logmel", faces=faces)
    report = grjca.extract([path], store, config, workers=1, **options)
    assert not report.failed
    return report


def centres(store: Path, clip: str) -> set[int]:
    """The middles of all boxes, to 30 pixels."""
    with h5py.File(store / f"{clip}.h5") as file:
        box = file["faces/box"][:][file["faces/valid"][:]]
    return {round(float(x) / 30) * 30 for x in box[:, ::2].mean(axis=1)}


def test_main_left_and_right(two: Path, tmp_path: Path) -> None:
    for faces, place in (("main", 460), ("right", 460), ("left", 150)):
        extract(two, tmp_path / faces, faces)
        assert all(abs(x - place) <= 20 for x in centres(tmp_path / faces, "two.mp4"))


def test_a_hidden_face_is_interpolated_and_marked(two: Path, tmp_path: Path) -> None:
    extract(two, tmp_path, "main")
    with h5py.File(tmp_path / "two.mp4.h5") as file:
        faces = {name: file[f"faces/{name}"][:] for name in file["faces"]}
        features = file["visual/hog/features"][:]
    hidden = np.zeros(FRAMES, bool)
    hidden[12:17] = True
    assert faces["valid"].all()
    np.testing.assert_array_equal(faces["interpolated"], hidden)
    np.testing.assert_array_equal(np.isnan(faces["score"]), hidden)
    assert len(np.unique(faces["track"])) == 1
    assert np.isfinite(features).all()


def test_all_makes_a_file_per_person_and_a_second_run_skips_them(two: Path, tmp_path: Path) -> None:
    report = extract(two, tmp_path, "all")
    assert report.outcomes[0].people == 2
    store = grjca.FeatureStore(tmp_path)
    assert store.clips() == ["two.mp4@1", "two.mp4@2"]
    assert centres(tmp_path, "two.mp4@1").isdisjoint(centres(tmp_path, "two.mp4@2"))
    first, second = (store.read(clip, "hog", "logmel") for clip in store.clips())
    assert first.visual_valid.all()
    assert first.audio is not None
    np.testing.assert_array_equal(first.audio, second.audio)
    before = arrays(tmp_path)
    again = extract(two, tmp_path, "all")
    assert again.outcomes[0].status == "skipped"
    assert again.outcomes[0].clips == store.clips()
    assert arrays(tmp_path) == before


def test_all_adds_an_embedder_to_everyone(two: Path, tmp_path: Path) -> None:
    extract(two, tmp_path, "all")
    report = extract(two, tmp_path, "all", visual="fer")
    assert report.outcomes[0].computed == ("visual/fer",)
    store = grjca.FeatureStore(tmp_path)
    for clip in store.clips():
        assert store.embedders(clip)["visual"] == ["fer", "hog"]


def test_people_no_longer_counted_leave_the_store(two: Path, tmp_path: Path) -> None:
    extract(two, tmp_path / "store", "all")
    alone = tmp_path / "two.mp4"
    make_face_clip(alone, [True] * 20)
    extract(alone, tmp_path / "store", "all", overwrite=True)
    assert grjca.FeatureStore(tmp_path / "store").clips() == ["two.mp4@1"]


def test_a_missing_file_of_one_person_makes_all_anew(two: Path, tmp_path: Path) -> None:
    extract(two, tmp_path, "all")
    before = arrays(tmp_path)
    (tmp_path / "two.mp4@2.h5").unlink()
    assert extract(two, tmp_path, "all").outcomes[0].status == "done"
    assert arrays(tmp_path) == before


def test_nobody_is_one_file_without_a_face(tmp_path: Path) -> None:
    clip = make_face_clip(tmp_path / "grey.mp4", [False] * 10)
    extract(clip, tmp_path / "store", "all")
    store = grjca.FeatureStore(tmp_path / "store")
    assert store.clips() == ["grey.mp4@1"]
    assert not store.read("grey.mp4@1", "hog").visual_valid.any()


def test_training_mixes_choices_but_not_rates(two: Path, tmp_path: Path) -> None:
    extract(two, tmp_path, "left")
    store = grjca.FeatureStore(tmp_path)
    left = store.recipe("two.mp4", "hog", "logmel")
    extract(two, tmp_path, "main")
    assert store.recipe("two.mp4", "hog", "logmel") == left
    config = grjca.ExtractConfig(visual="hog", audio="logmel", fps=10)
    grjca.extract([two], tmp_path, config, workers=1)
    assert store.recipe("two.mp4", "hog", "logmel") != left


def test_from_the_command_line_with_a_manifest(two: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text(f"clip,video,faces,subject\nanna,{two},left,s1\nbert,{two},right,s2\n")
    options = ["--visual", "hog", "--audio", "logmel", "--workers", "1", "--quiet"]
    told = CliRunner().invoke(
        main, ["extract", "--manifest", str(manifest), "--store", str(tmp_path / "s"), *options]
    )
    assert told.exit_code == 0, told.output
    assert "2 extracted" in told.output
    assert all(x < 320 for x in centres(tmp_path / "s", "anna"))
    assert all(x > 320 for x in centres(tmp_path / "s", "bert"))
    shown = CliRunner().invoke(main, ["inspect", str(tmp_path / "s" / "anna.h5")]).output
    assert "subject  s1" in shown
    both = CliRunner().invoke(
        main, ["extract", str(two), "--manifest", str(manifest), "--store", str(tmp_path / "s")]
    )
    assert both.exit_code == 2
    assert "Leave out paths" in both.output
