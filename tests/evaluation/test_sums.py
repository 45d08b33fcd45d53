from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import bootstrap

from grjca.evaluation.sums import METRICS, clip_sums, interval, metrics, resampled
from grjca.fusion.metrics import ccc, pearson, rmse

DIRECT = {"ccc": ccc, "pcc": pearson, "rmse": rmse}


def clips(count: int, rows: int = 50, seed: int = 0) -> list[tuple[Any, Any]]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        y = np.clip(rng.normal(0, 0.3) + rng.normal(0, 0.2, (rows, 2)), -1, 1)
        x = np.clip(0.6 * y + rng.normal(0, 0.2) + rng.normal(0, 0.1, (rows, 2)), -1, 1)
        y[rng.random((rows, 2)) < 0.2] = np.nan
        found.append((x, y))
    return found


def table(pairs: list[tuple[Any, Any]]) -> NDArray[np.float64]:
    return np.stack([clip_sums(x, y) for x, y in pairs])


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 6), st.integers(2, 60), st.integers(0, 2**32 - 1))
def test_sums_of_clips_give_the_metrics_of_all_frames(count: int, rows: int, seed: int) -> None:
    pairs = clips(count, rows, seed)
    x, y = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    found = metrics(table(pairs).sum(axis=0))
    for name in METRICS:
        for k in range(2):
            wanted = DIRECT[name](x[:, k], y[:, k], ~np.isnan(y[:, k]))
            assert found[name][k] == pytest.approx(wanted, abs=1e-9, nan_ok=True)


def test_a_million_frames_lose_no_digit_that_is_shown() -> None:
    rng = np.random.default_rng(0)
    y = 0.9 + 0.001 * rng.standard_normal((1_000_000, 1))
    x = y + 0.001 * rng.standard_normal(y.shape)
    assert metrics(clip_sums(x, y))["ccc"][0] == pytest.approx(ccc(x, y), abs=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "wanted"),
    [
        ([], [], (math.nan, math.nan, math.nan)),
        ([0.3], [0.4], (math.nan, math.nan, math.nan)),
        ([0.1] * 7, [0.1] * 7, (math.nan, math.nan, 0.0)),
        ([0.1] * 7, [0.4] * 7, (0.0, math.nan, 0.3)),
        ([0.1] * 2, [0.0, 0.2], (0.0, math.nan, 0.1)),
        ([0.3, 0.7], [math.nan, 0.7], (math.nan, math.nan, math.nan)),
    ],
)
def test_what_is_undefined_is_nan(x: Any, y: Any, wanted: tuple[float, ...]) -> None:
    found = metrics(clip_sums(np.array(x).reshape(-1, 1), np.array(y).reshape(-1, 1)))
    for name, value in zip(METRICS, wanted, strict=True):
        assert found[name][0] == pytest.approx(value, abs=1e-9, nan_ok=True)


def test_predictions_of_unlabelled_frames_do_not_matter() -> None:
    x, y = clips(1)[0]
    other = np.where(np.isnan(y), np.nan, x)
    np.testing.assert_array_equal(clip_sums(x, y), clip_sums(other, y))


def test_intervals_agree_with_scipys_bootstrap() -> None:
    sums = table(clips(15))
    drawn = resampled(sums, 1, 4000)["ccc"]

    def statistic(*columns: Any, axis: int) -> Any:
        return metrics(np.stack([c.sum(axis=axis) for c in columns], axis=-1))["ccc"]

    for k in range(2):
        theirs = bootstrap(
            tuple(sums[:, k].T), statistic, paired=True, vectorized=True, n_resamples=4000,
            method="percentile", random_state=np.random.default_rng(2),
        ).confidence_interval  # fmt: skip
        assert interval(drawn[:, k]) == pytest.approx((theirs.low, theirs.high), abs=0.01)


def test_the_same_seed_draws_the_same_clips() -> None:
    sums = table(clips(8))
    one, other = resampled(sums, 5, 300), resampled(sums, 5, 300)
    np.testing.assert_array_equal(one["ccc"], other["ccc"])
    assert (resampled(sums, 6, 300)["ccc"] != one["ccc"]).any()


def test_an_interval_needs_values() -> None:
    values = np.linspace(0, 1, 1001)
    assert interval(values) == pytest.approx((0.025, 0.975))
    values[:40] = np.nan
    assert interval(values)[0] > 0.04
    values[:100] = np.nan
    assert all(math.isnan(bound) for bound in interval(values))
