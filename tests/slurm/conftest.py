"""One real SLURM for all tests of this folder, real clips, and a serial run to hold against."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from slurm.cluster import Cluster, missing
from slurm.jobs import WAITING, Clock, Serial, write_script


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    if lacking := missing():
        pytest.skip(f"no SLURM here: {', '.join(lacking)} missing (make test-slurm installs it)")
    with Cluster() as running:
        yield running
        if request.session.testsfailed:
            print(running.logs(200))


@pytest.fixture(scope="session", autouse=True)
def serial(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serial]:
    del cluster
    media = Path(__file__).resolve().parents[2].parent / "shared" / "media"
    run = Serial(tmp_path_factory.mktemp("serial"), media if media.is_dir() else None)
    yield run
    run.close()


@pytest.fixture(scope="session", autouse=True)
def clock(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Clock:
    """Submitted at the beginning: SLURM looks at time limits only twice a minute.

    The least time it allows is in minutes, and it asks for the end two minutes before it.
    """
    folder = tmp_path_factory.mktemp("clock")
    (folder / "videos").mkdir()
    told, program = folder / "told", folder / "python"
    program.write_text(WAITING.format(told=told))
    program.chmod(0o755)
    script = write_script(
        cluster, folder, "--tasks", "1", "--time", "2", "--log-dir", "logs", "--no-merge",
        "--python", program, "--", "extract", "videos", "--store", "features",
    )  # fmt: skip
    return Clock(cluster.submit(script), told)
