"""Linear ridge regression on the two streams side by side, the opponent that is hard to beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from grjca.fusion.data import FeatureSource
from grjca.fusion.data_config import DataConfig
from grjca.fusion.dataset import ClipSet, LabelledClip, load_clips
from grjca.fusion.metrics import ccc
from grjca.fusion.recipe import choose_embedders
from grjca.fusion.train_config import TrainConfig
from grjca.labels.records import Labels
from grjca.labels.splits import Split

PENALTIES = tuple(float(value) for value in np.logspace(-2, 6, 33))
"""Tried on the validation clips; in units of the standardised features' sum of squares."""


def ridge_scores(
    source: FeatureSource, labels: Labels, split: Split, config: TrainConfig, data: DataConfig
) -> dict[str, float]:
    """CCC of ridge regression on the clips that are tested on.

    Features of a row are both modalities' numbers, standardised by the training rows; what is
    missing is 0, with an indicator per modality. Where labels are those of whole clips, a row is
    a clip and its features are means over its rows. The penalty is the one with the best CCC on
    the validation clips, for each dimension. Predictions are not stretched: shrinking towards
    the mean costs CCC, as it does in any tool that fits squared error.

    Args:
        source: The feature store.
        labels: Annotations by the store's identities.
        split: Tested on ``test``, or on ``val`` where there is none.
        config: The rate and the modalities.
        data: Embedders, delay and alignment.

    Returns:
        By dimension; NaN where undefined.
    """
    held = split.test or split.val
    clips = [*split.train, *split.val, *split.test]
    visual, audio = choose_embedders(source, clips, data.visual, data.audio)
    loaded = load_clips(
        source, labels, split.train, [*split.val, *split.test], visual=visual, audio=audio,
        outputs=labels.names, modalities=config.modalities, rate=config.rate,
        memory_limit=config.memory_limit, align=data.align, delay=data.label_delay,
    )  # fmt: skip
    rows = {clip: _rows(loaded.clips[clip], loaded) for clip in clips}
    train = np.concatenate([rows[clip] for clip in split.train])
    mean, deviation = _moments(train)
    fixed = {clip: _standardised(x, mean, deviation) for clip, x in rows.items()}
    scores = {}
    for k, name in enumerate(labels.names):
        weights = fit_ridge(
            np.concatenate([fixed[clip] for clip in split.train]),
            np.concatenate([_target(loaded.clips[clip], loaded)[:, k] for clip in split.train]),
            PENALTIES,
        )
        on_val = [_ccc(w, fixed, loaded, split.val, k) for w in weights]
        best = int(np.nanargmax(on_val)) if not np.isnan(on_val).all() else 0
        scores[name] = _ccc(weights[best], fixed, loaded, held, k)
    return scores


def fit_ridge(
    x: NDArray[np.float64], y: NDArray[np.float64], penalties: Sequence[float]
) -> NDArray[np.float64]:
    """Weights that minimise |y - x w - b|^2 + penalty |w|^2.

    Args:
        x: (N, D).
        y: (N,), NaN where not labelled.
        penalties: P of them.

    Returns:
        (P, D + 1), the intercept b last.
    """
    known = ~np.isnan(y)
    x, y = x[known], y[known]
    centre, level = x.mean(axis=0), y.mean()
    _, sizes, axes = np.linalg.svd(x - centre, full_matrices=False)
    along = axes @ ((x - centre).T @ (y - level))
    # An axis along which nothing varies carries no weight, whatever the penalty.
    shares = np.array([along / np.maximum(sizes**2 + penalty, 1e-300) for penalty in penalties])
    weights = shares @ axes
    return np.column_stack([weights, level - weights @ centre])


def _rows(clip: LabelledClip, loaded: ClipSet) -> NDArray[np.float64]:
    """(N, D_v + D_a), NaN where missing; one row for the clip where labels are the clips'."""
    window = clip.sequence.window(0, len(clip.sequence))
    sides = []
    for values, valid in (
        (window.visual, window.visual_valid),
        (window.audio, window.audio_valid),
    ):
        here = np.where(valid[:, None], values, np.nan).astype(np.float64)
        if loaded.clip_level:
            count = valid.sum()
            total = np.where(valid[:, None], here, 0.0).sum(axis=0, keepdims=True)
            here = total / count if count else np.full_like(total, np.nan)
        sides.append(here)
    return np.concatenate(sides, axis=1)


def _moments(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    known = ~np.isnan(x)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, x, 0.0).sum(axis=0) / count
    deviation = np.sqrt((np.where(known, x - mean, 0.0) ** 2).sum(axis=0) / count)
    return mean, np.where(deviation > 1e-6 * np.abs(mean), deviation, 1.0)


def _standardised(
    x: NDArray[np.float64], mean: NDArray[np.float64], deviation: NDArray[np.float64]
) -> NDArray[np.float64]:
    missing = np.isnan(x)
    # Every number of a modality is missing at once: the first and the last column tell which.
    return np.column_stack(
        [np.where(missing, 0.0, (x - mean) / deviation), missing[:, :1], missing[:, -1:]]
    )


def _target(clip: LabelledClip, loaded: ClipSet) -> NDArray[np.float64]:
    return clip.target[:1] if loaded.clip_level else clip.target


def _ccc(
    weights: NDArray[np.float64],
    rows: Mapping[str, NDArray[np.float64]],
    loaded: ClipSet,
    clips: Sequence[str],
    k: int,
) -> float:
    predicted, wanted = [], []
    for name in clips:
        clip = loaded.clips[name]
        values = rows[name] @ weights[:-1] + weights[-1]
        if loaded.clip_level:
            wanted.append(clip.labels[:1, k])
        else:
            values = clip.sequence.timeline.at_frames(values[:, None])[:, 0]
            wanted.append(clip.labels[:, k])
        predicted.append(values)
    x, y = np.concatenate(predicted), np.concatenate(wanted)
    return ccc(x, y, ~np.isnan(y))
