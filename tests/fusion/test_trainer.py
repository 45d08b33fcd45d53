import csv
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from toy_features import QUICK, SMALL, Toy, ToySource, make_clip, make_toy, row_labels

from grjca.errors import GrjcaError, UsageError
from grjca.fusion.checkpoint import load_checkpoint
from grjca.fusion.data import take_rows
from grjca.fusion.data_config import DataConfig
from grjca.fusion.metrics import ccc
from grjca.fusion.predictor import predict_clip
from grjca.fusion.train_config import TrainConfig
from grjca.fusion.trainer import TrainResult, train
from grjca.labels.splits import Split

SHORT = replace(QUICK, epochs=2)


def fit(toy: Toy, out: Path, config: TrainConfig = QUICK, **more: Any) -> TrainResult:
    fusion = {**SMALL, **more.pop("fusion", {})}
    return train(toy.source, toy.labels, toy.split, fusion, config, out, progress=False, **more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Toy, TrainResult]:
    toy = make_toy()
    return toy, fit(toy, tmp_path_factory.mktemp("runs") / "run")


def test_it_learns(trained: tuple[Toy, TrainResult]) -> None:
    _, result = trained
    assert result.best_ccc["valence"] > 0.9
    assert result.best_ccc["arousal"] > 0.9
    assert result.notes == ()


def test_labels_permuted_across_clips_teach_nothing(tmp_path: Path) -> None:
    toy = make_toy(rows=120)
    rows = min(map(len, toy.truth.values()))
    features = {
        clip: make_clip(clip, np.arange(rows) / 25, 50 + i)[0]
        for i, clip in enumerate(toy.source.clips())
    }
    names = list(toy.truth)
    permuted = {clip: toy.truth[names[i - 1]][:rows] for i, clip in enumerate(names)}
    toy = replace(toy, source=ToySource(features), labels=row_labels(permuted))
    result = fit(toy, tmp_path / "run", replace(QUICK, epochs=10))
    assert max(row["val_ccc"] for row in result.rows) < 0.2


def test_the_reported_ccc_is_that_of_the_predictions(trained: tuple[Toy, TrainResult]) -> None:
    toy, result = trained
    checkpoint = load_checkpoint(result.out)
    predicted = [predict_clip(checkpoint, toy.source.features[c]).values for c in toy.split.val]
    truth = [toy.truth[c] for c in toy.split.val]
    values, labels = np.concatenate(predicted), np.concatenate(truth)
    for k, name in enumerate(("valence", "arousal")):
        mask = ~np.isnan(labels[:, k])
        assert not mask.all()
        assert ccc(values[:, k], labels[:, k], mask) == pytest.approx(
            result.best_ccc[name], abs=1e-6
        )


