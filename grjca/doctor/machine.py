"""Cores, memory, and the disk that a store lies or would lie on."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from grjca.doctor.findings import Finding
from grjca.files import temporary_name

SECTION = "machine"

LITTLE = 1 << 30
"""Bytes of free disk below which it is said to be little."""

NETWORK = re.compile(r"nfs|cifs|smb|lustre|gpfs|beegfs|ceph|glusterfs|9p|afs|fuse\.sshfs|wekafs")
"""Types of file systems that lie on other machines."""

_MEMORY_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def machine() -> Iterator[Finding]:
    """Cores and memory that this process may use."""
    there, usable = os.cpu_count() or 1, len(os.sched_getaffinity(0))
    of = f" of {there}" if usable != there else ""
    yield Finding(SECTION, "cores", "ok", f"{usable}{of}")
    try:
        told = dict(re.findall(r"^(\w+): +(\d+) kB", Path("/proc/meminfo").read_text(), re.M))
        total, free = int(told["MemTotal"]) << 10, int(told["MemAvailable"]) << 10
    except (OSError, KeyError) as error:
        yield Finding(SECTION, "memory", "problem", f"the system does not tell ({error})")
        return
    limit = min(filter(None, map(_limit, _MEMORY_LIMITS)), default=total)
    bound = f"; limited to {size(limit)}" if limit < total else ""
    yield Finding(SECTION, "memory", "ok", f"{size(total)}, {size(free)} free{bound}")


def disk(folder: Path, *, needed: bool) -> Iterator[Finding]:
    """Room in a folder, whether it can be written, and whether files can be locked there.

    A temporary file is made in the folder and removed at once.

    Args:
        folder: A store's folder, or where one would be made.
        needed: Whether an extraction writes there.
    """
    try:
        room = shutil.disk_usage(folder)
    except OSError as error:
        cause = f"{folder}: {error.strerror}"
        yield Finding(SECTION, "disk", "problem", cause, "Choose another folder.", needed)
        return
    kind, where = _file_system(folder)
    network = f"{kind}, a network disk" if NETWORK.match(kind) else kind
    cause = f"{size(room.free)} free of {size(room.total)} at {where} ({network})"
    if room.free < LITTLE:
        yield Finding(
            SECTION, "disk", "problem", cause, "Free some space.", needed and not room.free
        )
    else:
        yield Finding(SECTION, "disk", "ok", cause)
    yield from _trial(folder, needed=needed)


def size(number: int) -> str:
    """Bytes for people: ``1.5 GiB``."""
    value = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def _trial(folder: Path, *, needed: bool) -> Iterator[Finding]:
    trial = folder / temporary_name()
    try:
        with trial.open("xb") as file:
            yield Finding(SECTION, "writing", "ok", str(folder))
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield Finding(SECTION, "file locks", "ok", "they work there; grjca needs none")
            except OSError as error:
                yield Finding(
                    SECTION, "file locks", "problem", f"{error.strerror}; grjca needs none",
                    "Other programs read a store's files with HDF5_USE_FILE_LOCKING=FALSE.",
                )  # fmt: skip
    except OSError as error:
        cause = f"{folder}: {error.strerror}"
        remedy = "Choose a folder that you may write to."
        yield Finding(SECTION, "writing", "problem", cause, remedy, needed)
    finally:
        with contextlib.suppress(OSError):
            trial.unlink()


def _limit(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _file_system(folder: Path) -> tuple[str, str]:
    """Type and place of the mounted file system that a folder lies in."""
    inside = os.path.realpath(folder)
    best = ("unknown", "/")
    try:
        lines = Path("/proc/self/mounts").read_text(errors="replace").splitlines()
    except OSError:
        return best
    for line in lines:
        _, where, kind = (*line.split(" "), "", "")[:3]
        where = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), where)
        below = where.rstrip("/") + "/"
        if f"{inside}/".startswith(below) and len(where) >= len(best[1]):
            best = kind, where
    return best
