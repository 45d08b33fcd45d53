"""Fine-tuning: starting from another run's weights."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_features import QUICK, SMALL, Toy, ToySource, make_toy, row_labels

from grjca.errors import GrjcaError
from grjca.fusion.checkpoint import Checkpoint, load_checkpoint
from grjca.fusion.initial import settings_of
from grjca.fusion.settings import resolve
from grjca.fusion.train_config import TrainConfig
from grjca.fusion.trainer import TrainResult, train

SHORT = replace(QUICK, epochs=1)


def fit(toy: Toy, out: Path, config: TrainConfig = SHORT, **more: Any) -> TrainResult:
    fusion = {**SMALL, **more.pop("fusion", {})}
    return train(toy.source, toy.labels, toy.split, fusion, config, out, progress=False, **more)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainResult, Checkpoint]:
    result = fit(make_toy(), tmp_path_factory.mktemp("first") / "run", QUICK)
    return result, load_checkpoint(result.out)


def test_it_starts_where_the_other_ended(
    tmp_path: Path, first: tuple[TrainResult, Checkpoint]
) -> None:
    result, checkpoint = first
    # A rate next to nothing: what comes out is what went in, but for batch norm's statistics.
    still = replace(SHORT, lr=1e-12, weight_decay=0)
    fit(make_toy(), tmp_path / "run", still, init=checkpoint)
    tuned = load_checkpoint(tmp_path / "run")
    state, before = tuned.model.state_dict(), checkpoint.model.state_dict()
    for name, parameter in tuned.model.named_parameters():
        assert torch.allclose(parameter, before[name], atol=1e-9), name
    assert min(load_checkpoint(tmp_path / "run").meta["val_ccc"].values()) > 0.85
    fit(make_toy(), tmp_path / "cold", still)
    assert max(load_checkpoint(tmp_path / "cold").meta["val_ccc"].values()) < 0.5
    assert tuned.meta["init"] != load_checkpoint(tmp_path / "cold").meta["init"]
    assert state.keys() == before.keys()
    assert result.out != tmp_path


def test_inputs_are_standardised_as_the_weights_know_them(
    tmp_path: Path, first: tuple[TrainResult, Checkpoint]
) -> None:
    _, checkpoint = first
    fit(make_toy(3, 2), tmp_path / "run", init=checkpoint)
    tuned = load_checkpoint(tmp_path / "run").model
    for name in ("visual", "audio"):
        kept, own = getattr(checkpoint.model, name).input, getattr(tuned, name).input
        assert torch.equal(own.mean, kept.mean)
        assert torch.equal(own.std, kept.std)


def test_a_modality_that_the_weights_never_saw_gets_its_own_statistics(tmp_path: Path) -> None:
    toy = make_toy(3, 2)
    fit(toy, tmp_path / "seen", replace(SHORT, modalities=("visual",)))
    checkpoint = load_checkpoint(tmp_path / "seen")
    fit(toy, tmp_path / "both", init=checkpoint)
    tuned = load_checkpoint(tmp_path / "both").model
    pooled = [toy.source.features[clip] for clip in toy.split.train]
    rows = np.concatenate([f.audio[f.audio_valid] for f in pooled if f.audio is not None])
    np.testing.assert_allclose(tuned.audio.input.mean, rows.mean(0, dtype=float), rtol=1e-5)
    assert torch.equal(tuned.visual.input.mean, checkpoint.model.visual.input.mean)


def test_a_run_that_was_started_so_goes_on_so(
    tmp_path: Path, first: tuple[TrainResult, Checkpoint]
) -> None:
    _, checkpoint = first
    toy = make_toy(3, 1)
    fit(toy, tmp_path / "run", init=checkpoint)
    with pytest.raises(GrjcaError, match=r"run\.init"):
        fit(toy, tmp_path / "run", replace(SHORT, epochs=2), resume=True)
    result = fit(toy, tmp_path / "run", replace(SHORT, epochs=2), resume=True, init=checkpoint)
    assert len(result.rows) == 2


@pytest.mark.parametrize(
    ("fusion", "message"),
    [
        ({"visual_channels": (8,)}, r"weights do not fit: .*\(16.*, wanted \(8"),
        ({"fusion": "concat"}, r"weights do not fit: fusion\..*wanted missing.* more"),
        ({"time_mix": "dense"}, r"weights do not fit: .*missing, wanted"),
        ({"outputs": ("valence",)}, r"weights do not fit: head\.out"),
        ({"outputs": ("arousal", "valence")}, "predicts valence and arousal, wanted arousal and"),
    ],
)
def test_another_model(
    tmp_path: Path,
    first: tuple[TrainResult, Checkpoint],
    fusion: dict[str, Any],
    message: str,
) -> None:
    with pytest.raises(GrjcaError, match=message) as caught:
        fit(make_toy(3, 1), tmp_path / "run", fusion=fusion, init=first[1])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_features_of_other_dimensions(
    tmp_path: Path, first: tuple[TrainResult, Checkpoint]
) -> None:
    toy = make_toy(3, 1)
    wide = {
        clip: replace(f, visual=np.repeat(f.visual, 2, axis=1))
        for clip, f in toy.source.features.items()
        if f.visual is not None
    }
    with pytest.raises(GrjcaError, match=r"visual\.input\.mean \(6,\), wanted \(12,\)"):
        fit(replace(toy, source=ToySource(wide)), tmp_path / "run", init=first[1])


def test_features_of_another_embedder(
    tmp_path: Path, first: tuple[TrainResult, Checkpoint]
) -> None:
    toy = make_toy(3, 1)
    for clip in toy.source.clips():
        toy.source.names[clip] = {"visual": ["hog"], "audio": ["logmel"]}
    with pytest.raises(GrjcaError, match=r"visual features: init: made by name hog, .* by fer"):
        fit(toy, tmp_path / "run", init=first[1])


def test_the_settings_that_weights_are_tied_to(first: tuple[TrainResult, Checkpoint]) -> None:
    settings = resolve(settings_of(first[1]))
    assert settings.model["visual_channels"] == (16,)
    assert (settings.train.window, settings.train.hop) == (50, 30)
    assert settings.train.rate == pytest.approx(25)
    assert (settings.data.visual, settings.data.audio) == ("fer", "logmel")
    assert settings.train.lr == TrainConfig().lr


def test_one_dimension_more_is_a_new_start(tmp_path: Path) -> None:
    toy = make_toy(3, 1)
    valence = {clip: values[:, :1] for clip, values in toy.truth.items()}
    fit(replace(toy, labels=row_labels(valence, ("valence",))), tmp_path / "run")
    with pytest.raises(GrjcaError, match=r"head\.out\.bias \(1,\), wanted \(2,\)"):
        fit(toy, tmp_path / "both", init=load_checkpoint(tmp_path / "run"))
