"""Evaluations of real models on features in memory."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.functional import concordance_corrcoef, mean_squared_error, pearson_corrcoef
from toy_features import QUICK, SMALL, Toy, ToySource, make_toy, row_labels
from toy_runs import make_run

from grjca.cache.records import ClipFeatures
from grjca.errors import GrjcaError, UsageError
from grjca.evaluation.documents import document, lines, write_json
from grjca.evaluation.evaluation import Evaluation, EvaluationConfig, evaluate_clips
from grjca.evaluation.stress import Condition, StressConfig
from grjca.fusion.checkpoint import Checkpoint, load_checkpoint
from grjca.fusion.data import Inputs
from grjca.fusion.predictor import predict_clip, predict_stored
from grjca.fusion.trainer import train
from grjca.labels.records import ClipLabels, Labels

SHORT = StressConfig(noise=(1.0, 4.0), lag=(0.2, 1.0), faces=(0.25, 0.75))


@pytest.fixture(scope="module")
def toy() -> Toy:
    return make_toy(6, 3)


@pytest.fixture(scope="module")
def trained(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Any]:
    out = tmp_path_factory.mktemp("run")
    settings = replace(QUICK, epochs=10)
    result = train(toy.source, toy.labels, toy.split, SMALL, settings, out, progress=False)
    return load_checkpoint(out), result


def run_of(toy: Toy, **more: Any) -> Checkpoint:
    return make_run(toy.split.train, toy.split.val, **more)


def evaluated(toy: Toy, *runs: Checkpoint, **config: Any) -> Evaluation:
    return evaluate_clips(runs, toy.source, toy.labels, EvaluationConfig(**config))


def test_the_runs_own_validation_score_is_found_again(toy: Toy, trained: Any) -> None:
    checkpoint, result = trained
    found = evaluated(toy, checkpoint)
    for name, value in result.best_ccc.items():
        own = found.scores.overall[name]
        assert own.ccc.value == pytest.approx(value, abs=1e-5)
        assert own.ccc.low < own.ccc.value < own.ccc.high
        assert own.clips == 3
    assert list(found.scores.clips) == list(toy.split.val)


def test_scores_agree_with_torchmetrics(toy: Toy, trained: Any) -> None:
    found = evaluated(toy, trained[0], partition="all")
    x = np.concatenate([t.prediction for t in found.traces])
    y = np.concatenate([toy.truth[t.clip] for t in found.traces])
    for k, name in enumerate(found.names):
        counted = ~np.isnan(y[:, k])
        a, b = torch.tensor(x[counted, k]), torch.tensor(y[counted, k])
        own, n = found.scores.overall[name], int(counted.sum())
        assert own.frames == n
        # theirs divides by n - 1: 2 c / (v + m (n - 1) / n) in terms of ours, 2 c / (v + m)
        gap = float((a.mean() - b.mean()) ** 2)
        spread = float(a.var(correction=0) + b.var(correction=0))
        theirs = float(concordance_corrcoef(a, b)) * (spread + gap * (n - 1) / n) / (spread + gap)
        assert own.ccc.value == pytest.approx(theirs, abs=1e-9)
        assert own.pcc.value == pytest.approx(float(pearson_corrcoef(a, b)), abs=1e-9)
        assert own.rmse.value == pytest.approx(float(mean_squared_error(a, b).sqrt()), abs=1e-9)


def test_twice_is_the_same_and_the_order_of_conditions_does_not_matter(
    toy: Toy, trained: Any
) -> None:
    first = evaluated(toy, trained[0], stress=SHORT, gates=True, smooth="auto")
    again = evaluated(toy, trained[0], stress=SHORT, gates=True, smooth="auto")
    assert document(first) == document(again)
    fewer = evaluated(toy, trained[0], stress=replace(SHORT, lag=(), noise=(4.0,)), smooth="auto")
    wanted = {row.condition: row.ccc for row in first.stress}
    for row in fewer.stress:
        assert {n: e.value for n, e in row.ccc.items()} == {
            n: e.value for n, e in wanted[row.condition].items()
        }
    other = evaluated(toy, trained[0], stress=replace(SHORT, seed=1), smooth="auto")
    assert document(other)["stress"] != document(first)["stress"]


def test_stress_takes_what_the_model_lives_on(toy: Toy, trained: Any) -> None:
    """In the toy set faces show valence and sound shows arousal."""
    found = evaluated(toy, trained[0], stress=SHORT)
    ccc = {
        row.condition: {name: own.value for name, own in row.ccc.items()} for row in found.stress
    }
    intact = ccc[Condition("intact")]
    for name in found.names:
        assert intact[name] == pytest.approx(found.scores.overall[name].ccc.value, abs=1e-9)
    assert ccc[Condition("no picture")]["valence"] < 0.4
    assert ccc[Condition("no picture")]["arousal"] > intact["arousal"] - 0.2
    assert ccc[Condition("no sound")]["arousal"] < 0.4
    assert ccc[Condition("no sound")]["valence"] > intact["valence"] - 0.2
    assert ccc[Condition("picture noise", 4.0)]["valence"] < intact["valence"] - 0.1
    for seconds in (-1.0, 1.0):
        assert ccc[Condition("late sound", seconds)]["arousal"] < intact["arousal"] - 0.5
        assert ccc[Condition("late sound", seconds)]["valence"] > intact["valence"] - 0.1
    missing = [ccc[Condition("faces missing", share)]["valence"] for share in (0.25, 0.75)]
    assert intact["valence"] > missing[0] > missing[1]
    change = {row.condition: row.change["valence"] for row in found.stress}
    assert change[Condition("intact")].value == change[Condition("intact")].high == 0
    assert change[Condition("no picture")].high < -0.2


def test_several_runs_are_averaged_and_dimensions_come_together(toy: Toy) -> None:
    both = [run_of(toy, seed=1), run_of(toy, seed=2)]
    found = evaluated(toy, *both)
    clip = toy.split.val[0]
    own = [predict_stored(run, toy.source, clip).values for run in both]
    np.testing.assert_allclose(found.traces[0].prediction, np.mean(own, axis=0))
    apart = evaluated(toy, run_of(toy, outputs=("arousal",)), run_of(toy, outputs=("valence",)))
    assert apart.names == ("arousal", "valence")
    alone = evaluated(toy, run_of(toy, outputs=("valence",)))
    for name in ("value", "low", "high"):
        together = getattr(apart.scores.overall["valence"].ccc, name)
        assert together == pytest.approx(getattr(alone.scores.overall["valence"].ccc, name))


def test_a_dimension_without_its_run_counts_as_unlabelled(toy: Toy) -> None:
    one, other = toy.split.val[0], toy.split.val[1]
    valence = make_run((), [one, other], outputs=("valence",))
    arousal = make_run((), [other], outputs=("arousal",))
    found = evaluated(toy, valence, arousal)
    assert found.scores.clips[one]["arousal"].frames == 0
    assert found.scores.overall["arousal"].clips == 1
    assert found.scores.overall["valence"].clips == 2
    assert math.isfinite(found.scores.overall["arousal"].ccc.value)


def test_smoothing_is_chosen_on_validation_only(toy: Toy, trained: Any) -> None:
    on_val = evaluated(toy, trained[0], smooth="auto")
    on_train = evaluated(toy, trained[0], smooth="auto", partition="train")
    assert on_val.smooth == on_train.smooth
    assert any("smoothing was chosen" in note for note in on_val.notes)
    assert not any("smoothing was chosen" in note for note in on_train.notes)
    plain, fixed = evaluated(toy, trained[0]), evaluated(toy, trained[0], smooth=0.2)
    for name in plain.names:
        best = on_val.scores.overall[name].ccc.value
        assert best >= max(f.scores.overall[name].ccc.value for f in (plain, fixed)) - 1e-12
    one = evaluated(toy, trained[0], smooth={"valence": 0.2})
    assert one.scores.overall["arousal"] == plain.scores.overall["arousal"]
    assert one.scores.overall["valence"] == fixed.scores.overall["valence"]


def test_gates_at_their_mean(toy: Toy, trained: Any) -> None:
    found = evaluated(toy, trained[0], gates=True)
    assert found.gates is not None
    assert found.mean_gates is not None
    assert set(found.gates[0]) == {"visual", "audio"}
    frames = sum(len(trace.time) for trace in found.traces)
    assert all(use.frames == frames for use in found.gates[0].values())
    assert found.mean_gates.overall["arousal"] != found.scores.overall["arousal"]
    again = evaluated(toy, trained[0])
    assert again.scores == found.scores
    bare = evaluated(toy, run_of(toy, fusion="concat"), gates=True)
    assert bare.gates == ({},)
    assert bare.mean_gates is None
    assert "no gates" in "\n".join(lines(bare))


def test_one_label_per_clip_is_compared_with_the_mean_of_what_is_there(toy: Toy) -> None:
    run = make_run()
    made = {
        clip: ClipLabels(clip, np.array([[i / 10, np.nan]]), None, None, None, Path("x.csv"),
                         clip_level=True)
        for i, clip in enumerate(toy.source.clips())
    }  # fmt: skip
    labels = Labels(made, ("valence", "arousal"), "as they are")
    clip = toy.source.clips()[0]
    features = toy.source.features[clip]
    gone = np.arange(len(features)) < 30
    patchy = replace(features, visual_valid=features.visual_valid & ~gone,
                     audio_valid=features.audio_valid & ~gone)  # fmt: skip
    source = replace(toy.source, features={**toy.source.features, clip: patchy})
    found = evaluate_clips([run], source, labels, EvaluationConfig(partition="all"))
    assert found.traces[0].clip == clip
    prediction = predict_stored(run, source, clip)
    there = prediction.face_valid | prediction.audio_valid
    assert not there.all()
    np.testing.assert_allclose(found.traces[0].prediction, prediction.values[there].mean(0)[None])
    assert found.scores.overall["valence"].frames == len(made)
    assert math.isnan(found.scores.overall["arousal"].ccc.value)
    assert math.isnan(found.scores.mean_ccc.value)
    assert math.isfinite(found.scores.overall["valence"].ccc.low)
    assert math.isnan(found.scores.clips[clip]["valence"].ccc.value)


def test_labels_come_as_late_as_in_training(toy: Toy) -> None:
    late = {clip: np.roll(values, 10, axis=0) for clip, values in toy.truth.items()}
    for values in late.values():
        values[:10] = np.nan
    labels = row_labels(late)
    run = run_of(toy, meta={"split": {"train": [], "val": toy.split.val}, "label_delay": 0.4})
    found = evaluate_clips([run], toy.source, labels, EvaluationConfig())
    for trace in found.traces:
        np.testing.assert_array_equal(trace.labels[:-10], toy.truth[trace.clip][:-10])
        assert np.isnan(trace.labels[-10:]).all()
    assert found.config.label_delay == 0.4
    plain = evaluate_clips([run], toy.source, labels, EvaluationConfig(label_delay=0.0))
    np.testing.assert_array_equal(plain.traces[0].labels, late[plain.traces[0].clip])
    with pytest.raises(UsageError, match=r"trained with 0, 0\.4 s.*--label-delay"):
        evaluated(toy, run, run_of(toy))


def test_valence_alone_is_enough(toy: Toy) -> None:
    labels = row_labels({c: v[:, :1] for c, v in toy.truth.items()}, ("valence",))
    found = evaluate_clips([run_of(toy)], toy.source, labels, EvaluationConfig())
    assert found.names == ("valence",)
    assert "predicted but not labelled: arousal" in found.notes
    with pytest.raises(UsageError, match=r"arousal: evaluate: not among the labels.*valence"):
        evaluate_clips([run_of(toy, outputs=("arousal",))], toy.source, labels, EvaluationConfig())


def test_a_clip_of_no_rows_and_one_of_one_row(toy: Toy) -> None:
    features = dict(toy.source.features)
    none, one = toy.split.val[:2]
    features[none] = rows_of(features[none], 0)
    features[one] = rows_of(features[one], 1)
    truth = {**toy.truth, none: toy.truth[none][:0], one: toy.truth[one][:1]}
    source = replace(toy.source, features=features)
    config = EvaluationConfig(stress=SHORT, gates=True, smooth="auto")
    found = evaluate_clips([run_of(toy)], source, row_labels(truth), config)
    assert [len(trace.time) for trace in found.traces][:2] == [0, 1]
    assert "\n".join(lines(found)).count("-") > 2


def rows_of(features: ClipFeatures, rows: int) -> ClipFeatures:
    from grjca.fusion.data import take_rows

    return take_rows(features, slice(0, rows))


def test_a_single_clip_has_no_interval(toy: Toy) -> None:
    clip = toy.split.val[0]
    found = evaluated(toy, make_run((), [clip]), stress=SHORT)
    own = found.scores.overall["valence"].ccc
    assert math.isfinite(own.value)
    assert math.isnan(own.low)
    assert all(math.isnan(row.ccc["valence"].high) for row in found.stress)
    assert any("1 clips" in note for note in found.notes)


def test_labels_that_do_not_match_the_frames(toy: Toy) -> None:
    clip = toy.split.val[0]
    labels = row_labels({**toy.truth, clip: toy.truth[clip][:-3]})
    rows = len(toy.truth[clip])
    with pytest.raises(GrjcaError, match=rf"{rows - 3} rows of labels for the {rows} frames"):
        evaluate_clips([run_of(toy)], toy.source, labels, EvaluationConfig())
    cut = evaluate_clips([run_of(toy)], toy.source, labels, EvaluationConfig(align="truncate"))
    assert np.isnan(cut.traces[0].labels[-3:]).all()


def test_nothing_labelled(toy: Toy) -> None:
    labels = row_labels({clip: values * np.nan for clip, values in toy.truth.items()})
    with pytest.raises(UsageError, match="3 clips: evaluate: no frame is labelled"):
        evaluate_clips([run_of(toy)], toy.source, labels, EvaluationConfig())


def test_damaged_features_are_named(toy: Toy) -> None:
    clip = toy.split.val[0]
    features = toy.source.features[clip]
    assert features.visual is not None
    visual = features.visual.copy()
    row = int(np.flatnonzero(features.visual_valid)[7])
    visual[row, 2] = np.inf
    damaged = ToySource({**toy.source.features, clip: replace(features, visual=visual)})
    message = f"{clip}: features: NaN or infinity in valid visual rows {row}"
    with pytest.raises(GrjcaError, match=message):
        evaluate_clips([run_of(toy)], damaged, toy.labels, EvaluationConfig())


def test_a_checkpoint_for_other_dimensions(toy: Toy) -> None:
    with pytest.raises(GrjcaError, match=r"features: 6 visual numbers per row, the model takes 9"):
        evaluated(toy, run_of(toy, visual_dim=9))


def test_features_of_another_embedder_or_made_otherwise(toy: Toy) -> None:
    with pytest.raises(UsageError, match="no visual features called ir50 in lab/c06"):
        evaluated(toy, replace(run_of(toy), visual="ir50"))
    other = {"visual": {"name": "fer", "config": {"views": 1}}}
    with pytest.raises(GrjcaError, match=r"otherwise than what .*visual\.config\.views: 1, 9"):
        evaluated(toy, replace(run_of(toy), recipe=other))
    bare = {clip: {"visual": [], "audio": []} for clip in toy.source.clips()}
    source = replace(toy.source, names=bare)
    with pytest.raises(UsageError, match="no clip has visual or audio features"):
        evaluate_clips([run_of(toy)], source, toy.labels, EvaluationConfig())
    deaf = Inputs(6, 4, ("visual",))
    lone = evaluated(toy, replace(run_of(toy), audio="other", inputs=deaf))
    assert len(lone.traces) == 3


@pytest.mark.parametrize(
    "values", [{"smooth": "wide"}, {"smooth": -1.0}, {"resamples": 1}, {"partition": "dev"}]
)
def test_settings_out_of_range(values: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        EvaluationConfig(**values)


@pytest.mark.parametrize(
    "values", [{"noise": (0.0,)}, {"lag": (-1.0,)}, {"faces": (1.5,)}, {"burst": 0.0}]
)
def test_a_sweep_out_of_range(values: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        StressConfig(**values)


def test_json_and_text_say_the_same(toy: Toy, trained: Any, tmp_path: Path) -> None:
    found = evaluated(toy, trained[0], stress=SHORT, gates=True, smooth=0.1)
    write_json(tmp_path / "scores.json", found, [{"name": "run", "sha256": "00"}])
    read = json.loads((tmp_path / "scores.json").read_text())
    value = read["overall"]["valence"]["ccc"]["value"]
    assert value == found.scores.overall["valence"].ccc.value
    assert read["config"]["stress"]["noise"] == [1.0, 4.0]
    assert read["checkpoints"] == [{"name": "run", "sha256": "00"}]
    assert len(read["stress"]) == 3 + 4 + 4 + 2
    text = "\n".join(lines(found))
    assert f"{value:.3f} [" in text
    assert "late sound -0.2 s" in text
    assert "faces missing 75%" in text
    assert "with every gate held at its mean" in text
    for note in found.notes:
        assert f"note: {note}" in text


def test_the_noise_unit_is_the_features_deviation(toy: Toy) -> None:
    """At one deviation of noise, the standardised input has twice the variance."""
    from grjca.evaluation.stress import FeatureSpread, perturbation

    features = toy.source.features[toy.split.val[0]]
    spread = FeatureSpread()
    spread.add(features)
    units = spread.deviations()
    assert features.audio is not None
    there = features.audio[features.audio_valid].astype(np.float64)
    np.testing.assert_allclose(units["audio"], there.std(axis=0), rtol=1e-6)
    noisy = perturbation(Condition("sound noise", 1.0), SHORT, units)(features)
    assert noisy.audio is not None
    ratio = noisy.audio[noisy.audio_valid].var(axis=0) / there.var(axis=0)
    np.testing.assert_allclose(ratio, 2, atol=0.6)
    assert predict_clip(run_of(toy), noisy).values.shape == (len(features), 2)
