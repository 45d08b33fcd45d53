"""The linear path against NumPy, and a training that starts as ridge regression."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from toy_features import QUICK, SMALL, Toy, ToySource, make_toy
from toy_runs import make_run

from grjca.cache.records import ClipFeatures
from grjca.errors import GrjcaError
from grjca.fusion.checkpoint import load_checkpoint
from grjca.fusion.config import FusionConfig
from grjca.fusion.dataset import clip_moments, load_clips
from grjca.fusion.initial import standardise
from grjca.fusion.metrics import ccc
from grjca.fusion.model import FusionModel
from grjca.fusion.ridge_start import PENALTIES, start_as_ridge
from grjca.fusion.trainer import train
from grjca.fusion.validation import validate

Array = NDArray[np.float64]
FUSION = {**SMALL, "linear": "ridge"}


def batch(model: FusionModel, seed: int = 0) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(seed)
    config = model.config
    visual = torch.randn(3, 20, config.visual_dim, generator=generator).double() + 20
    audio = torch.randn(3, 20, config.audio_dim, generator=generator).double() / 10 - 4
    seen, heard = (torch.rand(3, 20, generator=generator) > 0.3 for _ in range(2))
    frames = torch.ones(3, 20, dtype=torch.bool)
    frames[1, 14:] = False
    visual[~seen], audio[~heard] = torch.nan, torch.nan
    return visual, audio, seen, heard, frames


def line_of(model: FusionModel, inputs: tuple[torch.Tensor, ...]) -> Array:
    """r of the path, from its definition."""
    assert model.linear is not None
    sides, missing = [], []
    for values, here, own in zip(
        inputs[:2], inputs[2:4], (model.visual.input, model.audio.input), strict=True
    ):
        x, valid = values.numpy(), (here & inputs[4]).numpy()
        scaled = (x - own.mean.numpy()) / own.std.numpy()
        sides.append(np.where(valid[..., None], scaled, 0.0))
        missing.append(np.where(valid, 0.0, 1.0)[..., None])
    x = np.concatenate([*sides, *missing], axis=-1)
    r = x @ model.linear.weight.detach().numpy().T + model.linear.bias.detach().numpy()
    return np.clip(r, -0.98, 0.98)


@pytest.mark.parametrize("fusion", ["concat", "grjca"])
def test_the_path_adds_to_the_head_before_the_tanh(fusion: str) -> None:
    model = make_run(fusion=fusion, linear="ridge").model.double()
    bare = make_run(fusion=fusion).model.double()
    assert model.linear is not None
    with torch.no_grad():
        model.linear.weight.normal_(std=0.3)
        model.linear.bias.normal_(std=0.3)
    bare.load_state_dict(model.state_dict(), strict=False)
    inputs = batch(model)
    with torch.no_grad():
        found, without = model(*inputs), bare(*inputs)
    u, r = without.prediction.numpy(), line_of(model, inputs)
    assert (np.abs(r) == 0.98).any()
    expected = np.where(inputs[4].numpy()[..., None], (u + r) / (1 + u * r), 0.0)
    np.testing.assert_allclose(found.prediction.numpy(), expected, atol=1e-12)
    assert torch.equal(found.features, without.features)


def test_a_new_path_changes_nothing() -> None:
    inputs = batch(make_run().model)
    model, bare = make_run(linear="ridge").model.double(), make_run().model.double()
    assert torch.equal(model(*inputs).prediction, bare(*inputs).prediction)


def test_neither_padding_nor_what_is_missing_reaches_it() -> None:
    model = make_run(linear="ridge").model.double()
    assert model.linear is not None
    with torch.no_grad():
        model.linear.weight.normal_()
    inputs = batch(model)
    visual, audio = inputs[0].clone(), inputs[1].clone()
    visual[~(inputs[2] & inputs[4])] = 7.0
    audio[~(inputs[3] & inputs[4])] = -7.0
    other = model(visual, audio, *inputs[2:])
    assert torch.equal(model(*inputs).prediction, other.prediction)


def test_no_such_path() -> None:
    with pytest.raises(ValueError, match="linear must be one of"):
        FusionConfig(visual_dim=2, audio_dim=2, linear="lasso")


def loaded(toy: Toy) -> tuple[list[Any], list[Any]]:
    found = load_clips(
        toy.source, toy.labels, toy.split.train, toy.split.val, visual="fer", audio="logmel",
        outputs=toy.labels.names, modalities=("visual", "audio"), rate=None, memory_limit=2**30,
    )  # fmt: skip
    return [[found.clips[c] for c in side] for side in (toy.split.train, toy.split.val)]  # type: ignore[return-value]


def by_hand(
    train: list[Any], val: list[Any], moments: Any, clip_level: bool
) -> tuple[Array, list[Array]]:
    """The validation clips' inputs, and predictions from the normal equations of each penalty."""

    def rows(clip: Any) -> Array:
        window = clip.sequence.window(0, len(clip.sequence))
        parts = [
            np.where(here[:, None], (x - moments[name].mean) / moments[name].deviation(), 0.0)
            for name, x, here in (
                ("visual", window.visual, window.visual_valid),
                ("audio", window.audio, window.audio_valid),
            )
        ]
        parts += [1.0 - h[:, None] for h in (window.visual_valid, window.audio_valid)]
        x = np.concatenate(parts, axis=1)
        shown = window.visual_valid | window.audio_valid
        return x[shown].mean(axis=0, keepdims=True) if clip_level else x

    def target(clip: Any) -> Array:
        values: Array = clip.target[:1] if clip_level else clip.target
        return values

    x, y = np.concatenate([rows(c) for c in train]), np.concatenate([target(c) for c in train])
    held, wanted = np.concatenate([rows(c) for c in val]), np.concatenate([target(c) for c in val])
    result = []
    for k in range(y.shape[1]):
        known = ~np.isnan(y[:, k])
        design = np.column_stack([x[known], np.ones(known.sum())])
        tried = []
        for penalty in PENALTIES:
            square = design.T @ design + penalty * np.diag([1.0] * x.shape[1] + [0.0])
            weights = np.linalg.lstsq(square, design.T @ y[known, k], rcond=None)[0]
            tried.append(held @ weights[:-1] + weights[-1])
        scores = [ccc(p, wanted[:, k], ~np.isnan(wanted[:, k])) for p in tried]
        result.append(tried[int(np.argmax(scores))])
    return held, result


