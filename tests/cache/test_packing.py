"""Packing: everything arrives, what is new is added, whatever stops it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stores import RECIPE, SOURCE, arrays, with_visual, write_clip

from grjca.cache import FeatureStore
from grjca.cache.claims import CLAIM_OF_SHARDS, claim
from grjca.cache.layout import TEMPORARY
from grjca.cache.packing import PackReport, pack
from grjca.cache.shards import clip_of, group_name, is_packed, shard_name
from grjca.cache.unpacking import unpack
from grjca.cache.verify import verify
from grjca.errors import GrjcaError, UsageError

CLIPS = {"lab/a.mp4": 40, "lab/a.avi": 7, "b c.mp4": 700, "z.mp4@1": 5, "z.mp4@2": 5}


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Five clips, one long enough for chunks."""
    root = tmp_path / "plain"
    for seed, (clip, rows) in enumerate(CLIPS.items()):
        people = 2 if "@" in clip else None
        write_clip(root, clip, rows, seed=seed, about={"subject": f"S{seed}"}, people=people)
    return root


def numbers(node: h5py.Group) -> dict[str, tuple[str, bytes]]:
    """Every array below a group by its path, with its type, read with plain h5py."""
    found: dict[str, tuple[str, bytes]] = {}

    def note(name: str, one: object) -> None:
        if isinstance(one, h5py.Dataset):
            found[name] = (one.dtype.str, one[:].tobytes())

    node.visititems(note)
    return found


def copies(packed: Path) -> list[tuple[str, str]]:
    """Shard and clip of every group of every shard."""
    found = []
    for path in sorted(packed.glob("*.h5")):
        with h5py.File(path) as file:
            found += [(path.name, clip_of(name)) for name in file["clips"]]
    return found


def assert_equal(plain: Path, packed: Path) -> None:
    """Each clip lies in one shard, with the numbers and attributes of its own file."""
    places = {clip: shard for shard, clip in copies(packed)}
    assert len(places) == len(copies(packed))
    store = FeatureStore(plain)
    assert set(places) == set(store.clips())
    assert FeatureStore(packed).clips() == store.clips()
    for clip, shard in places.items():
        with store.open(clip) as own, h5py.File(packed / shard) as file:
            node = file["clips"][group_name(clip)]
            assert numbers(node) == numbers(own)
            told = {name: value for name, value in node.attrs.items() if name != "state"}
            # The rate of no rows is NaN, which equals nothing.
            assert repr(sorted(told.items())) == repr(sorted(own.attrs.items()))
            for group in ("frames", "faces", "visual/fer", "audio/logmel"):
                assert node[group].attrs["digest"] == own[group].attrs["digest"]
                assert node[group].attrs["config"] == own[group].attrs["config"]


def temporaries(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.name.endswith(TEMPORARY)]


def test_everything_arrives(plain: Path, tmp_path: Path) -> None:
    before = arrays(plain)
    report = pack(plain, tmp_path / "packed")
    assert (sorted(report.packed), report.failed) == (sorted(CLIPS), [])
    assert_equal(plain, tmp_path / "packed")
    assert arrays(plain) == before
    assert verify(tmp_path / "packed") == []
    assert report.summary().startswith("5 packed, 0 already there, 0 failed; 1 shard, ")


def test_small_shards_and_one_for_what_is_larger(plain: Path, tmp_path: Path) -> None:
    report = pack(plain, tmp_path / "packed", shard_bytes=1 << 16)
    assert report.shards == len(list((tmp_path / "packed").glob("shard-*.h5"))) > 1
    assert report.size == sum(p.stat().st_size for p in (tmp_path / "packed").glob("*.h5"))
    assert_equal(plain, tmp_path / "packed")


def test_tiny_clips_take_less_room_than_their_files(tmp_path: Path) -> None:
    for seed in range(12):
        write_clip(tmp_path / "plain", f"{seed}.mp4", 50, seed=seed)
    report = pack(tmp_path / "plain", tmp_path / "packed")
    own = sum(path.stat().st_size for path in (tmp_path / "plain").glob("*.h5"))
    with h5py.File(tmp_path / "plain/0.mp4.h5") as file:
        raw = sum(len(data) for _, data in numbers(file).values())
    assert report.size / 12 < raw + 8000
    assert report.size < own / 2


