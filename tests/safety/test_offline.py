"""An extraction writes nothing but its store and opens no connection."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from face_makers import make_face_clip

# The first extraction in a process is the one in which libraries set themselves up.
RUN = """
import sys, time
import grjca, psutil
light = grjca.ExtractConfig(visual="hog", audio="logmel")
report = grjca.extract([sys.argv[1]], sys.argv[2], light, workers=1)
assert not report.failed, report.failed
for _ in range(20):
    time.sleep(0.05)
    assert not psutil.Process().net_connections(), psutil.Process().net_connections()
"""


def test_nothing_is_written_but_the_store(tmp_path: Path) -> None:
    clip = make_face_clip(tmp_path / "a.mp4", [True] * 5)
    places = {name: tmp_path / name for name in ("HOME", "TMPDIR", "XDG_CACHE_HOME", "here")}
    for place in places.values():
        place.mkdir()
    environment = {**os.environ, **{name: os.fspath(place) for name, place in places.items()}}
    # What a user need not know of must not depend on what this machine has set.
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    command = [sys.executable, "-c", RUN, os.fspath(clip), os.fspath(tmp_path / "store")]
    subprocess.run(command, check=True, env=environment, cwd=places["here"])
    written = [path for place in places.values() for path in place.rglob("*") if path.is_file()]
    assert written == []
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "store", *places}
