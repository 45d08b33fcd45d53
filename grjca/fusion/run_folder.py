"""The folder that a training fills: checkpoints, table of epochs, state, resolved settings."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from grjca.errors import UsageError
from grjca.files import cannot_write
from grjca.fusion.checkpoint import save_checkpoint
from grjca.fusion.config import FusionConfig
from grjca.fusion.resume import TrainState, load_state, save_state
from grjca.fusion.run_claim import RunClaim
from grjca.fusion.run_files import CONFIG, LAST, METRICS, MODEL, STATE, without_nan
from grjca.fusion.settings import to_yaml

_FILES = (MODEL, LAST, METRICS, CONFIG, STATE)


def check_folder(out: Path, overwrite: bool, resume: bool = False) -> None:
    """Refuse a folder that holds a run, unless it may be replaced or gone on with.

    Raises:
        UsageError: The folder holds a run, or is a file; a run that has no state to go on from.
    """
    if overwrite and resume:
        raise UsageError("train", "--resume and --overwrite", "a run either goes on or is replaced",
                         "Leave one of them out.")  # fmt: skip
    if out.exists() and not out.is_dir():
        raise UsageError("train", out, "a file, not a folder", "Choose another --out.")
    held = [name for name in _FILES if (out / name).exists()]
    if not held or overwrite or (resume and STATE in held):
        return
    if resume:
        raise UsageError("train", out, f"a run ({', '.join(held)}) without {STATE} to go on from",
                         "Choose another --out, or say --overwrite.")  # fmt: skip
    raise UsageError("train", out, f"the folder holds a run already ({', '.join(held)})",
                     "Choose another --out, or say --resume or --overwrite.")  # fmt: skip


class RunFolder:
    """The RUN folder while it fills; what is written takes its name in one step.

    The state is the one truth to go on from: it is written before any other file of a run, and
    what a resumed run finds beside it is made to agree with it again.

    Args:
        claim: The right to write the folder.
        config: The model's configuration.
        meta: What the checkpoints record beside it.
        settings: The resolved settings, and what was found, for ``config.yaml``.
        run: What decides the run; a state of another is refused.
    """

    def __init__(
        self,
        claim: RunClaim,
        config: FusionConfig,
        meta: Mapping[str, Any],
        settings: Mapping[str, Any],
        run: Mapping[str, Any],
    ) -> None:
        self.folder = claim.folder
        self._claim = claim
        self._table = ""
        self._config = config
        self._meta = meta
        self._settings = settings
        self._run = run

    def start(self, state: TrainState) -> None:
        """Replace what an earlier run left by a new run's beginning.

        Raises:
            GrjcaError: The folder cannot be written.
        """
        self._claim.confirm()
        for name in _FILES:
            try:
                (self.folder / name).unlink(missing_ok=True)
            except OSError as error:
                raise cannot_write(self.folder / name, error) from error
        self.save(state)
        self._write_settings()

    def resume(self) -> TrainState | None:
        """The state to go on from; None where there is none. The other files are made to agree.

        Raises:
            UsageError: The state is that of a run with other settings, clips or features.
            GrjcaError: The state is damaged, or the folder cannot be written.
        """
        if not (self.folder / STATE).exists():
            return None
        state = load_state(self.folder / STATE, self._run)
        self._write_settings()
        self._table = _table(state.rows, header=True)
        self._write(METRICS, self._table)
        if state.best:
            self.keep(state.best, int(state.schedule["best_epoch"]), state.best_ccc)
        return state

    def append(self, row: Mapping[str, float]) -> None:
        """Add an epoch to the table; another program sees it at once.

        Raises:
            GrjcaError: The folder cannot be written.
        """
        self._table += _table([row], header=not self._table)
        # Whole, since a line added by a process that was taken over could not be called back; not
        # synced, since that would cost more than a small epoch.
        self._write(METRICS, self._table, durable=False)

    def keep(self, weights: Mapping[str, Tensor], epoch: int, reached: Mapping[str, float]) -> None:
        """Write the checkpoint with the best weights so far.

        Raises:
            GrjcaError: The folder cannot be written.
        """
        self._checkpoint(MODEL, weights, epoch, reached)

    def keep_last(
        self, weights: Mapping[str, Tensor], epoch: int, reached: Mapping[str, float]
    ) -> None:
        """Write the checkpoint with the weights that an epoch ended with, and sync the table.

        Raises:
            GrjcaError: The folder cannot be written.
        """
        self._checkpoint(LAST, weights, epoch, reached)
        self._write(METRICS, self._table)

    def save(self, state: TrainState) -> None:
        """Write the state to go on from.

        Raises:
            GrjcaError: The folder cannot be written.
        """
        save_state(self.folder / STATE, state, self._run, self._claim.written)

    def _checkpoint(
        self, name: str, weights: Mapping[str, Tensor], epoch: int, reached: Mapping[str, float]
    ) -> None:
        meta = {**self._meta, "epoch": epoch, "val_ccc": dict(reached)}
        path = self.folder / name
        save_checkpoint(path, self._config, weights, meta, self._claim.written)

    def _write_settings(self) -> None:
        self._write(CONFIG, to_yaml(without_nan(self._settings)))

    def _write(self, name: str, text: str, *, durable: bool = True) -> None:
        with self._claim.written(self.folder / name, durable=durable) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _table(rows: Sequence[Mapping[str, float]], *, header: bool) -> str:
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        if header:
            writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()
