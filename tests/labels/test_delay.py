import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

from grjca.errors import GrjcaError, UsageError
from grjca.labels.delay import DelaySweep, sweep_delay, training_folds
from grjca.labels.folds import folds
from grjca.labels.readers import read_labels
from grjca.labels.records import ClipLabels, Labels
from grjca.labels.ridge_delay import Observed, sweep_by_ridge
from grjca.labels.rows import labels_for_rows
from grjca.labels.splits import Split, split
from grjca.labels.subjects import subject_of

RATE = 10.0
DELAYS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)


def smooth(draw: np.random.Generator, rows: int, width: int) -> np.ndarray:
    kernel = np.hanning(15)
    noise = draw.normal(size=(rows + 200, width))
    return np.stack([np.convolve(c, kernel, "same")[100:-100] for c in noise.T], axis=1)


def toy(lag: float, clips: int = 8, rows: int = 300) -> tuple[Labels, dict[str, Observed]]:
    """Clips whose arousal is a mixture of three features, ``lag`` seconds late, with offsets."""
    draw = np.random.default_rng(7)
    labels, seen = {}, {}
    for i in range(clips):
        name = f"c{i}.mp4"
        features = smooth(draw, rows, 3)
        time = np.arange(rows) / RATE
        late = np.interp(time - lag, time, features @ [0.5, -0.3, 0.1])
        values = 0.05 * (late + 0.5 * draw.normal(size=rows)) + draw.uniform(-0.3, 0.3)
        values[::17] = np.nan
        labels[name] = ClipLabels(name, values[:, None], None, None, None, Path("x.txt"))
        unrelated = draw.normal(size=(rows, 2)) * [1, 1e4] + [0, 1e6]
        seen[name] = Observed(np.c_[features, unrelated].astype(np.float32), time)
    return Labels(labels, ("arousal",), "as they are"), seen


@pytest.mark.parametrize("lag", [0.0, 1.0, 2.5])
def test_the_lag_is_found(lag: float) -> None:
    labels, seen = toy(lag)
    sweep = sweep_by_ridge(DELAYS, folds(list(seen), {}, 4), labels, seen.__getitem__)
    assert sweep.best == lag
    assert sweep.mean.max() > 0.7
    assert sweep.scores.shape == (4, len(DELAYS))


