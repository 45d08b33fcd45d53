"""``make bench``: every benchmark as a command of its own, and the summary in a page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import every
from benchmarks.__main__ import main
from benchmarks.every import Task
from grjca.errors import GrjcaError


def test_what_cannot_run_is_skipped_and_what_breaks_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    tasks = [Task("kernels", gpu=True), Task("rows", media=True), Task("sync", ("--no-such",))]
    assert every.run(None, tmp_path, said.append, tasks, gpu=False) == ["sync"]
    assert said[:2] == [
        "kernels: skipped, it needs a GPU",
        "rows: skipped, it needs the real clips",
    ]
    assert "no-such" in said[2]


def test_every_task_is_a_command_that_knows_its_options() -> None:
    for task in every.TASKS:
        known = {
            option for parameter in main.commands[task.name].params for option in parameter.opts
        }
        assert {word for word in task.options if word.startswith("--")} <= known
        assert "--json" in known
        assert ("--media" in known) == task.media


def test_the_summary_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"Above.\n\n{every.BEGIN}\nold\n{every.END}\n\nBelow.\n")
    with pytest.raises(GrjcaError, match="no reports"):
        every.summarise(tmp_path, page)
    told = {
        "goal": "all is well", "reached": False, "summary": {"share": 0.12345}, "seconds": 2.4,
        "command": "python -m benchmarks toy --rounds 1 --json x.json", "date": "2026-11-24T10:00",
        "machine": {"cores": 2, "processor": "a", "memory_gib": 1.5, "system": "Linux"},
        "versions": {"grjca": "1", "ffmpeg": "2", "torch": "3"},
    }  # fmt: skip
    (tmp_path / "toy.json").write_text(json.dumps(told))
    for _ in range(2):
        every.summarise(tmp_path, page)
    text = page.read_text()
    assert text.startswith(f"Above.\n\n{every.BEGIN}\n2 cores, a, 1.5 GiB, Linux;")
    assert text.endswith(f"{every.END}\n\nBelow.\n")
    assert "old" not in text
    line = "| `toy --rounds 1` | share: 0.123 | all is well | NO | 2 | 2026-11-24 |"
    assert text.count(line) == 1
    page.write_text("no marks")
    with pytest.raises(GrjcaError, match="lacks the marks"):
        every.summarise(tmp_path, page)
