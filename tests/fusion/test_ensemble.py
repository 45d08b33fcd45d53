"""Models that predict together: those that take the same features, however else they differ."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_features import QUICK, SMALL, ToySource, make_clip, make_toy
from toy_runs import make_run

from grjca.errors import GrjcaError, UsageError
from grjca.fusion.ensemble import Ensemble, checkpoint_paths
from grjca.fusion.predictor import predict_stored
from grjca.fusion.train_config import TrainConfig
from grjca.fusion.trainer import train

CLIP = "lab/a.mp4"
SOURCE = ToySource({CLIP: make_clip(CLIP, np.arange(90) / 29.97, 7)[0]})
RECIPE: dict[str, Any] = {"faces": {"detector": "x"}, "visual": {"name": "fer", "views": 9}}


def test_the_mean_of_models_of_other_seeds_rates_and_fusions() -> None:
    one = make_run(seed=1)
    two = replace(make_run(seed=2, fusion="concat"), rate=10.0, window=20, hop=20)
    own = [predict_stored(model, SOURCE, CLIP).values for model in (one, two)]
    found = Ensemble((one, two), ("a", "b")).predict(SOURCE, CLIP)
    np.testing.assert_allclose(found.values, np.mean(own, axis=0), atol=1e-12)
    assert np.abs(own[0] - own[1]).max() > 0.01
    assert found.gates == {}
    alone = Ensemble((one,), ("a",)).predict(SOURCE, CLIP)
    np.testing.assert_array_equal(alone.values, own[0])
    assert set(alone.gates) == {"visual", "audio"}


def test_a_model_of_each_dimension_makes_both() -> None:
    valence, arousal = make_run(outputs=("valence",)), make_run(seed=5, outputs=("arousal",))
    both = Ensemble((arousal, valence), ("a", "v"))
    assert both.outputs == ("arousal", "valence")
    found = both.predict(SOURCE, CLIP)
    assert found.names == ("arousal", "valence")
    for k, model in enumerate((arousal, valence)):
        own = predict_stored(model, SOURCE, CLIP).values
        np.testing.assert_array_equal(found.values[:, k], own[:, 0])


def test_read_from_runs(tmp_path: Path) -> None:
    toy = make_toy(3, 1)
    for seed in (1, 2):
        config: TrainConfig = replace(QUICK, epochs=1, seed=seed)
        out = tmp_path / f"run{seed}"
        train(toy.source, toy.labels, toy.split, SMALL, config, out, progress=False)
    ensemble = Ensemble.load([tmp_path / "run1", tmp_path / "run2" / "model.safetensors"])
    assert ensemble.recipe["visual"] == {"name": "fer", "config": {"views": 9}}
    clip = toy.split.val[0]
    own = [predict_stored(model, toy.source, clip).values for model in ensemble.checkpoints]
    np.testing.assert_allclose(ensemble.predict(toy.source, clip).values, np.mean(own, axis=0))


def test_a_model_that_never_saw_sound_is_silent_about_it() -> None:
    seen = replace(make_run(), audio=None, recipe={"visual": RECIPE["visual"], "audio": None})
    heard = replace(make_run(seed=4), recipe={**RECIPE, "audio": {"name": "logmel"}})
    ensemble = Ensemble((seen, heard), ("a", "b"))
    assert ensemble.recipe == {**RECIPE, "audio": {"name": "logmel"}}
    assert len(ensemble.predict(SOURCE, CLIP)) == 90


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"visual": "ir50"}, r"^b: checkpoint: it takes other .* than a: visual embedder: fer, ir"),
        ({"recipe": {**RECIPE, "visual": {"name": "fer", "views": 1}}},
         r"^b: checkpoint: it takes other features than a: visual\.views: 9, 1\."),
        ({"clip_level": True}, r"^a, b: checkpoint: some learned one label per clip, others one"),
    ],
)  # fmt: skip
def test_models_that_do_not_go_together(changed: dict[str, Any], message: str) -> None:
    one = replace(make_run(), recipe=RECIPE)
    with pytest.raises(GrjcaError, match=message) as caught:
        Ensemble((one, replace(one, **changed)), ("a", "b"))
    assert "\n" not in str(caught.value)


def test_a_dimension_that_some_predict_and_others_do_not() -> None:
    with pytest.raises(UsageError, match=r"a, b: .*each dimension: valence by 2, arousal by 1"):
        Ensemble((make_run(), make_run(outputs=("valence",))), ("a", "b"))


def test_none_at_all() -> None:
    with pytest.raises(UsageError, match="none given"):
        Ensemble.load([])


def test_one_given_twice(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "run")
    with pytest.raises(UsageError, match=r"run: .*given twice"):
        checkpoint_paths([tmp_path / "run", tmp_path / "link"])
    assert checkpoint_paths(str(tmp_path / "run")) == [tmp_path / "run"]
