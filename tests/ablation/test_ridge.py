from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import optimize

from grjca.ablation.ridge import PENALTIES, fit_ridge, ridge_scores
from grjca.cache import FeatureStore
from grjca.fusion.data_config import DataConfig
from grjca.fusion.metrics import ccc
from grjca.fusion.train_config import TrainConfig
from grjca.labels.readers import read_labels
from grjca.labels.splits import Split
from grjca.synth.complementarity import STREAMS, Complementarity, make_clip
from grjca.synth.writing import write_complementarity


def test_weights_minimise_the_penalised_error() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)) + 5.0, rng.normal(size=30)
    y[3] = np.nan
    for penalty, found in zip((0.5, 20.0), fit_ridge(x, y, (0.5, 20.0)), strict=True):

        def error(w: np.ndarray, penalty: float = penalty) -> float:
            residual = np.delete(y, 3) - np.delete(x, 3, axis=0) @ w[:-1] - w[-1]
            return float(residual @ residual + penalty * w[:-1] @ w[:-1])

        best = optimize.minimize(error, np.zeros(5), tol=1e-12).x
        np.testing.assert_allclose(found, best, atol=1e-5)


def test_more_features_than_rows_and_constant_ones_are_no_obstacle() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(5, 20)), rng.normal(size=5)
    x[:, 3] = 7.0
    weights = fit_ridge(x, y, (1e-9,))[0]
    np.testing.assert_allclose(x @ weights[:-1] + weights[-1], y, atol=1e-5)


def test_scores_are_those_of_a_regression_done_by_hand(tmp_path: Path) -> None:
    config = Complementarity(0.4, "absent", clips=10, seconds=8.0, fps=5.0)
    made = write_complementarity(config, tmp_path / "set")
    names = [f"clip00{i}" for i in range(10)]
    split = Split(tuple(names[:6]), tuple(names[6:8]), True, test=tuple(names[8:]))
    found = ridge_scores(
        FeatureStore(made.store), read_labels(made.labels), split, TrainConfig(), DataConfig()
    )
    clips = [make_clip(config, i) for i in range(10)]
    sides = []
    for stream in STREAMS:
        train = np.concatenate([c.features[stream] for c in clips[:6]]).astype(np.float64)
        mean, deviation = np.nanmean(train, axis=0), np.nanstd(train, axis=0)
        sides.append([(c.features[stream] - mean) / deviation for c in clips])
    rows = []
    for v, a in zip(*sides, strict=True):
        gone = np.column_stack([np.isnan(v[:, 0]), np.isnan(a[:, 0])])
        rows.append(np.column_stack([np.nan_to_num(np.column_stack([v, a])), gone]))
    x, y = np.concatenate(rows[:6]), np.concatenate([c.target for c in clips[:6]])
    for k, name in enumerate(("valence", "arousal")):
        tried = []
        for penalty in PENALTIES:
            centred = x - x.mean(axis=0)
            w = np.linalg.solve(
                centred.T @ centred + penalty * np.eye(x.shape[1]),
                centred.T @ (y[:, k] - y[:, k].mean()),
            )
            level = y[:, k].mean() - x.mean(axis=0) @ w

            def reached(which: slice, w: np.ndarray = w, level: float = level, k: int = k) -> float:
                said = np.concatenate(rows[which]) @ w + level
                return ccc(said, np.concatenate([c.target[:, k] for c in clips[which]]))

            tried.append((reached(slice(6, 8)), reached(slice(8, 10))))
        assert found[name] == pytest.approx(max(tried)[1], abs=1e-4)


def test_labels_of_whole_clips_are_regressed_on_their_means(tmp_path: Path) -> None:
    made = write_complementarity(Complementarity(0.0, clips=30, seconds=4, fps=5), tmp_path / "set")
    store = FeatureStore(made.store)
    lines = ["clip,valence"]
    for name in store.clips():
        mean = store.read(name, "synthetic", "synthetic").visual[:, 0].mean()
        lines.append(f"{name},{np.tanh(mean):.6f}")
    (tmp_path / "l.csv").write_text("\n".join(lines))
    clips = store.clips()
    split = Split(tuple(clips[:20]), tuple(clips[20:25]), True, test=tuple(clips[25:]))
    labels = read_labels(tmp_path / "l.csv")
    found = ridge_scores(store, labels, split, TrainConfig(), DataConfig())
    assert found["valence"] > 0.9
