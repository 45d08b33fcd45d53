from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from toy_features import make_toy
from toy_runs import make_run

from grjca.evaluation.gates import GateSums, entropy, with_mean_gates
from grjca.fusion.predictor import predict_stored


def test_entropy_is_scipys_over_log_n() -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(3), size=20)
    np.testing.assert_allclose(entropy(weights), stats.entropy(weights, axis=1) / np.log(3))
    np.testing.assert_allclose(entropy(np.eye(3)), 0)
    np.testing.assert_allclose(entropy(np.full((2, 4), 0.25)), 1)
    np.testing.assert_array_equal(entropy(np.ones((5, 1))), 0)


def test_uses_are_over_all_frames_of_all_clips() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.dirichlet(np.ones(3), size=n) for n in (5, 0, 50)]
    sums = GateSums()
    for part in parts:
        sums.add({"visual": part})
    use = sums.use()["visual"]
    everything = np.concatenate(parts)
    assert use.frames == 55
    assert use.mean == pytest.approx(everything.mean(axis=0))
    assert use.deviation == pytest.approx(everything.std(axis=0))
    assert use.entropy == pytest.approx(entropy(everything).mean())
    assert use.mean_entropy == pytest.approx(float(entropy(everything.mean(axis=0))))
    assert use.entropy < use.mean_entropy
    assert GateSums().use() == {}


@pytest.mark.parametrize("fusion", ["grjca", "hgrjca", "rjca"])
def test_gates_are_held_at_their_mean_and_let_go_again(fusion: str) -> None:
    toy = make_toy(1, 1)
    run, clip = make_run(fusion=fusion), toy.split.val[0]
    free = predict_stored(run, toy.source, clip)
    sums = GateSums()
    sums.add(free.gates)
    with with_mean_gates([run], [sums.use()]):
        held = predict_stored(run, toy.source, clip)
    for name, weights in held.gates.items():
        assert np.ptp(weights, axis=0).max() < 1e-6
        np.testing.assert_allclose(weights[0], free.gates[name].mean(axis=0), atol=1e-6)
    assert set(free.gates) == {n for n, _ in run.model.gates().items()}
    again = predict_stored(run, toy.source, clip)
    np.testing.assert_array_equal(again.values, free.values)
    assert (np.abs(held.values - free.values).max() > 1e-5) == (fusion != "rjca")
