"""The commands that look after a store, as a user types them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from stores import arrays, with_visual, write_clip

from grjca.cache.keys import SourceId
from grjca.commands.upkeep import forget, gc, verify
from grjca.errors import GrjcaError, UsageError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two clips of two subjects, one with a second visual embedder."""
    root = tmp_path / "store"
    write_clip(root, "a.mp4", about={"subject": "Anna"})
    write_clip(root, "a.mp4", recipe=with_visual("hog"), groups=frozenset({"visual/hog"}))
    write_clip(root, "b.mp4", about={"subject": "Bo"})
    return root


def run(command: object, *args: object) -> Result:
    return CliRunner().invoke(command, [str(arg) for arg in args])  # type: ignore[arg-type]


def test_verify(root: Path) -> None:
    whole = run(verify, root, "--quiet")
    assert (whole.exit_code, whole.output) == (0, "2 clips: 0 damaged, 0 stale, 0 foreign\n")
    shutil.copy(root / "a.mp4.h5", root / "new\nline.h5")
    (root / "b.mp4.h5").write_bytes(b"x")
    bad = run(verify, root, "--quiet")
    assert bad.exit_code == 1
    lines = bad.output.splitlines()
    assert lines[0].startswith("damaged b.mp4.h5: not a readable HDF5 file")
    assert lines[0].endswith("Delete it and run extract again.")
    assert lines[1].startswith("foreign new line.h5: it holds the clip a.mp4 but lies")
    assert lines[2:] == ["3 clips: 1 damaged, 0 stale, 1 foreign"]
    told = json.loads(run(verify, root, "--quiet", "--json").output)
    assert told["counts"] == {"damaged": 1, "stale": 0, "foreign": 1}
    assert [finding["path"] for finding in told["findings"]] == ["b.mp4.h5", "new\nline.h5"]


def test_verify_against_the_sources(root: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    (videos / "lab").mkdir(parents=True)
    for clip in ("lab/c.mp4", "lab/d.mp4"):
        (videos / clip).write_text(clip)
        write_clip(root, clip, source=SourceId.of(videos / clip))
    for number in (1, 2):
        write_clip(root, f"p.mp4@{number}", people=2, source=SourceId.of(videos / "lab/c.mp4"))
    shutil.copy(videos / "lab/c.mp4", videos / "p.mp4")
    assert run(verify, root, "--quiet", "--root", videos).exit_code == 0
    (videos / "lab/d.mp4").write_text("other")
    (videos / "p.mp4").write_text("other")
    changed = run(verify, root, "--quiet", "--root", videos).output.splitlines()
    assert [line.split()[:2] for line in changed[:-1]] == [
        ["stale", "p.mp4@1.h5:"],
        ["stale", "p.mp4@2.h5:"],
        ["stale", "lab/d.mp4.h5:"],
    ]


def test_gc_lists_then_deletes(root: Path) -> None:
    before = arrays(root)
    listed = run(gc, root, "--keep", "visual/fer", "--keep", "audio/logmel")
    assert listed.exit_code == 0
    assert listed.output.startswith("would remove visual/hog from 1 clip, ")
    assert listed.output.endswith("nothing was changed; say --delete to do it\n")
    assert arrays(root) == before
    done = run(gc, root, "--keep", "visual/fer", "--keep", "audio/logmel", "--delete", "--quiet")
    assert done.output.startswith("removed visual/hog from 1 clip, ")
    assert run(gc, root).output == "nothing to remove\n"
    assert isinstance(run(gc, root, "--keep", "visual/fre").exception, UsageError)


def test_forget_wants_to_be_told_yes(root: Path) -> None:
    before = arrays(root)
    refused = run(forget, root, "--subject", "Anna")
    assert isinstance(refused.exception, UsageError)
    assert "a.mp4" in refused.output
    assert arrays(root) == before
    done = run(forget, root, "--subject", "Anna", "--yes")
    assert done.exit_code == 0
    assert done.output.splitlines()[0] == "removed a.mp4"
    assert "not reached: the recordings" in done.output
    assert {name.split("/")[0] for name in arrays(root)} == {"b.mp4.h5"}


def test_forget_of_nobody(root: Path) -> None:
    write_clip(root, "c.mp4")
    missed = run(forget, root, "--subject", "anna", "--yes")
    assert isinstance(missed.exception, GrjcaError)
    assert "no clip of this subject" in str(missed.exception)
    assert missed.output.startswith("1 other clip says nothing about its subject")
    assert isinstance(run(forget, root, "--yes").exception, UsageError)
    assert run(forget, root, "--clip", "c.mp4", "--yes").exit_code == 0
    assert not (root / "c.mp4.h5").exists()
