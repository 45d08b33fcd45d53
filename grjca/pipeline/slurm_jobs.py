"""What a SLURM job of a Dask cluster is, read from YAML; the texts go to dask-jobqueue."""

from __future__ import annotations

import dataclasses
import re
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from grjca.errors import UsageError

WARNING = 120
"""Seconds before the walltime at which SLURM asks a job to end; it may ask 60 s earlier."""

_WALLTIME = re.compile(r"(?:(?P<d>\d+)-)?(?P<h>\d+):(?P<m>\d{1,2}):(?P<s>\d{1,2})")
_MEMORY = re.compile(r"\d+(\.\d+)? ?[kMGT]i?B", re.IGNORECASE)
_DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?) ?(?P<unit>[smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class SlurmJobs:
    """One job of the cluster; each is one Dask worker with a process for every clip in hand.

    Attributes:
        cores: Cores of a job.
        memory: Memory of a job, for example ``16GB``.
        walltime: Its time limit, ``[D-]HH:MM:SS``. In YAML it needs quotes.
        partition: SLURM's partition (queue); None for its default. Likewise the following.
        account: Who is charged.
        processes: Clips side by side in a job, one thread each; None for one per core, or for one
            per GPU where there are any.
        gpus_per_job: GPUs of a job (``--gres=gpu:N``). Every process of the job sees one of them.
        min_jobs: Jobs to keep while there is work; the most is said by ``--jobs``.
        prologue: Lines of bash before the worker starts, for example ``module load ffmpeg``.
        directives: Further options of sbatch, for example ``--exclude=node7``.
        interface: Network interface of scheduler and workers, for example ``ib0``.
        log_directory: Folder for the jobs' output; it has to be there for all machines.
        local_directory: Folder of every machine for Dask's own files, for example ``/tmp``.
        python: The Python of the jobs; None for the one that runs this program.
        lifetime: How long a worker takes clips, for example ``50m``: it ends of itself before the
            walltime, and another job takes its place. None for what the walltime leaves.
        lifetime_stagger: By how much this differs from worker to worker, so that not all end at
            once. None for a twentieth of the walltime, 10 minutes at most.
        lifetime_restart: Workers begin anew in the same job, for short lifetimes in long jobs.
        tls: Encrypt, and let only this run talk to its scheduler: without it anybody on the
            network who finds the port can run programs in your name.

    Raises:
        UsageError: A value makes no sense, or the lifetime exceeds the walltime.
    """

    cores: int
    memory: str
    walltime: str
    partition: str | None = None
    account: str | None = None
    processes: int | None = None
    gpus_per_job: int = 0
    min_jobs: int = 1
    prologue: tuple[str, ...] = ()
    directives: tuple[str, ...] = ()
    interface: str | None = None
    log_directory: str | None = None
    local_directory: str | None = None
    python: str | None = None
    lifetime: str | None = None
    lifetime_stagger: str | None = None
    lifetime_restart: bool = False
    tls: bool = True

    def __post_init__(self) -> None:
        for name, least in (("cores", 1), ("processes", 1), ("gpus_per_job", 0), ("min_jobs", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise _refused(name, value, f"Give {least} or more.")
        if self.slots > self.cores:
            raise _refused("processes", self.slots, f"A job has {self.cores} cores; give as many.")
        if not _MEMORY.fullmatch(self.memory):
            raise _refused("memory", self.memory, "Write it as 16GB or 500MB.")
        for name in ("partition", "account", "interface", "log_directory", "local_directory"):
            if (value := getattr(self, name)) is not None and not _one_word(value):
                raise _refused(name, value, "Give it without blanks.")
        for line in (*self.prologue, *self.directives):
            if "\n" in line:
                raise _refused("prologue", line, "Give each line as an item of its own.")
        if self.seconds_of_life + self.seconds_of_stagger > self.seconds:
            raise _refused(
                "lifetime", f"{self.lifetime or ''} +- {self.lifetime_stagger or ''}",
                f"With its stagger it has to stay below the walltime, {self.walltime}.",
            )  # fmt: skip

    @property
    def slots(self) -> int:
        """Clips side by side in a job."""
        return self.processes or self.gpus_per_job or self.cores

    @property
    def seconds(self) -> int:
        """The walltime in seconds."""
        found = _WALLTIME.fullmatch(self.walltime)
        if found is None:
            raise _refused("walltime", self.walltime, 'Write it as "04:00:00" or "1-00:00:00".')
        days, hours, minutes, seconds = (int(value or 0) for value in found.groups())
        return ((24 * days + hours) * 60 + minutes) * 60 + seconds

    @property
    def seconds_of_stagger(self) -> int:
        """By how much lifetimes differ, either way."""
        if self.lifetime_stagger is not None:
            return _duration("lifetime_stagger", self.lifetime_stagger)
        return min(self.seconds // 20, 600)

    @property
    def seconds_of_life(self) -> int:
        """How long a worker takes clips, give or take the stagger.

        Without a lifetime of its own it ends a minute before SLURM may ask for the end, or after
        four fifths of a walltime of less than a quarter of an hour.
        """
        if self.lifetime is not None:
            return _duration("lifetime", self.lifetime)
        rest = min(WARNING + 120, self.seconds // 5)
        return self.seconds - rest - self.seconds_of_stagger

    @classmethod
    def read(cls, path: Path) -> SlurmJobs:
        """Read a YAML file whose keys are the attributes' names.

        Raises:
            UsageError: It cannot be read, has unknown keys, lacks one, or a value is of another
                type or makes no sense; the message names the key.
        """
        try:
            values = yaml.safe_load(path.read_text())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise UsageError("cluster", path, str(error), "Give a YAML file.") from error
        if not isinstance(values, dict):
            raise UsageError("cluster", path, "not a table of settings", "Write lines KEY: VALUE.")
        types_of = get_type_hints(cls)
        unknown = ", ".join(sorted(str(key) for key in values if key not in types_of))
        if unknown:
            known = f"Known: {', '.join(types_of)}."
            raise UsageError("cluster", path, f"no such settings: {unknown}", known)
        fields = dataclasses.fields(cls)
        needed = [field.name for field in fields if field.default is dataclasses.MISSING]
        lacking = [name for name in needed if name not in values]
        if lacking:
            raise UsageError("cluster", path, f"it lacks {', '.join(lacking)}", "Add them.")
        try:
            return cls(
                **{name: _typed(name, value, types_of[name]) for name, value in values.items()}
            )
        except UsageError as error:
            cause = f"{error.source}: {error.cause}"
            raise UsageError("cluster", path, cause, error.remedy) from error

    def options(self) -> dict[str, Any]:
        """Arguments of dask-jobqueue's ``SLURMCluster`` (and of its ``SLURMJob``).

        The worker takes the shell's place (``exec``), since SLURM's early signal goes to the
        script's own process alone. A requeued job would come back beside the one that took its
        place, so SLURM is told not to.
        """
        extra = ["--nthreads", str(self.slots), "--no-dashboard"]
        extra += ["--lifetime", f"{self.seconds_of_life}s"]
        extra += ["--lifetime-stagger", f"{self.seconds_of_stagger}s"]
        extra += ["--lifetime-restart"] if self.lifetime_restart else []
        gpus = [f"--gres=gpu:{self.gpus_per_job}"] if self.gpus_per_job else []
        return {
            "job_name": "grjca",
            "queue": self.partition,
            "account": self.account,
            "walltime": self.walltime,
            "cores": self.cores,
            "memory": self.memory,
            "processes": 1,
            "interface": self.interface,
            "local_directory": self.local_directory,
            "log_directory": self.log_directory,
            "python": f"exec {self.python or sys.executable}",
            "job_script_prologue": list(self.prologue),
            "job_extra_directives": [
                f"--signal=B:TERM@{WARNING}", "--no-requeue", *gpus, *self.directives,
            ],
            "worker_extra_args": extra,
        }  # fmt: skip


def _typed(name: str, value: Any, kind: Any) -> Any:
    """A value of YAML as an attribute's type."""
    kinds = get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if value is None and types.NoneType in kinds:
        return None
    if get_origin(kinds[0]) is tuple:
        if isinstance(value, list) and all(isinstance(line, str) for line in value):
            return tuple(value)
        raise _refused(name, value, "Give a list of texts.")
    if type(value) is not kinds[0]:
        hint = ' Put it in quotes, as in "04:00:00".' if kinds[0] is str else ""
        raise _refused(name, value, f"Give a value of type {kinds[0].__name__}.{hint}")
    return value


def _duration(name: str, text: str) -> int:
    found = _DURATION.fullmatch(text)
    if found is None:
        raise _refused(name, text, "Write it as 50m, 3.5h or 90s.")
    return round(float(found["number"]) * _UNITS[found["unit"]])


def _one_word(text: str) -> bool:
    return bool(text) and text.isprintable() and not any(c.isspace() for c in text)


def _refused(name: str, value: object, remedy: str) -> UsageError:
    return UsageError("cluster", name, f"{value} is no value for it", remedy)
