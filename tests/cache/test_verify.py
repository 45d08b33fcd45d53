"""Verify: quiet on what is whole, and nothing wrong in a chunk, a mask or a digest goes unseen."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from stores import RECIPE, SOURCE, with_visual, write_clip

from grjca.cache import keys
from grjca.cache.checking import check_clip
from grjca.cache.keys import SourceId
from grjca.cache.verify import Finding, findings, verify
from grjca.errors import GrjcaError

CROPS = dataclasses.replace(RECIPE, keep_crops=True)


def only(root: Path, **kwargs: object) -> Finding:
    found = verify(root, **kwargs)  # type: ignore[arg-type]
    assert len(found) == 1, found
    return found[0]


def snapshot(root: Path) -> dict[Path, tuple[int, bytes]]:
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in root.rglob("*") if p.is_file()}


def test_a_whole_store_has_no_findings_and_is_not_touched(tmp_path: Path) -> None:
    write_clip(tmp_path, "a.mp4", rows=600, recipe=CROPS)
    write_clip(tmp_path, "lab/b.mp4", about={"subject": "S1"})
    write_clip(tmp_path, "lab/b.mp4", recipe=with_visual("hog"), groups=frozenset({"visual/hog"}))
    write_clip(tmp_path, "x" * 251 + ".mp4")
    write_clip(tmp_path, "new\nline \u00fc.mp4", rows=1)
    for number in (1, 2):
        write_clip(tmp_path, f"two.mp4@{number}", people=2)
    before = snapshot(tmp_path)
    assert verify(tmp_path) == []
    assert snapshot(tmp_path) == before


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(GrjcaError, match="no such folder"):
        verify(tmp_path / "nowhere")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip's file with every kind of group."""
    root = tmp_path_factory.mktemp("whole")
    write_clip(root, "a.mp4", rows=300, recipe=CROPS)
    return root / "a.mp4.h5"


def chunk_bytes(path: Path) -> list[tuple[int, int]]:
    """Place and length of every chunk in a clip's file."""
    spans: list[tuple[int, int]] = []

    def collect(_name: str, node: object) -> None:
        if isinstance(node, h5py.Dataset):
            chunks = [node.id.get_chunk_info(i) for i in range(node.id.get_num_chunks())]
            spans.extend((chunk.byte_offset, chunk.size) for chunk in chunks)

    with h5py.File(path) as file:
        file.visititems(collect)
    return spans


def test_every_flip_inside_a_chunk_is_found(whole: Path, tmp_path: Path) -> None:
    rng = random.Random(1)
    spans = chunk_bytes(whole)
    assert len(spans) > 12
    data = whole.read_bytes()
    for number in range(4 * len(spans)):
        start, length = spans[number % len(spans)]
        mutant = bytearray(data)
        mutant[start + rng.randrange(length)] ^= 1 << rng.randrange(8)
        (tmp_path / f"{number:03d}.mp4.h5").write_bytes(mutant)
    damaged = {f.path for f in verify(tmp_path) if f.kind == "damaged"}
    assert damaged == {path.name for path in tmp_path.glob("*.h5")}


@pytest.mark.slow
def test_no_mutant_stops_the_sweep(whole: Path, tmp_path: Path) -> None:
    """Flips, overwritten spans and truncations anywhere, most of them in the file's structure."""
    rng = random.Random(2)
    data = whole.read_bytes()
    structure = np.ones(len(data), bool)
    for start, length in chunk_bytes(whole):
        structure[start : start + length] = False
    places = np.flatnonzero(structure)
    for number in range(150):
        mutant = bytearray(data)
        at = int(rng.choice(places))
        if number % 3 == 0:
            mutant[at] ^= 1 << rng.randrange(8)
        elif number % 3 == 1:
            mutant[at : at + 16] = rng.randbytes(16)
        else:
            del mutant[rng.randrange(len(data)) :]
        (tmp_path / f"{number:03d}.mp4.h5").write_bytes(mutant)
    write_clip(tmp_path, "zz.mp4")
    found = verify(tmp_path)
    damaged = {f.path for f in found if f.kind in ("damaged", "stale")}
    truncated = {f"{n:03d}.mp4.h5" for n in range(2, 150, 3)}
    assert truncated <= damaged
    assert len(damaged) > 100
    assert "zz.mp4.h5" not in {f.path for f in found}, "the sweep went on to the end"
    assert all("\n" not in str(finding) for finding in found)


def edited(root: Path, edit: Callable[[h5py.File], object]) -> Path:
    write_clip(root, "a.mp4", rows=300, recipe=CROPS)
    with h5py.File(root / "a.mp4.h5", "r+") as file:
        edit(file)
    return root


def rewrite(file: h5py.File, path: str, values: np.ndarray, **options: object) -> None:
    """Replace a dataset, checksums included."""
    del file[path]
    made = {"chunks": (256, *values.shape[1:]), "fletcher32": True, **options}
    file.create_dataset(path, data=values, maxshape=(None, *values.shape[1:]), **made)