def test_the_run_folder(trained: tuple[Toy, TrainResult]) -> None:
    toy, result = trained
    names = {
        "model.safetensors", "last.safetensors", "state.safetensors", "metrics.csv", "config.yaml",
    }  # fmt: skip
    assert {path.name for path in result.out.iterdir()} == names
    with (result.out / "metrics.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["epoch"]) for row in rows] == list(range(1, len(result.rows) + 1))
    assert list(rows[0]) == [
        "epoch", "lr", "train_loss", "val_ccc_valence", "val_ccc_arousal", "val_ccc", "seconds",
    ]  # fmt: skip
    best = max(rows, key=lambda row: float(row["val_ccc"]))
    assert int(best["epoch"]) == result.best_epoch
    settings = yaml.safe_load((result.out / "config.yaml").read_text())
    assert settings["train"]["lr"] == 1e-2
    assert settings["model"]["visual_channels"] == [16]
    assert settings["run"]["split"]["val"] == list(toy.split.val)
    checkpoint = load_checkpoint(result.out)
    assert checkpoint.rate == pytest.approx(25)
    assert (checkpoint.window, checkpoint.hop) == (50, 30)
    assert (checkpoint.visual, checkpoint.audio) == ("fer", "logmel")
    assert checkpoint.recipe["visual"] == {"name": "fer", "config": {"views": 9}}
    assert checkpoint.mapping == "as they are"
    assert checkpoint.outputs == ("valence", "arousal")
    assert checkpoint.meta["epoch"] == result.best_epoch
    assert checkpoint.meta["val_ccc"] == pytest.approx(result.best_ccc)
    assert checkpoint.meta["split"]["train"] == list(toy.split.train)
    assert {"grjca", "torch", "numpy", "python"} <= checkpoint.meta["versions"].keys()


def test_features_are_standardised_by_the_training_clips_alone(
    trained: tuple[Toy, TrainResult],
) -> None:
    toy, result = trained
    state = load_checkpoint(result.out).model.audio.input
    pooled = [toy.source.features[clip] for clip in toy.split.train]
    rows = np.concatenate([f.audio[f.audio_valid] for f in pooled if f.audio is not None])
    np.testing.assert_allclose(state.mean, rows.mean(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(state.std, rows.std(axis=0, dtype=np.float64), rtol=1e-5)


def test_nothing_of_this_machine_is_in_the_run(trained: tuple[Toy, TrainResult]) -> None:
    _, result = trained
    for path in result.out.iterdir():
        content = path.read_bytes()
        assert str(result.out).encode() not in content
        assert str(Path.home()).encode() + b"/" not in content


def without_seconds(path: Path) -> list[str]:
    return [line.rpartition(",")[0] for line in path.read_text().splitlines()]


def test_the_same_seed_gives_the_same_run(tmp_path: Path) -> None:
    toy = make_toy(3, 1)
    torch.manual_seed(1)
    fit(toy, tmp_path / "a", SHORT)
    torch.manual_seed(2)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    fit(toy, tmp_path / "b", SHORT)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    fit(toy, tmp_path / "c", replace(SHORT, seed=1))
    one, two, other = (without_seconds(tmp_path / x / "metrics.csv") for x in "abc")
    assert one == two
    assert one != other
    files = [(tmp_path / x / "model.safetensors").read_bytes() for x in "ab"]
    assert files[0] == files[1]


def test_reading_from_the_store_gives_the_same_run(tmp_path: Path) -> None:
    toy = make_toy(3, 1)
    fit(toy, tmp_path / "a", SHORT)
    fit(toy, tmp_path / "b", replace(SHORT, memory_limit=0))
    one, two = (without_seconds(tmp_path / x / "metrics.csv") for x in "ab")
    assert one == two


def test_one_modality_alone(tmp_path: Path) -> None:
    toy = make_toy()
    result = fit(toy, tmp_path / "run", replace(QUICK, modalities=("visual",)))
    assert result.best_ccc["valence"] > 0.8
    assert result.best_ccc["arousal"] < 0.6
    checkpoint = load_checkpoint(result.out)
    assert checkpoint.inputs.modalities == ("visual",)
    features = toy.source.features[toy.split.val[0]]
    other = replace(features, audio=np.ones_like(features.audio))
    np.testing.assert_array_equal(
        predict_clip(checkpoint, features).values, predict_clip(checkpoint, other).values
    )


@pytest.mark.parametrize("fusion", ["rjca", "concat"])
def test_other_fusions_and_one_dimension(tmp_path: Path, fusion: str) -> None:
    toy = make_toy(3, 1)
    truth = {clip: values[:, :1] for clip, values in toy.truth.items()}
    toy = replace(toy, labels=row_labels(truth, ("valence",)))
    result = fit(toy, tmp_path / "run", SHORT, fusion={"fusion": fusion})
    assert list(result.best_ccc) == ["valence"]
    assert "val_ccc_arousal" not in result.rows[0]
    prediction = predict_clip(load_checkpoint(result.out), toy.source.features[toy.split.val[0]])
    assert prediction.names == ("valence",)
    assert prediction.gates == {}


def test_one_of_two_labelled_dimensions_may_be_chosen(tmp_path: Path) -> None:
    result = fit(make_toy(3, 1), tmp_path / "run", SHORT, fusion={"outputs": ("arousal",)})
    assert list(result.best_ccc) == ["arousal"]


def test_clips_of_other_rates_and_without_sound(tmp_path: Path) -> None:
    toy = make_toy(3, 2)
    features = dict(toy.source.features)
    names = list(features)
    rng = np.random.default_rng(0)
    uneven = np.cumsum(rng.uniform(0.01, 0.05, size=len(features[names[0]])))
    features[names[0]] = replace(features[names[0]], time=uneven)
    silent = features[names[3]]
    none = np.zeros(len(silent), dtype=bool)
    features[names[3]] = replace(silent, audio=None, audio_valid=none)
    result = fit(replace(toy, source=ToySource(features)), tmp_path / "run", SHORT)
    assert load_checkpoint(result.out).rate == pytest.approx(25)


def test_the_best_weights_come_back_when_the_rate_falls(tmp_path: Path) -> None:
    toy = make_toy(3, 1)
    # A rate that is much too high, so that the epochs after the best are far from it, and a fall
    # to next to nothing, so that the epoch after the fall shows the weights it began with.
    config = replace(
        QUICK, epochs=25, lr=1.0, plateau_patience=3, plateau_factor=1e-9, min_lr=0, hop=50
    )
    scores = {}
    for reload_best in (True, False):
        out = tmp_path / f"run{reload_best}"
        result = fit(toy, out, replace(config, reload_best=reload_best))
        rates = [row["lr"] for row in result.rows]
        fall = next(i for i in range(1, len(rates)) if rates[i] < rates[i - 1])
        scores[reload_best] = [row["val_ccc"] for row in result.rows[: fall + 1]]
        assert load_checkpoint(out).meta["epoch"] == result.best_epoch
    *before, after = scores[True]
    assert scores[False][:-1] == before
    assert abs(after - max(before)) < 0.1
    assert abs(scores[False][-1] - max(before)) > 0.1


def test_a_loss_that_is_not_finite_stops_with_the_step(tmp_path: Path) -> None:
    config = replace(SHORT, lr=1e36, warmup_epochs=0)
    with pytest.raises(GrjcaError, match=r"epoch \d, step \d+: train: the loss is (nan|inf)"):
        fit(make_toy(3, 1), tmp_path / "run", config)


def test_a_run_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    toy = make_toy(3, 1)
    fit(toy, tmp_path / "run", SHORT)
    before = (tmp_path / "run" / "model.safetensors").read_bytes()
    with pytest.raises(UsageError, match=r"holds a run already .*overwrite"):
        fit(toy, tmp_path / "run", SHORT)
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == before
    again = fit(toy, tmp_path / "run", replace(SHORT, epochs=1), overwrite=True)
    assert len((again.out / "metrics.csv").read_text().splitlines()) == 2
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="a file, not a folder"):
        fit(toy, tmp_path / "file", SHORT)


def test_refusals_leave_no_folder_behind(tmp_path: Path) -> None:
    toy = make_toy(3, 1)
    out = tmp_path / "run"
    with pytest.raises(UsageError, match="no such setting of the model"):
        fit(toy, out, fusion={"depth": 3})
    with pytest.raises(UsageError, match="fusion must be one of"):
        fit(toy, out, fusion={"fusion": "sum"})
    with pytest.raises(UsageError, match="outputs dominance: train: not among the labels"):
        fit(toy, out, fusion={"outputs": ("dominance",)})
    with pytest.raises(UsageError, match="no visual features called ir50"):
        fit(toy, out, data=DataConfig(visual="ir50"))
    first = toy.split.train[0]
    names = {f"zzz{i}": toy.truth[first] for i in range(5)}
    with pytest.raises(GrjcaError, match=r"5 of 9 labelled .* no such clip in the store: zzz0"):
        fit(replace(toy, labels=row_labels({**toy.truth, **names})), out)
    fewer = {clip: values for clip, values in toy.truth.items() if clip != first}
    with pytest.raises(UsageError, match=r"without labels: lab/c00\.mp4"):
        fit(replace(toy, labels=row_labels(fewer)), out)
    short = {**toy.truth, first: toy.truth[first][:-1]}
    with pytest.raises(GrjcaError, match=r"c00\.mp4\.txt: labels: 119 rows .* 120 frames"):
        fit(replace(toy, labels=row_labels(short)), out)
    val = toy.split.val[0]
    blank = {**toy.truth, val: toy.truth[val] * [1, np.nan]}
    with pytest.raises(UsageError, match="arousal: train: no validation clip has a labelled"):
        fit(replace(toy, labels=row_labels(blank)), out)
    assert not out.exists()


def test_clips_without_labels_are_noted(tmp_path: Path) -> None:
    toy = make_toy(3, 2)
    left_out = toy.split.val[1]
    fewer = {clip: values for clip, values in toy.truth.items() if clip != left_out}
    split = Split(toy.split.train, toy.split.val[:1], True, notes=("mine",))
    more = {**fewer, "zzz": toy.truth[left_out]}
    result = fit(replace(toy, labels=row_labels(more), split=split), tmp_path / "run", SHORT)
    assert result.notes == (
        "mine",
        "1 of 5 labelled clips are not in the store: zzz",
        f"1 of 5 clips of the store have no labels: {left_out}",
    )


def test_labels_are_smoothed_for_the_loss_alone(tmp_path: Path) -> None:
    toy = make_toy(3, 2)
    plain = fit(toy, tmp_path / "plain", SHORT)
    data = DataConfig(label_smoothing_seconds=0.6)
    result = fit(toy, tmp_path / "run", SHORT, data=data)
    assert [row["train_loss"] for row in result.rows] != [row["train_loss"] for row in plain.rows]
    # The score is the one of the labels as they were written.
    checkpoint = load_checkpoint(result.out)
    predicted = [predict_clip(checkpoint, toy.source.features[c]).values for c in toy.split.val]
    values = np.concatenate(predicted)
    labels = np.concatenate([toy.truth[c] for c in toy.split.val])
    for k, name in enumerate(("valence", "arousal")):
        own = ccc(values[:, k], labels[:, k], ~np.isnan(labels[:, k]))
        assert own == pytest.approx(result.best_ccc[name], abs=1e-6)
    with pytest.raises(UsageError, match=r"label_smoothing_seconds: 0\.6, 0\.0"):
        fit(toy, result.out, SHORT, resume=True)


def test_most_clips_may_be_missing_when_asked(tmp_path: Path) -> None:
    toy = make_toy(3, 1)
    more = {**toy.truth, **{f"z{i}": toy.truth[toy.split.val[0]] for i in range(9)}}
    toy = replace(toy, labels=row_labels(more))
    with pytest.raises(GrjcaError, match="9 of 13 labelled clips"):
        fit(toy, tmp_path / "run", SHORT)
    result = fit(toy, tmp_path / "run", SHORT, data=DataConfig(allow_missing=True))
    assert result.notes[0].startswith("9 of 13 labelled clips are not in the store: z0, z1")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GrjcaError, match="cannot write it: Not a directory"):
        fit(make_toy(3, 1), tmp_path / "file" / "run", SHORT)


def test_metrics_can_be_read_while_training(tmp_path: Path) -> None:
    toy = make_toy(3, 1)
    seen: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            path = tmp_path / "run" / "metrics.csv"
            if path.exists():
                seen.append(len(path.read_text().splitlines()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    fit(toy, tmp_path / "run", replace(QUICK, epochs=4))
    done.set()
    watcher.join()
    assert len(set(seen)) > 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0), ("batch", 0), ("hop", 51), ("lr", 0.0), ("lr", float("nan")),
        ("weight_decay", -1.0), ("plateau_factor", 1.0), ("ccc_over", "clip"), ("rate", -1.0),
        ("modalities", ("text",)), ("threads", 0),
    ],
)  # fmt: skip
def test_settings_out_of_range(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        replace(QUICK, **{field: value})


def test_settings_survive_json() -> None:
    text = json.dumps(QUICK.__dict__)
    assert TrainConfig(**json.loads(text)) == QUICK


def test_damaged_features_are_named_before_the_first_step(tmp_path: Path) -> None:
    toy = make_toy(3, 2)
    for clip in (toy.split.train[1], toy.split.val[1]):
        features = toy.source.features[clip]
        assert features.audio is not None
        audio = features.audio.copy()
        rows = np.flatnonzero(features.audio_valid)[[4, 9]]
        audio[rows[0], 1], audio[rows[1], 0] = np.inf, np.nan
        damaged = {**toy.source.features, clip: replace(features, audio=audio)}
        with pytest.raises(GrjcaError) as caught:
            fit(replace(toy, source=ToySource(damaged)), tmp_path / "run")
        assert str(caught.value).startswith(f"{clip}: features: NaN or infinity in valid audio row")
        assert f"rows {rows[0]}, {rows[1]}" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_nothing_labelled(tmp_path: Path) -> None:
    toy = make_toy(3, 1)
    blank = {clip: values * np.nan for clip, values in toy.truth.items()}
    with pytest.raises(UsageError, match="valence: train: no training clip has a labelled frame"):
        fit(replace(toy, labels=row_labels(blank)), tmp_path / "run")


@pytest.mark.parametrize("time_mix", ["none", "dense"])
def test_a_window_longer_than_every_clip_is_one_window_per_clip(
    tmp_path: Path, time_mix: str
) -> None:
    toy = make_toy(4, 2)
    config = replace(SHORT, window=300, hop=200)
    result = fit(toy, tmp_path / "run", config, fusion={"time_mix": time_mix})
    assert len(result.rows) == 2
    prediction = predict_clip(load_checkpoint(result.out), toy.source.features[toy.split.val[0]])
    assert np.isfinite(prediction.values).all()


def test_clips_of_one_frame(tmp_path: Path) -> None:
    toy = make_toy(12, 6)
    features = {clip: take_rows(f, slice(0, 1)) for clip, f in toy.source.features.items()}
    truth = {clip: values[:1] for clip, values in toy.truth.items()}
    toy = replace(toy, source=ToySource(features), labels=row_labels(truth))
    result = fit(toy, tmp_path / "run", SHORT)
    assert load_checkpoint(result.out).rate == 1.0


def test_the_last_weights_are_kept_beside_the_best(trained: tuple[Toy, TrainResult]) -> None:
    _, result = trained
    last = load_checkpoint(result.out / "last.safetensors")
    assert last.meta["epoch"] == len(result.rows)
    names = ("valence", "arousal")
    reached = {name: result.rows[-1][f"val_ccc_{name}"] for name in names}
    assert last.meta["val_ccc"] == pytest.approx(reached)


def test_each_epoch_is_told_as_it_ends(tmp_path: Path) -> None:
    told: list[Any] = []
    result = fit(make_toy(3, 1), tmp_path / "run", SHORT, log=told.append)
    assert told == result.rows
