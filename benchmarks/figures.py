"""What a benchmark found: a table, JSON, and whether its goal is reached."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from grjca.files import written_in_one_step

SCHEMA = "grjca.benchmark/1"

Cell = str | int | float | bool | None


@dataclass(frozen=True)
class Figures:
    """The result of one benchmark.

    Attributes:
        name: The benchmark's name.
        goal: What has to hold, in one sentence.
        reached: Whether it does.
        rows: The table, each row with the same columns.
        summary: Single figures over the whole table.

    Raises:
        ValueError: There are no rows, or they differ in their columns.
    """

    name: str
    goal: str
    reached: bool
    rows: Sequence[Mapping[str, Cell]]
    summary: Mapping[str, Cell] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.rows:
            raise ValueError(f"{self.name} measured nothing")
        if any(list(row) != list(self.rows[0]) for row in self.rows):
            raise ValueError(f"the rows of {self.name} differ in their columns")

    def as_text(self) -> str:
        """The table in Markdown, the single figures, the goal and whether it is reached."""
        lines = [
            list(self.rows[0]),
            *([shown(value) for value in row.values()] for row in self.rows),
        ]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        lines.insert(1, ["-" * width for width in widths])
        table = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in lines]
        single = [f"{name}: {shown(value)}" for name, value in self.summary.items()]
        verdict = f"goal {'reached' if self.reached else 'MISSED'}: {self.goal}"
        return "\n".join([*table, "", *single, verdict])

    def write(
        self, path: Path, *, command: str, seconds: float, surroundings: Mapping[str, Any]
    ) -> None:
        """Write everything as JSON, in one step.

        Args:
            path: Where to.
            command: What was run.
            seconds: Wall time that it took.
            surroundings: Machine and versions, see ``machine.describe``.

        Raises:
            GrjcaError: The file cannot be written.
        """
        told = {
            "schema": SCHEMA,
            "benchmark": self.name,
            "goal": self.goal,
            "reached": self.reached,
            "summary": dict(self.summary),
            "rows": [dict(row) for row in self.rows],
            "command": command,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(seconds, 1),
            **surroundings,
        }
        with written_in_one_step(path) as temporary:
            temporary.write_text(json.dumps(told, indent=2) + "\n")


def shown(value: Cell) -> str:
    """A figure with three digits that count, as it stands in tables."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 100 else str(_whole(value))


def _whole(value: Cell) -> Cell:
    return round(value) if isinstance(value, float) else value
