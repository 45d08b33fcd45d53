"""``grjca slurm-script``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from grjca.commands.ablate import ablate
from grjca.commands.extract import extract
from grjca.commands.predict import predict
from grjca.commands.talking import example, loudness_without_bar
from grjca.errors import UsageError

COMMANDS = {"extract": extract, "predict": predict, "ablate": ablate}
"""The commands that take ``--part K/N``."""

_PLACES = ("scheduler", "cluster", "jobs", "cluster_config", "dashboard")


@click.command(
    "slurm-script",
    epilog=example("grjca slurm-script --tasks 100 -- extract videos --store features > job.sh"),
)
@click.option("--tasks", required=True, type=click.IntRange(1), help="Tasks that share the work.")
@click.option("--name", help="The job's name.  [default: grjca-COMMAND]")
@click.option("--partition", help="SLURM's partition.")
@click.option("--account", help="Who is charged.")
@click.option("--time", metavar="[D-]H:M:S", help="Time limit of a task.")
@click.option(
    "--cpus", type=click.IntRange(1), default=1, show_default=True,
    help="Cores of a task; also its --workers, unless that is given.",
)  # fmt: skip
@click.option("--memory", metavar="SIZE", help="Memory of a task, for example 8G.")
@click.option("--gpus", metavar="[TYPE:]N", help="GPUs of a task.")
@click.option("--array-limit", type=click.IntRange(1), metavar="N", help="Most tasks at once.")
@click.option(
    "--log-dir", type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the logs, made now: SLURM would not.  [default: where you submit]",
)  # fmt: skip
@click.option(
    "--prologue", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
    help="Lines of bash before the command, for example 'module load'.",
)  # fmt: skip
@click.option("--line", "lines", multiple=True, metavar="TEXT", help="The same, a line each.")
@click.option(
    "--requeues", type=click.IntRange(0), default=10, show_default=True,
    help="How often a task goes back into the queue when its time is up.",
)  # fmt: skip
@click.option(
    "--merge/--no-merge", default=True, show_default=True,
    help="Merge the reports when the last task has ended.",
)  # fmt: skip
@click.option("--python", default=sys.executable, help="Python to use.  [default: this one]")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED,
                metavar="-- extract|predict|ablate [ARG]...")  # fmt: skip
@loudness_without_bar
def slurm_script(
    words: tuple[str, ...],
    log_dir: Path | None,
    prologue: Path | None,
    lines: tuple[str, ...],
    merge: bool,
    name: str | None,
    **given: Any,
) -> None:
    """Print a SLURM array script that does a command's work in N tasks, for sbatch.

    The command stands behind --, as you would type it, and is checked now.
    """
    from grjca.pipeline.slurm_script import ArrayJob

    command, *arguments = words
    checked = _parsed(command, arguments)
    added = [] if checked.params["quiet"] else ["--quiet"]
    if checked.get_parameter_source("workers") is ParameterSource.DEFAULT:
        added += ["--workers", str(given["cpus"])]
    if prologue is not None:
        text = prologue.read_text(encoding="utf-8", errors="surrogateescape")
        lines = (*(line.rstrip("\r") for line in text.rstrip().split("\n")), *lines)
    job = ArrayJob(
        command, (*added, *arguments), folder=Path.cwd(), prologue=lines,
        store=checked.params.get("store") if merge and command != "ablate" else None,
        name=name or f"grjca-{command}",
        log_dir=None if log_dir is None else Path(os.path.abspath(log_dir)), **given,
    )  # fmt: skip
    # Names of files may be no UTF-8.
    script = os.fsencode(job.text())
    _check_bash(script)
    if job.log_dir is not None:
        job.log_dir.mkdir(parents=True, exist_ok=True)
    click.echo(script, nl=False)


def _parsed(command: str, arguments: list[str]) -> click.Context:
    """The command's own reading of its arguments: what it refuses is refused now.

    Raises:
        UsageError: A command that has no parts, or arguments that an array decides or excludes.
        ClickException: The command does not take these arguments.
    """
    if command not in COMMANDS:
        raise _refused(command, "this command is not divided into parts",
                       f"There are: {', '.join(COMMANDS)}.")  # fmt: skip
    context = COMMANDS[command].make_context(f"grjca {command}", list(arguments))
    params = context.params
    if params.get("part") is not None:
        raise _refused("--part", "every task is given its own", "Leave it out.")
    for name in _PLACES:
        if params.get(name):
            raise _refused(f"--{name.replace('_', '-')}", "the tasks of an array are the workers",
                           "Leave it out.")  # fmt: skip
    paths = [str(path) for name in ("paths", "videos") for path in params.get(name, ())]
    if command != "ablate" and not paths and params["manifest"] is None:
        raise _refused(command, "it is not said of which clips", "Name them, or a --manifest.")
    if command == "predict" and params["store"] is None:
        raise _refused("--store", "a task that is stopped would lose its features", "Name one.")
    if params.get("with_report"):
        raise _refused("--report", "tasks would write over each other's page",
                       "Leave it out; make it when all are done, with: grjca report.")  # fmt: skip
    for path in paths:
        if not Path(path.removeprefix("@")).exists():
            raise _refused(path, "no such file or folder", "Correct the path.")
    return context


def _check_bash(script: bytes) -> None:
    """Have bash read the script, where there is one: lines of a prologue may be anything.

    Raises:
        UsageError: It is no script of bash.
    """
    bash = shutil.which("bash")
    if bash is None:
        return
    found = subprocess.run([bash, "-n"], input=script, capture_output=True, check=False)
    if found.returncode:
        cause = found.stderr.decode(errors="replace").strip()
        raise _refused("--prologue or --line", f"bash cannot read it: {cause}", "Correct it.")


def _refused(source: object, cause: str, remedy: str) -> UsageError:
    return UsageError("slurm-script", source, cause, remedy)
