"""Where the work of a run is done: in this process, on this machine, or on others."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from grjca.errors import UsageError


@dataclass(frozen=True)
class Placement:
    """Where clips (or whatever else a run works through) are worked on.

    Attributes:
        workers: Processes side by side on this machine, each with one thread; None for one per
            core. A single one is this process itself, without Dask.
        scheduler: A running Dask scheduler: ``tcp://HOST:PORT``, or its scheduler file.
        cluster: ``slurm`` for a Dask cluster of its own, made of SLURM jobs.
        jobs: How many SLURM jobs at the most.
        cluster_config: YAML file that says what a job is; see ``slurm_jobs.SlurmJobs``.
        dashboard: Say on standard error where Dask's dashboard is.

    Raises:
        UsageError: Values that do not go together.
    """

    workers: int | None = None
    scheduler: str | None = None
    cluster: Literal["slurm"] | None = None
    jobs: int | None = None
    cluster_config: Path | None = None
    dashboard: bool = False

    def __post_init__(self) -> None:
        for name, number in (("workers", self.workers), ("jobs", self.jobs)):
            if number is not None and number < 1:
                raise UsageError(
                    "options", f"--{name}", f"{number} is no number of {name}", "Give at least 1."
                )
        if self.scheduler is not None and self.cluster is not None:
            raise _at_odds(
                "--scheduler", "a scheduler that runs and a cluster of one's own exclude each other"
            )
        if self.workers is not None and not self.local:
            raise _at_odds("--workers", "processes on this machine, and the work goes elsewhere")
        if self.cluster is None:
            given = {"jobs": self.jobs, "cluster-config": self.cluster_config}
            for name in (name for name, value in given.items() if value is not None):
                raise _at_odds(f"--{name}", "this is for --cluster")
        elif self.cluster != "slurm":
            raise UsageError("options", "--cluster", f"{self.cluster} is not known", "Use slurm.")
        elif self.jobs is None or self.cluster_config is None:
            raise UsageError(
                "options", "--cluster", "it is not said how many jobs, or what a job is",
                "Add --jobs N and --cluster-config FILE.yaml (docs/hpc.md).",
            )  # fmt: skip
        if self.dashboard and self.workers == 1:
            raise _at_odds("--dashboard", "a single worker does without Dask")

    @property
    def local(self) -> bool:
        """Whether the work is done on this machine."""
        return self.scheduler is None and self.cluster is None


def _at_odds(option: str, cause: str) -> UsageError:
    return UsageError("options", option, cause, "Leave one of them out.")
