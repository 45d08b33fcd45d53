"""The folder that a training fills: checkpoint, table of epochs, resolved configuration."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from grjca.errors import UsageError
from grjca.files import cannot_write, written_in_one_step
from grjca.fusion.checkpoint import FILE, save_checkpoint, without_nan
from grjca.fusion.config import FusionConfig

METRICS = "metrics.csv"
CONFIG = "config.yaml"


def check_folder(out: Path, overwrite: bool) -> None:
    """Refuse a folder that holds a run, unless it may be replaced.

    Raises:
        UsageError: The folder holds a run, or is a file.
    """
    if out.exists() and not out.is_dir():
        raise UsageError("train", out, "a file, not a folder", "Choose another --out.")
    held = [name for name in (FILE, METRICS, CONFIG) if (out / name).exists()]
    if held and not overwrite:
        raise UsageError("train", out, f"the folder holds a run already ({', '.join(held)})",
                         "Choose another --out, or say --overwrite.")  # fmt: skip


class RunFolder:
    """The RUN folder while it fills.

    Args:
        folder: The folder; made by :meth:`start`.
        config: The model's configuration.
        meta: What the checkpoint records beside it.
    """

    def __init__(self, folder: Path, config: FusionConfig, meta: Mapping[str, Any]) -> None:
        self.folder = folder
        self._config = config
        self._meta = meta

    def start(self) -> None:
        """Write the resolved configuration; remove what an earlier run left.

        Raises:
            GrjcaError: The folder cannot be written.
        """
        for name in (FILE, METRICS):
            try:
                (self.folder / name).unlink(missing_ok=True)
            except OSError as error:
                raise cannot_write(self.folder / name, error) from error
        document = {"fusion": dataclasses.asdict(self._config), **self._meta}
        with written_in_one_step(self.folder / CONFIG) as temporary:
            temporary.write_text(yaml.safe_dump(without_nan(document), sort_keys=False))

    def append(self, row: Mapping[str, float]) -> None:
        """Add an epoch to the table; another program sees it at once.

        Raises:
            GrjcaError: The folder cannot be written.
        """
        path = self.folder / METRICS
        try:
            with path.open("a", newline="", encoding="utf-8") as stream:
                writer = csv.DictWriter(stream, list(row), lineterminator="\n")
                if stream.tell() == 0:
                    writer.writeheader()
                writer.writerow(row)
        except OSError as error:
            raise cannot_write(path, error) from error

    def keep(self, state: Mapping[str, Tensor], epoch: int, reached: Mapping[str, float]) -> None:
        """Write the best weights so far.

        Raises:
            GrjcaError: The folder cannot be written.
        """
        meta = {**self._meta, "epoch": epoch, "val_ccc": dict(reached)}
        save_checkpoint(self.folder / FILE, self._config, state, meta)
