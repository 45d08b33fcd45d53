"""Writing a file in one step: whole under its name, or not there at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from grjca.errors import GrjcaError


@contextlib.contextmanager
def written_in_one_step(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; on leaving it takes the name in one step.

    The folder is made if it is not there. When the block fails the temporary file is removed and
    what was under the name before stays.

    Raises:
        GrjcaError: The file cannot be written; the message has the system's words.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            sync(temporary)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> GrjcaError:
    """The error of a file that cannot be written."""
    cause = f"cannot write it: {error.strerror or error}"
    return GrjcaError("write", path, cause, "Free some space or choose another folder.")


def sync(path: Path) -> None:
    """Have a file, or a folder's list of names, on the disk before this returns."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
