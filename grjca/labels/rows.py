"""Annotations on a clip's own rows: by row, by frame number, by time, or one for the whole clip."""

from __future__ import annotations

import logging
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError, UsageError
from grjca.labels.records import ClipLabels

Align = Literal["error", "truncate"]
"""What is done about labels of frames that a clip does not have, or the other way round."""

LONGEST_GAP = 1.0
"""Seconds between two labels beyond which the time between them counts as not labelled."""

LATEST = 1.0
"""Seconds after a clip's last frame at which a label may still lie."""

# Times written with a few decimals must not open a gap in labels that are 1 s apart.
_ROUNDING = 1e-3

_TRUNCATE = "or ask for labels to be truncated"

logger = logging.getLogger(__name__)


def labels_for_rows(
    labels: ClipLabels,
    time: NDArray[np.float64],
    *,
    index: NDArray[np.int64] | None = None,
    align: Align = "error",
    delay: float = 0.0,
) -> NDArray[np.float64]:
    """One row of labels for each row of a clip.

    Labels given row by row must be as many as the frames. Labels by frame number fill their
    frames. Labels by time are interpolated linearly between neighbours at most 1 s apart, both
    labelled; there is no extrapolation before the first or after the last. A label of the whole
    clip stands in every row.

    With a delay the row at t gets what was annotated at t + delay, since annotators answer to
    what they have seen: by time again by interpolation; otherwise from the frame nearest to
    t + delay, so that values stay those that were annotated. Rows for which that lies beyond the
    clip's end (or before its start, for a negative delay) are not labelled.

    Args:
        labels: (R, K) annotations of the clip.
        time: (T,) the rows' times in seconds, increasing.
        index: (T,) the source's frame that each row shows, for a clip that was stored at another
            rate: labels by row or frame are those of the source's frames. None: row i is frame i.
        align: What to do about labels that do not match the frames: ``error``, or ``truncate``,
            which counts both from the start, takes no notice of labels beyond the last frame and
            leaves frames beyond the last label unlabelled.
        delay: Seconds by which the annotations lag behind the clip.

    Returns:
        (T, K) float64, NaN where not labelled.

    Raises:
        GrjcaError: Too few or too many rows, a frame number beyond the clip's end, or a time
            more than 1 s (and the delay) after it, without ``truncate``.
        UsageError: A delay that is not a finite number, or of a label of the whole clip.
    """
    _check_delay(labels, delay)
    if labels.clip_level:
        return np.repeat(labels.values, len(time), axis=0)
    mismatch = _mismatch(labels, time, index, delay)
    if mismatch is not None:
        if align == "error":
            raise mismatch
        logger.info("truncated: %s", mismatch.cause)
    if labels.time is not None:
        return interpolated(labels.time, labels.values, time + delay)
    frame = np.arange(len(labels)) if labels.frame is None else labels.frame
    wanted = np.arange(len(time)) if index is None else index
    values = np.full((len(time), labels.values.shape[1]), np.nan)
    place = np.searchsorted(frame, wanted)
    found = place < len(frame)
    found[found] = frame[place[found]] == wanted[found]
    values[found] = labels.values[place[found]]
    return _shifted(values, time, delay) if delay else values


def interpolated(
    at: NDArray[np.float64], values: NDArray[np.float64], time: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Values at other times, linearly between neighbours at most 1 s apart, both not NaN.

    Args:
        at: (R,) times of the values in seconds, increasing.
        values: (R, K).
        time: (T,) the times wanted.

    Returns:
        (T, K), NaN before the first time, after the last, and between distant neighbours.
    """
    result = np.full((len(time), values.shape[1]), np.nan)
    if not len(at):
        return result
    right = np.searchsorted(at, time, side="left").clip(0, len(at) - 1)
    exact = at[right] == time
    result[exact] = values[right[exact]]
    between = np.flatnonzero(~exact & (time > at[0]) & (time < at[-1]))
    right = right[between]
    gap = at[right] - at[right - 1]
    near = gap <= LONGEST_GAP + _ROUNDING
    between, right, gap = between[near], right[near], gap[near]
    share = ((time[between] - at[right - 1]) / gap)[:, None]
    result[between] = values[right - 1] * (1 - share) + values[right] * share
    return result


def _check_delay(labels: ClipLabels, delay: float) -> None:
    if not np.isfinite(delay):
        raise UsageError("labels", f"delay {delay}", "not a number of seconds", "For example 2.5.")
    if delay and labels.clip_level:
        cause = f"{labels.source} has one label for the whole of a clip"
        remedy = "Only labels along a clip lag behind it; leave the delay out."
        raise UsageError("labels", f"delay {delay:g} s", cause, remedy)


def _mismatch(
    labels: ClipLabels,
    time: NDArray[np.float64],
    index: NDArray[np.int64] | None,
    delay: float,
) -> GrjcaError | None:
    """The error about labels and frames that do not belong together, if they do not."""
    if labels.time is not None:
        if not len(labels) or not len(time) or labels.time[-1] <= time[-1] + LATEST + delay:
            return None
        cause = (
            f"a label at {labels.time[-1]:g} s of {labels.clip}, "
            f"whose last frame is at {time[-1]:g} s"
        )
        remedy = f"Times are in seconds from the clip's start; correct them, {_TRUNCATE}."
        return GrjcaError("labels", labels.source, cause, remedy)
    if labels.frame is not None:
        if not len(labels) or index is not None or labels.frame[-1] < len(time):
            return None
        cause = (
            f"a label for frame {labels.frame[-1]} of {labels.clip}, which has {len(time)} frames"
        )
        remedy = f"Frames are counted from 0, in the order of decoding; correct them, {_TRUNCATE}."
        return GrjcaError("labels", labels.source, cause, remedy)
    if index is None and len(labels) != len(time):
        frames = f"the {len(time)} frames"
    elif index is not None and len(index) and len(labels) <= index[-1]:
        frames = f"at least {index[-1] + 1} frames"
    else:
        return None
    cause = f"{len(labels)} rows of labels for {frames} of {labels.clip}"
    remedy = f"Row i belongs to frame i; write a row for every decoded frame, {_TRUNCATE}."
    return GrjcaError("labels", labels.source, cause, remedy)


def _shifted(
    values: NDArray[np.float64], time: NDArray[np.float64], delay: float
) -> NDArray[np.float64]:
    if len(time) < 2:
        return np.full_like(values, np.nan)
    late = time + delay
    right = np.searchsorted(time, late).clip(1, len(time) - 1)
    nearest = np.where(late - time[right - 1] <= time[right] - late, right - 1, right)
    half = np.median(np.diff(time)) / 2
    beyond = (late > time[-1] + half) | (late < time[0] - half)
    return np.where(beyond[:, None], np.nan, values[nearest])
