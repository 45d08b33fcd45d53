"""The right to write a RUN folder: held by one process at a time, on one machine or on many.

The claim is one of ``grjca.cache.claims``, in ``RUN/.grjca/claims``: an owner's file that is
touched every few seconds. That of a process of this machine that has ended is taken over at once;
one of another machine when it has been silent for ``STALE`` seconds. This is waited for, so that a
job that is started again on another node goes on by itself.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path

from grjca.cache.claims import Claim, ClaimLostError, claim, owner_of, sightings
from grjca.cache.layout import HOUSE
from grjca.cache.owners import STALE, Sighting, clock_of
from grjca.errors import GrjcaError, UsageError
from grjca.files import TEMPORARY_NAME, cannot_write, is_left_over, sync

TRAINING = "training"
"""What a training claims in its folder."""

OLD = 86400.0
"""Seconds after which a temporary file of another machine counts as left behind."""

_CLAIMED = re.compile(r"\.[0-9a-f]{32}-\d+\.tmp")
_POLL = 1.0
_ATTEMPTS = 20

logger = logging.getLogger(__name__)


class RunClaim:
    """A RUN folder that is this process's to write; made by :func:`claimed`.

    Attributes:
        folder: The folder.
    """

    def __init__(self, folder: Path, held: Claim) -> None:
        self.folder = folder
        self._held = held

    def confirm(self) -> None:
        """Make sure, on the disk, that the folder is still ours.

        Raises:
            GrjcaError: Another process has taken it over.
        """
        try:
            self._held.confirm()
        except ClaimLostError as error:
            raise self._lost() from error

    @contextlib.contextmanager
    def written(self, path: Path, *, durable: bool = True) -> Iterator[Path]:
        """A temporary path to write to, which takes a name of the folder in one step.

        The temporary file goes when the claim is taken over, so that a process that was asleep
        cannot write over what its successor has written, at whatever instant it wakes.

        Args:
            path: The file in the folder.
            durable: Have the content on the disk before it takes the name.

        Raises:
            GrjcaError: The file cannot be written, or another process has the folder now.
        """
        temporary = self._held.temporary(path)
        try:
            try:
                yield temporary
                if durable:
                    sync(temporary)
                self.confirm()
                temporary.replace(path)
            finally:
                temporary.unlink(missing_ok=True)
        except FileNotFoundError as error:
            # The folder may be gone as well, or the claim was taken over since it was confirmed.
            raise (self._lost() if self.folder.is_dir() else cannot_write(path, error)) from error
        except OSError as error:
            raise cannot_write(path, error) from error

    def _lost(self) -> GrjcaError:
        return GrjcaError(
            "train", self.folder,
            f"{owner_of(self.folder, self._held.clip)} has taken the folder over, since nothing "
            f"was heard of this one for {STALE:.0f} s",
            "Nothing is lost: it goes on from the last state; or say --resume when it has ended.",
        )  # fmt: skip


@contextlib.contextmanager
def claimed(folder: Path, what: str = TRAINING) -> Iterator[RunClaim]:
    """Hold a folder for as long as the context lasts, and sweep what killed owners left in it.

    A process that claims a folder twice for the same purpose refuses itself; another purpose
    (``what``) is another claim, so that whoever holds a trial's folder can train in it.

    Args:
        folder: The folder; made if it is not there.
        what: What it is held for, one word.

    Raises:
        UsageError: Another process holds it; the message names it and its machine.
        GrjcaError: The folder cannot be written.
    """
    held = _claim(folder, what)
    try:
        with held:
            try:
                _sweep(folder)
            except OSError as error:
                raise cannot_write(folder, error) from error
            yield RunClaim(folder, held)
    finally:
        _remove_empty(folder)


def check_free(folder: Path) -> None:
    """Refuse a folder that a living process of this machine trains in, before hours of work.

    That nobody does is certain only within :func:`claimed`.

    Raises:
        UsageError: The folder is held.
    """
    for seen in _sightings(folder, TRAINING):
        if seen.owner is not None and seen.owner.presence() == "alive":
            raise _held_by(folder, str(seen.owner))


def _claim(folder: Path, what: str) -> Claim:
    watched: Sighting | None = None
    for attempt in range(_ATTEMPTS + round(STALE / _POLL)):
        try:
            held = claim(folder, what)
        except GrjcaError as error:
            # Between the making of the claim's folder and that of its file an owner that leaves
            # may have removed the folder.
            if isinstance(error.__cause__, FileNotFoundError) and attempt < _ATTEMPTS:
                continue
            if isinstance(error.__cause__, OSError):
                raise cannot_write(folder, error.__cause__) from error
            raise
        if held is not None:
            return held
        seen = next(_sightings(folder, what), None)
        if seen is None:
            continue
        if seen.owner is not None and seen.owner.presence() == "alive":
            break
        if watched is None:
            logger.warning("%s: held by %s; waiting to see whether it lives",
                           folder, seen.owner or "another process")  # fmt: skip
        elif (seen.inode, seen.touched) != (watched.inode, watched.touched):
            break
        watched = seen
        time.sleep(_POLL)
    raise _held_by(folder, owner_of(folder, what))


def _held_by(folder: Path, who: str) -> UsageError:
    return UsageError("train", folder, f"{who} is at work in this folder",
                      "Wait for it or end it, or choose another --out.")  # fmt: skip


def _sightings(folder: Path, what: str) -> Iterator[Sighting]:
    for seen in sightings(folder):
        if seen.path.suffix == ".json" and (seen.owner is None or seen.owner.clip == what):
            yield seen


def _sweep(folder: Path) -> None:
    """Remove temporary files of processes that are gone."""
    # Files before claims: whose temporary file is found holds its claim until it is gone.
    there = list(folder.iterdir())
    living = {own.owner.token for own in sightings(folder) if own.owner and not own.stale()}
    now: float | None = None
    for path in there:
        gone = is_left_over(path.name)
        if _CLAIMED.fullmatch(path.name):
            gone = path.name[1:33] not in living
        elif not gone and TEMPORARY_NAME.fullmatch(path.name):
            now = clock_of(folder) if now is None else now
            with contextlib.suppress(FileNotFoundError):
                gone = now - path.stat().st_mtime > OLD
        if gone:
            path.unlink(missing_ok=True)


def _remove_empty(folder: Path) -> None:
    for empty in (folder / HOUSE / "claims", folder / HOUSE):
        with contextlib.suppress(OSError):
            empty.rmdir()
