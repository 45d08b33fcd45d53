from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from stores import write_clip

from grjca.cache import FeatureStore
from grjca.commands.exchange import export_features, import_features


def test_import_prints_what_failed_and_says_so_by_its_exit_code(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.eye(3))
    manifest = tmp_path / "m.csv"
    manifest.write_text("clip,visual,fps\na,v.npy,25\nb,w.npy,25\n")
    arguments = [str(manifest), "--store", str(tmp_path / "store"), "--visual-name", "eye"]
    done = CliRunner().invoke(import_features, [*arguments, "--quiet"])
    assert done.exit_code == 1
    assert done.stdout == "1 imported, 0 already there, 1 failed\n"
    assert done.stderr == f"error: {tmp_path}/w.npy: read: no such file. See {manifest}:3.\n"
    assert FeatureStore(tmp_path / "store").embedders("a")["visual"] == ["eye"]
    (tmp_path / "w.npy").write_bytes((tmp_path / "v.npy").read_bytes())
    done = CliRunner().invoke(import_features, [*arguments, "--quiet"])
    assert (done.exit_code, done.stdout) == (0, "1 imported, 1 already there, 0 failed\n")


@pytest.mark.parametrize("given", ["a.mp4,1.5", "@LIST"])
def test_export_takes_names_or_a_list_of_them(tmp_path: Path, given: str) -> None:
    for clip in ("a.mp4", "1.5", "c.mp4"):
        write_clip(tmp_path / "store", clip, rows=3)
    (tmp_path / "list.txt").write_text("a.mp4\n1.5\n")
    arguments = [str(tmp_path / "store"), "--out", str(tmp_path / "out"), "--format", "csv"]
    clips = given.replace("LIST", str(tmp_path / "list.txt"))
    done = CliRunner().invoke(export_features, [*arguments, "--clips", clips, "--quiet"])
    assert done.exit_code == 0, done.output
    assert done.stdout == "2 clips in 3 files, 0 failed\n"
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["1.5.csv", "a.mp4.csv", "manifest.csv"]
    done = CliRunner().invoke(export_features, [*arguments, "--clips", "1.5", "--overwrite"])
    assert done.exit_code == 0, done.output
