import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grjca.labels.ewe import rater_weights, weighted_mean

NAN = np.nan


def noisy(deviations: list[float], rows: int = 2000, seed: int = 1) -> np.ndarray:
    draw = np.random.default_rng(seed)
    truth = draw.normal(size=rows)
    return np.stack([truth + s * draw.normal(size=rows) for s in deviations], axis=1)


def brute_force(ratings: np.ndarray) -> list[float]:
    weights = []
    for k in range(ratings.shape[1]):
        pairs = [
            (row[k], np.mean([v for j, v in enumerate(row) if j != k and not np.isnan(v)]))
            for row in ratings
            if not np.isnan(row[k]) and sum(~np.isnan(row)) > 1
        ]
        own, others = zip(*pairs, strict=True)
        weights.append(max(0.0, float(np.corrcoef(own, others)[0, 1])))
    return weights


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 6), st.integers(0, 10_000))
def test_weights_and_mean_agree_with_brute_force(raters: int, seed: int) -> None:
    draw = np.random.default_rng(seed)
    ratings = noisy(list(draw.uniform(0.1, 3, raters)), 60, seed)
    ratings[draw.random(ratings.shape) < 0.2] = NAN
    weights = rater_weights(ratings)
    np.testing.assert_allclose(weights, brute_force(ratings), atol=1e-10)
    for row, mean in zip(ratings, weighted_mean(ratings, weights), strict=True):
        there = [(w, v) for w, v in zip(weights, row, strict=True) if w > 0 and not np.isnan(v)]
        if there:
            assert mean == pytest.approx(sum(w * v for w, v in there) / sum(w for w, _ in there))
        else:
            assert np.isnan(mean)


def test_good_raters_weigh_more_and_the_mean_is_nearer_the_truth() -> None:
    ratings = noisy([0.3, 0.3, 0.3, 0.3, 3.0])
    truth = np.random.default_rng(1).normal(size=2000)
    weights = rater_weights(ratings)
    assert weights[0] > 2 * weights[4]
    error = np.abs(weighted_mean(ratings, weights) - truth).mean()
    assert error < 0.7 * np.abs(ratings.mean(axis=1) - truth).mean()


def test_two_raters_weigh_the_same() -> None:
    first, second = rater_weights(noisy([0.2, 2.0]))
    assert first == pytest.approx(second)


def test_a_rater_who_always_says_the_same() -> None:
    ratings = noisy([0.5, 0.5, 0.5])
    ratings[:, 1] = 0.1
    weights = rater_weights(ratings)
    assert weights[1] == 0
    assert (weights[[0, 2]] > 0.5).all()
    # Where nobody else rated, nothing is left; a constant is no label.
    ratings[:3, [0, 2]] = NAN
    assert np.isnan(weighted_mean(ratings, weights)[:3]).all()


def test_a_rater_who_contradicts() -> None:
    ratings = noisy([0.3, 0.3, 0.3, 0.3])
    ratings[:, 3] *= -1
    assert rater_weights(ratings)[3] == 0


def test_raters_without_anything_in_common_count_fully() -> None:
    ratings = np.array([[0.1, NAN], [0.4, NAN], [NAN, 0.2], [NAN, 0.7]])
    weights = rater_weights(ratings)
    assert weights.tolist() == [1, 1]
    assert weighted_mean(ratings, weights).tolist() == [0.1, 0.4, 0.2, 0.7]


def test_only_constant_raters_or_one_row_give_no_warning_from_numpy() -> None:
    assert rater_weights(np.full((5, 3), 0.1)).tolist() == [0, 0, 0]
    assert rater_weights(np.array([[0.1, 0.2]])).tolist() == [0, 0]
    assert rater_weights(np.full((4, 2), NAN)).tolist() == [1, 1]
    assert np.isnan(weighted_mean(np.full((4, 2), NAN), np.ones(2))).all()
