"""Writing a file in one step: whole under its name, or not there at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

from grjca.errors import GrjcaError

TEMPORARY_NAME = re.compile(r"\.[0-9a-f]{32}\.(?P<machine>[0-9a-f]{8})\.(?P<pid>\d+)\.tmp")
"""Form of the names that :func:`temporary_name` makes."""


@contextlib.contextmanager
def written_in_one_step(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to; on leaving it takes the name in one step.

    The folder is made if it is not there. When the block fails the temporary file is removed and
    what was under the name before stays.

    Raises:
        GrjcaError: The file cannot be written; the message has the system's words.
    """
    temporary = path.with_name(temporary_name())
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


def temporary_name() -> str:
    """A new name for a temporary file, which tells the process that makes it and its machine."""
    return f".{uuid.uuid4().hex}.{_mark()}.{os.getpid()}.tmp"


def is_left_over(name: str) -> bool:
    """Whether a temporary file's name tells of a process of this machine that is gone."""
    made = TEMPORARY_NAME.fullmatch(name)
    if made is None or made["machine"] != _mark():
        return False
    try:
        os.kill(int(made["pid"]), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        # Another user's process; it lives.
        pass
    return False


def machine() -> str:
    """The boot and the process numbering this process sees; empty where the system tells neither.

    A boot's identity alone would do for machines, but containers of one machine share it (and may
    share the host's name) while each numbers its processes for itself.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _mark() -> str:
    return hashlib.sha256(machine().encode()).hexdigest()[:8]


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