def put(path: str, row: int, value: float) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        file[path][row] = value

    return edit


WRONG: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "times fall": (put("frames/time", 256, 0.0), "times do not increase between rows 0 and 300"),
    "time is NaN": (put("frames/time", 5, np.nan), "times do not increase"),
    "NaN where valid": (put("visual/fer/features", 0, np.nan), "features not finite where valid"),
    "zeros where not valid": (put("visual/fer/features", 2, 0), "features not NaN where not valid"),
    "box where no face": (put("faces/box", 2, 1), "box not NaN where not valid"),
    "landmarks lost": (put("faces/landmarks", 0, np.nan), "landmarks not finite where valid"),
    "score of an interpolated face": (put("faces/score", 4, 1), "score not NaN where not valid"),
    "track of nobody": (put("faces/track", 2, 0), "tracks where no face is valid"),
    "interpolated nobody": (put("faces/interpolated", 2, 1), "interpolated but not valid"),
    "fewer rows": (lambda f: f["audio/logmel/valid"].resize(299, 0), "299 rows, but 300 times"),
    "no times": (lambda f: f.__delitem__("frames/time"), "frames/time is missing"),
    "no mask": (lambda f: f.__delitem__("visual/fer/valid"), "visual/fer/valid is missing"),
    "other type": (
        lambda f: rewrite(f, "visual/fer/features", np.zeros((300, 4))),
        "visual/fer/features: type <f8",
    ),
    "other shape": (
        lambda f: rewrite(f, "faces/box", np.zeros((300, 5), "f4")),
        "faces/box: shape (300, 5)",
    ),
    "no checksum": (
        lambda f: rewrite(f, "faces/box", np.zeros((300, 4), "f4"), fletcher32=False),
        "faces/box: no checksums",
    ),
    "a billion rows of nothing": (
        lambda f: [f[name].resize(10**9, 0) for name in ("frames/time",)],
        "1000000000 times, but 300 rows",
    ),
    "attribute lost": (lambda f: f.attrs.__delitem__("fps"), "attribute fps missing"),
    "attribute torn": (lambda f: f.attrs.__setitem__("media", "{"), "attribute media missing or"),
    "no clip": (lambda f: f.attrs.__delitem__("clip"), "clip"),
    "no digest": (lambda f: f["faces"].attrs.__delitem__("digest"), "faces: digest or config"),
    "no source": (lambda f: f.attrs.__setitem__("source", "{}"), "source"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_contradicts_itself_is_damaged(name: str, tmp_path: Path) -> None:
    edit, expected = WRONG[name]
    found = check_clip(tmp_path, edited(tmp_path, edit) / "a.mp4.h5").found
    assert {kind for kind, _, _ in found} == {"damaged"}
    assert any(expected in what for _, what, _ in found), found


def test_every_row_of_nothing_is_found_without_reading_it(tmp_path: Path) -> None:
    def edit(file: h5py.File) -> None:
        file.visititems(
            lambda _, node: node.resize(10**12, 0) if isinstance(node, h5py.Dataset) else None
        )
        file.attrs["rows"] = 10**12

    found = verify(edited(tmp_path, edit))
    assert {f.kind for f in found} == {"damaged"}
    assert any("chunks for 1000000000000 rows" in f.what for f in found)


def test_a_group_made_otherwise_than_it_says_is_stale(tmp_path: Path) -> None:
    def edit(file: h5py.File) -> None:
        config = json.loads(file["visual/fer"].attrs["config"])
        file["visual/fer"].attrs["config"] = json.dumps(config | {"weights": "cc"})

    finding = only(edited(tmp_path, edit))
    assert finding.kind == "stale"
    assert "visual/fer does not follow from the faces beside it" in finding.what


def test_faces_changed_under_embeddings_are_found(tmp_path: Path) -> None:
    def edit(file: h5py.File) -> None:
        config = {"detector": "another"}
        frames = file["frames"].attrs["digest"]
        file["faces"].attrs["config"] = json.dumps(config)
        file["faces"].attrs["digest"] = keys.group_digest("faces", config, frames)

    found = verify(edited(tmp_path, edit))
    assert {(f.kind, f.what.split()[0]) for f in found} == {
        ("stale", "visual/fer"),
        ("stale", "crops/face64-64"),
    }


def test_an_older_revision_is_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(keys, "REVISION", 0)
        write_clip(tmp_path, "a.mp4")
    finding = only(tmp_path)
    assert (finding.kind, finding.what.split()[0]) == ("stale", "frames")


def test_a_changed_source_is_stale(tmp_path: Path) -> None:
    video = tmp_path / "a.mp4"
    video.write_bytes(b"video")
    write_clip(tmp_path / "s", "a.mp4", source=SourceId.of(video))
    assert verify(tmp_path / "s", sources={"a.mp4": video}) == []
    os.utime(video, (1, 1))
    assert verify(tmp_path / "s", sources={"a.mp4": video}) == []
    video.write_bytes(b"VIDEO")
    finding = only(tmp_path / "s", sources={"a.mp4": video})
    assert (finding.kind, finding.what) == ("stale", "its source has another content now")
    assert "cannot be read" in only(tmp_path / "s", sources={"a.mp4": tmp_path / "no"}).what


def test_moved_renamed_and_foreign_files(tmp_path: Path) -> None:
    write_clip(tmp_path, "a.mp4")
    (tmp_path / "a.mp4.h5").rename(tmp_path / "b.mp4.h5")
    (tmp_path / "notes.txt").write_text("mine")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    (tmp_path / "text.h5").write_text("no HDF5")
    shutil.copy(tmp_path / "b.mp4.h5", tmp_path / "new.h5")
    with h5py.File(tmp_path / "new.h5", "r+") as file:
        file.attrs["version"] = 99
    (tmp_path / "link").symlink_to(tmp_path)
    found = {finding.path: finding for finding in verify(tmp_path)}
    assert {path: finding.kind for path, finding in found.items()} == {
        "b.mp4.h5": "foreign",
        "link": "foreign",
        "new.h5": "foreign",
        "notes.txt": "foreign",
        "other.h5": "foreign",
        "text.h5": "damaged",
    }
    assert "holds the clip a.mp4 but lies in the place of b.mp4" in found["b.mp4.h5"].what
    assert found["new.h5"].remedy == "Update grjca."


def test_people_without_their_siblings(tmp_path: Path) -> None:
    for number in (1, 3):
        write_clip(tmp_path, f"a.mp4@{number}", people=3)
    finding = only(tmp_path)
    assert (finding.kind, finding.path) == ("stale", "a.mp4")
    assert "of 3 people, no file of @2" in finding.what
    write_clip(tmp_path, "a.mp4@2", people=2)
    assert "were not made together" in only(tmp_path).what


def test_remains_of_killed_runs_are_stale(tmp_path: Path) -> None:
    write_clip(tmp_path, "lab/a.mp4")
    (tmp_path / "lab" / f".{'0' * 32}-0.tmp").touch()
    assert only(tmp_path).kind == "stale"
    (tmp_path / ".grjca" / f".{'0' * 32}.{'f' * 8}.17.tmp").touch()
    assert len(verify(tmp_path)) == 1, "it may be being written"
    os.utime(tmp_path / ".grjca" / f".{'0' * 32}.{'f' * 8}.17.tmp", (1, 1))
    assert len(verify(tmp_path)) == 2


def test_a_store_that_cannot_be_written_is_looked_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip(tmp_path, "a.mp4")
    claim = tmp_path / ".grjca/claims/x.json"
    claim.touch()
    os.utime(claim, (1, 1))
    real = Path.open

    def read_only(path: Path, mode: str = "r", *args: object, **kwargs: object) -> object:
        if "w" in mode:
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, mode, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", read_only)
    assert only(tmp_path).what == "a claim of a run that is gone"


DIES = """
import json, os, sys, signal, time
for line in sys.stdin:
    path = os.path.basename(json.loads(line)["path"])
    if "crash" in path: os.kill(os.getpid(), signal.SIGSEGV)
    if "raise" in path: raise ValueError("odd")
    if "hang" in path: time.sleep(100)
    print(json.dumps(dict(clip=None, found=[], people=None, faces=None, source=None)), flush=True)
"""


def test_a_crash_in_the_library_is_one_files_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grjca.cache.checker._SECONDS", 0.5)
    for name in ("a", "crash", "hang", "raise", "z"):
        (tmp_path / f"{name}.h5").touch()
    seen: list[int] = []
    found = list(findings(tmp_path, progress=seen.append, command=[sys.executable, "-c", DIES]))
    assert {finding.path: finding.what for finding in found} == {
        "crash.h5": "reading it crashed the HDF5 library (SIGSEGV)",
        "hang.h5": "reading it did not end within 0 s",
        "raise.h5": "reading it failed (ValueError: odd)",
    }
    assert sum(seen) == 5


def test_imported_features_follow_from_the_rows(tmp_path: Path) -> None:
    def edit(file: h5py.File) -> None:
        frames = file["frames"].attrs["digest"]
        config = {"name": "fer", "imported": {}, "content": "ab"}
        file["visual/fer"].attrs["config"] = json.dumps(config)
        file["visual/fer"].attrs["digest"] = keys.group_digest("visual/fer", config, frames)
        del file["faces"], file["crops"]

    assert verify(edited(tmp_path, edit), sources={"a.mp4": tmp_path}) == []


def test_a_source_of_other_sha(tmp_path: Path) -> None:
    write_clip(tmp_path, "a.mp4")
    with h5py.File(tmp_path / "a.mp4.h5", "r+") as file:
        source = dataclasses.asdict(SOURCE) | {"sha256": "11" * 32}
        file.attrs["source"] = json.dumps(source)
    assert "frames does not follow from its source" in only(tmp_path).what
