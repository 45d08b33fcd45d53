"""Annotations on a clip's own rows: by row, by frame number, or by time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError
from grjca.labels.records import ClipLabels

LONGEST_GAP = 1.0
"""Seconds between two labels beyond which the time between them counts as not labelled."""

LATEST = 1.0
"""Seconds after a clip's last frame at which a label may still lie."""

# Times written with a few decimals must not open a gap in labels that are 1 s apart.
_ROUNDING = 1e-3


def labels_for_rows(labels: ClipLabels, time: NDArray[np.float64]) -> NDArray[np.float64]:
    """One row of labels for each frame of a clip.

    Labels given row by row must be as many as the frames. Labels by frame number fill their
    frames. Labels by time are interpolated linearly between neighbours at most 1 s apart, both
    labelled; there is no extrapolation before the first or after the last.

    Args:
        labels: (R, K) annotations of the clip.
        time: (T,) the frames' times in seconds, increasing.

    Returns:
        (T, K) float64, NaN where not labelled.

    Raises:
        GrjcaError: Too few or too many rows, a frame number beyond the clip's end, or a time
            more than 1 s after it.
    """
    if labels.time is not None:
        return _by_time(labels, labels.time, time)
    if labels.frame is None:
        if len(labels) != len(time):
            raise GrjcaError(
                "labels", labels.source,
                f"{len(labels)} rows of labels for the {len(time)} frames of {labels.clip}",
                "Row i belongs to frame i; write a row for every decoded frame.",
            )  # fmt: skip
        return labels.values
    if len(labels) and labels.frame[-1] >= len(time):
        raise GrjcaError(
            "labels", labels.source,
            f"a label for frame {labels.frame[-1]} of {labels.clip}, which has {len(time)} frames",
            "Frames are counted from 0, in the order of decoding.",
        )  # fmt: skip
    values = np.full((len(time), labels.values.shape[1]), np.nan)
    values[labels.frame] = labels.values
    return values


def _by_time(
    labels: ClipLabels, at: NDArray[np.float64], time: NDArray[np.float64]
) -> NDArray[np.float64]:
    if len(at) and len(time) and at[-1] > time[-1] + LATEST:
        raise GrjcaError(
            "labels", labels.source,
            f"a label at {at[-1]:g} s of {labels.clip}, whose last frame is at {time[-1]:g} s",
            "Times are in seconds from the clip's start.",
        )  # fmt: skip
    values = np.full((len(time), labels.values.shape[1]), np.nan)
    if not len(at):
        return values
    right = np.searchsorted(at, time, side="left").clip(0, len(at) - 1)
    exact = at[right] == time
    values[exact] = labels.values[right[exact]]
    between = np.flatnonzero(~exact & (time > at[0]) & (time < at[-1]))
    right = right[between]
    gap = at[right] - at[right - 1]
    near = gap <= LONGEST_GAP + _ROUNDING
    between, right, gap = between[near], right[near], gap[near]
    share = ((time[between] - at[right - 1]) / gap)[:, None]
    values[between] = labels.values[right - 1] * (1 - share) + labels.values[right] * share
    return values