@pytest.mark.parametrize("head", ["joint", "separate"])
def test_it_starts_as_ridge_regression(head: str) -> None:
    toy = make_toy(5, 2)
    train_clips, val_clips = loaded(toy)
    torch.manual_seed(0)
    model = FusionModel(FusionConfig(6, 4, **FUSION, head=head))
    moments = clip_moments(train_clips)
    standardise(model, moments, None)
    start_as_ridge(model, train_clips, val_clips)
    _, predictions = by_hand(train_clips, val_clips, moments, clip_level=False)
    expected = np.stack(predictions, axis=1)
    labels = np.concatenate([clip.target for clip in val_clips])
    reached = validate(model, val_clips, QUICK, clip_level=False)
    for k, name in enumerate(("valence", "arousal")):
        known = ~np.isnan(labels[:, k])
        wanted = ccc(np.clip(expected[:, k], -0.98, 0.98), labels[:, k], known)
        assert wanted > 0.8
        assert reached[name] == pytest.approx(wanted, abs=1e-5)


def test_of_whole_clips_too() -> None:
    toy = make_toy(12, 6, rows=9)
    clips = {
        name: replace(own, values=own.values[4:5], clip_level=True)
        for name, own in toy.labels.clips.items()
    }
    toy = replace(toy, labels=replace(toy.labels, clips=clips))
    train_clips, val_clips = loaded(toy)
    model = FusionModel(FusionConfig(6, 4, **FUSION))
    moments = clip_moments(train_clips)
    standardise(model, moments, None)
    start_as_ridge(model, train_clips, val_clips, clip_level=True)
    held, expected = by_hand(train_clips, val_clips, moments, clip_level=True)
    assert model.linear is not None
    with torch.no_grad():
        found = model.linear.weight @ torch.from_numpy(held).float().T + model.linear.bias[:, None]
    np.testing.assert_allclose(found.numpy(), np.stack(expected), atol=1e-4)


def test_the_start_is_kept_where_no_epoch_is_better(tmp_path: Path) -> None:
    toy = make_toy(4, 2)
    spoiling = replace(QUICK, epochs=2, lr=3.0, warmup_epochs=0)
    result = train(
        toy.source, toy.labels, toy.split, FUSION, spoiling, tmp_path / "a", progress=False
    )
    assert result.best_epoch == 0
    assert [row["epoch"] for row in result.rows] == [1, 2]
    assert min(result.best_ccc.values()) > 0.7
    checkpoint = load_checkpoint(tmp_path / "a")
    assert checkpoint.meta["epoch"] == 0
    again = validate(checkpoint.model, loaded(toy)[1], QUICK, clip_level=False)
    assert again == pytest.approx(result.best_ccc)
    tuned = train(
        toy.source, toy.labels, toy.split, FUSION, spoiling, tmp_path / "b", init=checkpoint,
        progress=False,
    )  # fmt: skip
    assert (tuned.best_epoch, tuned.best_ccc) == (0, result.best_ccc)


class Stopping(ToySource):
    """Ends the training at the n-th read of features."""

    countdown = -1

    def read(self, *args: Any, **more: Any) -> ClipFeatures:
        self.countdown -= 1
        if self.countdown == 0:
            raise GrjcaError("test", "toy", "stopped here")
        return super().read(*args, **more)


def test_a_stopped_training_goes_on_the_same(tmp_path: Path) -> None:
    toy = make_toy(4, 1)
    config = replace(QUICK, epochs=4, save_seconds=0, memory_limit=0)
    whole = train(toy.source, toy.labels, toy.split, FUSION, config, tmp_path / "a", progress=False)
    stops = 0
    for countdown in range(40, 400, 7):
        source = Stopping(toy.source.features)
        source.countdown = countdown
        try:
            result = train(
                source, toy.labels, toy.split, FUSION, config, tmp_path / "b", resume=True,
                progress=False,
            )  # fmt: skip
            break
        except GrjcaError:
            stops += 1
    assert stops >= 2
    assert result.best_epoch == whole.best_epoch
    one, other = load_checkpoint(tmp_path / "a").model, load_checkpoint(tmp_path / "b").model
    for name, tensor in one.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name


def test_it_does_not_lose_to_the_line_it_starts_from(tmp_path: Path) -> None:
    toy = make_toy(6, 3)
    model = FusionModel(FusionConfig(6, 4, **FUSION))
    train_clips, val_clips = loaded(toy)
    standardise(model, clip_moments(train_clips), None)
    start_as_ridge(model, train_clips, val_clips)
    line = validate(model, val_clips, QUICK, clip_level=False)
    result = train(
        toy.source, toy.labels, toy.split, FUSION, replace(QUICK, epochs=5), tmp_path / "run",
        progress=False,
    )  # fmt: skip
    assert np.mean(list(result.best_ccc.values())) > np.mean(list(line.values()))
