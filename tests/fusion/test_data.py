import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toy_features import AUDIO_DIM, VISUAL_DIM, Toy, ToySource, make_clip, make_toy, row_labels

from grjca.cache.records import ClipFeatures
from grjca.errors import GrjcaError, UsageError
from grjca.fusion.data import ClipSequence, Inputs, collate, take_rows
from grjca.fusion.dataset import ClipSet, clip_moments, load_clips
from grjca.fusion.moments import Moments
from grjca.fusion.timeline import is_at_rate, make_timeline
from grjca.fusion.window_set import WindowSet
from grjca.fusion.windows import windows


@given(st.integers(0, 400), st.integers(1, 90), st.data())
def test_windows_cover_every_row_and_never_leave_the_clip(
    rows: int, window: int, data: st.DataObject
) -> None:
    hop = data.draw(st.integers(1, window))
    made = windows(rows, window, hop)
    covered = set().union(*(range(*pair) for pair in made))
    assert covered == set(range(rows))
    assert all(stop - start == min(window, rows) for start, stop in made)
    assert len(set(made)) == len(made)
    assert all(start % hop == 0 for start, _ in made[:-1])


def test_the_papers_windows() -> None:
    assert windows(750, 300, 200) == [(0, 300), (200, 500), (400, 700), (450, 750)]
    assert windows(700, 300, 200) == [(0, 300), (200, 500), (400, 700)]
    assert windows(299, 300, 200) == [(0, 299)]


@pytest.mark.parametrize(("window", "hop"), [(10, 11), (10, 0), (0, 0)])
def test_a_hop_that_leaves_gaps_is_refused(window: int, hop: int) -> None:
    with pytest.raises(ValueError, match="hop"):
        windows(100, window, hop)


def test_rates() -> None:
    time = np.arange(300) / 30
    assert is_at_rate(time, 30)
    assert is_at_rate(time, 29.97)
    assert is_at_rate(np.round(time, 3), 30)
    assert not is_at_rate(time, 25)
    assert not is_at_rate(np.delete(time, [100, 101]), 30)
    assert is_at_rate(np.zeros(1), 30)


def test_a_clip_at_the_models_rate_is_used_as_it_is() -> None:
    timeline = make_timeline(np.arange(100) / 29.97, 30.0)
    assert timeline.index is None
    values = np.random.default_rng(0).normal(size=(100, 2))
    assert timeline.at_model_rows(values) is values
    assert timeline.at_frames(values) is values
    rows, place = timeline.source(20, 50)
    assert rows == slice(20, 50)
    np.testing.assert_array_equal(place, np.arange(30))


@given(
    st.lists(st.floats(0.005, 0.3), min_size=2, max_size=60),
    st.sampled_from([5.0, 10.0, 25.0, 30.0, 60.0]),
    st.floats(0, 3),
)
def test_resampling_takes_the_nearest_frame(steps: list[float], rate: float, first: float) -> None:
    time = first + np.cumsum(steps)
    timeline = make_timeline(time, rate)
    if timeline.index is None:
        return
    np.testing.assert_allclose(np.diff(timeline.grid), 1 / rate)
    assert abs(timeline.grid[-1] - time[-1]) <= 0.5 / rate + 1e-9
    distance = np.abs(timeline.grid[:, None] - time)
    taken = distance[np.arange(len(timeline)), timeline.index]
    np.testing.assert_allclose(taken, distance.min(axis=1), atol=1e-12)
    assert (np.diff(timeline.index) >= 0).all()
    middle = len(timeline) // 2
    rows, place = timeline.source(middle // 2, middle + 1)
    np.testing.assert_array_equal(
        np.arange(len(time))[rows][place], timeline.index[middle // 2 : middle + 1]
    )


@pytest.mark.parametrize(("own", "rate"), [(25, 30), (30, 25), (50, 10), (10, 30)])
def test_resampling_there_and_back_keeps_a_slow_curve(own: int, rate: float) -> None:
    rng = np.random.default_rng(3)
    time = np.cumsum(rng.uniform(0.5, 1.5, size=20 * own)) / own
    curve = np.sin(time)[:, None]
    timeline = make_timeline(time, rate)
    back = timeline.at_frames(timeline.at_model_rows(curve))
    # The nearest frame is at most 0.75 of the longest step away, the slope at most 1.
    assert np.abs(back - curve).max() < 1.5 / own + 0.5 / rate
    assert np.abs(timeline.at_frames(np.sin(timeline.grid)[:, None]) - curve).max() < 1 / rate


def test_a_jump_of_the_clock_is_not_filled_with_rows() -> None:
    time = np.concatenate([np.arange(50) / 25, 1e7 + np.arange(50) / 25])
    timeline = make_timeline(time, 25.0)
    np.testing.assert_array_equal(timeline.index, np.arange(100))
    np.testing.assert_allclose(timeline.grid, time)
    values = np.arange(100.0)[:, None]
    np.testing.assert_allclose(timeline.at_frames(values), values, atol=1e-4)
    assert len(make_timeline(np.array([0.0, 4.0]), 25.0)) == 101


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf])
def test_impossible_rates(rate: float) -> None:
    with pytest.raises(ValueError, match="rows per second"):
        make_timeline(np.arange(3.0), rate)


