"""What can be done to a clip's features before a model sees them: pure functions.

A row that is taken away is marked as not valid and holds NaN, as in a store.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grjca.cache.records import ClipFeatures
from grjca.fusion.data import MODALITIES


def without(features: ClipFeatures, modality: str) -> ClipFeatures:
    """The clip as if it had nothing of ``visual`` or ``audio``."""
    none = np.zeros(len(features), dtype=bool)
    return _changed(features, modality, None, none)


def with_noise(
    features: ClipFeatures,
    modality: str,
    deviation: NDArray[np.float64],
    level: float,
    rng: np.random.Generator,
) -> ClipFeatures:
    """Independent normal noise on every number of a modality.

    Args:
        features: The clip.
        modality: ``visual`` or ``audio``; a clip without it is given back as it is.
        deviation: (D,) the unit of the noise, the features' standard deviation.
        level: Deviation of the noise in that unit.
        rng: What the noise is drawn from; drawn alike, noise of two levels differs in size only.
    """
    values: NDArray[np.float32] | None = getattr(features, modality)
    if values is None:
        return features
    noise = rng.standard_normal(values.shape) * (level * deviation)
    noisy = (values + noise).astype(np.float32)
    return _changed(features, modality, noisy, getattr(features, f"{modality}_valid"))


def with_late_sound(features: ClipFeatures, seconds: float) -> ClipFeatures:
    """The sound so many seconds later against picture and labels; negative: earlier.

    The row at t gets the sound of the row nearest to t - ``seconds``; where that lies beyond the
    clip, by more than half the usual step between rows, there is no sound.
    """
    if features.audio is None or not len(features):
        return features
    time, wanted = features.time, features.time - seconds
    half = float(np.median(np.diff(time))) / 2 if len(time) > 1 else 0.0
    right = np.searchsorted(time, wanted).clip(min(1, len(time) - 1), len(time) - 1)
    left = np.maximum(right - 1, 0)
    nearest = np.where(wanted - time[left] <= time[right] - wanted, left, right)
    inside = (wanted >= time[0] - half) & (wanted <= time[-1] + half)
    valid = features.audio_valid[nearest] & inside
    return _changed(features, "audio", features.audio[nearest], valid)


def without_faces(
    features: ClipFeatures, share: float, burst: float, rng: np.random.Generator
) -> ClipFeatures:
    """No face in bursts that make up a share of the clip.

    The clip is cut into stretches of ``burst`` seconds, the first cut at random; of them a share
    is drawn, rounded up or down at random so that it holds on average. Drawn alike, a larger
    share takes away what a smaller one does, and more.

    Args:
        features: The clip.
        share: In [0, 1], of the clip's time.
        burst: Seconds.
        rng: What is drawn from.
    """
    if not len(features):
        return features
    place = (features.time - features.time[0]) / burst + rng.random()
    _, stretch = np.unique(np.floor(place), return_inverse=True)
    count = int(stretch[-1]) + 1
    order, rounding = rng.permutation(count), rng.random()
    gone = order[: int(share * count + rounding)]
    valid = features.visual_valid & ~np.isin(stretch, gone)
    return _changed(features, "visual", features.visual, valid)


def _changed(
    features: ClipFeatures,
    modality: str,
    values: NDArray[np.float32] | None,
    valid: NDArray[np.bool_],
) -> ClipFeatures:
    if modality not in MODALITIES:
        raise ValueError(f"modality {modality!r}; known: {MODALITIES}")
    if values is not None:
        values = np.where(valid[:, None], values, np.float32("nan"))
    changes: dict[str, Any] = {modality: values, f"{modality}_valid": valid}
    return replace(features, **changes)
