"""One modality of a line of a manifest: its rows, where they are valid, and when they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError
from grjca.exchange.alignment import Align, agree, bring, step
from grjca.exchange.arrays import read_features, read_mask, read_vector
from grjca.exchange.manifest import ImportLine, Kind, Side
from grjca.exchange.refs import ArrayRef

_MOST_ROWS = 100
"""Rows on a grid, for each row of a file, beyond which its times are taken for a mistake."""

_LATEST = 1.0


@dataclass(frozen=True)
class ReadSide:
    """A modality as its files hold it.

    Attributes:
        side: What the manifest says.
        values: (N, D) float32, NaN in rows that are not valid.
        valid: (N,) bool.
        columns: Names of the D numbers, where the file gives any.
        own: (N,) float64 seconds, the modality's own times; None where its rows are the clip's.
        numbered: The file numbers its rows as frames, and the manifest gives no times or rate of
            the modality's own: row i is the clip's row i.
        zeros: Rows that are valid and hold nothing but zeros.
    """

    side: Side
    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    columns: tuple[str, ...] | None
    own: NDArray[np.float64] | None
    numbered: bool
    zeros: int

    def __len__(self) -> int:
        return len(self.values)


def read_side(side: Side, fps: float | None, *, zeros_are_missing: bool) -> ReadSide:
    """Read a modality's files.

    A row with a NaN is not valid, nor is one that the mask leaves out, nor are frames between
    those that the file numbers. When the rows are is decided by the first of these that there is:
    times or a rate of the modality's own in the manifest, times in the file.

    Args:
        side: What the manifest says.
        fps: The clip's rows a second, if the line says so.
        zeros_are_missing: A row of nothing but zeros is not valid.

    Raises:
        GrjcaError: A file cannot be read or does not fit the features.
    """
    table = read_features(side.features)
    rows, values = len(table), table.values
    valid = np.asarray(~np.isnan(values).any(axis=1))
    if side.valid is not None:
        mask = read_mask(side.valid)
        _check_length(side.valid, "a mask", mask, rows)
        valid &= mask
    zero = np.asarray(valid & ~values.any(axis=1))
    if zeros_are_missing:
        valid &= ~zero
    if not valid.all():
        values = np.where(valid[:, None], values, np.float32(np.nan))
    time, frame = table.time, table.frame
    if frame is not None and side.time is None:
        # Tools count frames from 1 (OpenFace, image folders) or from 0.
        frame = frame - (0 if frame[0] == 0 else 1)
        if frame[-1] >= rows and (time is None or side.fps or fps):
            values, valid, time = *_filled(side, values, valid, frame), None
    own: NDArray[np.float64] | None = None
    if side.time is not None:
        own = checked_times(side.time, rows)
    elif side.fps is not None:
        own = np.arange(len(values)) / side.fps
    elif time is not None:
        own = _increasing(side.features, time)
    numbered = frame is not None and frame[-1] < len(values)
    numbered &= side.time is None and side.fps is None
    return ReadSide(side, values, valid, table.columns, own, numbered, int(zero.sum()))


def _filled(
    side: Side, values: NDArray[np.float32], valid: NDArray[np.bool_], frame: NDArray[np.int64]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A row for every frame up to the last: those the file leaves out are not valid."""
    rows = int(frame[-1]) + 1
    if rows > _MOST_ROWS * len(frame):
        raise GrjcaError("import", side.features, f"frame number {rows - 1} in {len(frame)} rows",
                         "Frames are counted from the clip's first.")  # fmt: skip
    full, there = np.full((rows, values.shape[1]), np.nan, np.float32), np.zeros(rows, bool)
    full[frame], there[frame] = values, valid
    return full, there


def rows_of_line(
    line: ImportLine, read: Mapping[Kind, ReadSide], times: NDArray[np.float64] | None
) -> NDArray[np.float64] | None:
    """The clip's rows as a line of the manifest gives them.

    Args:
        line: The line.
        read: Its modalities by kind.
        times: (T,) seconds that the line's ``time`` names.

    Returns:
        (T,) float64 seconds; None where nothing tells.

    Raises:
        GrjcaError: The times make no sense at that rate.
    """
    if times is not None:
        return times
    first = read[line.sides[0].kind]
    if line.fps is None:
        return first.own
    shared = [side for side in read.values() if side.own is None]
    if shared or first.own is None:
        return np.arange(len(shared[0])) / line.fps
    last = float(first.own[-1])
    # A last row a little early, by rounding or jitter, still is the row of its place.
    slack = min(0.5, step(first.own) * line.fps / 2 + 1e-6)
    rows = np.floor(last * line.fps + slack) + 1
    if not 0 < rows <= _MOST_ROWS * len(first):
        raise GrjcaError(
            "import", first.side.features,
            f"{len(first)} rows up to {last:g} s, at {line.fps:g} a second",
            "Times are seconds from the clip's start.",
        )  # fmt: skip
    return np.arange(int(rows)) / line.fps