def test_moments_in_blocks_equal_those_of_the_whole() -> None:
    rng = np.random.default_rng(1)
    rows = (rng.normal(size=(1000, 3)) * [1, 30, 0.2] + [1e4, 0, -3]).astype(np.float32)
    moments = Moments(3)
    for part in np.split(rows, [1, 10, 10, 400]):
        moments.add(part)
    wide = rows.astype(np.float64)
    np.testing.assert_allclose(moments.mean, wide.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.deviation(), wide.std(axis=0), rtol=1e-9)


def test_constant_dimensions_get_the_deviation_of_the_others() -> None:
    rng = np.random.default_rng(1)
    rows = np.zeros((500, 4), dtype=np.float32)
    rows[:, 0] = rng.normal(size=500) * 2
    rows[:, 1] = rng.normal(size=500) * 4
    rows[:, 2] = 7.3
    rows[3, 3] = 1e-4
    moments = Moments(4)
    moments.add(rows)
    deviation = moments.deviation()
    np.testing.assert_allclose(deviation[:2], rows[:, :2].std(axis=0), rtol=1e-5)
    assert (deviation[2:] > 1).all()
    constant = Moments(2)
    constant.add(np.full((9, 2), 0.1, dtype=np.float32))
    np.testing.assert_array_equal(constant.deviation(), [1, 1])
    np.testing.assert_array_equal(Moments(2).deviation(), [1, 1])


def load(
    toy: Toy, *, rate: float | None = None, memory_limit: int = 2**30, smoothing: float = 0.0
) -> ClipSet:
    return load_clips(
        toy.source,
        toy.labels,
        toy.split.train,
        toy.split.val,
        visual="fer",
        audio="logmel",
        outputs=("valence", "arousal"),
        modalities=("visual", "audio"),
        rate=rate,
        memory_limit=memory_limit,
        smoothing=smoothing,
    )


@pytest.mark.parametrize("rate", [None, 10.0])
def test_targets_are_smoothed_over_labelled_rows_of_training_clips(rate: float | None) -> None:
    toy = make_toy(3, 2)
    rng = np.random.default_rng(0)
    for values in toy.truth.values():
        values[rng.random(values.shape) < 0.3] = np.nan
    plain, loaded = load(toy, rate=rate), load(toy, rate=rate, smoothing=0.5)
    for clip, own in loaded.clips.items():
        # Metrics see the labels as they are, whatever side the clip is on.
        np.testing.assert_array_equal(own.labels, toy.truth[clip])
        np.testing.assert_array_equal(own.labels, plain.clips[clip].labels)
        if clip in toy.split.val:
            np.testing.assert_array_equal(own.target, plain.clips[clip].target)
            continue
        time, written = toy.source.features[clip].time, toy.truth[clip]
        expected = np.full_like(written, np.nan)
        for i, k in np.argwhere(~np.isnan(written)):
            expected[i, k] = np.nanmean(written[np.abs(time - time[i]) <= 0.25 + 1e-9, k])
        expected = own.sequence.timeline.at_model_rows(expected)
        np.testing.assert_allclose(own.target, expected, atol=1e-9)
        assert not np.array_equal(own.target, plain.clips[clip].target, equal_nan=True)


