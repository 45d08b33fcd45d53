"""The text of a SLURM job array: one part of the work per task, and no scheduler beside SLURM."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grjca.cache.layout import HOUSE
from grjca.errors import UsageError
from grjca.pipeline.parts import REPORTS

WARNING = 120
"""Seconds before the time limit at which SLURM sends SIGTERM; it may be up to 60 s early."""

_FORMS = {
    "time": (re.compile(r"[0-9]+|([0-9]+-)?[0-9]+(:[0-9]+){0,2}"), "4:00:00, 90 or 1-12:00:00"),
    "memory": (re.compile(r"[0-9]+[KMGTkmgt]?"), "8G or 500M"),
    "gpus": (re.compile(r"([^\s:]+:)?[0-9]+"), "1 or a100:2"),
}


@dataclass(frozen=True)
class ArrayJob:
    """All that a script is written from.

    Attributes:
        command: The command of ``grjca`` that a task runs; it takes ``--part K/N``.
        arguments: What follows the command's name.
        tasks: How many tasks share the work.
        folder: The folder that relative paths in ``arguments`` start from.
        python: The Python that has this package.
        store: The feature store whose reports are merged at the end; None for no merging.
        name: The job's name.
        partition: SLURM's partition; None for its default. Likewise the following.
        account: Who is charged.
        time: Time limit of a task, in SLURM's form.
        cpus: Cores of a task.
        memory: Memory of a task, in SLURM's form.
        gpus: GPUs of a task, as ``NUMBER`` or ``TYPE:NUMBER``.
        array_limit: Most tasks that run at the same time; None for no limit.
        log_dir: Folder for a log per task; None for where the job is submitted.
        prologue: Lines of bash before the command.
        requeues: How often a task that the time limit ends is put back into the queue.

    Raises:
        UsageError: A value is of no form that SLURM knows.
    """

    command: str
    arguments: tuple[str, ...]
    tasks: int
    folder: Path
    python: str
    store: Path | None = None
    name: str = "grjca"
    partition: str | None = None
    account: str | None = None
    time: str | None = None
    cpus: int = 1
    memory: str | None = None
    gpus: str | None = None
    array_limit: int | None = None
    log_dir: Path | None = None
    prologue: tuple[str, ...] = ()
    requeues: int = 10

    def __post_init__(self) -> None:
        for name, least in (("tasks", 1), ("cpus", 1), ("requeues", 0)):
            if getattr(self, name) < least:
                raise _refused(name, getattr(self, name), f"give {least} or more")
        for name, (form, example) in _FORMS.items():
            value = getattr(self, name)
            if value is not None and not form.fullmatch(value):
                raise _refused(name, value, f"write it as {example}")
        for name in ("name", "partition", "account", "log_dir"):
            value = getattr(self, name)
            if value is not None and (not str(value) or not str(value).isprintable()):
                raise _refused(name, value, "a line of a script cannot hold it")
        if "/" in self.name:
            raise _refused("name", self.name, "it becomes part of the logs' names: without a slash")

    def text(self) -> str:
        """The script, to be given to ``sbatch``."""
        return "\n".join([*self._head(), *self._body(), *self._ending(), ""])

    def _head(self) -> Iterator[str]:
        yield "#!/bin/bash"
        for option, value in self._options().items():
            if value is not None:
                yield f"#SBATCH --{option}" + (f"={_sbatch_word(value)}" if value else "")

    def _options(self) -> dict[str, str | None]:
        """Options of sbatch; None for one that is not given, empty for one without a value."""
        limit = "" if self.array_limit is None else f"%{self.array_limit}"
        logs = None
        if self.log_dir is not None:
            # A percent sign begins a replacement in the name of a log.
            logs = f"{self.log_dir / self.name}".replace("%", "%%") + "-%A_%a.out"
        return {
            "job-name": self.name,
            "array": f"1-{self.tasks}{limit}",
            "nodes": "1",
            "ntasks": "1",
            "cpus-per-task": str(self.cpus),
            "mem": self.memory,
            "gres": None if self.gpus is None else f"gpu:{self.gpus}",
            "time": self.time,
            "partition": self.partition,
            "account": self.account,
            "output": logs,
            "open-mode": "append",
            "requeue": "",
            "signal": f"B:TERM@{WARNING}",
        }

    def _body(self) -> Iterator[str]:
        command = [self.python, "-P", "-m", "grjca"]
        yield f"""
