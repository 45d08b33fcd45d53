"""One label per clip: predictions are pooled over the rows that show or sound something."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_features import AUDIO_DIM, QUICK, SMALL, VISUAL_DIM, Toy, ToySource, make_toy

from grjca.cache.records import ClipFeatures
from grjca.errors import UsageError
from grjca.fusion.checkpoint import load_checkpoint
from grjca.fusion.data import Batch
from grjca.fusion.data_config import DataConfig
from grjca.fusion.dataset import LabelledClip, load_clips
from grjca.fusion.inference import predict_rows
from grjca.fusion.metrics import ccc
from grjca.fusion.trainer import train
from grjca.fusion.window_set import WindowSet, pool
from grjca.labels.records import ClipLabels, Labels
from grjca.labels.splits import Split


def make_clips(rows: tuple[int, int], train: int = 16, val: int = 6, seed: int = 0) -> Toy:
    """Clips of some lengths whose features show the clip's own valence and arousal, noisily."""
    rng = np.random.default_rng(seed)
    mixing = np.random.default_rng(1).normal(size=(2, 8))
    features, labels, truth = {}, {}, {}
    for i in range(train + val):
        clip, count = f"c{i:02d}.mp4", int(rng.integers(*rows, endpoint=True))
        value = rng.uniform(-0.9, 0.9, size=2)
        visual = value[0] * mixing[0, :VISUAL_DIM] + rng.normal(size=(count, VISUAL_DIM)) / 3
        audio = value[1] * mixing[1, :AUDIO_DIM] + rng.normal(size=(count, AUDIO_DIM)) / 3
        seen, heard = rng.random(count) > 0.2, rng.random(count) > 0.2
        visual[~seen], audio[~heard] = np.nan, np.nan
        features[clip] = ClipFeatures(
            clip, np.arange(count) / 25, visual.astype("f4"), seen, audio.astype("f4"), heard
        )
        truth[clip] = value[None]
        labels[clip] = ClipLabels(
            clip, value[None], None, None, None, Path("labels.csv"), clip_level=True
        )
    names = list(features)
    return Toy(
        ToySource(features), Labels(labels, ("valence", "arousal"), "as they are"),
        Split(tuple(names[:train]), tuple(names[train:]), True), truth,
    )  # fmt: skip


