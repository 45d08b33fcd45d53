"""Reading features, masks and times that other programs wrote: npy, npz and csv files."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError
from grjca.exchange.numbers import read_csv
from grjca.exchange.refs import ArrayRef, listed, refused

TIMES = ("time", "timestamp")
"""Columns of a csv file that hold seconds, not features."""

FRAME = "frame"
"""Column of a csv file that holds frame numbers, not features."""

_FEATURES = "features"

# What NumPy, whose headers are Python literals, and zipfile raise on damaged files (found by
# mutating some).
_DAMAGED = (
    ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, EOFError,
    SyntaxError, tokenize.TokenError, struct.error, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip


@dataclass(frozen=True)
class FeatureTable:
    """Features as a file holds them.

    Attributes:
        values: (T, D) float32, NaN where the file has no number.
        columns: Names of the D numbers, where the file gives any.
        time: (T,) float64 seconds, where a csv file has such a column.
        frame: (T,) int64 frame numbers, where a csv file has such a column.
    """

    values: NDArray[np.float32]
    columns: tuple[str, ...] | None = None
    time: NDArray[np.float64] | None = None
    frame: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.dtype != np.float32:
            raise ValueError(f"features are {self.values.dtype} {self.values.shape}")
        for name in ("time", "frame"):
            column = getattr(self, name)
            if column is not None and column.shape != (len(self.values),):
                raise ValueError(f"{name} is {column.shape}, rows: {len(self.values)}")

    def __len__(self) -> int:
        return len(self.values)


def read_features(ref: ArrayRef) -> FeatureTable:
    """Read a file of features, a row per frame or window.

    Raises:
        GrjcaError: Not there, damaged, not a matrix of real numbers, a row with infinity, or a
            number too large for float32.
    """
    if ref.path.suffix.lower() == ".csv":
        table = _features_of_csv(ref)
    else:
        table = FeatureTable(_to_float32(ref, _read_binary(ref, _FEATURES)))
    if not table.values.size:
        raise refused(ref, f"no features: {table.values.shape[0]} rows, "
                            f"{table.values.shape[1]} numbers each")  # fmt: skip
    infinite = np.flatnonzero(np.isinf(table.values).any(axis=1))
    if len(infinite):
        raise refused(
            ref, f"infinity, or a number beyond float32, in {len(infinite)} rows, first row "
            f"{infinite[0]}", "Write NaN where a number is missing.",
        )  # fmt: skip
    return table


def read_vector(ref: ArrayRef) -> NDArray[np.float64]:
    """Read one number per row: times, or a mask.

    Returns:
        (T,) float64.

    Raises:
        GrjcaError: Not there, damaged, or not one number per row.
    """
    if ref.path.suffix.lower() == ".csv":
        names, values = read_csv(ref, ref.key)
        if len(names or values[0]) != 1:
            raise refused(ref, f"{values.shape[1]} columns, wanted one",
                           f"Name it: {ref.path.name}:COLUMN.")  # fmt: skip
        return values[:, 0]
    values = _read_binary(ref, None)
    if values.ndim == 2 and 1 in values.shape:
        values = values.reshape(-1)
    if values.ndim != 1:
        raise refused(ref, f"an array of shape {values.shape}, wanted one number per row")
    return values.astype(np.float64)


def read_mask(ref: ArrayRef) -> NDArray[np.bool_]:
    """Read where rows are valid: booleans, or the numbers 0 and 1.

    Raises:
        GrjcaError: Not there, damaged, or with other values.
    """
    values = read_vector(ref)
    odd = np.flatnonzero((values != 0) & (values != 1))
    if len(odd):
        raise refused(ref, f"{values[odd[0]]:g} in row {odd[0]} of a mask",
                       "A mask holds 1 where a row is valid and 0 where not.")  # fmt: skip
    mask: NDArray[np.bool_] = values == 1
    return mask


def _to_float32(ref: ArrayRef, values: NDArray[Any]) -> NDArray[np.float32]:
    if values.ndim != 2:
        raise refused(ref, f"an array of shape {values.shape}, wanted (rows, numbers per row)",
                       "Reshape it to two dimensions.")  # fmt: skip
    # Too large a number becomes infinity, which is refused by its row.
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _read_binary(ref: ArrayRef, default: str | None) -> NDArray[Any]:
    """The array of an npy or npz file; objects, which could run code, are not loaded."""
    try:
        with ref.path.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            if isinstance(loaded, np.lib.npyio.NpzFile):
                with loaded:
                    loaded = loaded[_key(ref, loaded.files, default)]
            values = np.asarray(loaded)
    except FileNotFoundError as error:
        raise GrjcaError("read", ref.path, "no such file", "Check the manifest.") from error
    except OSError as error:
        raise refused(ref, error.strerror or str(error), "Check the file.") from error
    except _DAMAGED as error:
        cause = f"not a readable {ref.path.suffix.lower()} file ({error})"
        raise refused(ref, cause, "Write plain arrays of numbers with numpy.save or savez."
                       ) from error  # fmt: skip
    except MemoryError as error:
        raise refused(ref, "does not fit into memory", "Cut it into clips.") from error
    if values.dtype.kind not in "fiub":
        raise refused(ref, f"an array of type {values.dtype}, wanted real numbers", "")
    return values


def _key(ref: ArrayRef, have: Sequence[str], default: str | None) -> str:
    if ref.key in have:
        return ref.key
    if not ref.key and len(have) == 1:
        return have[0]
    if not ref.key and default in have:
        return str(default)
    cause = f"no array called {ref.key}" if ref.key else f"{len(have)} arrays, which one"
    raise refused(ref, f"{cause}; there are: {listed(have)}", f"Name it: {ref.path.name}:KEY.")


def _features_of_csv(ref: ArrayRef) -> FeatureTable:
    names, values = read_csv(ref, ref.key, (*TIMES, FRAME))
    if names is None:
        return FeatureTable(_to_float32(ref, values))
    lower = [name.lower() for name in names]
    time = next((values[:, lower.index(name)] for name in TIMES if name in lower), None)
    frame = values[:, lower.index(FRAME)] if FRAME in lower else None
    chosen = [i for i, name in enumerate(lower) if name not in (*TIMES, FRAME)]
    return FeatureTable(
        _to_float32(ref, values[:, chosen]),
        tuple(names[i] for i in chosen),
        time,
        None if frame is None else _whole(ref, frame),
    )


def _whole(ref: ArrayRef, frame: NDArray[np.float64]) -> NDArray[np.int64]:
    odd = np.flatnonzero(~((frame >= 0) & (frame < 2**53) & (frame == np.floor(frame))))
    if len(odd):
        raise refused(ref, f"frame number {frame[odd[0]]:g} in row {odd[0]}",
                       "Frames are counted in whole numbers.")  # fmt: skip
    if (np.diff(frame) <= 0).any():
        row = int(np.flatnonzero(np.diff(frame) <= 0)[0]) + 1
        raise refused(ref, f"frame number {frame[row]:g} in row {row} follows {frame[row - 1]:g}",
                       "One row per frame, in order; with several faces keep one of them."
                       ) from None  # fmt: skip
    return frame.astype(np.int64)