# Written by grjca slurm-script, to be submitted with sbatch. Task k does part k/{self.tasks} and
# skips what is done: all of it, or some tasks (sbatch --array=3,17), may be submitted again.

: "${{SLURM_ARRAY_TASK_ID:?is not set: submit this script with sbatch}}"
cd -- {quoted(str(self.folder))} || exit"""
        yield from self.prologue
        yield f"""
grjca=({" ".join(map(quoted, command))})
# SLURM_JOB_ID of one of the tasks is that of the whole array.
task=${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID
asked='' heard='' child='' state=''
look() {{
    state=$(timeout 15 squeue --noheader --format=%T --jobs="$task")
}}
stop() {{
    asked=1 heard=1
    look
    # scancel tells every process of the job; the warning of the time limit only this shell, and
    # the job counts as SIGNALING while that is sent.
    case "$state" in RUNNING|SIGNALING|'')
        [ -n "$child" ] && kill -TERM "$child" 2>/dev/null ;;
    esac
}}
trap stop TERM

"${{grjca[@]}}" {self.command} --part "$SLURM_ARRAY_TASK_ID/{self.tasks}" \\
    {" ".join(map(quoted, self.arguments))} &
child=$!
if [ -n "$asked" ]; then stop; fi
# A signal ends wait before the program has ended: wait again, for its own exit code.
while heard=''; wait "$child"; code=$?; [ -n "$heard" ]; do :; done

# 130: stopped with its report written; 143: stopped before it could. What was running still was
# stopped because its time is nearly up, not by scancel, and goes back into the queue. A failure
# never does.
if [ -n "$asked" ] && {{ [ "$code" -eq 130 ] || [ "$code" -eq 143 ]; }}; then
    [ -n "$state" ] || look
    case "$state" in RUNNING|SIGNALING)
        [ "${{SLURM_RESTART_COUNT:-0}}" -ge {self.requeues} ] || scontrol requeue "$task" ;;
    esac
    exit "$code"
fi"""

    def _ending(self) -> Iterator[str]:
        if self.store is not None:
            ended = quoted(f"{self.folder / self.store / HOUSE / REPORTS / 'ended-'}")
            yield f"""
# Each task that has ended leaves a mark, whatever its exit code; the last one merges the reports.
ended={ended}"$SLURM_ARRAY_JOB_ID"
if mkdir -p -- "$ended" && : > "$ended/$SLURM_ARRAY_TASK_ID"; then
    marks=("$ended"/*)
    if [ "${{#marks[@]}}" -ge "${{SLURM_ARRAY_TASK_COUNT:-{self.tasks}}}" ]; then
        "${{grjca[@]}}" status --merge {quoted(str(self.folder / self.store))}
        rm -rf -- "$ended"
    fi
fi"""
        yield 'exit "$code"'


def quoted(word: str) -> str:
    """A word as bash reads it back, on one line whatever it holds."""
    if word.isprintable():
        return shlex.quote(word)
    # What is left unprintable but is no control character (bytes that are not UTF-8, spaces of
    # other alphabets) stands for itself.
    escaped = word.replace("\\", "\\\\").replace("'", "\\'")
    return "$'" + "".join(f"\\x{ord(c):02x}" if ord(c) < 32 else c for c in escaped) + "'"


def _sbatch_word(value: str) -> str:
    """A value as sbatch reads it back from a script: quotes and backslashes, no variables."""
    if re.fullmatch(r"[\w%@:./,+=-]+", value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _refused(name: str, value: object, remedy: str) -> UsageError:
    option = f"--{name.replace('_', '-')}"
    return UsageError("slurm-script", option, f"{str(value)!r} is not accepted", f"{remedy}.")
