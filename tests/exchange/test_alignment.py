from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grjca.exchange.alignment import Align, agree, bring

GRIDS = st.lists(st.integers(0, 400), min_size=1, max_size=40, unique=True).map(
    lambda ticks: np.array(sorted(ticks)) / 100
)


def slowly(
    values: np.ndarray, valid: np.ndarray, own: np.ndarray, rows: np.ndarray, how: Align
) -> list[np.ndarray | None]:
    """Row by row, by the words of the documentation."""
    step = float(np.median(np.diff(own))) if len(own) > 1 else 0.0
    row_step = float(np.median(np.diff(rows))) if len(rows) > 1 else 0.0
    found: list[np.ndarray | None] = []
    for t in rows:
        nearest = min(range(len(own)), key=lambda i: (round(abs(own[i] - t), 9), i))
        near = abs(own[nearest] - t) <= max(step, row_step) / 2 + 1e-6
        alone = values[nearest] if near and valid[nearest] else None
        before = [i for i in range(len(own)) if own[i] < t - 1e-6]
        after = [i for i in range(len(own)) if own[i] > t + 1e-6]
        exact = abs(own[nearest] - t) <= 1e-6
        if how == "nearest" or exact or not before or not after:
            found.append(alone)
            continue
        a, b = before[-1], after[0]
        share = (t - own[a]) / (own[b] - own[a])
        joined = valid[a] and valid[b] and own[b] - own[a] <= 1.5 * step + 1e-6
        found.append(values[a] * (1 - share) + values[b] * share if joined else None)
    return found


@settings(max_examples=150, deadline=None)
@given(GRIDS, GRIDS, st.integers(0, 2**32 - 1), st.sampled_from(["nearest", "linear"]))
def test_rows_are_brought_as_a_slow_search_brings_them(
    own: np.ndarray, rows: np.ndarray, seed: int, how: Align
) -> None:
    if agree(own, rows):
        return
    rng = np.random.default_rng(seed)
    valid = rng.random(len(own)) < 0.8
    values = rng.normal(size=(len(own), 2)).astype(np.float32)
    brought, mask = bring(values, valid, own, rows, how)
    wanted = slowly(values, valid, own, rows, how)
    assert mask.tolist() == [row is not None for row in wanted]
    assert brought.dtype == np.float32
    for row, want in zip(brought[mask], [row for row in wanted if row is not None], strict=True):
        np.testing.assert_allclose(row, want, rtol=1e-5, atol=1e-5)


def test_rows_that_agree_are_taken_as_they_are() -> None:
    own = np.arange(50) / 25 + 0.015
    values = np.arange(50, dtype=np.float32)[:, None]
    for how in ("nearest", "linear"):
        brought, mask = bring(values, np.ones(50, bool), own, np.arange(50) / 25, how)
        np.testing.assert_array_equal(brought, values)
        assert mask.all()


@pytest.mark.parametrize("how", ["nearest", "linear"])
def test_a_finer_sine_keeps_its_shape_on_coarser_rows(how: Align) -> None:
    own, rows = np.arange(1000) / 100, np.arange(250) / 25
    values = np.sin(own)[:, None].astype(np.float32)
    brought, mask = bring(values, np.ones(1000, bool), own, rows, how)
    assert mask.all()
    np.testing.assert_allclose(brought[:, 0], np.sin(rows), atol=1e-5)


def test_what_the_sound_does_not_reach_is_not_valid() -> None:
    own, rows = np.arange(100) / 100, np.arange(50) / 25
    _, mask = bring(np.ones((100, 1), np.float32), np.ones(100, bool), own, rows, "nearest")
    assert mask.tolist() == [True] * 26 + [False] * 24
