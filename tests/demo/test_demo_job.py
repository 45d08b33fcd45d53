"""The demo's clips: deterministic, honest splits, and nothing to learn from permuted labels."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from demo import job
from demo.clips import QUICK, DemoSet, build_clips, write_scripts


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[DemoSet, Path]:
    """The demo's own set, full size, and the folder for what is made of it."""
    folder = tmp_path_factory.mktemp("demo")
    return build_clips(folder, seed=3407), folder


def test_the_same_seed_gives_the_same_frames_sound_and_labels() -> None:
    one, two = (write_scripts(5, QUICK)[0] for _ in range(2))
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_array_equal(one.samples(), two.samples())
    np.testing.assert_array_equal(np.stack(one.frames()), np.stack(two.frames()))
    assert not np.array_equal(one.labels, write_scripts(6, QUICK)[0].labels)


def test_a_quick_set_has_a_label_for_every_frame(tmp_path: Path) -> None:
    small = build_clips(tmp_path, seed=1, quick=True)
    with small.labels.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["clip"] for row in rows} == {*small.train, *small.unseen}
    assert all(-1 <= float(row["valence"]) <= 1 for row in rows)
    subjects = [{row["subject"] for row in rows if row["clip"] in side} for side in
                (small.train, small.unseen)]  # fmt: skip
    assert not subjects[0] & subjects[1]
    store = job.extract_unseen(small, tmp_path, progress=False)
    features = job.grjca.FeatureStore(store).read(small.unseen[0], "fer", "speech+logmel")
    assert len(features) == sum(row["clip"] == small.unseen[0] for row in rows)
    assert features.visual_valid.any()
    assert features.audio_valid.any()


@pytest.mark.long
def test_fusion_learns_and_permuted_labels_teach_nothing(made: tuple[DemoSet, Path]) -> None:
    clips, folder = made
    store = job.extract_train(clips, folder, progress=False)
    job.extract_unseen(clips, folder, progress=False)
    unseen = folder / "unseen-features"

    def reach(name: str, labels: Path, modalities: tuple[str, ...]) -> dict[str, float]:
        run = job.train(store, labels, folder / name, modalities, progress=False)
        result = job.predict(clips, run, unseen, folder / f"out-{name}", progress=False)
        return job.score(clips, result.predictions)

    true = job.training_labels(clips, folder / "true.csv")
    mixed = job.training_labels(clips, folder / "mixed.csv", lambda names: names[3:] + names[:3])
    fusion, visual, audio = (
        reach("-".join(modalities), true, modalities) for modalities in job.MODALITIES.values()
    )
    permuted = reach("permuted", mixed, ("visual", "audio"))
    for name in ("valence", "arousal"):
        assert fusion[name] >= 0.6, fusion
        assert fusion[name] >= max(visual[name], audio[name]) + 0.05, (fusion, visual, audio)
        assert permuted[name] < 0.2, permuted
