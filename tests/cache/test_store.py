"""The store: atomic, mirrored, readable by anyone, and strict about what it reads."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import RECIPE, SOURCE, arrays, random_columns, with_visual, write_clip

from grjca.cache import FeatureStore
from grjca.cache.claims import claim
from grjca.cache.keys import GroupKey, SourceId, group_digest
from grjca.cache.layout import clip_path, create_dataset, identity_of
from grjca.cache.verify import verify
from grjca.cache.writer import ClipWriter, remove_leftovers
from grjca.errors import GrjcaError
from grjca.files import temporary_name


def leftovers(root: Path) -> list[Path]:
    return list(root.rglob(".*.tmp"))


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_clip(tmp_path, "lab/monday/a.mp4", rows=600)
    store = FeatureStore(tmp_path)
    assert store.clips() == ["lab/monday/a.mp4"]
    clip = store.read("lab/monday/a.mp4", visual="fer", audio="logmel")
    assert len(clip) == 600
    assert clip.visual is not None
    assert np.isnan(clip.visual[~clip.visual_valid]).all()
    assert np.isfinite(clip.visual[clip.visual_valid]).all()
    part = store.read("lab/monday/a.mp4", visual="fer", rows=slice(250, 300))
    np.testing.assert_array_equal(part.visual, clip.visual[250:300])
    assert part.audio is None
    assert not part.audio_valid.any()


def test_plain_h5py_reads_it_without_this_package(tmp_path: Path) -> None:
    write_clip(tmp_path, "a.mp4", rows=50)
    with h5py.File(tmp_path / "a.mp4.h5") as file:
        assert file.attrs["schema"] == "grjca.clip"
        assert file.attrs["rows"] == 50
        assert file.attrs["fps"] == pytest.approx(25)
        assert {name: len(file[name]) for name in (
            "frames/time", "faces/box", "faces/landmarks", "faces/score", "faces/valid",
            "faces/track", "visual/fer/features", "visual/fer/valid", "audio/logmel/features",
            "audio/logmel/valid")} .keys()  # fmt: skip
        assert len(file["audio/logmel/features"]) == 50


def test_same_stem_and_case_are_told_apart(tmp_path: Path) -> None:
    names = ["a.avi", "a.mp4", "A.mp4", "x/a.mp4"]
    for seed, name in enumerate(names):
        write_clip(tmp_path, name, seed=seed)
    store = FeatureStore(tmp_path)
    assert set(store.clips()) == set(names)
    rows = [store.read(name, audio="logmel").audio for name in names]
    assert len({array.tobytes() for array in rows if array is not None}) == len(names)


@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1))
def test_any_file_name_maps_into_the_store_and_back(name: str) -> None:
    root = Path("store")
    if name in (".", "..", ".grjca"):
        with pytest.raises(GrjcaError):
            clip_path(root, name)
        return
    path = clip_path(root, f"folder/{name}")
    assert path.parent == root / "folder"
    assert len(os.fsencode(path.name)) <= 255
    if len(os.fsencode(name)) < 200 and path.name[-20:-19] != "~":
        assert identity_of(root, path) == f"folder/{name}"


@pytest.mark.parametrize("name", ["../a.mp4", "/etc/a.mp4", "a/../../b.mp4", "", "a//b", "a/."])
def test_names_that_leave_the_store_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(GrjcaError, match="not a clip's name"):
        clip_path(tmp_path, name)


def test_long_names_keep_their_identity(tmp_path: Path) -> None:
    long = "x" * 251 + ".mp4"
    other = "x" * 251 + ".avi"
    write_clip(tmp_path, long)
    write_clip(tmp_path, other)
    assert set(FeatureStore(tmp_path).clips()) == {long, other}


def test_without_commit_nothing_is_seen(tmp_path: Path) -> None:
    write_clip(tmp_path, "a.mp4", commit=False)
    assert FeatureStore(tmp_path).clips() == []
    assert leftovers(tmp_path) == []


def test_two_embedders_of_one_clip_both_land(tmp_path: Path) -> None:
    write_clip(tmp_path, "a.mp4")
    write_clip(tmp_path, "a.mp4", recipe=with_visual("hog"), groups=frozenset({"visual/hog"}))
    store = FeatureStore(tmp_path)
    assert store.embedders("a.mp4") == {"visual": ["fer", "hog"], "audio": ["logmel"]}
    assert store.read("a.mp4", visual="hog", audio="logmel").audio is not None


def test_a_changed_source_leaves_nothing_of_the_old_one(tmp_path: Path) -> None:
    write_clip(tmp_path, "a.mp4", recipe=with_visual("hog"))
    write_clip(tmp_path, "a.mp4", rows=4, source=SourceId(5, 7, "11" * 32))
    assert FeatureStore(tmp_path).embedders("a.mp4")["visual"] == ["fer"]


def test_a_damaged_file_is_replaced_by_a_whole_extraction_only(tmp_path: Path) -> None:
    write_clip(tmp_path, "a.mp4")
    whole = arrays(tmp_path)
    path = tmp_path / "a.mp4.h5"
    for damaged in (b"nothing", path.read_bytes()[:5000]):
        path.write_bytes(damaged)
        hog = frozenset({"visual/hog"})
        with pytest.raises(GrjcaError, match="damaged file"):
            write_clip(tmp_path, "a.mp4", recipe=with_visual("hog"), groups=hog)
        assert path.read_bytes() == damaged
        write_clip(tmp_path, "a.mp4")
        assert arrays(tmp_path) == whole
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 2
    with pytest.raises(GrjcaError, match="Update grjca"):
        write_clip(tmp_path, "a.mp4")


def test_new_faces_drop_what_was_made_from_the_old_ones(tmp_path: Path) -> None:
    write_clip(tmp_path, "a.mp4", recipe=dataclasses.replace(RECIPE, keep_crops=True))
    write_clip(tmp_path, "a.mp4", recipe=with_visual("hog"), groups=frozenset({"visual/hog"}))
    other = dataclasses.replace(with_visual("ir50"), faces={"detector": "other"})
    write_clip(tmp_path, "a.mp4", recipe=other, groups=frozenset({"faces", "visual/ir50"}))
    assert set(FeatureStore(tmp_path).digests("a.mp4")) == {
        "frames", "faces", "visual/ir50", "audio/logmel",
    }  # fmt: skip
    assert verify(tmp_path) == []


def test_imported_features_stay_when_faces_come(tmp_path: Path) -> None:
    frames = frozenset({"frames", "audio/logmel"})
    write_clip(tmp_path, "a.mp4", groups=frames)
    keys = RECIPE.groups(SOURCE.sha256)
    config = {"name": "mine", "imported": {}, "content": "ab"}
    digest = group_digest("visual/mine", config, keys["frames"].digest)
    imported = {"frames": keys["frames"], "visual/mine": GroupKey(config, digest)}
    held = claim(tmp_path, "a.mp4")
    assert held is not None
    with held, ClipWriter(tmp_path, "a.mp4", SOURCE, imported, held) as writer:
        columns = random_columns(10, RECIPE, 0)["visual/fer"]
        writer.append("visual/mine", columns)
        writer.commit({})
    write_clip(tmp_path, "a.mp4", groups=frozenset({"faces", "visual/fer"}))
    other = dataclasses.replace(RECIPE, faces={"detector": "other"})
    write_clip(tmp_path, "a.mp4", recipe=other, groups=frozenset({"faces"}))
    assert FeatureStore(tmp_path).embedders("a.mp4") == {"visual": ["mine"], "audio": ["logmel"]}
    assert verify(tmp_path) == []


def test_a_writer_needs_the_claim_of_its_own_clip(tmp_path: Path) -> None:
    held = claim(tmp_path, "a.mp4")
    assert held is not None
    with held, pytest.raises(ValueError, match=r"under a claim of a\.mp4"):
        ClipWriter(tmp_path, "b.mp4", SOURCE, RECIPE.groups(SOURCE.sha256), held)


def test_chunks_of_large_rows_stay_small(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        crops = create_dataset(file, "crops", (112, 112, 3), "u1")
        features = create_dataset(file, "features", (512,), "f4")
        huge = create_dataset(file, "huge", (2000, 2000, 3), "u1")
        chunks = [node.chunks[0] for node in (crops, features, huge)]
    assert chunks == [27, 256, 1], "27 crops of 112 x 112 are just less than a MiB"


def test_groups_of_unequal_length_are_refused(tmp_path: Path) -> None:
    keys = RECIPE.groups(SOURCE.sha256)
    held = claim(tmp_path, "a.mp4")
    assert held is not None
    with held, ClipWriter(tmp_path, "a.mp4", SOURCE, keys, held) as writer:
        writer.append("frames", {"time": np.arange(3) / 25})
        writer.append(
            "audio/logmel", {"features": np.zeros((2, 3), np.float32), "valid": np.ones(2, bool)}
        )
        with pytest.raises(GrjcaError, match="unequal length: 3 frames"):
            writer.commit({})
    assert FeatureStore(tmp_path).clips() == []


def test_damage_is_noticed(tmp_path: Path) -> None:
    write_clip(tmp_path, "a.mp4", rows=2000)
    path = tmp_path / "a.mp4.h5"
    store = FeatureStore(tmp_path)
    data = bytearray(path.read_bytes())
    clip = store.read("a.mp4", visual="fer")
    assert clip.visual is not None
    at = data.find(clip.visual[0].tobytes())
    data[at] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(GrjcaError, match="damaged file"):
        store.read("a.mp4", visual="fer")
    path.write_bytes(data[:100])
    with pytest.raises(GrjcaError, match="not a readable HDF5 file"):
        store.read("a.mp4", visual="fer")


def test_foreign_and_newer_files_are_refused(tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    with h5py.File(tmp_path / "b.mp4.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(GrjcaError, match="not one this program wrote"):
        store.read("b.mp4")
    write_clip(tmp_path, "a.mp4")
    with h5py.File(tmp_path / "a.mp4.h5", "a") as file:
        file.attrs["version"] = 2
    with pytest.raises(GrjcaError, match="schema version 2, this program reads up to 1"):
        store.read("a.mp4")


def test_missing_clip_and_embedder_are_named(tmp_path: Path) -> None:
    write_clip(tmp_path, "a.mp4")
    store = FeatureStore(tmp_path)
    with pytest.raises(GrjcaError, match=r"b\.mp4.*no such clip"):
        store.read("b.mp4")
    with pytest.raises(GrjcaError, match="no visual features called ir50; there are: fer"):
        store.read("a.mp4", visual="ir50")
    with pytest.raises(GrjcaError, match="no such folder"):
        FeatureStore(tmp_path / "nowhere")


WRITE_FOREVER = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
from stores import *
from grjca.cache.writer import ClipWriter
keys = RECIPE.groups(SOURCE.sha256)
with claim(Path({root!r}), "a.mp4") as held, \\
        ClipWriter(Path({root!r}), "a.mp4", SOURCE, keys, held) as writer:
    writer.append("frames", {{"time": np.arange(500) / 25}})
    print("open", flush=True)
    time.sleep(60)
"""


