"""What was found, as plain data, and what follows from it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from grjca.errors import one_line

State = Literal["ok", "missing", "problem"]

STATES: tuple[State, ...] = get_args(State)

SCHEMA, VERSION = "grjca.doctor", 1
"""Name and version of the JSON form."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked for.

    Attributes:
        section: What it belongs to, for example ``ffmpeg``.
        name: What it is, for example ``decoder av1``.
        state: ``ok``; ``missing``: not there, which may be all right; ``problem``: there, and not
            as it should be.
        detail: Version, path, or what is wrong.
        remedy: What to do about it; may be empty.
        needed: An extraction with the default components fails without it.

    Raises:
        ValueError: There is no such state.
    """

    section: str
    name: str
    state: State
    detail: str = ""
    remedy: str = ""
    needed: bool = False

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"state {self.state}; known: {', '.join(STATES)}")
        for name in ("section", "name", "detail", "remedy"):
            object.__setattr__(self, name, one_line(str(getattr(self, name))))

    @property
    def hinders(self) -> bool:
        """Whether the default extraction fails for it."""
        return self.needed and self.state != "ok"


@dataclass(frozen=True)
class Diagnosis:
    """All that was found, in the order to be read."""

    findings: tuple[Finding, ...]

    @property
    def ready(self) -> bool:
        """Whether an extraction with the default components would run."""
        return not any(finding.hinders for finding in self.findings)

    def as_json(self) -> str:
        """JSON text: ``schema``, ``version``, ``ready`` and a list of ``findings``."""
        told: dict[str, Any] = {"schema": SCHEMA, "version": VERSION, "ready": self.ready}
        told["findings"] = [dataclasses.asdict(finding) for finding in self.findings]
        return json.dumps(told, indent=2)


def sections(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Findings by section, sections in the order in which they first appear."""
    by_name: dict[str, list[Finding]] = {}
    for finding in findings:
        by_name.setdefault(finding.section, []).append(finding)
    return by_name
