"""Many runs that share one list of clips: part K of N, chosen by the clips' names alone."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from grjca.cache.layout import HOUSE
from grjca.errors import UsageError

REPORTS = "reports"
"""The folder of the parts' reports, in the store's own folder."""

LAST = "last-run.json"
"""The report of the last run that was not one of parts, or of all parts together."""

_WRITTEN = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")
_NAMED = re.compile(r"part-([0-9]{1,9})-of-([0-9]{1,9})\.json")


@dataclass(frozen=True)
class Part:
    """One share of a list of clips.

    A clip's share follows from its name and ``of`` alone, so runs that know nothing of each other
    divide a list among them, whatever order they read it in and whatever was added to it since.

    Attributes:
        number: Which share, counted from 1.
        of: How many shares there are.
    """

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise UsageError(
                "part", f"{self.number}/{self.of}", "there is no such part",
                "Give K/N with K from 1 to N.",
            )  # fmt: skip

    @classmethod
    def parse(cls, text: str) -> Part:
        """The part written as ``K/N``.

        Raises:
            UsageError: It is not written so, or there is no such part.
        """
        written = _WRITTEN.fullmatch(text.strip())
        if written is None:
            raise UsageError("part", text, "this is no part", "Give K/N, for example 3/100.")
        return cls(int(written[1]), int(written[2]))

    @classmethod
    def of_report(cls, path: Path) -> Part | None:
        """The part whose report has this name; None for another file."""
        named = _NAMED.fullmatch(path.name)
        if named is None or not 1 <= int(named[1]) <= int(named[2]):
            return None
        return cls(int(named[1]), int(named[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def keeps(self, name: str) -> bool:
        """Whether a clip (or whatever else has a name) belongs to this part.

        The share is BLAKE2b of the name modulo ``of``: the same on every machine and in every
        version of Python, and even enough for the shares to be about equally long.
        """
        digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.of == self.number - 1


def report_path(store: Path, part: Part) -> Path:
    """Where the run of one part leaves its report."""
    return store / HOUSE / REPORTS / f"part-{part.number}-of-{part.of}.json"


def part_reports(store: Path) -> list[tuple[Part, Path]]:
    """The reports that parts have left in a store, in the order of their names."""
    folder = store / HOUSE / REPORTS
    if not folder.is_dir():
        return []
    found = ((Part.of_report(path), path) for path in folder.iterdir())
    return sorted(
        ((part, path) for part, path in found if part is not None),
        key=lambda pair: (pair[0].of, pair[0].number),
    )
