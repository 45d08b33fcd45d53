"""A moving mean over labels: of what is labelled, at any rate."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from grjca.labels.smoothing import moving_mean


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 60), st.floats(0.0, 3.0), st.floats(0.0, 1.0), st.integers(0, 1000))
def test_it_is_the_mean_of_the_labelled_rows_within_reach(
    rows: int, width: float, gaps: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    time, values = np.cumsum(rng.uniform(0.01, 0.3, rows)), rng.uniform(-1, 1, size=(rows, 2))
    values[rng.random(values.shape) < gaps] = np.nan
    before = values.copy()
    found = moving_mean(values, time, width)
    for i in range(rows):
        near = np.abs(time - time[i]) <= width / 2 + 1e-9
        for k in range(2):
            if np.isnan(values[i, k]):
                assert np.isnan(found[i, k])
            else:
                own = values[near, k]
                np.testing.assert_allclose(found[i, k], own[~np.isnan(own)].mean(), atol=1e-9)
    np.testing.assert_array_equal(values, before)
