"""Training and predicting on a real HDF5 store."""

from pathlib import Path

import numpy as np
import pytest
from toy_features import QUICK, SMALL, make_toy

from grjca.cache.claims import claim
from grjca.cache.keys import Recipe, SourceId
from grjca.cache.records import ClipFeatures
from grjca.cache.store import FeatureStore
from grjca.cache.writer import ClipWriter
from grjca.errors import GrjcaError
from grjca.fusion.checkpoint import load_checkpoint
from grjca.fusion.predictor import predict_clip, predict_stored
from grjca.fusion.trainer import train


def write(root: Path, features: ClipFeatures, views: int = 9) -> None:
    recipe = Recipe(
        video={"fps": None, "ffmpeg": "6.0"},
        sound={"rate": 16000},
        faces={"detector": {"name": "retinaface"}},
        visual={
            "name": "fer",
            "config": {"views": views},
            "weights": "ab",
            "template": "t",
            "crop_size": 64,
        },
        audio={"name": "logmel", "config": {}, "weights": None},
    )
    rows = len(features)
    held = claim(root, features.clip)
    assert held is not None
    keys = recipe.groups("00")
    with held, ClipWriter(root, features.clip, SourceId(1, 1, "00"), keys, held) as writer:
        writer.append("frames", {"time": features.time})
        writer.append("faces", {"valid": features.visual_valid, "score": np.zeros(rows, "f4")})
        writer.append("visual/fer", {"features": features.visual, "valid": features.visual_valid})
        writer.append("audio/logmel", {"features": features.audio, "valid": features.audio_valid})
        writer.commit({})


def test_the_store_gives_what_memory_gives(tmp_path: Path) -> None:
    toy = make_toy(4, 2)
    for features in toy.source.features.values():
        write(tmp_path / "store", features)
    store = FeatureStore(tmp_path / "store")
    result = train(store, toy.labels, toy.split, SMALL, QUICK, tmp_path / "a", progress=False)
    in_memory = train(
        toy.source, toy.labels, toy.split, SMALL, QUICK, tmp_path / "b", progress=False
    )
    assert result.best_ccc == in_memory.best_ccc
    assert min(result.best_ccc.values()) > 0.8
    checkpoint = load_checkpoint(tmp_path / "a")
    assert checkpoint.recipe["visual"]["config"] == {"views": 9}
    clip = toy.split.val[0]
    np.testing.assert_array_equal(
        predict_stored(checkpoint, store, clip).values,
        predict_clip(checkpoint, toy.source.features[clip]).values,
    )


def test_clips_extracted_in_two_ways_are_not_mixed(tmp_path: Path) -> None:
    toy = make_toy(2, 1)
    for i, features in enumerate(toy.source.features.values()):
        write(tmp_path / "store", features, views=1 if i == 1 else 9)
    with pytest.raises(GrjcaError) as caught:
        train(
            FeatureStore(tmp_path / "store"), toy.labels, toy.split, SMALL, QUICK,
            tmp_path / "run", progress=False,
        )  # fmt: skip
    assert "lab/c01.mp4: features: extracted otherwise than lab/c00.mp4" in str(caught.value)
    assert "visual.config.views: 9, 1" in str(caught.value)
