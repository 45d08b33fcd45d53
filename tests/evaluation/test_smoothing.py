from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grjca.evaluation.scores import Trace
from grjca.evaluation.smoothing import WIDTHS, best_widths, check_widths, smoothed
from grjca.fusion.metrics import ccc
from grjca.labels.smoothing import moving_mean


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 60), st.floats(0.0, 3.0), st.integers(0, 1000))
def test_moving_mean_is_the_mean_within_reach(rows: int, width: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    time, values = np.cumsum(rng.uniform(0.01, 0.3, rows)), rng.normal(size=(rows, 2))
    found = moving_mean(values, time, width)
    assert found.shape == values.shape
    for i in range(rows):
        near = np.abs(time - time[i]) <= width / 2 + 1e-9
        np.testing.assert_allclose(found[i], values[near].mean(axis=0), atol=1e-9)
    if rows:
        np.testing.assert_allclose(moving_mean(values[:, 0], time, width), found[:, 0])


def test_at_a_constant_rate_it_is_a_centred_box() -> None:
    values = np.random.default_rng(0).normal(size=50)
    found = moving_mean(values, np.arange(50) / 25, 0.2)
    np.testing.assert_allclose(found[2:-2], np.convolve(values, np.ones(5) / 5, "valid"))


def noisy(noise: tuple[float, float], clips: int = 4) -> list[Trace]:
    rng = np.random.default_rng(0)
    traces = []
    for i in range(clips):
        time = np.arange(1000) / 25
        labels = 0.5 * np.stack([np.sin(time / 4 + i), np.sin(time / 4 - i)], axis=1)
        prediction = labels + rng.normal(size=labels.shape) * noise
        labels[i::7] = np.nan
        traces.append(Trace(f"{i}.mp4", time, prediction, labels))
    return traces


def test_the_best_width_is_the_best_of_those_tried() -> None:
    names = ("valence", "arousal")
    traces = noisy((0.0, 0.5))
    found = best_widths(traces, names)
    assert found["valence"] == 0.0
    assert found["arousal"] >= 1.0
    y = np.concatenate([t.labels[:, 1] for t in traces])
    tried = [
        ccc(
            np.concatenate([moving_mean(t.prediction[:, 1], t.time, w) for t in traces]),
            y, ~np.isnan(y),
        )
        for w in WIDTHS
    ]  # fmt: skip
    assert found["arousal"] == WIDTHS[int(np.argmax(tried))]
    changed = smoothed(traces[0], found, names)
    np.testing.assert_array_equal(changed.prediction[:, 0], traces[0].prediction[:, 0])
    assert np.std(changed.prediction[:, 1] - traces[0].prediction[:, 1]) > 0.1


def test_nothing_labelled_is_not_smoothed() -> None:
    traces = noisy((0.1, 0.1))
    blank = [Trace(t.clip, t.time, t.prediction, t.labels * np.nan) for t in traces]
    assert best_widths(blank, ("valence", "arousal")) == {"valence": 0.0, "arousal": 0.0}


@pytest.mark.parametrize("widths", [-1.0, float("nan"), float("inf"), "wide", {"joy": 1.0},
                                    {"valence": -1.0}])  # fmt: skip
def test_widths_that_make_no_sense(widths: Any) -> None:
    with pytest.raises(ValueError, match="smooth"):
        check_widths(widths)