def test_statistics_come_from_valid_frames_of_the_training_clips_only() -> None:
    toy = make_toy(3, 2)
    before = load(toy)
    moments = clip_moments([before.clips[c] for c in toy.split.train])
    pooled = [toy.source.features[c] for c in toy.split.train]
    for name in ("visual", "audio"):
        rows = np.concatenate([getattr(f, name)[getattr(f, f"{name}_valid")] for f in pooled])
        wide = rows.astype(np.float64)
        np.testing.assert_allclose(moments[name].mean, wide.mean(axis=0), rtol=1e-9)
        np.testing.assert_allclose(moments[name].deviation(), wide.std(axis=0), rtol=1e-6)


@pytest.mark.parametrize("rate", [None, 10.0])
def test_batches_from_memory_and_from_the_store_are_the_same(rate: float | None) -> None:
    toy = make_toy(4, 1, rows=300)
    sets = []
    for limit in (2**30, 0):
        loaded = load(toy, rate=rate, memory_limit=limit)
        assert loaded.in_memory == (limit > 0)
        toy.source.reads.clear()
        data = WindowSet([loaded.clips[c] for c in toy.split.train], 50, 30)
        numbers = list(range(len(data)))[::-1]
        sets.append([data.batch(numbers[i : i + 4]) for i in range(0, len(numbers), 4)])
        if limit:
            assert toy.source.reads == []
        else:
            assert max(toy.source.reads) <= 50 * 25 / (rate or 25) + 2
            assert len(toy.source.reads) == len(data)
    assert len(sets[0]) == len(sets[1]) > 3
    for one, other in zip(*sets, strict=True):
        pairs = zip(
            (*one.inputs.arguments, one.target, one.mask),
            (*other.inputs.arguments, other.target, other.mask),
            strict=True,
        )
        for a, b in pairs:
            torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)


def test_statistics_read_bounded_blocks() -> None:
    toy = make_toy(1, 1, rows=9000)
    loaded = load(toy, memory_limit=0)
    toy.source.reads.clear()
    clip_moments([loaded.clips[c] for c in toy.split.train])
    assert max(toy.source.reads) <= 4096
    assert sum(toy.source.reads) == 9000


def test_a_batch_is_padded_and_masked() -> None:
    toy = make_toy(2, 1, rows=20)
    loaded = load(toy)
    batch = WindowSet([loaded.clips[c] for c in toy.split.train], 50, 30).batch([0, 1])
    assert batch.inputs.visual.shape == (2, 50, VISUAL_DIM)
    assert batch.inputs.audio.shape == (2, 50, AUDIO_DIM)
    np.testing.assert_array_equal(batch.inputs.frames.sum(1), [20, 27])
    assert not batch.inputs.visual_valid[0, 20:].any()
    assert not batch.mask[0, 20:].any()
    truth = np.stack([toy.truth[c][:20] for c in toy.split.train])
    np.testing.assert_array_equal(batch.mask[:, :20], ~np.isnan(truth))
    np.testing.assert_allclose(batch.target[:, :20], np.nan_to_num(truth), rtol=1e-6)
    seen = toy.source.features[toy.split.train[1]].visual_valid
    np.testing.assert_array_equal(batch.inputs.visual_valid[1, :27], seen)


def test_windows_without_a_label_are_left_out() -> None:
    toy = make_toy(2, 1, rows=200)
    first = toy.split.train[0]
    toy.truth[first][:80] = np.nan
    toy = replace(toy, labels=row_labels(toy.truth))
    loaded = load(toy)
    data = WindowSet([loaded.clips[first]], 50, 30)
    # Windows at 0 and 30 end before row 80.
    assert len(data) == len(windows(200, 50, 30)) - 2


def test_the_median_rate_of_the_training_clips() -> None:
    toy = make_toy(3, 1)
    for clip, rate in zip(toy.source.clips(), (25, 25, 50, 10), strict=True):
        rows = len(toy.truth[clip])
        toy.source.features[clip], _ = make_clip(clip, np.arange(rows) / rate, 5)  # type: ignore[index]
    loaded = load(toy)
    assert loaded.rate == pytest.approx(25)
    clips = [loaded.clips[clip] for clip in toy.source.clips()]
    assert [c.sequence.timeline.index is None for c in clips] == [True, True, False, False]
    assert len(clips[2].target) == pytest.approx(len(clips[2].labels) / 2, abs=1)
    assert len(load(toy, rate=50.0).clips[toy.split.train[0]].target) == 239


def test_no_rate_can_be_told() -> None:
    toy = make_toy(1, 1, rows=1)
    with pytest.raises(UsageError, match="no training clip has two frames"):
        load(toy)


