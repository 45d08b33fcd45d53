"""The right to write one clip: held by one run at a time, on one machine or on many.

A claim is a file ``.grjca/claims/<digest of the clip>.json`` that its owner made (``O_EXCL``) and
touches every few seconds. It is stale when its owner is a process of this machine that is gone,
or one of another machine that has not touched it for :data:`STALE` seconds by the file system's
own clock. Who takes a stale claim over removes its owner's temporary files; an owner that was
merely asleep can therefore no longer rename one of them into the store, at whatever instant it
wakes.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from grjca.cache.layout import HOUSE, TEMPORARY, check_identity, clip_path
from grjca.cache.owners import STALE, Owner, Sighting, look
from grjca.errors import GrjcaError

HEARTBEAT = 5.0
"""Seconds between two signs of life."""

MARK = ".gone"
"""Ending of the file by which a run says that it is taking a stale claim away."""

CLAIM_OF_SHARDS = "shards"
"""What a packed store is claimed as, the whole of it."""

_ATTEMPTS = 20
"""How often others may be quicker with a claim that was just found free."""


class ClaimLostError(GrjcaError):
    """Another run has taken the clip over, because its owner seemed to be gone."""


class Claim:
    """The right to write one clip and the files of its people; see :func:`claim`.

    Use as a context manager: within it a thread goes on giving signs of life, and leaving it
    gives the clip free.

    Attributes:
        root: The store's folder.
        clip: The clip's identity.
    """

    def __init__(self, root: Path, clip: str, path: Path, owner: Owner, handle: int) -> None:
        self.root = root
        self.clip = clip
        self._path = path
        self._owner = owner
        self._handle = handle
        self._numbers = itertools.count()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="grjca-claim", daemon=True)

    def __enter__(self) -> Claim:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A forked child has a copy of this object, and no right to what it stands for.
        if os.getpid() != self._owner.pid:
            return
        self._over.set()
        self._thread.join()
        # A claim that cannot be removed now is stale as soon as this process has ended.
        with contextlib.suppress(OSError):
            ours = self._is_ours()
            # Closed first: NFS keeps an open file that is removed, under another name.
            os.close(self._handle)
            if ours:
                self._path.unlink(missing_ok=True)

    def temporary(self, final: Path) -> Path:
        """A name beside ``final`` for a file that goes when this claim is given up."""
        return final.parent / f".{self._owner.token}-{next(self._numbers)}{TEMPORARY}"

    def confirm(self) -> None:
        """Make sure, on the disk, that the clip is still ours.

        Raises:
            ClaimLostError: Another run has taken it over.
        """
        with contextlib.suppress(OSError):
            os.utime(self._handle)
        try:
            ours = self._is_ours()
        except OSError:
            ours = False
        if not ours:
            raise ClaimLostError(
                "store", self.clip,
                "another run has taken this clip over, since nothing was heard of this one for "
                f"{STALE:.0f} s",
                "Nothing is lost: that run finishes it, or run extract again.",
            )  # fmt: skip

    def _is_ours(self) -> bool:
        seen = look(self._path)
        return seen is not None and seen.owner == self._owner

    def _beat(self) -> None:
        while not self._over.wait(HEARTBEAT):
            # By the open handle, so that a claim which took this one's place is never touched.
            # What a failure means is found out by confirm().
            with contextlib.suppress(OSError):
                os.utime(self._handle)


def claim(root: Path, clip: str) -> Claim | None:
    """Claim a clip of a store for this run.

    The people of a clip (``talk.mp4@1``, ...) are claimed together, as ``talk.mp4``.

    Args:
        root: The store's folder.
        clip: The clip's identity.

    Returns:
        The claim, or None when another living run has it (see :func:`owner_of`).

    Raises:
        GrjcaError: Not a clip's name, or the store cannot be written.
    """
    path = _path(root, check_identity(clip))
    owner = Owner.of_this_process(clip)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(_ATTEMPTS):
            handle = _create(path, owner)
            if handle is not None:
                return Claim(root, clip, path, owner, handle)
            if _take_away(root, path) is None:
                return None
    except OSError as error:
        raise GrjcaError(
            "store", root, f"cannot claim {clip}: {error.strerror or error}",
            "Free some space or choose another --store.",
        ) from error  # fmt: skip
    return None


def owner_of(root: Path, clip: str) -> str:
    """Who holds a clip, for messages: ``process 4711 on node7``, or ``nobody``."""
    seen = look(_path(root, clip))
    if seen is None:
        return "nobody"
    return str(seen.owner) if seen.owner else "another run"


def sightings(root: Path) -> Iterator[Sighting]:
    """Every claim of a store, and the marks of those that are being taken away."""
    folder = root / HOUSE / "claims"
    for path in sorted(folder.glob("*")):
        if path.suffix in (".json", MARK) and (seen := look(path)) is not None:
            yield seen


def remove_stale(root: Path) -> int:
    """Give up every stale claim of a store and remove the temporary files of its owner.

    Returns:
        How many temporary files were removed.

    Raises:
        OSError: The store cannot be written.
    """
    removed = 0
    for seen in sightings(root):
        if seen.path.suffix == MARK:
            removed += _finish(root, seen) if seen.stale() else 0
        else:
            removed += _take_away(root, seen.path) or 0
    return removed


def _path(root: Path, clip: str) -> Path:
    name = hashlib.sha256(clip.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return root / HOUSE / "claims" / f"{name}.json"


def _create(path: Path, owner: Owner) -> int | None:
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return None
    try:
        os.write(handle, owner.as_json().encode())
        os.fsync(handle)
    except OSError:
        os.close(handle)
        path.unlink(missing_ok=True)
        raise
    return handle


def _take_away(root: Path, path: Path) -> int | None:
    """Remove a claim if it is stale; None if it is not, else how many temporary files went."""
    seen = look(path)
    if seen is None:
        return 0
    if not seen.stale():
        return None
    owner = seen.owner
    # One mark for each stale claim, so that only one run at a time takes it away, and none takes
    # away the new claim that came in its place.
    mark = path.with_name(f"{path.stem}.{owner.token if owner else seen.inode}{MARK}")
    handle = _create(mark, Owner.of_this_process(owner.clip if owner else ""))
    if handle is None:
        other = look(mark)
        if other is None or not other.stale():
            return None
        mark.unlink(missing_ok=True)
        return 0
    os.close(handle)
    try:
        again = look(path)
        if again is None or (again.owner, again.inode) != (owner, seen.inode):
            return None
        removed = _remove_temporaries(root, owner.clip, owner.token) if owner else 0
        path.unlink(missing_ok=True)
        # Once more: until now its owner could still find the claim its own, and make another.
        return removed + (_remove_temporaries(root, owner.clip, owner.token) if owner else 0)
    finally:
        mark.unlink(missing_ok=True)


def _finish(root: Path, seen: Sighting) -> int:
    """Finish what a run that died had begun: see :func:`_take_away`."""
    removed = 0
    if seen.owner is not None and seen.owner.clip:
        removed = _remove_temporaries(root, seen.owner.clip, seen.path.name.split(".")[1])
    seen.path.unlink(missing_ok=True)
    return removed


def _remove_temporaries(root: Path, clip: str, token: str) -> int:
    removed = 0
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, GrjcaError):
        folder = clip_path(root, clip).parent
        for name in os.listdir(folder):
            if name.startswith(f".{token}-") and name.endswith(TEMPORARY):
                (folder / name).unlink(missing_ok=True)
                removed += 1
    return removed
