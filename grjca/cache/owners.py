"""Who works on a clip, and whether it still does.

A process is told apart from a later one that got the same number; of another machine only its signs
of life are seen.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import socket
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from grjca.files import machine, temporary_name

STALE = 90.0
"""Seconds of silence after which another machine's claim is given up.

More than the 60 s for which an NFS client may go on showing an old listing of a folder.
"""

_PROC = Path("/proc")


@dataclass(frozen=True)
class Owner:
    """A process, as it signs a claim.

    Attributes:
        host: Name of its machine, for people.
        machine: Which boot of which machine, and which numbering of processes there; processes
            with the same one can look each other up. Empty where the system tells neither.
        pid: Its number.
        started: When it started, in clock ticks since the machine did; 0 if not known.
        token: Drawn anew for each claim, 32 hexadecimal digits.
        clip: The clip claimed.

    Raises:
        ValueError: A value is of the wrong type or form.
    """

    host: str
    machine: str
    pid: int
    started: int
    token: str
    clip: str

    def __post_init__(self) -> None:
        for name in ("host", "machine", "token", "clip"):
            if not isinstance(getattr(self, name), str):
                raise ValueError(f"{name} is no text")  # noqa: TRY004
        for name in ("pid", "started"):
            if type(getattr(self, name)) is not int or not 0 <= getattr(self, name) < 1 << 62:
                raise ValueError(f"{name} is no number")
        if len(self.token) != 32 or not set(self.token) <= set("0123456789abcdef"):
            raise ValueError("token is not 32 hexadecimal digits")

    @classmethod
    def of_this_process(cls, clip: str) -> Owner:
        """This process, with a new token."""
        pid = os.getpid()
        _, started = _state(pid)
        return cls(socket.gethostname(), machine(), pid, started, uuid.uuid4().hex, clip)

    @classmethod
    def from_json(cls, text: str | bytes) -> Owner:
        """Read what :meth:`as_json` wrote.

        Raises:
            ValueError: It is something else.
        """
        values = json.loads(text)
        if not isinstance(values, dict):
            raise ValueError("not an owner")  # noqa: TRY004
        try:
            return cls(**values)
        except TypeError as error:
            raise ValueError(str(error)) from error

    def as_json(self) -> str:
        """JSON text of all attributes."""
        return json.dumps(dataclasses.asdict(self))

    def presence(self) -> Literal["alive", "dead", "unknown"]:
        """Whether the process lives; ``unknown`` when it is not one of this machine's."""
        if not self.machine or self.machine != machine():
            return "unknown"
        try:
            os.kill(self.pid, 0)
        except (ProcessLookupError, OverflowError):
            return "dead"
        except PermissionError:
            # Another user's: its state may be hidden, but it is there.
            pass
        state, started = _state(self.pid)
        if state in ("Z", "X") or (started and self.started and started != self.started):
            return "dead"
        return "alive"

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@dataclass(frozen=True)
class Sighting:
    """A claim's file as it was seen: who signed it (None if torn), its inode and last touch."""

    path: Path
    owner: Owner | None
    inode: int
    touched: float

    def stale(self) -> bool:
        """Whether the owner is gone, or of another machine and silent for too long.

        Raises:
            OSError: The disk is full.
        """
        presence = self.owner.presence() if self.owner else "unknown"
        if presence == "unknown":
            return clock_of(self.path.parent) - self.touched > STALE
        return presence == "dead"


def look(path: Path) -> Sighting | None:
    """Read a claim's file; None when there is none.

    It is opened before it is asked for its age, because an NFS client shows attributes from its
    memory until then.
    """
    try:
        with path.open("rb") as stream:
            stat, text = os.fstat(stream.fileno()), stream.read(1 << 16)
    except FileNotFoundError:
        return None
    try:
        owner = Owner.from_json(text)
    except ValueError:
        owner = None
    return Sighting(path, owner, stat.st_ino, stat.st_mtime)


def clock_of(folder: Path) -> float:
    """Now, by the clock of the file system: the clocks of machines that share it may differ.

    Where nothing may be written, as in a store that is only looked through, it is this machine's.

    Raises:
        OSError: The disk is full, or the folder is not there.
    """
    probe = folder / temporary_name()
    try:
        with probe.open("wb") as stream:
            return os.fstat(stream.fileno()).st_mtime
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
        return time.time()
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def _state(pid: int) -> tuple[str, int]:
    """State letter and starting time of a process (proc(5), fields 3 and 22 of ``stat``)."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return "", 0
    # The second field, the program's name in brackets, may itself hold brackets and spaces.
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])
