"""``python -m slurm`` (with ``tests`` on the path): install SLURM, or use a test cluster.

``install`` takes Debian's packages where that is possible, and else says why not; the exit code
is 0 then too, since tests skip what is not there. ``run COMMAND...`` starts a cluster, runs the
command with ``SLURM_CONF`` set, and ends both: ``python -m slurm run bash`` to look around.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from slurm.cluster import Cluster, missing

PACKAGES = ("slurm-wlm", "munge")


def install() -> int:
    """Install what is missing; 0 also where that is not possible, 1 if apt failed."""
    lacking = missing()
    if not lacking:
        print("SLURM is here")
        return 0
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        why = "only root may install them" if shutil.which("apt-get") else "this is no Debian"
        print(f"no SLURM: {', '.join(lacking)} missing, and {why}; the tests with it are skipped")
        return 0
    # At run level 1 Debian's scripts start no daemon: these tests start their own.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    take = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *PACKAGES]
    for command in (take, ["apt-get", "update", "--quiet"], take):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if command is take and done.returncode == 0:
            print(f"installed {', '.join(PACKAGES)}")
            return 0
    words = (done.stderr or done.stdout).strip().splitlines()
    said = words[-1] if words else f"exit status {done.returncode}"
    print(f"no SLURM: apt-get could not install it ({said}); the tests with it are skipped")
    return 0


def main(arguments: list[str]) -> int:
    """Do what the arguments say; the exit code."""
    match arguments:
        case ["install"]:
            return install()
        case ["run", *command] if command:
            with Cluster() as cluster:
                return subprocess.run(command, env=cluster.env, check=False).returncode
        case _:
            print("usage: python -m slurm install | run COMMAND...", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
