"""One set of annotations from several raters of the same clips."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError
from grjca.labels.ewe import rater_weights, weighted_mean
from grjca.labels.matching import shown
from grjca.labels.records import DIMENSIONS, ClipLabels, Labels
from grjca.labels.rows import interpolated

logger = logging.getLogger(__name__)


def combine(raters: Mapping[str, Labels]) -> Labels:
    """The evaluator-weighted mean of raters (see :mod:`grjca.labels.ewe`).

    Weights are found for each dimension over all clips together. Raters may have rated different
    clips and frames. Ratings by time are brought to the times of all raters of a clip first,
    linearly between neighbours at most 1 s apart. Where no rater agrees with any other, all count
    the same, with a warning.

    Args:
        raters: The annotations of each rater, by the rater's name; clips under the same names.

    Returns:
        The annotations; ``mapping`` has the weights.

    Raises:
        GrjcaError: A clip rated by frame here and by time there, rows that differ in number, or
            two subjects for a clip; the message names both files.
    """
    if len(raters) == 1:
        return next(iter(raters.values()))
    names = tuple(n for n in DIMENSIONS if any(n in labels.names for labels in raters.values()))
    wide = [with_names(labels, names) for labels in raters.values()]
    first: dict[str, ClipLabels] = {}
    for labels in wide:
        for clip, rated in labels.clips.items():
            first[clip] = _same_kind(first.setdefault(clip, rated), rated)
    if len({clip.clip_level for clip in first.values()}) > 1:
        sources = {clip.clip_level: clip.source for clip in first.values()}
        cause = f"labels of whole clips, and labels of frames in {sources[False]}"
        raise GrjcaError("labels", sources[True], cause, "Give one kind of them.")
    aligned = {
        clip: _aligned([labels.clips.get(clip) for labels in wide], len(names))
        for clip in sorted(first)
    }
    ratings = np.concatenate([own.values for own in aligned.values()])
    weights = _weights(ratings, list(raters), names)
    clips = {}
    for clip, own in aligned.items():
        means = [weighted_mean(own.values[:, :, i], weights[i]) for i in range(len(names))]
        # A mean of equal values may leave [-1, 1] by rounding.
        values = np.stack(means, axis=1).clip(-1, 1)
        clips[clip] = replace(first[clip], values=values, frame=own.frame, time=own.time)
    return Labels(clips, names, f"{wide[0].mapping}; {_told(list(raters), names, weights)}")


def with_names(labels: Labels, names: Sequence[str]) -> Labels:
    """The same annotations with other dimensions, NaN in those they do not have."""
    if labels.names == tuple(names):
        return labels
    clips = {}
    for name, clip in labels.clips.items():
        values = np.full((len(clip), len(names)), np.nan)
        for i, dimension in enumerate(names):
            if dimension in labels.names:
                values[:, i] = clip.values[:, labels.names.index(dimension)]
        clips[name] = replace(clip, values=values)
    return Labels(clips, tuple(names), labels.mapping)


def _same_kind(one: ClipLabels, other: ClipLabels) -> ClipLabels:
    if _kind(one) != _kind(other):
        cause = f"clip {one.clip} is rated by {_kind(other)} here, by {_kind(one)} in {one.source}"
        raise GrjcaError("labels", other.source, cause, "All raters' files need the same columns.")
    if one.subject and other.subject and one.subject != other.subject:
        cause = (
            f"clip {one.clip} is of subject '{other.subject}' here, "
            f"of '{one.subject}' in {one.source}"
        )
        raise GrjcaError("labels", other.source, cause, "A clip has one subject.")
    return one if one.subject else replace(one, subject=other.subject)


def _kind(labels: ClipLabels) -> str:
    if labels.clip_level:
        return "clip"
    if labels.time is not None:
        return "time"
    return "row" if labels.frame is None else "frame"


@dataclass(frozen=True)
class _Ratings:
    """What all raters say of a clip, on one axis: (N, raters, dimensions), NaN where nothing."""

    values: NDArray[np.float64]
    frame: NDArray[np.int64] | None = None
    time: NDArray[np.float64] | None = None


def _aligned(raters: Sequence[ClipLabels | None], dimensions: int) -> _Ratings:
    there = [(i, labels) for i, labels in enumerate(raters) if labels is not None]
    by_time = [(i, labels, labels.time) for i, labels in there if labels.time is not None]
    by_frame = [(i, labels, labels.frame) for i, labels in there if labels.frame is not None]
    if by_time:
        time = np.unique(np.concatenate([at for *_, at in by_time]))
        values = np.full((len(time), len(raters), dimensions), np.nan)
        for i, labels, at in by_time:
            values[:, i] = interpolated(at, labels.values, time)
        return _Ratings(values, time=time)
    if by_frame:
        frame = np.unique(np.concatenate([numbers for *_, numbers in by_frame]))
        values = np.full((len(frame), len(raters), dimensions), np.nan)
        for i, labels, numbers in by_frame:
            values[np.searchsorted(frame, numbers), i] = labels.values
        return _Ratings(values, frame=frame)
    first = there[0][1]
    values = np.full((len(first), len(raters), dimensions), np.nan)
    for i, labels in there:
        if len(labels) != len(first):
            cause = f"{len(labels)} rows for clip {labels.clip}, {len(first)} in {first.source}"
            raise GrjcaError("labels", labels.source, cause, "All raters rate every frame.")
        values[:, i] = labels.values
    return _Ratings(values)


def _weights(
    ratings: NDArray[np.float64], raters: Sequence[str], names: Sequence[str]
) -> list[NDArray[np.float64]]:
    result = []
    for i, name in enumerate(names):
        weights = rater_weights(ratings[:, :, i])
        silent = np.isnan(ratings[:, :, i]).all(axis=0)
        if not weights[~silent].any():
            logger.warning("labels: no rater of %s agrees with another: all count the same", name)
            weights = np.ones(len(raters))
        useless = [rater for rater, weight in zip(raters, weights, strict=True) if not weight]
        if useless:
            logger.warning(
                "labels: raters of %s who always say the same or contradict the others are left "
                "out: %s", name, shown(useless),
            )  # fmt: skip
        result.append(np.where(silent, 0.0, weights))
    return result


def _told(
    raters: Sequence[str], names: Sequence[str], weights: Sequence[NDArray[np.float64]]
) -> str:
    told = [
        f"{name}: "
        + shown([f"{rater} {weight:.2f}" for rater, weight in zip(raters, own, strict=True)])
        for name, own in zip(names, weights, strict=True)
    ]
    return f"evaluator-weighted mean of {len(raters)} raters, weights of {'; '.join(told)}"
