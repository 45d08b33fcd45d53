"""``python tests/debian.py PACKAGE...``: what tests need beyond Python, from Debian's packages.

Needs no environment of its own. Exit code 0 also where nothing can be installed, since tests skip
what is not there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys


def why_not() -> str | None:
    """Why nothing can be installed here; None where it can."""
    if shutil.which("apt-get") is None:
        return "this is no Debian"
    return None if os.geteuid() == 0 else "only root may install them"


def install(*packages: str) -> str | None:
    """Install packages; None, or why not in one line."""
    if said := why_not():
        return said
    # At run level 1 Debian's scripts start no daemon: tests start their own.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    take = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", *packages]
    for command in (take, ["apt-get", "update", "--quiet"], take):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if command is take and done.returncode == 0:
            return None
    words = (done.stderr or done.stdout).strip().splitlines()
    return f"apt-get: {words[-1] if words else f'exit status {done.returncode}'}"


def main(packages: list[str]) -> int:
    """Install them and say how that went; the exit code."""
    if not packages:
        print("usage: python tests/debian.py PACKAGE...", file=sys.stderr)
        return 2
    names, why = ", ".join(packages), install(*packages)
    if why is None:
        print(f"{names}: here")
    else:
        print(f"{names}: not installed ({why}); tests that need it are skipped")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
