"""Workers as processes of this machine: who reaches them, and scripts that start them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from grjca.pipeline.local_cluster import local_client

UNGUARDED = """
from grjca.pipeline.local_cluster import local_client
with local_client(1):
    print("ran")
"""


def test_nobody_else_on_the_network_reaches_the_processes() -> None:
    with local_client(1):
        here = psutil.Process()
        heard = [
            seen.laddr.ip
            for process in (here, *here.children(recursive=True))
            for seen in process.net_connections()
            if seen.status == psutil.CONN_LISTEN
        ]
    assert len(heard) >= 3
    assert set(heard) == {"127.0.0.1"}


def test_a_script_that_begins_its_work_when_imported_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ran" not in done.stdout
    told = done.stderr.strip().splitlines()[-1]
    assert told.startswith("grjca.errors.UsageError: workers: cluster: the processes did not start")
    assert "if __name__ == '__main__':" in told