def at_rows(
    side: ReadSide, rows: NDArray[np.float64], line: ImportLine, how: Align | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A modality on the clip's rows.

    Args:
        side: The modality.
        rows: (T,) the clip's rows, in seconds.
        line: Its line of the manifest.
        how: How to bring it to rows that are not its own; None for the nearest, and then only
            where it has times of its own.

    Returns:
        (T, D) float32, NaN where not valid, and (T,) bool.

    Raises:
        GrjcaError: The rows do not fit the clip's.
    """
    own, short = side.own, len(rows) - len(side)
    if side.numbered and (short == 0 or (short > 0 and own is None)):
        # Numbered as the clip's frames are; a tool's times may be those of a nominal rate.
        values = np.pad(side.values, ((0, short), (0, 0)), constant_values=np.nan)
        return values, np.pad(side.valid, (0, short))
    if own is None:
        implied = np.arange(len(side)) / line.fps if line.fps else None
        if short == 0 and (implied is None or agree(implied, rows)):
            return side.values, side.valid
        if how is None or implied is None:
            raise _unfit(side, rows, _difference(side, rows, implied))
        own = implied
    values, valid = bring(side.values, side.valid, own, rows, how or "nearest")
    return np.where(valid[:, None], values, np.float32(np.nan)), valid


def beyond(side: ReadSide, rows: NDArray[np.float64]) -> str:
    """What to say of a modality that goes on after the clip's last row; empty if it does not."""
    if side.own is None or side.own[-1] <= rows[-1] + _LATEST:
        return ""
    lost = int((side.own > rows[-1] + _LATEST).sum())
    return (
        f"{side.side.features}: {lost} rows after the clip's last one are left out "
        f"({side.own[-1]:g} s, the clip ends at {rows[-1]:g} s)"
    )


def checked_times(ref: ArrayRef, rows: int | None = None) -> NDArray[np.float64]:
    """Times from a file.

    Args:
        ref: The file.
        rows: How many there must be; None for any number.

    Returns:
        (T,) float64 seconds, finite and strictly increasing.

    Raises:
        GrjcaError: They are not, or are too many or too few.
    """
    time = read_vector(ref)
    if not len(time):
        raise GrjcaError("import", ref, "no times", "Write one per row.")
    if rows is not None:
        _check_length(ref, "times", time, rows)
    return _increasing(ref, time)


def _increasing(ref: ArrayRef, time: NDArray[np.float64]) -> NDArray[np.float64]:
    bad = np.flatnonzero(~np.isfinite(time))
    if len(bad):
        raise GrjcaError("import", ref, f"the time of row {bad[0]} is {time[bad[0]]}",
                         "Times are seconds, one per row.")  # fmt: skip
    back = np.flatnonzero(np.diff(time) <= 0)
    if len(back):
        row = int(back[0]) + 1
        raise GrjcaError(
            "import", ref,
            f"times do not increase: {time[row - 1]:g} s, then {time[row]:g} s in row {row}",
            "One row per frame, in order; with several faces keep one of them.",
        )  # fmt: skip
    return time


def _check_length(ref: ArrayRef, what: str, values: NDArray[np.generic], rows: int) -> None:
    if len(values) != rows:
        raise GrjcaError("import", ref, f"{what} of {len(values)} rows for {rows} rows of features",
                         "Write one per row.")  # fmt: skip


def _difference(
    side: ReadSide, rows: NDArray[np.float64], implied: NDArray[np.float64] | None
) -> str:
    if implied is None or len(side) != len(rows):
        return f"{len(side)} rows of {side.side.kind} features"
    worst = int(np.abs(implied - rows).argmax())
    return (
        f"row {worst} of the {side.side.kind} features would be at {implied[worst]:.3f} s and not "
        f"{rows[worst]:.3f} s"
    )


def _unfit(side: ReadSide, rows: NDArray[np.float64], what: str) -> GrjcaError:
    return GrjcaError(
        "import", side.side.features, f"{what}, but the clip has {len(rows)} rows",
        f"Give {side.side.kind}_fps or {side.side.kind}_time; or fps with --align nearest.",
    )  # fmt: skip