def test_the_second_run_adds_what_is_new(plain: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    pack(plain, packed)
    first = {path.name: path.stat().st_mtime_ns for path in packed.glob("*.h5")}
    idle = pack(plain, packed)
    assert (idle.packed, idle.kept) == ([], len(CLIPS))
    assert {path.name: path.stat().st_mtime_ns for path in packed.glob("*.h5")} == first
    write_clip(plain, "new.mp4", seed=9)
    report = pack(plain, packed)
    assert (report.packed, report.kept, report.shards) == (["new.mp4"], len(CLIPS), 1)
    assert_equal(plain, packed)


def test_a_shard_more_than_half_full_is_left_alone(plain: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    size = pack(plain, packed).size
    before = (packed / shard_name(0)).read_bytes()
    write_clip(plain, "new.mp4", seed=9)
    assert pack(plain, packed, shard_bytes=2 * size - 1).shards == 2
    assert (packed / shard_name(0)).read_bytes() == before
    assert_equal(plain, packed)


@pytest.mark.parametrize("shard_bytes", [1 << 16, 1 << 30])
def test_changed_clips_are_packed_anew_and_forgotten_in_the_old_place(
    plain: Path, tmp_path: Path, shard_bytes: int
) -> None:
    packed = tmp_path / "packed"
    pack(plain, packed, shard_bytes=shard_bytes)
    hog = frozenset({"visual/hog"})
    write_clip(plain, "lab/a.mp4", 40, recipe=with_visual("hog"), groups=hog, seed=0)
    other = dataclasses.replace(SOURCE, sha256="11" * 32)
    write_clip(plain, "b c.mp4", 300, source=other, seed=77)
    with h5py.File(packed / {c: s for s, c in copies(packed)}["b c.mp4"]) as file:
        old = file["clips/b c.mp4/visual/fer/features"][:].tobytes()[:4000]
    report = pack(plain, packed, shard_bytes=shard_bytes)
    assert (sorted(report.packed), report.kept) == (["b c.mp4", "lab/a.mp4"], 3)
    assert_equal(plain, packed)
    assert not any(old in path.read_bytes() for path in packed.rglob("*") if path.is_file())


def test_touched_and_copied_stores_are_recognised(plain: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    pack(plain, packed)
    for path in plain.rglob("*.h5"):
        os.utime(path, (1, 1))
    assert pack(plain, packed).kept == len(CLIPS)
    subject = FeatureStore(plain).about("lab/a.mp4")["subject"]
    write_clip(plain, "lab/a.mp4", 40, seed=0, about={"subject": "other"})
    assert subject != "other"
    assert pack(plain, packed).packed == ["lab/a.mp4"], "what is said of a clip counts too"
    assert FeatureStore(packed).about("lab/a.mp4")["subject"] == "other"


def test_what_is_gone_stays_unless_pruned(plain: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    pack(plain, packed, shard_bytes=1 << 16)
    (plain / "lab/a.mp4.h5").unlink()
    report = pack(plain, packed)
    assert (report.extra, report.removed) == (1, [])
    assert "lab/a.mp4" in FeatureStore(packed).clips()
    report = pack(plain, packed, prune=True)
    assert (report.extra, report.removed) == (0, ["lab/a.mp4"])
    assert_equal(plain, packed)


def test_everything_pruned_leaves_a_packed_store(plain: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    pack(plain, packed, shard_bytes=1 << 16)
    for path in plain.rglob("*.h5"):
        path.unlink()
    pack(plain, packed, prune=True)
    assert FeatureStore(packed).clips() == []
    assert [path.name for path in packed.glob("*.h5")] == [shard_name(0)]
    (packed / ".grjca/shards.jsonl").unlink()
    assert is_packed(packed)


def test_a_lost_index_costs_nothing_but_time(plain: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    pack(plain, packed, shard_bytes=1 << 16)
    index = packed / ".grjca/shards.jsonl"

    def told() -> list[object]:
        lines = [json.loads(line) for line in index.read_text().splitlines()]
        return [{**line, "clips": sorted(line["clips"])} for line in lines]

    before, kept = index.read_text(), told()
    for left in (None, before[: len(before) // 2], '{"shard": 3}\nnonsense\n'):
        index.unlink() if left is None else index.write_text(left)
        assert FeatureStore(packed).clips() == FeatureStore(plain).clips()
        assert pack(plain, packed, shard_bytes=1 << 16).kept == len(CLIPS)
        assert told() == kept


ODD = ["ä", "a\u0308", "A.mp4", "a.mp4", "a.mp4@1", " x ", "%2F", "%", "..a", "faces", "visual",
       "shard-00000", "\n", "schema", "x.h5"]  # fmt: skip
TEXT = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)
PARTS = st.one_of(TEXT, st.sampled_from(ODD)).filter(
    lambda name: name not in (".", "..", ".grjca") and len(name.encode()) < 200
)
NAMES = st.lists(PARTS, min_size=1, max_size=3).map("/".join)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(NAMES, min_size=1, max_size=3, unique=True))
def test_odd_names_arrive_and_come_back(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        plain, packed, back = (Path(folder) / name for name in ("plain", "packed", "back"))
        for seed, name in enumerate(names):
            try:
                write_clip(plain, name, 3, seed=seed)
            except GrjcaError:
                continue  # A file of one name, a folder of the other.
        plain.mkdir(exist_ok=True)
        pack(plain, packed)
        assert_equal(plain, packed)
        assert unpack(packed, back).failed == []
        assert_equal(back, packed)


def test_group_names_are_told_apart() -> None:
    odd = ["a/b", "a%2Fb", "a%252Fb", "a%b", "%", "%2", "2F"]
    assert len({group_name(clip) for clip in odd}) == len(odd)
    assert [clip_of(group_name(clip)) for clip in odd] == odd


def test_unpacked_clips_are_as_extracted_ones(plain: Path, tmp_path: Path) -> None:
    pack(plain, tmp_path / "packed")
    back = tmp_path / "back"
    assert sorted(unpack(tmp_path / "packed", back).unpacked) == sorted(CLIPS)
    assert arrays(back) == arrays(plain)
    assert verify(back) == []
    assert unpack(tmp_path / "packed", back).kept == len(CLIPS)
    hog = frozenset({"visual/hog"})
    write_clip(back, "lab/a.mp4", 40, recipe=with_visual("hog"), groups=hog)
    [error] = unpack(tmp_path / "packed", back).failed
    assert "holds it in another state" in str(error)
    assert pack(back, tmp_path / "packed").packed == ["lab/a.mp4"]


def test_a_bad_clip_does_not_keep_the_others(plain: Path, tmp_path: Path) -> None:
    path = plain / "b c.mp4.h5"
    whole = path.read_bytes()
    with h5py.File(path) as file:
        chunk = file["visual/fer/features"].id.get_chunk_info(1)
    broken = bytearray(whole)
    broken[chunk.byte_offset + 10] ^= 1
    path.write_bytes(broken)
    (plain / "x.h5").write_bytes(b"not HDF5")
    (plain / "lab/a.mp4.h5").rename(plain / "moved.mp4.h5")
    report = pack(plain, tmp_path / "packed")
    told = sorted(map(str, report.failed))
    assert len(told) == 3
    assert "b c.mp4: store: damaged file" in told[0]
    assert "moved.mp4: store: its file holds the clip lab/a.mp4" in told[1]
    assert "not a readable HDF5 file" in told[2]
    assert sorted(report.packed) == ["lab/a.avi", "z.mp4@1", "z.mp4@2"]
    assert {clip for _, clip in copies(tmp_path / "packed")} == set(report.packed)
    path.write_bytes(whole)
    (plain / "x.h5").unlink()
    (plain / "moved.mp4.h5").rename(plain / "lab/a.mp4.h5")
    assert sorted(pack(plain, tmp_path / "packed").packed) == ["b c.mp4", "lab/a.mp4"]
    assert_equal(plain, tmp_path / "packed")


def test_a_copy_that_is_not_equal_is_an_error(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grjca.cache.shard_writer.content_of", lambda _: "00")
    with pytest.raises(GrjcaError, match="its copy is not equal to it"):
        pack(plain, tmp_path / "packed")
    assert [path.name for path in (tmp_path / "packed").glob("*.h5")] == [shard_name(0)]
    assert temporaries(tmp_path / "packed") == []


def test_places_that_are_refused(plain: Path, tmp_path: Path) -> None:
    pack(plain, tmp_path / "packed")
    for store, out, match in (
        (plain, plain / "in", "lies in the store"),
        (plain, tmp_path, "lies in the store"),
        (tmp_path / "packed", tmp_path / "other", "a packed store"),
    ):
        with pytest.raises(UsageError, match=match):
            pack(store, out)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    with pytest.raises(UsageError, match="something else"):
        pack(plain, tmp_path / "full")
    with pytest.raises(UsageError, match="not a packed store"):
        unpack(plain, tmp_path / "other")
    with pytest.raises(UsageError, match="a packed store itself"):
        unpack(tmp_path / "packed", tmp_path / "packed")


def test_nothing_else_writes_into_a_packed_store(plain: Path, tmp_path: Path) -> None:
    pack(plain, tmp_path / "packed")
    with pytest.raises(UsageError, match="into which only grjca pack writes"):
        write_clip(tmp_path / "packed", "new.mp4")


def test_one_packs_at_a_time(plain: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.mkdir()
    held = claim(packed, CLAIM_OF_SHARDS)
    assert held is not None
    with held, pytest.raises(GrjcaError, match=f"in the hands of process {os.getpid()}"):
        pack(plain, packed)
    assert len(pack(plain, packed).packed) == len(CLIPS)


PACK = """
import sys
from grjca.cache.packing import pack
print(pack(sys.argv[1], sys.argv[2], shard_bytes=int(sys.argv[3])).summary())
"""

KILL = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np
from grjca.cache import FeatureStore
from grjca.cache.packing import pack
from grjca.cache.shards import is_packed

plain, packed = sys.argv[1:3]
rng = random.Random(int(sys.argv[3]))
own = FeatureStore(plain)
killed = 0
for attempt in range(int(sys.argv[4])):
    child = os.fork()
    if not child:
        pack(plain, packed, shard_bytes=1 << 17)
        os._exit(0)
    time.sleep(rng.uniform(0.02, 0.6))
    os.kill(child, signal.SIGKILL)
    killed += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    if is_packed(Path(packed)):
        store = FeatureStore(packed)
        for clip in store.clips():
            got, want = (s.read(clip, "fer", "logmel") for s in (store, own))
            np.testing.assert_array_equal(got.visual, want.visual)
            np.testing.assert_array_equal(got.audio, want.audio)
print(killed)
"""


def kill_often(plain: Path, packed: Path, seed: int) -> int:
    """Kill packing at random instants, reading all that is packed after each; how many died."""
    command = [sys.executable, "-c", KILL, str(plain), str(packed), str(seed), "8"]
    return int(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout)


@pytest.mark.long
def test_killed_at_any_instant(tmp_path: Path) -> None:
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    for seed in range(60):
        write_clip(plain, f"{seed % 7}/{seed}.mp4", 60, seed=seed)
    killed = kill_often(plain, packed, 1)
    for seed in range(0, 60, 2):
        hog = frozenset({"visual/hog"})
        clip = f"{seed % 7}/{seed}.mp4"
        write_clip(plain, clip, 60, recipe=with_visual("hog"), groups=hog, seed=seed)
    killed += kill_often(plain, packed, 2)
    assert killed
    assert pack(plain, packed, shard_bytes=1 << 17).failed == []
    assert_equal(plain, packed)
    assert temporaries(packed) == []
    assert verify(packed) == []


def test_between_a_new_shard_and_the_end_of_the_old_copy(plain: Path, tmp_path: Path) -> None:
    packed, later = tmp_path / "packed", tmp_path / "later"
    pack(plain, packed)
    hog = frozenset({"visual/hog"})
    write_clip(plain, "lab/a.mp4", 40, recipe=with_visual("hog"), groups=hog, seed=0)
    pack(plain, later)
    (packed / shard_name(1)).write_bytes((later / shard_name(0)).read_bytes())
    assert FeatureStore(packed).embedders("lab/a.mp4")["visual"] == ["fer", "hog"]
    found = verify(packed)
    assert {finding.kind for finding in found} == {"stale"}
    assert len(found) == len(CLIPS)
    assert pack(plain, packed).packed == []
    assert_equal(plain, packed)


def test_a_stop_keeps_what_was_finished(plain: Path, tmp_path: Path) -> None:
    def stop(_: int) -> None:
        seen.append(1)
        if len(seen) == 3:
            raise KeyboardInterrupt

    seen: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        pack(plain, tmp_path / "packed", progress=stop)
    assert len(FeatureStore(tmp_path / "packed").clips()) == 3
    report = pack(plain, tmp_path / "packed")
    assert (len(report.packed), report.kept) == (2, 3)
    assert_equal(plain, tmp_path / "packed")


def test_a_full_disk_is_one_line(plain: Path, tmp_path: Path) -> None:
    script = (
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n" + PACK
    )
    packed = tmp_path / "packed"
    for clip in ("b c.mp4", "z.mp4@1"):
        (plain / f"{clip}.h5").rename(tmp_path / f"{clip}.h5")
    pack(plain, packed)
    before = {path: path.read_bytes() for path in packed.glob("*.h5")}
    for clip in ("b c.mp4", "z.mp4@1"):
        (tmp_path / f"{clip}.h5").rename(plain / f"{clip}.h5")
    command = [sys.executable, "-c", script, str(plain), str(packed), str(1 << 30)]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = done.stderr.strip().splitlines()
    assert "grjca.errors.GrjcaError" in lines[-1]
    assert "cannot write it: File too large" in lines[-1]
    assert not any("HDF5" in line for line in lines[-1:])
    assert {path: path.read_bytes() for path in packed.glob("*.h5")} == before
    assert temporaries(packed) == []
    assert isinstance(pack(plain, packed), PackReport)
    assert_equal(plain, packed)


def test_all_groups_and_types_arrive(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, keep_crops=True)
    write_clip(tmp_path / "plain", "a.mp4", 20, recipe=recipe)
    write_clip(tmp_path / "plain", "none.mp4", 0, recipe=recipe)
    pack(tmp_path / "plain", tmp_path / "packed")
    assert_equal(tmp_path / "plain", tmp_path / "packed")
    assert verify(tmp_path / "packed") == []
