from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from grjca.ablation.comparison import compare, mean_of, overlap_of
from grjca.ablation.documents import markdown
from grjca.ablation.plan import Trial
from grjca.ablation.scores import TrialScore
from grjca.evaluation.gates import GateUse

SEEDS, FOLDS = (1, 2, 3), (1, 2)


def scores(variant: str, shift: float, rng: np.random.Generator) -> list[TrialScore]:
    made = []
    for seed in SEEDS:
        for fold in FOLDS:
            valence = 0.1 * fold + shift + 0.01 * rng.normal()
            gates = {"visual": GateUse((0.5, 0.5), (0.1, 0.1), 0.4, 1.0, 10)}
            gated = variant == "grjca"
            made.append(
                TrialScore(
                    Trial(seed, fold, variant),
                    {"valence": valence, "arousal": valence + 0.2},
                    {"valence": valence - 0.05, "arousal": valence + 0.2} if gated else {},
                    gates if gated else {},
                    3,
                    7,
                    2.0,
                )
            )
    return made


def test_the_interval_is_student_s() -> None:
    values = np.random.default_rng(0).normal(size=9)
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    found = mean_of([*values, math.nan])
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.value == pytest.approx(values.mean())
    assert found.deviation == pytest.approx(values.std(ddof=1))
    assert found.trials == 9


def test_clips_in_common_widen_the_interval() -> None:
    plain, corrected = mean_of([1.0, 2.0, 4.0]), mean_of([1.0, 2.0, 4.0], overlap=1 / 3)
    ratio = math.sqrt((1 / 3 + 1 / 3) / (1 / 3))
    assert corrected.high - corrected.value == pytest.approx(ratio * (plain.high - plain.value))


def test_one_value_has_no_interval_and_none_no_mean() -> None:
    assert math.isnan(mean_of([0.5]).low)
    assert mean_of([0.5]).value == 0.5
    assert math.isnan(mean_of([math.nan]).value)


def test_an_interval_of_95_percent_covers_the_truth_so_often() -> None:
    rng = np.random.default_rng(3)
    found = [mean_of(rng.normal(0.3, 0.1, size=5).tolist()) for _ in range(2000)]
    assert np.mean([m.low <= 0.3 <= m.high for m in found]) == pytest.approx(0.95, abs=0.015)


def test_differences_are_taken_within_seed_and_fold() -> None:
    rng = np.random.default_rng(1)
    concat, grjca = scores("concat", 0.3, rng), scores("grjca", 0.35, rng)
    # The order of trials must not matter.
    results = compare([*grjca[::-1], *concat], ("concat", "grjca"), "concat")
    pairs = [a.mean - b.mean for a, b in zip(grjca, concat, strict=True)]
    base, other = results
    assert base.difference == {}
    assert other.difference["mean"].value == pytest.approx(np.mean(pairs))
    assert other.difference["mean"].deviation == pytest.approx(np.std(pairs, ddof=1))
    assert other.better == sum(p > 0 for p in pairs)
    # Folds differ by far more than fusions: only pairing can tell.
    assert other.difference["mean"].low > 0
    assert other.ccc["mean"].low < base.ccc["mean"].high


def test_gates_are_averaged_and_what_choosing_is_worth_is_told() -> None:
    rng = np.random.default_rng(1)
    base, other = compare(
        [*scores("concat", 0.3, rng), *scores("grjca", 0.3, rng)], ("concat", "grjca"), "concat"
    )
    assert base.choosing is None
    assert other.choosing is not None
    assert other.choosing.value == pytest.approx(0.025)
    assert (other.entropy, other.mean_entropy) == pytest.approx((0.4, 1.0))
    lines = list(markdown((base, other), ["a note"]))
    assert len({line.count("|") for line in lines[:4]}) == 1
    assert "+0.025" in lines[3]
    assert lines[-1] == "- a note"


def test_a_variant_without_a_trial_is_refused() -> None:
    with pytest.raises(ValueError, match="rjca"):
        compare(scores("concat", 0.0, np.random.default_rng(0)), ("concat", "rjca"), "concat")


def test_overlap_is_that_of_the_folds() -> None:
    sizes = {1: (6, 3), 2: (8, 2)}
    assert overlap_of([Trial(1, 1, "ca"), Trial(1, 2, "ca")], sizes) == pytest.approx(0.375)
    assert overlap_of([Trial(1, 0, "ca")], {0: (6, 3)}) == 0.0
