"""One clip's features as a file that other programs read; written in pieces, in one step."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grjca.cache.records import ClipFeatures
from grjca.cache.store import FeatureStore
from grjca.errors import UsageError
from grjca.exchange.manifest import KINDS, Kind
from grjca.files import written_in_one_step

BLOCK_ROWS = 4096
"""Rows read and written at once."""


@dataclass(frozen=True)
class ExportClip:
    """A clip of a store, and which of its features are written.

    Attributes:
        store: The store.
        clip: The clip's identity.
        names: Names of embedders by modality; one that is missing is not written.
    """

    store: FeatureStore
    clip: str
    names: dict[Kind, str]

    @cached_property
    def time(self) -> NDArray[np.float64]:
        """(T,) seconds."""
        return self.store.read(self.clip).time

    def blocks(self, *kinds: Kind) -> Iterator[ClipFeatures]:
        """The clip's rows, some at a time.

        Raises:
            GrjcaError: The clip's file is damaged.
        """
        chosen = {kind: self.names.get(kind) for kind in kinds}
        for start in range(0, len(self.time), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            yield self.store.read(self.clip, chosen.get("visual"), chosen.get("audio"), rows)

    def dim(self, kind: Kind) -> int:
        """Numbers per row."""
        values, _ = of(self.store.read(self.clip, self.names.get("visual"),
                                       self.names.get("audio"), slice(0, 1)), kind)  # fmt: skip
        return int(values.shape[1])


def of(block: ClipFeatures, kind: Kind) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(n, D) features of a modality that was read, and (n,) where they are valid."""
    values = block.visual if kind == "visual" else block.audio
    if values is None:
        raise ValueError(f"{block.clip}: {kind} was not read")
    return values, block.visual_valid if kind == "visual" else block.audio_valid


def write_npz(clip: ExportClip, path: Path) -> None:
    """Write ``time``, and ``visual``, ``visual_valid``, ``visual_name`` and the same for audio.

    Features are float32, NaN where not valid; nothing is compressed, so that a reader may map it.

    Raises:
        GrjcaError: The clip's file is damaged, or the new one cannot be written.
    """
    with written_in_one_step(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        _write_array(archive, "clip", np.array(clip.clip))
        _write_array(archive, "time", clip.time)
        for kind, name in clip.names.items():
            _write_side(archive, clip, kind)
            _write_array(archive, f"{kind}_name", np.array(name))


def _write_side(archive: zipfile.ZipFile, clip: ExportClip, kind: Kind) -> None:
    masks: list[NDArray[np.bool_]] = []

    def pieces() -> Iterator[NDArray[np.float32]]:
        for block in clip.blocks(kind):
            values, valid = of(block, kind)
            masks.append(valid)
            yield values

    shape = (len(clip.time), clip.dim(kind))
    _write_pieces(archive, kind, shape, np.dtype(np.float32), pieces())
    _write_array(archive, f"{kind}_valid", np.concatenate(masks))


def _write_array(archive: zipfile.ZipFile, name: str, values: NDArray[Any]) -> None:
    _write_pieces(archive, name, values.shape, values.dtype, [values])


def _write_pieces(
    archive: zipfile.ZipFile,
    name: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    pieces: Iterable[NDArray[Any]],
) -> None:
    header = {
        "descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape
    }  # fmt: skip
    # A named entry has no time of writing: the same features give the same file.
    with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for piece in pieces:
            stream.write(np.ascontiguousarray(piece, dtype).tobytes())


def write_csv(clip: ExportClip, path: Path) -> None:
    """Write the columns ``time``, ``visual_0`` ..., ``visual_valid`` and the same for audio.

    Numbers have the digits that give the same float32 back; rows that are not valid have empty
    cells, masks are 1 and 0.

    Raises:
        GrjcaError: The clip's file is damaged, or the new one cannot be written.
    """
    with (
        written_in_one_step(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(_columns(clip))
        for block in clip.blocks(*KINDS):
            parts = [np.array([[repr(float(time))] for time in block.time], dtype=object)]
            for kind in clip.names:
                values, valid = of(block, kind)
                parts.append(np.where(valid[:, None], values.astype(str), "").astype(object))
                parts.append(np.where(valid[:, None], "1", "0").astype(object))
            writer.writerows(np.concatenate(parts, axis=1).tolist())


def write_parquet(clip: ExportClip, path: Path) -> None:
    """Write the columns of :func:`write_csv`; numbers are null where not valid.

    The clip's identity and the embedders' names are in the schema's metadata.

    Raises:
        UsageError: pyarrow is not installed.
        GrjcaError: The clip's file is damaged, or the new one cannot be written.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError("write", path, f"Parquet needs the package pyarrow ({error})",
                         "Install it with: pip install 'grjca[parquet]'; or choose csv or npz."
                         ) from error  # fmt: skip
    types = {"time": pyarrow.float64(), "valid": pyarrow.bool_()}
    told = {b"clip": clip.clip} | {f"{kind}".encode(): name for kind, name in clip.names.items()}
    schema = pyarrow.schema(
        [
            (name, types.get(name.rpartition("_")[2], pyarrow.float32()))
            for name in _columns(clip)
        ],
        {key: text.encode("utf-8", "surrogateescape") for key, text in told.items()},
    )  # fmt: skip
    with (
        written_in_one_step(path) as temporary,
        parquet.ParquetWriter(temporary, schema) as writer,
    ):
        for block in clip.blocks(*KINDS):
            columns = [pyarrow.array(block.time)]
            for kind in clip.names:
                values, valid = of(block, kind)
                columns += [pyarrow.array(column, mask=~valid) for column in values.T]
                columns.append(pyarrow.array(valid))
            writer.write_table(pyarrow.table(columns, schema=schema))


def _columns(clip: ExportClip) -> list[str]:
    columns = ["time"]
    for kind in clip.names:
        columns += [f"{kind}_{i}" for i in range(clip.dim(kind))] + [f"{kind}_valid"]
    return columns


WRITERS: dict[str, Callable[[ExportClip, Path], None]] = {
    "npz": write_npz,
    "csv": write_csv,
    "parquet": write_parquet,
}
"""Writers by the format's name, which is also the file's extension."""