def test_a_killed_writer_leaves_whole_files_and_its_remains_are_removed(tmp_path: Path) -> None:
    write_clip(tmp_path, "a.mp4")
    before = (tmp_path / "a.mp4.h5").read_bytes()
    script = WRITE_FOREVER.format(tests=str(Path(__file__).parent), root=str(tmp_path))
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    assert remove_leftovers(tmp_path) == 0, "the writer is alive"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert len(leftovers(tmp_path)) == 1
    assert (tmp_path / "a.mp4.h5").read_bytes() == before
    assert remove_leftovers(tmp_path) == 1
    assert leftovers(tmp_path) == []


FILL = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from stores import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    write_clip(Path({root!r}), "a.mp4", rows=40_000)
except Exception as error:
    print(type(error).__name__, error)
"""


def full_disk_error(root: Path) -> str:
    script = FILL.format(tests=str(Path(__file__).parent), root=str(root))
    return run_filling(script)


def run_filling(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout


def test_no_room_is_one_clear_line_and_leaves_nothing(tmp_path: Path) -> None:
    said = full_disk_error(tmp_path)
    assert said.startswith("GrjcaError a.mp4: store: cannot write a.mp4.h5")
    assert said.count("\n") == 1
    assert list(tmp_path.rglob("*.h5")) == leftovers(tmp_path) == []


def test_a_really_full_disk(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        said = full_disk_error_unlimited(disk)
        assert "No space left on device" in said
        assert said.startswith("GrjcaError a.mp4: store: cannot write a.mp4.h5")
        assert list(disk.rglob("*.h5")) == leftovers(disk) == []
    finally:
        for _ in range(10):
            if not subprocess.run(["umount", str(disk)], capture_output=True).returncode:
                break
            time.sleep(0.2)


def full_disk_error_unlimited(root: Path) -> str:
    script = "\n".join(
        line
        for line in FILL.format(tests=str(Path(__file__).parent), root=str(root)).splitlines()
        if not line.startswith(("signal.", "resource."))
    )
    return run_filling(script)


MAKES_HALF_A_FILE = """
import os, sys
from pathlib import Path
from grjca.files import temporary_name
(Path(sys.argv[1]) / temporary_name()).touch()
os._exit(1)
"""


def test_halves_of_index_and_reports_go_with_the_next_run(tmp_path: Path) -> None:
    house = tmp_path / ".grjca"
    (house / "claims").mkdir(parents=True)
    for folder in (house, house / "claims"):
        subprocess.run([sys.executable, "-c", MAKES_HALF_A_FILE, str(folder)], check=False)
    ours = house / temporary_name()
    elsewhere = house / f".{'0' * 32}.{'0' * 8}.{2**22 + 1}.tmp"
    ours.touch()
    elsewhere.touch()
    assert remove_leftovers(tmp_path) == 2
    assert set(house.rglob("*.tmp")) == {ours, elsewhere}