def sequence(features: ClipFeatures, inputs: Inputs) -> ClipSequence:
    timeline = make_timeline(features.time, 25.0)
    return ClipSequence(features.clip, lambda rows: take_rows(features, rows), timeline, inputs)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite_in_a_valid_row_names_clip_and_rows(value: float) -> None:
    features, _ = make_clip("lab/a.mp4", np.arange(60) / 25, 1)
    rows = np.flatnonzero(features.audio_valid)[[30, 35]]
    assert features.audio is not None
    features.audio[rows, 2] = value
    made = sequence(features, Inputs(VISUAL_DIM, AUDIO_DIM))
    made.window(0, int(rows[0]))
    with pytest.raises(GrjcaError) as caught:
        made.window(20, 60)
    assert str(caught.value).startswith("lab/a.mp4: features: NaN or infinity in valid audio rows ")
    assert f"rows {rows[0]}, {rows[1]}." in str(caught.value)
    sequence(features, Inputs(VISUAL_DIM, AUDIO_DIM, ("visual",))).window(20, 60)


def test_another_dimension_names_both() -> None:
    features, _ = make_clip("a.mp4", np.arange(9) / 25, 1)
    with pytest.raises(GrjcaError, match=r"a\.mp4: features: 6 visual numbers .* takes 7"):
        sequence(features, Inputs(7, AUDIO_DIM)).window(0, 9)


def test_missing_and_withheld_modalities_are_masks() -> None:
    features, _ = make_clip("a.mp4", np.arange(9) / 25, 1)
    none = np.zeros(9, dtype=bool)
    silent = replace(features, audio=None, audio_valid=none)
    for made in (
        sequence(silent, Inputs(VISUAL_DIM, AUDIO_DIM)),
        sequence(features, Inputs(VISUAL_DIM, AUDIO_DIM, ("visual",))),
    ):
        window = made.window(0, 9)
        assert not window.audio_valid.any()
        assert window.audio.shape == (9, AUDIO_DIM)
        np.testing.assert_array_equal(window.visual_valid, features.visual_valid)
    batch = collate([sequence(silent, Inputs(VISUAL_DIM, AUDIO_DIM)).window(0, 9)], 12)
    assert batch.frames.sum() == 9


def test_a_set_without_pictures() -> None:
    toy = make_toy(2, 1)
    features = {
        clip: replace(f, visual=None, visual_valid=np.zeros(len(f), dtype=bool))
        for clip, f in toy.source.features.items()
    }
    loaded = load(replace(toy, source=ToySource(features)))
    assert (loaded.inputs.visual_dim, loaded.inputs.audio_dim) == (1, AUDIO_DIM)


@pytest.mark.parametrize("modalities", [(), ("visual", "visual"), ("text",)])
def test_unknown_modalities(modalities: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="modalities"):
        Inputs(1, 1, modalities)


def test_labels_follow_delay_alignment_and_resampled_clips() -> None:
    toy = make_toy(2, 1)
    first = toy.split.train[0]
    truth = toy.truth[first].copy()

    def labels_of(toy: Toy, **more: Any) -> np.ndarray:
        clips = load_clips(
            toy.source, toy.labels, toy.split.train, toy.split.val, visual="fer", audio="logmel",
            outputs=("valence", "arousal"), modalities=("visual", "audio"), rate=None,
            memory_limit=2**30, **more,
        )  # fmt: skip
        return clips.clips[first].labels

    late = labels_of(toy, delay=0.4)
    np.testing.assert_array_equal(late[:-10], truth[10:])
    assert np.isnan(late[-10:]).all()
    short = replace(toy, labels=row_labels({**toy.truth, first: truth[:-5]}))
    with pytest.raises(GrjcaError, match="115 rows of labels"):
        labels_of(short)
    cut = labels_of(short, align="truncate")
    np.testing.assert_array_equal(cut[:-5], truth[:-5])
    assert np.isnan(cut[-5:]).all()
    # A clip stored at half its rate: labels are those of the source's frames.
    whole = toy.source.features[first]
    half = replace(take_rows(whole, slice(0, None, 2)), index=np.arange(0, len(whole), 2))
    resampled = replace(toy, source=ToySource({**toy.source.features, first: half}))
    np.testing.assert_array_equal(labels_of(resampled), truth[::2])
