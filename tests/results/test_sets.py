from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from grjca.cache import FeatureStore
from grjca.labels.readers import read_labels
from grjca.labels.subjects import subject_of
from results.sets import CIRCUMPLEX, ict_mmmo, omg_empathy, ravdess


def test_ravdess_is_a_row_per_clip(media: Path, tmp_path: Path) -> None:
    made = ravdess(media / "features", tmp_path, actors=2)
    store, labels = FeatureStore(made.store), read_labels(made.labels["circumplex"])
    assert len(store.clips()) == len(labels.clips) == 120
    assert len({subject_of(clip) for clip in store.clips()}) == 2
    # 03-02: happy, strong.
    happy = next(clip for clip in store.clips() if clip.startswith("01-01-03-02"))
    assert tuple(labels.clips[happy].values[0]) == CIRCUMPLEX[3]
    assert read_labels(made.labels["intensity"]).clips[happy].values[0] == 0.5
    read = store.read(happy, "imported", "imported")
    with np.load(media / "features" / "ravdess" / "au_mfcc.npz") as data:
        row = list(data["clip"]).index(happy)
        np.testing.assert_allclose(read.visual[0], data["visual"][row], rtol=1e-6)
        np.testing.assert_allclose(read.audio[0], data["audio"][row], rtol=1e-6)


def test_ict_mmmo_has_its_zeros_missing_and_sentiment_as_valence(
    media: Path, tmp_path: Path
) -> None:
    made = ict_mmmo(media / "features", tmp_path)
    store, labels = FeatureStore(made.store), read_labels(made.labels["sentiment"])
    assert len(store.clips()) == 260
    with h5py.File(media / "features" / "ict_mmmo" / "y_train.h5") as file:
        sentiment = file["d1"][:]
    values = [labels.clips[f"video{i:03}"].values[0, 0] for i in range(220)]
    np.testing.assert_allclose(values, (sentiment - 3) / 2)
    with h5py.File(media / "features" / "ict_mmmo" / "video_train.h5") as file:
        video = file["d1"][5]
    read = store.read("video005", "imported", "imported")
    np.testing.assert_array_equal(read.visual_valid, video.any(axis=1))
    # What is there already is not made again.
    assert ict_mmmo(media / "features", tmp_path) == made


def test_omg_empathy_is_split_by_listener(media: Path, tmp_path: Path) -> None:
    made = omg_empathy(media / "features", tmp_path)
    store, labels = FeatureStore(made.store), read_labels(made.labels["valence"])
    assert len({subject_of(clip) for clip in store.clips()}) == 7
    clip = "Subject_1_Story_1"
    read = store.read(clip, "imported", "imported")
    assert len(read) == len(labels.clips[clip]) == 9250
    assert labels.clips[clip].values[1, 0] == pytest.approx(0.2)
    assert read.visual[0, 0] == pytest.approx(0.6903424)
