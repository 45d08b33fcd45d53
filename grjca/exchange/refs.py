"""How a manifest names an array in a file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from grjca.errors import GrjcaError

_SHOWN = 8
_REFERENCE = re.compile(r"(?P<path>.*\.(?:npz|csv))(?::(?P<key>.+))?|(?P<npy>.*\.npy)", re.I | re.S)


@dataclass(frozen=True)
class ArrayRef:
    """A file, and what is wanted of it.

    Attributes:
        path: An npy, npz or csv file.
        key: Name of an array in an npz file; a pattern such as ``AU*_r`` that the wanted columns
            of a csv file match; empty for the file's only array or all of its columns.
    """

    path: Path
    key: str = ""

    def __str__(self) -> str:
        return f"{self.path}:{self.key}" if self.key else str(self.path)

    @classmethod
    def parse(cls, text: str, folder: Path) -> ArrayRef:
        """Read ``FILE``, ``FILE.npz:key`` or ``FILE.csv:pattern``.

        Args:
            text: The cell of a manifest.
            folder: Where a relative path starts.

        Raises:
            ValueError: The file's ending is none of those known.
        """
        found = _REFERENCE.fullmatch(text)
        if not found:
            raise ValueError(f"{text} ends neither in .npy, .npz nor .csv")
        return cls(folder / (found["npy"] or found["path"]), found["key"] or "")


def refused(ref: ArrayRef, cause: str, remedy: str = "Write a row per frame.") -> GrjcaError:
    """The error of a file that cannot be taken for what the manifest says it is."""
    return GrjcaError("read", ref, cause, remedy)


def listed(names: Sequence[str]) -> str:
    """The first few names, for messages."""
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more"
                                        if len(names) > _SHOWN else "")  # fmt: skip