def test_pooling_is_the_mean_over_rows_that_show_or_sound_something() -> None:
    rng = np.random.default_rng(0)
    prediction = rng.normal(size=(4, 7, 2))
    frames, visual, audio = (rng.random((4, 7)) < p for p in (0.8, 0.5, 0.4))
    visual[2], audio[2] = False, False
    frames[3] = False
    inputs = Batch(
        torch.zeros(4, 7, 1), torch.zeros(4, 7, 1),
        *(torch.from_numpy(x) for x in (visual, audio, frames)),
    )  # fmt: skip
    pooled = pool(torch.from_numpy(prediction), inputs).numpy()
    assert pooled.shape == (4, 1, 2)
    for i in (0, 1, 2):
        rows = [
            prediction[i, t]
            for t in range(7)
            if frames[i, t] and (i == 2 or visual[i, t] or audio[i, t])
        ]
        np.testing.assert_allclose(pooled[i, 0], np.mean(rows, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(pooled[3, 0], [0, 0])


@pytest.mark.parametrize("rows", [(1, 1), (5, 40)])
def test_it_learns_from_one_label_per_clip(tmp_path: Path, rows: tuple[int, int]) -> None:
    toy = make_clips(rows, train=160 if rows == (1, 1) else 40, val=20)
    config = replace(QUICK, epochs=20, batch=10, window=30, hop=20)
    result = train(
        toy.source, toy.labels, toy.split, SMALL, config, tmp_path / "run", progress=False
    )
    # Of 16 seeds with single rows, on 20 validation clips, none stayed below 0.49.
    assert min(result.best_ccc.values()) > (0.4 if rows == (1, 1) else 0.8)
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint.clip_level
    # The reported CCC, computed once more from the clips' own predictions.
    clips = load(toy, list(toy.split.val))
    predicted = []
    for name, clip in zip(toy.split.val, clips, strict=True):
        features = toy.source.features[name]
        here = features.visual_valid | features.audio_valid
        here = here if here.any() else np.ones_like(here)
        values = predict_rows(checkpoint.model, [clip.sequence], 30, 20)[0].values
        predicted.append(values[here].mean(axis=0))
    truth = np.concatenate([toy.truth[clip] for clip in toy.split.val])
    for k, name in enumerate(("valence", "arousal")):
        again = ccc(np.array(predicted)[:, k], truth[:, k])
        assert again == pytest.approx(result.best_ccc[name], abs=1e-5)


def load(toy: Toy, clips: list[str]) -> list[LabelledClip]:
    loaded = load_clips(
        toy.source, toy.labels, clips, [], visual="fer", audio="logmel",
        outputs=toy.labels.names, modalities=("visual", "audio"), rate=None, memory_limit=2**30,
    )  # fmt: skip
    return [loaded.clips[clip] for clip in clips]


def test_a_window_has_its_clips_label() -> None:
    toy = make_clips((5, 90), train=4, val=2)
    clips = load(toy, list(toy.split.train))
    data = WindowSet(clips, 20, 10, clip_level=True, fixed=False)
    batch = data.batch(range(len(data)))
    assert batch.target.shape == (len(data), 1, 2)
    assert batch.mask.all()
    owners = [c for c in clips for _ in range(1 + max(0, -(-(len(c.sequence) - 20) // 10)))]
    assert len(owners) == len(data)
    for target, clip in zip(batch.target, owners, strict=True):
        np.testing.assert_allclose(target[0], toy.truth[clip.sequence.clip][0], rtol=1e-6)


def test_batches_are_as_long_as_their_longest_window() -> None:
    toy = make_clips((3, 9), train=6, val=2)
    clips = load(toy, list(toy.split.train))
    longest = max(len(clip.sequence) for clip in clips)
    assert WindowSet(clips, 300, 200, fixed=False).batch(range(6)).inputs.frames.shape == (
        6, longest)  # fmt: skip
    assert WindowSet(clips, 300, 200).batch(range(6)).inputs.frames.shape == (6, 300)


@pytest.mark.parametrize("time_mix", ["none", "dense"])
def test_clips_together_are_predicted_as_one_by_one(tmp_path: Path, time_mix: str) -> None:
    toy = make_toy(5, 2, rows=40)
    config = replace(QUICK, epochs=1, window=50, hop=30)
    fusion = {**SMALL, "time_mix": time_mix}
    train(toy.source, toy.labels, toy.split, fusion, config, tmp_path / "run", progress=False)
    model = load_checkpoint(tmp_path / "run").model
    clips = load(toy, toy.source.clips())
    sequences = [clip.sequence for clip in clips]
    together = predict_rows(model, sequences, 50, 30, 4)
    bare = predict_rows(model, sequences, 50, 30, 4, gates=False)
    for sequence, own, without in zip(sequences, together, bare, strict=True):
        alone = predict_rows(model, [sequence], 50, 30)[0]
        np.testing.assert_allclose(own.values, alone.values, atol=1e-6)
        assert set(own.gates) == {"visual", "audio"}
        for name, weights in own.gates.items():
            np.testing.assert_allclose(weights, alone.gates[name], atol=1e-5)
            np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
        np.testing.assert_array_equal(without.values, own.values)
        assert without.gates == {}
        features = toy.source.features[sequence.clip]
        np.testing.assert_array_equal(own.shown, features.visual_valid | features.audio_valid)
    assert not model.training


def test_settings_that_make_no_sense_for_one_label_per_clip(tmp_path: Path) -> None:
    toy = make_clips((5, 20), train=4, val=2)
    out = tmp_path / "run"
    with pytest.raises(UsageError, match="ccc_over: batch"):
        train(toy.source, toy.labels, toy.split, SMALL, replace(QUICK, ccc_over="window"), out)
    data = DataConfig(label_smoothing_seconds=1.0)
    with pytest.raises(UsageError, match="label_smoothing_seconds: train: the labels are one per"):
        train(toy.source, toy.labels, toy.split, SMALL, QUICK, out, data=data)
    one = Split(toy.split.train, toy.split.val[:1], True)
    with pytest.raises(UsageError, match="one validation clip: a CCC needs two"):
        train(toy.source, toy.labels, one, SMALL, QUICK, out)
    assert not out.exists()
