from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from grjca.synth.complementarity import STREAMS, Complementarity, MadeClip, make_clip


def made(**values: Any) -> list[MadeClip]:
    config = Complementarity(**{"dial": 0.5, "clips": 40, "seconds": 20.0, "fps": 5.0, **values})
    return [make_clip(config, number) for number in range(config.clips)]


def explained(
    clips: list[MadeClip], streams: tuple[str, ...], *, clean: bool
) -> NDArray[np.float64]:
    """R^2 by dimension on the second half of the clips, of least squares on the first half."""
    x, y = [], []
    for clip in clips:
        fine = ~(clip.failing("visual") | clip.failing("audio")) if clean else slice(None)
        side = np.concatenate([clip.features[stream] for stream in streams], axis=1)
        x.append(np.column_stack([side, np.ones(len(side))])[fine])
        y.append(clip.target[fine])
    half = len(clips) // 2
    fit_x, fit_y = np.concatenate(x[:half]).astype(np.float64), np.concatenate(y[:half])
    weights = np.linalg.lstsq(fit_x, fit_y, rcond=None)[0]
    new_x, new_y = np.concatenate(x[half:]), np.concatenate(y[half:])
    residual = ((new_y - new_x @ weights) ** 2).mean(axis=0)
    return np.asarray(1 - residual / new_y.var(axis=0))


def test_clean_rows_carry_the_target_linearly_and_the_streams_complement_each_other() -> None:
    clips = made(dial=0.25)
    both = explained(clips, STREAMS, clean=True)
    alone = [explained(clips, (stream,), clean=True) for stream in STREAMS]
    assert (both > 0.7).all()
    for one in alone:
        assert (one > 0.45).all()
        assert (both > one + 0.05).all()


def test_without_noise_clean_rows_give_the_target_almost_exactly() -> None:
    assert (explained(made(dial=0.25, noise=0.0), ("visual",), clean=True) > 0.94).all()


def test_misleading_rows_say_nothing_about_the_target_but_look_alike() -> None:
    clips = made(dial=0.75, cue=0.0, clips=60)
    x = np.concatenate([c.features["visual"] for c in clips]).astype(np.float64)
    x = np.column_stack([x, np.ones(len(x))])
    y = np.concatenate([c.target for c in clips])
    fails = np.concatenate([c.failing("visual") for c in clips])
    weights = np.linalg.lstsq(x[~fails], y[~fails], rcond=None)[0]
    says = x @ weights
    assert abs(np.corrcoef(says[fails, 0], y[fails, 0])[0, 1]) < 0.2
    assert np.corrcoef(says[~fails, 0], y[~fails, 0])[0, 1] > 0.7
    assert says[fails].std() == pytest.approx(says[~fails].std(), rel=0.15)


def test_a_cue_gives_misleading_rows_away() -> None:
    def told_apart(cue: float) -> float:
        clips = made(cue=cue)
        x = np.concatenate([c.features["audio"] for c in clips]).astype(np.float64)
        y = np.concatenate([c.failing("audio") for c in clips]).astype(np.float64)
        x = np.column_stack([x, np.ones(len(x))])
        return float(np.corrcoef(x @ np.linalg.lstsq(x, y, rcond=None)[0], y)[0, 1])

    assert told_apart(1.0) > 0.9
    assert told_apart(0.0) < 0.3


def test_a_dial_of_0_is_no_failure() -> None:
    for clip in made(dial=0.0, failure="both"):
        assert clip.spans == ()
        assert all(np.isfinite(x).all() for x in clip.features.values())


@settings(max_examples=60, deadline=None)
@given(
    dial=st.floats(0, 0.99), seconds=st.floats(0.5, 40), fps=st.floats(4, 30),
    span=st.floats(0.05, 60), seed=st.integers(0, 2**40),
)  # fmt: skip
def test_the_dial_is_the_share_of_rows_at_which_one_stream_fails(
    dial: float, seconds: float, fps: float, span: float, seed: int
) -> None:
    config = Complementarity(dial, "both", seconds=seconds, fps=fps, span=span, seed=seed)
    clip = make_clip(config, 3)
    visual, audio = (clip.failing(stream) for stream in STREAMS)
    assert (visual | audio).sum() == round(dial * config.rows)
    assert not (visual & audio).any()
    assert all(0 <= s.start < s.stop <= config.rows for s in clip.spans)


def test_both_streams_fail_about_equally_often_and_spans_last_as_asked() -> None:
    clips = made(dial=0.6, span=2.0, clips=60)
    shares = [np.mean([c.failing(s).mean() for c in clips]) for s in STREAMS]
    assert shares == pytest.approx([0.3, 0.3], abs=0.03)
    lengths = [s.stop - s.start for c in clips for s in c.spans]
    assert np.mean(lengths) == pytest.approx(2.0 * 5.0, rel=0.05)


def test_together_streams_fail_independently() -> None:
    clips = made(dial=0.5, together=True, clips=100)
    visual = np.concatenate([c.failing("visual") for c in clips])
    audio = np.concatenate([c.failing("audio") for c in clips])
    assert (visual | audio).mean() == pytest.approx(0.5, abs=0.03)
    assert (visual & audio).mean() == pytest.approx(visual.mean() * audio.mean(), abs=0.02)


def test_absent_rows_are_nan_and_no_others() -> None:
    for clip in made(failure="absent"):
        for stream in STREAMS:
            nan = np.isnan(clip.features[stream])
            assert (nan.all(axis=1) == clip.failing(stream)).all()
            assert (nan.any(axis=1) == nan.all(axis=1)).all()


def test_the_same_seed_gives_the_same_and_another_dial_changes_the_failures_alone() -> None:
    one, again, other = made(), made(), made(dial=0.25)
    for a, b, c in zip(one, again, other, strict=True):
        assert a.spans == b.spans
        np.testing.assert_array_equal(a.target, c.target)
        for stream in STREAMS:
            np.testing.assert_array_equal(a.features[stream], b.features[stream])
            fine = ~a.failing(stream) & ~c.failing(stream)
            np.testing.assert_array_equal(a.features[stream][fine], c.features[stream][fine])
    assert not np.array_equal(one[0].target, made(seed=1)[0].target)
    assert not np.array_equal(one[0].target, one[1].target)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dial", 1.0), ("dial", float("nan")), ("failure", "late"), ("cue", -1.0),
        ("noise", float("inf")), ("span", 0.0), ("seconds", 0.1), ("fps", float("nan")),
        ("clips", 4), ("visual_dim", 4), ("seed", -1),
    ],
)  # fmt: skip
def test_values_that_cannot_be_are_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        dataclasses.replace(Complementarity(0.5, fps=5.0), **{name: value})