def test_scores_agree_with_a_regression_by_hand() -> None:
    labels, seen = toy(1.0, clips=4, rows=120)
    splits = folds(list(seen), {}, 2)
    swept = sweep_by_ridge(DELAYS, splits, labels, seen.__getitem__, ridge=0.2)

    def score(delay: float, sides: Split) -> float:
        def centred(clips: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
            xs, ys = [], []
            for clip in clips:
                rows = ~np.isnan(
                    [labels_for_rows(labels.clips[clip], seen[clip].time, delay=d)[:, 0]
                     for d in DELAYS]
                ).any(axis=0)  # fmt: skip
                y = labels_for_rows(labels.clips[clip], seen[clip].time, delay=delay)[rows, 0]
                x = seen[clip].features[rows].astype(np.float64)
                xs.append(x - x.mean(axis=0))
                ys.append(y - y.mean())
            return np.concatenate(xs), np.concatenate(ys)

        x, y = centred(sides.train)
        norm = np.sqrt((x**2).sum(axis=0))
        stacked = np.vstack([x / norm, np.sqrt(0.2) * np.eye(x.shape[1])])
        weights = np.linalg.lstsq(stacked, np.r_[y, np.zeros(x.shape[1])], rcond=None)[0]
        x, y = centred(sides.val)
        return float(np.corrcoef(x / norm @ weights, y)[0, 1])

    by_hand = sweep_delay(DELAYS, splits, score)
    np.testing.assert_allclose(swept.scores, by_hand.scores, atol=1e-8)
    assert by_hand.best == swept.best


def test_only_training_clips_are_looked_at() -> None:
    labels, seen = toy(1.0)
    subjects: dict[str, str | None] = {c: f"s{i // 2}" for i, c in enumerate(seen)}
    sides = split(list(seen), subjects, 0.25)
    looked: set[str] = set()

    def observe(clip: str) -> Observed:
        looked.add(clip)
        return seen[clip]

    inner = training_folds(sides, subjects)
    assert len(inner) == 3
    for fold in inner:
        assert not {subjects[c] for c in fold.train} & {subjects[c] for c in fold.val}
    assert sweep_by_ridge(DELAYS, inner, labels, observe).best == 1.0
    assert looked == set(sides.train)


def test_one_training_subject_is_refused() -> None:
    with pytest.raises(UsageError, match="2 clips of 1 subjects"):
        training_folds(Split(("a", "b"), ("c",), True), {"a": "p", "b": "p", "c": "q"})


def test_a_fold_without_a_score_does_not_count_and_none_at_all_is_an_error() -> None:
    labels, seen = toy(1.0)
    constant = {
        name: ClipLabels(name, np.full((300, 1), 0.5), None, None, None, Path("x.txt"))
        for name in ("c0.mp4", "c1.mp4")
    }
    flat = Labels({**labels.clips, **constant}, ("arousal",), "as they are")
    rest = tuple(f"c{i}.mp4" for i in range(2, 8))
    splits = (
        Split(rest, ("c0.mp4", "c1.mp4"), True),
        Split(("c0.mp4", *rest[:3]), rest[3:], True),
    )
    sweep = sweep_by_ridge(DELAYS, splits, flat, seen.__getitem__)
    assert np.isnan(sweep.scores[0]).all()
    assert sweep.best == 1.0
    alone = sweep_by_ridge(DELAYS, splits[:1], flat, seen.__getitem__)
    with pytest.raises(GrjcaError, match="none of 1 folds has a score at every delay from 0 to 3"):
        _ = alone.best


def test_delays_beyond_every_clip() -> None:
    labels, seen = toy(1.0)
    sweep = sweep_by_ridge((0, 60), folds(list(seen), {}, 2), labels, seen.__getitem__)
    with pytest.raises(GrjcaError, match="clips be longer than the longest delay"):
        _ = sweep.best


def test_missing_features_are_left_out() -> None:
    labels, seen = toy(1.0)
    holed = {}
    for clip, own in seen.items():
        features = own.features.copy()
        features[40:90] = np.nan
        features[100] = np.inf
        holed[clip] = Observed(features, own.time)
    gone = Observed(np.full((300, 5), np.nan, np.float32), np.arange(300) / RATE)
    holed["c3.mp4"] = gone
    sweep = sweep_by_ridge(DELAYS, folds(list(seen), {}, 4), labels, holed.__getitem__)
    assert sweep.best == 1.0


def test_bad_delays_and_labels_of_whole_clips() -> None:
    labels, seen = toy(1.0)
    splits = folds(list(seen), {}, 2)
    for delays in ((), (0.0, np.nan), (np.inf,)):
        with pytest.raises(UsageError, match="not numbers of seconds"):
            sweep_by_ridge(delays, splits, labels, seen.__getitem__)
        with pytest.raises(UsageError, match="not numbers of seconds"):
            sweep_delay(delays, splits, lambda _delay, _split: 0.0)
    whole = {
        clip: ClipLabels(clip, np.zeros((1, 1)), None, None, None, Path("x"), clip_level=True)
        for clip in seen
    }
    with pytest.raises(UsageError, match="has one label for the whole of a clip"):
        sweep_by_ridge((0, 1), splits, Labels(whole, ("arousal",), ""), seen.__getitem__)


def test_of_equal_scores_the_shortest_delay_is_best() -> None:
    sweep = DelaySweep((-1.0, 0.0, 1.0), np.array([[0.5, 0.2, 0.5], [0.5, 0.5, 0.5]]))
    assert sweep.best == -1.0
    assert DelaySweep((0.0, 1.0, 2.0), np.array([[0.2, 0.5, 0.5]])).best == 1.0
    assert sweep_delay((1, 0, 0.0), [Split(("a",), ("b",), True)], lambda d, _s: d).delays == (0, 1)
    with pytest.raises(ValueError, match="for 2 delays"):
        DelaySweep((0.0, 1.0), np.zeros((1, 3)))


def test_doubts_are_told() -> None:
    certain = DelaySweep((0.0, 1.0, 2.0), np.array([[0.1, 0.4, 0.2], [0.2, 0.5, 0.2]]))
    assert certain.best == 1.0
    assert certain.notes == ()
    assert DelaySweep((0.0, 1.0), np.array([[0.5, 0.4]])).notes == ()
    mixed = DelaySweep((0.0, 1.0, 2.0), np.array([[0.1, 0.5, 0.2], [0.5, 0.2, 0.2]]))
    gain, error = (0.4 - 0.3) / 2, np.std([0.4, -0.3], ddof=1) / np.sqrt(2)
    assert mixed.notes == (
        f"a delay of 1 s scores {gain:.3f} better than none, with a standard error over 2 folds "
        f"of {error:.3f}: it may be chance",
    )
    at_the_end = DelaySweep((0.0, 1.0), np.array([[0.1, 0.4], [0.2, 0.5]]))
    assert at_the_end.notes == ("the best delay, 1 s, is the last one tried: try further ones",)


@pytest.mark.slow
def test_real_listeners_lag_by_seconds(media: Path) -> None:
    # OMG-Empathy: listeners rated themselves with a joystick while they watched; their lag should
    # lie where Mariooryad and Busso found that of annotators (2 to 6 s), inside the sweep.
    folder = media / "features" / "omg_empathy"
    labels = read_labels(folder)
    seen = {}
    for clip, own in labels.clips.items():
        with gzip.open(own.source, "rt", newline="") as stream:
            cells = [row[4:] for row in csv.reader(stream)][1:]
        features = np.array([[float(cell or "nan") for cell in row] for row in cells])
        features = np.where(np.isnan(features), np.nanmean(features, axis=0), features)
        seen[clip] = Observed(features, np.arange(len(features)) / 25)
    subjects = {clip: subject_of(clip) for clip in seen}
    sweep = sweep_by_ridge(range(-4, 13), folds(list(seen), subjects, 7), labels, seen.__getitem__)
    assert 2 <= sweep.best <= 6
    assert sweep.mean[0] < sweep.mean[sweep.delays.index(0.0)] < sweep.mean.max()
