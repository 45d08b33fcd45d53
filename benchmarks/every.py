"""All benchmarks that fit into a quarter of an hour, one after the other, and their summary.

Each runs as a command of its own, at a size that is small where the full one takes long, and leaves
its JSON; the summary of all JSON files is then put between two marks of docs/benchmarks.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import shown
from grjca.errors import GrjcaError
from grjca.files import written_in_one_step

BEGIN, END = "<!-- figures:begin -->", "<!-- figures:end -->"


@dataclass(frozen=True)
class Task:
    """One benchmark.

    Attributes:
        name: Its command.
        options: What it is run with.
        media: It needs the real clips.
        gpu: It needs a GPU.
    """

    name: str
    options: tuple[str, ...] = ()
    media: bool = False
    gpu: bool = False


TASKS = (
    Task("extraction", ("--rounds", "1"), media=True),
    Task("rows", media=True),
    Task("sync"),
    Task("identity", media=True),
    Task("memory", ("--minutes", "2", "--visual", "hog")),
    Task("training", ("--epochs", "3")),
    Task("fusion"),
    Task("shards", ("--count", "2000", "--windows", "500")),
    Task("planning", ("--clips", "20000")),
    Task("overhead", ("--clips", "2000")),
    Task("kernels", gpu=True),
)


def run(
    media: Path | None,
    into: Path,
    say: Callable[[str], None],
    tasks: Sequence[Task] = TASKS,
    *,
    gpu: bool,
) -> list[str]:
    """Run them all; one that fails stops no other.

    Args:
        media: Folder of the real clips; None skips what needs them.
        into: Folder for ``NAME.json``.
        say: Told each benchmark's words, and a line for each that is skipped.
        tasks: Which.
        gpu: Whether there is a GPU; without one, what needs it is skipped.

    Returns:
        Names of those that broke down; a missed goal is none of them.
    """
    into.mkdir(parents=True, exist_ok=True)
    broken = []
    for task in tasks:
        if (task.gpu and not gpu) or (task.media and media is None):
            say(f"{task.name}: skipped, it needs {'a GPU' if task.gpu else 'the real clips'}")
            continue
        report = into / f"{task.name}.json"
        report.unlink(missing_ok=True)
        command = [sys.executable, "-m", "benchmarks", task.name, *task.options]
        command += ["--media", str(media)] if task.media else []
        done = subprocess.run(
            [*command, "--json", str(report)], capture_output=True, text=True, check=False
        )
        say(f"## {task.name}\n\n{done.stdout or done.stderr[-2000:]}")
        if not report.exists():
            broken.append(task.name)
    return broken


def summarise(folder: Path, page: Path) -> None:
    """Put the summary of a folder of JSON reports between the marks of a page.

    Raises:
        GrjcaError: There is no report, or the page has no such marks.
    """
    told = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    if not told:
        raise GrjcaError("benchmark", folder, "no reports", "Run make bench.")
    text = page.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise GrjcaError("benchmark", page, f"it lacks the marks {BEGIN} and {END}")
    with written_in_one_step(page) as temporary:
        temporary.write_text(f"{before}{BEGIN}\n{as_table(told)}\n{END}{after}")


def as_table(told: Sequence[Mapping[str, Any]]) -> str:
    """Machine, versions and a line for each benchmark, as Markdown."""
    machine, versions = told[0]["machine"], told[0]["versions"]
    about = (
        f"{machine['cores']} cores, {machine['processor']}, {machine['memory_gib']} GiB, "
        f"{machine['system']}; grjca {versions['grjca']}, ffmpeg {versions['ffmpeg']}, "
        f"torch {versions['torch']}."
    )
    lines = [
        "| benchmark | figures | goal | reached | seconds | date |",
        "|---|---|---|---|---|---|",
    ]
    for one in told:
        figures = "; ".join(f"{name}: {shown(value)}" for name, value in one["summary"].items())
        reached = "yes" if one["reached"] else "NO"
        name = one["command"].partition("benchmarks ")[2].partition(" --json")[0]
        name = name.partition(" --media")[0]
        lines.append(
            f"| `{name}` | {figures} | {one['goal']} | {reached} | {one['seconds']:.0f} "
            f"| {one['date'][:10]} |"
        )
    return "\n".join([about, "", *lines])
