"""What a run of extraction did, clip by clip."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grjca.files import written_in_one_step
from grjca.pipeline.outcome import ClipOutcome

SCHEMA = "grjca.run/1"

_FIELDS = [field.name for field in dataclasses.fields(ClipOutcome)]


@dataclass(frozen=True)
class RunReport:
    """The outcome of every clip, with what the run was made of.

    Attributes:
        outcomes: One per clip, in the order of their names.
        seconds: Wall time of the whole run.
        recipe: The identity of every stage.
        versions: Versions of this program and of what decodes and computes.
        passed_over: Files in folders that are no media by their ending.
        interrupted: The run was stopped before its end.
    """

    outcomes: Sequence[ClipOutcome]
    seconds: float
    recipe: dict[str, Any]
    versions: dict[str, str]
    passed_over: int = 0
    interrupted: bool = False

    def with_status(self, status: str) -> list[ClipOutcome]:
        """The outcomes of one status: ``done``, ``skipped`` or ``failed``."""
        return [outcome for outcome in self.outcomes if outcome.status == status]

    @property
    def failed(self) -> list[ClipOutcome]:
        """The clips that could not be extracted."""
        return self.with_status("failed")

    @property
    def rows(self) -> int:
        """Rows computed in this run."""
        return sum(outcome.rows for outcome in self.with_status("done"))

    def summary(self) -> str:
        """One line for a person."""
        done, skipped = len(self.with_status("done")), len(self.with_status("skipped"))
        line = f"{done} extracted, {skipped} already there, {len(self.failed)} failed"
        if self.rows:
            line += f"; {self.rows} frames in {self.seconds:.1f} s"
            line += f" ({self.rows / self.seconds:.1f} frames/s)"
        if self.passed_over:
            line += f"; {self.passed_over} other files passed over"
        return line

    def as_json(self) -> str:
        """The whole report as JSON text, a line per clip."""
        return "".join(self._pieces())

    def write(self, path: str | Path) -> None:
        """Write the report in one step.

        Raises:
            GrjcaError: It cannot be written.
        """
        with written_in_one_step(Path(path)) as temporary, temporary.open("w") as stream:
            stream.writelines(self._pieces())
            stream.write("\n")

    def _pieces(self) -> Iterator[str]:
        """The JSON text, never a whole list of clips at once."""
        told = {
            "schema": SCHEMA,
            "interrupted": self.interrupted,
            "seconds": round(self.seconds, 3),
            "frames": self.rows,
            "counts": {s: len(self.with_status(s)) for s in ("done", "skipped", "failed")},
            "passed_over": self.passed_over,
            "recipe": self.recipe,
            "versions": self.versions,
        }
        yield json.dumps(told, indent=2).removesuffix("\n}") + ',\n  "clips": ['
        for number, outcome in enumerate(self.outcomes):
            values = {name: getattr(outcome, name) for name in _FIELDS}
            yield (",\n    " if number else "\n    ") + json.dumps(values)
        yield "\n  ]\n}"
