"""Predictions as CSV, JSON or Parquet: one table, a row per frame."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grjca.errors import UsageError
from grjca.files import written_in_one_step
from grjca.fusion.predictor import Prediction


def columns(prediction: Prediction) -> dict[str, NDArray[Any]]:
    """The table's columns: frame, time, dimensions, masks, ``gate_visual_0`` and so on."""
    table: dict[str, NDArray[Any]] = {
        "frame": np.arange(len(prediction)),
        "time": prediction.time,
    }
    table |= {name: prediction.values[:, k] for k, name in enumerate(prediction.names)}
    table |= {"face_valid": prediction.face_valid, "audio_valid": prediction.audio_valid}
    for modality, gate in prediction.gates.items():
        table |= {f"gate_{modality}_{i}": gate[:, i] for i in range(gate.shape[1])}
    return table


def write_csv(prediction: Prediction, path: Path) -> None:
    """Write a CSV: numbers with 6 decimals, masks as 1 and 0.

    Raises:
        GrjcaError: The file cannot be written.
    """
    table = columns(prediction)
    texts = [_texts(column) for column in table.values()]
    with (
        written_in_one_step(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(table)
        writer.writerows(zip(*texts, strict=True))


def write_json(prediction: Prediction, path: Path) -> None:
    """Write a JSON object: ``clip``, and ``columns`` with a list per column.

    Raises:
        GrjcaError: The file cannot be written.
    """
    table = {name: column.tolist() for name, column in columns(prediction).items()}
    text = json.dumps({"clip": prediction.clip, "columns": table}, allow_nan=False)
    with written_in_one_step(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def write_parquet(prediction: Prediction, path: Path) -> None:
    """Write a Parquet file; the clip's identity is in the schema's metadata.

    Raises:
        UsageError: pyarrow is not installed.
        GrjcaError: The file cannot be written.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError("write", path, f"Parquet needs the package pyarrow ({error})",
                         "Install it with: pip install 'grjca[parquet]'; or choose csv or json."
                         ) from error  # fmt: skip
    table = pyarrow.table(columns(prediction))
    table = table.replace_schema_metadata({"clip": prediction.clip})
    with written_in_one_step(path) as temporary:
        parquet.write_table(table, temporary)


WRITERS: dict[str, Callable[[Prediction, Path], None]] = {
    "csv": write_csv,
    "json": write_json,
    "parquet": write_parquet,
}
"""Writers by the format's name, which is also the file's extension."""


def _texts(column: NDArray[Any]) -> list[str]:
    if column.dtype == np.float64:
        return [f"{value:.6f}" for value in column]
    return [str(int(value)) for value in column]
