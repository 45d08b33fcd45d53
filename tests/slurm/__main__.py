"""``python -m slurm`` (with ``tests`` on the path): install SLURM, or use a test cluster.

``install`` takes Debian's packages where that is possible, and else says why not; the exit code
is 0 then too, since tests skip what is not there. ``run COMMAND...`` starts a cluster, runs the
command with ``SLURM_CONF`` set, and ends both: ``python -m slurm run bash`` to look around.
"""

from __future__ import annotations

import subprocess
import sys

import debian
from slurm.cluster import Cluster, missing

PACKAGES = ("slurm-wlm", "munge")


def install() -> int:
    """Install what is missing; 0 also where that is not possible."""
    lacking = missing()
    if not lacking:
        print("SLURM is here")
    elif why := debian.install(*PACKAGES):
        print(f"no SLURM: {', '.join(lacking)} missing ({why}); the tests with it are skipped")
    else:
        print(f"installed {', '.join(PACKAGES)}")
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
