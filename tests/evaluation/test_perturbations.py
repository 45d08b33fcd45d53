from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_features import AUDIO_DIM, VISUAL_DIM, make_clip

from grjca.cache.records import ClipFeatures
from grjca.evaluation.perturbations import with_late_sound, with_noise, without, without_faces


def clip(rows: int = 200, fps: float = 25.0) -> ClipFeatures:
    return make_clip("lab/a.mp4", np.arange(rows) / fps, 7)[0]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("modality", ["visual", "audio"])
def test_a_modality_is_gone_and_the_other_untouched(modality: str) -> None:
    features = clip()
    gone = without(features, modality)
    other = "audio" if modality == "visual" else "visual"
    assert getattr(gone, modality) is None
    assert not getattr(gone, f"{modality}_valid").any()
    assert getattr(gone, other) is getattr(features, other)


def test_noise_has_the_size_asked_for_and_grows_alike() -> None:
    features = clip(5000)
    assert features.visual is not None
    unit = np.arange(1.0, VISUAL_DIM + 1)
    noisy = [with_noise(features, "visual", unit, level, rng()) for level in (0.5, 2.0)]
    added = [n.visual[n.visual_valid] - features.visual[features.visual_valid] for n in noisy
             if n.visual is not None]  # fmt: skip
    np.testing.assert_allclose(added[0].std(axis=0), 0.5 * unit, rtol=0.05)
    np.testing.assert_allclose(added[1], 4 * added[0], atol=1e-4)
    np.testing.assert_array_equal(noisy[0].visual_valid, features.visual_valid)
    assert noisy[0].audio is features.audio


def test_a_constant_dimension_of_no_deviation_gets_no_noise() -> None:
    features = clip()
    unit = np.zeros(AUDIO_DIM)
    noisy = with_noise(features, "audio", unit, 3.0, rng())
    np.testing.assert_array_equal(noisy.audio, features.audio)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 80), st.floats(-4, 4), st.integers(0, 1000))
def test_late_sound_is_the_nearest_rows_sound(rows: int, seconds: float, seed: int) -> None:
    time = np.cumsum(np.random.default_rng(seed).uniform(0.02, 0.08, rows))
    features, _ = make_clip("a.mp4", time, seed + 1)
    assert features.audio is not None
    late = with_late_sound(features, seconds)
    assert late.audio is not None
    half = np.median(np.diff(time)) / 2 if rows > 1 else 0.0
    for i, t in enumerate(time):
        distance = np.abs(time - (t - seconds))
        inside = time[0] - half <= t - seconds <= time[-1] + half
        near = np.flatnonzero(distance <= distance.min() + 1e-12)
        expected = {bool(features.audio_valid[j] and inside) for j in near}
        assert bool(late.audio_valid[i]) in expected
        if late.audio_valid[i]:
            assert any((late.audio[i] == features.audio[j]).all() for j in near)
        else:
            assert np.isnan(late.audio[i]).all()
    assert late.visual is features.visual


def test_a_whole_number_of_frames_is_a_shift() -> None:
    features = clip()
    assert features.audio is not None
    late, early = with_late_sound(features, 0.2), with_late_sound(features, -0.2)
    np.testing.assert_array_equal(late.audio[5:], features.audio[:-5])
    np.testing.assert_array_equal(early.audio[:-5], features.audio[5:])
    assert not late.audio_valid[:5].any()
    assert not early.audio_valid[-5:].any()
    np.testing.assert_array_equal(with_late_sound(features, 0.0).audio, features.audio)


def test_bursts_last_their_time_and_make_up_their_share() -> None:
    features = replace(clip(5000), visual_valid=np.ones(5000, dtype=bool))
    missing = [~without_faces(features, share, 1.0, rng()).visual_valid for share in (0.1, 0.5)]
    assert missing[0].mean() == pytest.approx(0.1, abs=0.01)
    assert missing[1].mean() == pytest.approx(0.5, abs=0.01)
    assert not (missing[0] & ~missing[1]).any()
    edges = np.flatnonzero(np.diff(np.concatenate([[0], missing[0], [0]])))
    assert ((edges[1::2] - edges[::2]) % 25 <= 1).mean() > 0.9


def test_a_share_holds_on_average_on_short_clips() -> None:
    features = replace(clip(10), visual_valid=np.ones(10, dtype=bool))
    shares = [
        1 - without_faces(features, 0.25, 1.0, rng(seed)).visual_valid.mean()
        for seed in range(2000)
    ]
    assert np.mean(shares) == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_very_short_clips(rows: int) -> None:
    features = clip(rows)
    assert len(with_late_sound(features, 0.1)) == rows
    assert not without_faces(features, 1.0, 1.0, rng()).visual_valid.any()
    assert len(with_noise(features, "audio", np.ones(AUDIO_DIM), 1.0, rng())) == rows


def test_a_clip_without_the_modality_is_left_as_it_is() -> None:
    bare = without(without(clip(), "visual"), "audio")
    assert with_noise(bare, "visual", np.ones(1), 1.0, rng()) is bare
    assert with_late_sound(bare, 1.0) is bare
    assert without_faces(bare, 0.5, 1.0, rng()).visual is None
    with pytest.raises(ValueError, match="smell"):
        without(bare, "smell")
