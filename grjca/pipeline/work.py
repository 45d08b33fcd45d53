"""What a worker's child is given to do, and how it ended; shared by all who hand it on."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

Tell = Callable[[int], None]
"""Called in the midst of an item with a number of rows whenever that many are finished."""

Work = Callable[[Any, Tell], Any]
"""Works on one item and returns its result."""


class Job(Protocol):
    """What is done with every item of a run; pickled once, opened once by every child."""

    def open(self) -> Work:
        """Load what all items need (models, say), and return what works on one of them.

        Raises:
            GrjcaError: It cannot be loaded here; no item can be worked on by this worker.
        """
        ...


@dataclass(frozen=True)
class Item:
    """One thing to work on.

    Attributes:
        name: Its name, different from all others'.
        payload: What the job's work is called with.
        files: Paths that the worker must be able to see.
    """

    name: str
    payload: Any
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finished:
    """The work returned; the result is still pickled, since a worker need not know it."""

    pickled: bytes

    @property
    def result(self) -> Any:
        """What it returned."""
        return unpacked(self.pickled)


@dataclass(frozen=True)
class Failed:
    """The work raised something that it should not have: its type and words."""

    cause: str


@dataclass(frozen=True)
class Died:
    """The child's process ended in the midst of the item.

    Attributes:
        how: Name of the signal, or the exit status.
        said: What it said at last.
    """

    how: str
    said: str = ""


@dataclass(frozen=True)
class Stopped:
    """The worker is about to go; the item has been given back."""


@dataclass(frozen=True)
class Refused:
    """This worker cannot work on any item.

    Attributes:
        cause: Why.
        remedy: What to do about it.
    """

    cause: str
    remedy: str = ""


@dataclass(frozen=True)
class Unseen:
    """The worker does not see the item's file."""

    path: str


Ending = Finished | Failed | Died | Stopped | Refused | Unseen


def packed(value: Any) -> bytes:
    """A value as bytes for another process of this program."""
    return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)


def unpacked(pickled: bytes) -> Any:
    """Inverse of :func:`packed`; only for bytes that came from this run's own processes."""
    return cast(Any, pickle.loads(pickled))  # noqa: S301
