"""A real SLURM of one node on this machine's loopback, for tests: made, used, gone.

Configuration, key, state, spool and logs lie in a temporary folder of the cluster's own; ports are
its own too, so that several clusters run side by side and none touches ``/etc/slurm``. Whoever uses
it must have the Debian packages ``slurm-wlm`` and ``munge``, and need not be root.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

KEEPER = Path(__file__).with_name("keeper.py")

# Debian keeps daemons where the paths of ordinary users do not look.
_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))

DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo")

_CONFIG = """
ClusterName=grjca-test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# A requeued job rests until its old credential has run out: 120 s if nothing is said.
AuthInfo=socket={folder}/munge.sock,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/finished.txt
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
GresTypes=gpu
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,sched_min_interval=0,batch_sched_delay=0,bf_interval=2
ReturnToService=2
KillWait=5
MinJobAge=600
MaxArraySize=1001
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
NodeName={node} NodeHostname={node} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=64000 Gres=gpu:2
PartitionName=main Nodes={node} Default=YES MaxTime=1-00:00:00 DefaultTime=10 State=UP
"""

# Two devices that every machine has, so that jobs can be given one of two "GPUs".
_GRES = """
Name=gpu File=/dev/null
Name=gpu File=/dev/zero
"""


class ClusterError(RuntimeError):
    """The cluster did not do what was asked; the message ends with its logs."""


@dataclass(frozen=True)
class Job:
    """A job as ``squeue`` tells of it.

    Attributes:
        name: Its name.
        number: What ``scancel`` takes: ``17``, or ``17_3`` for a task of an array.
        state: SLURM's word for its state, such as ``PENDING`` or ``RUNNING``.
        restarts: How often it was requeued.
    """

    name: str
    number: str
    state: str
    restarts: int


def missing() -> list[str]:
    """The programs of SLURM and munge that this machine lacks."""
    return [name for name in (*DAEMONS, *CLIENTS) if shutil.which(name, path=_PATH) is None]


class Cluster:
    """A running SLURM; use as a context manager.

    Attributes:
        folder: All that it writes, removed at the end.
        env: Environment with which clients find it.
    """

    def __init__(self, cpus: int = 4, patience: float = 60.0) -> None:
        """Not started yet.

        Args:
            cpus: Processors that the node claims to have, whatever the machine has.
            patience: Seconds that the node may take to become idle.
        """
        self.folder = Path()
        self.env: dict[str, str] = {}
        self._cpus = cpus
        self._patience = patience
        self._keeper: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        for attempt in range(3):
            try:
                self._start()
            except ClusterError:
                # Another process may have taken a port in the meantime.
                self.close()
                if attempt == 2:
                    raise
            except BaseException:
                self.close()
                raise
            else:
                break
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the daemons and every job, and remove the folder; harmless when repeated."""
        if self._keeper is not None and self._keeper.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._keeper.stdin.close()
            self._keeper.wait(60)
            self._keeper = None

    def run(self, *command: str | Path, env: Mapping[str, str] | None = None) -> str:
        """What a client or another program says on its standard output.

        Args:
            command: Program and arguments.
            env: What goes over the cluster's environment.

        Raises:
            ClusterError: It failed.
        """
        done = subprocess.run(
            [str(word) for word in command], env={**self.env, **(env or {})},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            said = (done.stderr + done.stdout).strip()
            raise ClusterError(f"{' '.join(map(str, command))}: exit {done.returncode}: {said}")
        return done.stdout

    def submit(self, script: Path, *options: str, folder: Path | None = None) -> str:
        """The number of a job that runs a script.

        Args:
            script: A batch script.
            options: Options of ``sbatch``.
            folder: Where its output goes, and where it runs; default: beside the script.
        """
        where = folder or script.parent
        told = self.run("sbatch", "--parsable", f"--chdir={where}", *options, script)
        return told.strip().partition(";")[0]

    def jobs(self) -> list[Job]:
        """The jobs that are not over, one for each task of an array."""
        told = self.run(
            "squeue", "--array", "--noheader", "--Format=Name:|,JobArrayID:|,State:|,RestartCnt:|"
        )
        lines = (line.split("|") for line in told.splitlines())
        return [Job(name, number, state, int(n or 0)) for name, number, state, n, *_ in lines]

    def running(self, number: str) -> list[Job]:
        """Jobs of this number (or tasks of its array) that run."""
        return [
            job for job in self.jobs()
            if job.state == "RUNNING" and job.number.partition("_")[0] == number.partition("_")[0]
        ]  # fmt: skip

    def finished(self) -> list[dict[str, str]]:
        """What became of the jobs that are over, in the order of their ends.

        A requeued job is told of once for every time it ran.
        """
        told = self.folder / "finished.txt"
        lines = told.read_text().splitlines() if told.exists() else []
        return [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]

    def wait_until(
        self, true: Callable[[], bool], what: str, *, seconds: float = 120.0, step: float = 0.05
    ) -> None:
        """Wait for something to become true.

        Raises:
            ClusterError: It did not within the time; with the queue and all logs.
        """
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline:
                raise ClusterError(f"{what}: not within {seconds:.0f} s\n{self.logs()}")
            time.sleep(step)

    def wait_for_end(self, *numbers: str, seconds: float = 120.0) -> None:
        """Wait until none of these jobs is queued or running.

        Raises:
            ClusterError: One still is.
        """

        def over() -> bool:
            return not {job.number.partition("_")[0] for job in self.jobs()} & set(numbers)

        self.wait_until(over, f"end of jobs {', '.join(numbers)}", seconds=seconds, step=0.3)

    def logs(self, lines: int = 40) -> str:
        """The queue and the last lines of every daemon's log, for messages."""
        queue = subprocess.run(
            ["squeue", "--long"], env=self.env, capture_output=True, text=True, check=False
        )
        parts = [f"--- squeue\n{queue.stdout}{queue.stderr}"]
        for log in sorted(self.folder.glob("*.log")):
            text = log.read_text(errors="replace").splitlines()[-lines:]
            parts.append("\n".join((f"--- {log.name}", *text)))
        return "\n".join(parts)

    def _start(self) -> None:
        # Not where TMPDIR may point: the address of a socket has room for 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="grjca-slurm-", dir="/tmp"))
        self.env = {**os.environ, "PATH": _PATH, "SLURM_CONF": str(self.folder / "slurm.conf")}
        for name in [
            name for name in self.env if name.startswith(("SLURM_", "SBATCH_", "SQUEUE_"))
        ]:
            if name != "SLURM_CONF":
                del self.env[name]
        self._write_config()
        self._keeper = subprocess.Popen(
            [sys.executable, str(KEEPER), str(self.folder)], stdin=subprocess.PIPE, text=True,
            env=self.env, start_new_session=True,
        )  # fmt: skip
        key, socket_ = self.folder / "munge.key", self.folder / "munge.sock"
        self._daemon(
            # By force, since its folder is closed to others, as is right for the key.
            "munged", "--foreground", "--force", f"--key-file={key}", f"--socket={socket_}",
            f"--pid-file={self.folder}/munged.pid", f"--seed-file={self.folder}/munged.seed",
            "--num-threads=2",
        )  # fmt: skip
        self.wait_until(socket_.exists, "munged", seconds=self._patience)
        self._daemon("slurmctld", "-D", "-i")
        self._daemon("slurmd", "-D")
        self.wait_until(self._idle, "an idle node", seconds=self._patience, step=0.2)

    def _idle(self) -> bool:
        told = subprocess.run(
            ["sinfo", "--noheader", "--format=%T"], env=self.env, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        return told.stdout.strip() == "idle"

    def _daemon(self, name: str, *arguments: str) -> None:
        program = shutil.which(name, path=_PATH)
        if program is None or self._keeper is None or self._keeper.stdin is None:
            raise ClusterError(f"{name} is not installed")
        log = str(self.folder / f"{name}.log")
        self._keeper.stdin.write(json.dumps([log, program, *arguments]) + "\n")
        self._keeper.stdin.flush()

    def _write_config(self) -> None:
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        controller, daemon = free_ports(2)
        host = socket.gethostname()
        (self.folder / "slurm.conf").write_text(
            _CONFIG.format(
                host=host, node=host.partition(".")[0], controller=controller, daemon=daemon,
                user=getpass.getuser(), folder=self.folder, cpus=self._cpus,
            )
        )  # fmt: skip
        (self.folder / "gres.conf").write_text(_GRES)
        key = self.folder / "munge.key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))


def free_ports(count: int) -> Sequence[int]:
    """Ports that nobody listens on, below those that systems hand out by themselves."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            probe = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", random.randrange(20_000, 32_000)))
                found.append(probe.getsockname()[1])
    return found
