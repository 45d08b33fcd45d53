"""A training's curves for TensorBoard."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from grjca.errors import UsageError

FOLDER = "tensorboard"
"""Name of the folder of event files inside a RUN folder."""


class TensorBoard:
    """Writes each epoch's row as scalars; a context that closes the file.

    Args:
        folder: The RUN folder.
        first: The first epoch that will be written; later ones in older files are hidden.

    Raises:
        UsageError: The package ``tensorboard`` is not installed.
    """

    def __init__(self, folder: Path, first: int) -> None:
        check_installed()
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / FOLDER), purge_step=first)

    def __call__(self, row: Mapping[str, float]) -> None:
        """Write an epoch; what is undefined is left out."""
        for name, value in row.items():
            if name != "epoch" and math.isfinite(value):
                self._writer.add_scalar(name, value, int(row["epoch"]))
        self._writer.flush()

    def __enter__(self) -> TensorBoard:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._writer.close()


def check_installed() -> None:
    """See that the package is there before hours of work.

    Raises:
        UsageError: It is not.
    """
    try:
        import tensorboard  # type: ignore[import-untyped] # noqa: F401
    except ImportError as error:
        raise UsageError("train", "--tensorboard", str(error),
                         "Install it: pip install 'grjca[tensorboard]'.") from error  # fmt: skip
