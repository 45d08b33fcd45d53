"""A packed store read: the same as a file per clip, also damaged, rewritten or forked meanwhile."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result
from stores import arrays, with_visual, write_clip
from test_schema_versions import CLIP, SOURCE, VALID, columns

from grjca.cache import ClipFeatures, FeatureStore
from grjca.cache.claims import CLAIM_OF_SHARDS, claim
from grjca.cache.forget import forget, search
from grjca.cache.gc import gc
from grjca.cache.inspect import summaries
from grjca.cache.layout import VERSION as CLIP_VERSION
from grjca.cache.open_files import OpenShards
from grjca.cache.packing import pack
from grjca.cache.shards import VERSION, place_of
from grjca.cache.unpacking import unpack
from grjca.cache.verify import verify
from grjca.cli import main
from grjca.errors import GrjcaError, UsageError

DATA = Path(__file__).parent / "data"
CLIPS = {f"lab/{number}.mp4": 45 + number for number in range(6)} | {"long.mp4": 900}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``plain`` with seven clips of three subjects, and the same ``packed`` in several shards."""
    folder = tmp_path_factory.mktemp("stores")
    for seed, (clip, rows) in enumerate(CLIPS.items()):
        about = {"subject": f"person{seed % 3}", "partition": "val" if seed > 3 else "train"}
        write_clip(folder / "plain", clip, rows, seed=seed, about=about)
    pack(folder / "plain", folder / "packed", shard_bytes=1 << 16)
    return folder


@pytest.fixture
def stores(made: Path, tmp_path: Path) -> Path:
    """A copy of both, to be changed."""
    shutil.copytree(made, tmp_path / "stores")
    return tmp_path / "stores"


def same(one: ClipFeatures, other: ClipFeatures) -> None:
    for name in ("time", "visual", "visual_valid", "audio", "audio_valid", "index"):
        mine, theirs = getattr(one, name), getattr(other, name)
        if mine is None or theirs is None:
            assert mine is theirs, name
        else:
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs, err_msg=name)


def test_both_forms_tell_the_same(made: Path) -> None:
    plain, packed = FeatureStore(made / "plain"), FeatureStore(made / "packed")
    assert len(list((made / "packed").glob("shard-*.h5"))) > 2
    assert packed.clips() == plain.clips() == sorted(CLIPS)
    assert repr(packed).endswith("clips=7)")
    assert list(packed.files()) == []
    for clip in CLIPS:
        for told in ("summary", "digests", "embedders", "source", "about", "people"):
            assert getattr(packed, told)(clip) == getattr(plain, told)(clip)
        assert packed.recipe(clip, "fer", "logmel") == plain.recipe(clip, "fer", "logmel")


@pytest.mark.parametrize("rows", [
    slice(None), slice(3, 17), slice(250, 600), slice(40, 10_000), slice(-5, None), slice(9, 4),
    slice(2000, 3000), slice(0, 0), slice(None, -3),
])  # fmt: skip
def test_any_range_of_rows_is_the_same(made: Path, rows: slice) -> None:
    plain, packed = FeatureStore(made / "plain"), FeatureStore(made / "packed")
    for clip in ("lab/2.mp4", "long.mp4"):
        for visual, audio in (("fer", "logmel"), (None, "logmel"), ("fer", None), (None, None)):
            same(packed.read(clip, visual, audio, rows), plain.read(clip, visual, audio, rows))


def test_what_is_not_there_is_named_alike(made: Path) -> None:
    for form in ("plain", "packed"):
        store = FeatureStore(made / form)
        with pytest.raises(GrjcaError, match=r"b\.mp4.*: store: no such clip"):
            store.read("b.mp4")
        with pytest.raises(GrjcaError, match="no visual features called ir50; there are: fer"):
            store.read("long.mp4", visual="ir50")
        with pytest.raises(GrjcaError, match="no audio features called fer; there are: logmel"):
            store.read("long.mp4", audio="fer")
        with pytest.raises(GrjcaError, match="not a clip's name"):
            store.read("../long.mp4")


def test_a_clip_named_like_a_shard_makes_no_packed_store(tmp_path: Path) -> None:
    write_clip(tmp_path, "shard-00000")
    store = FeatureStore(tmp_path)
    assert store.packed is None
    assert store.clips() == ["shard-00000"]
    (tmp_path / "shard-00000.h5").write_bytes(b"broken")
    assert FeatureStore(tmp_path).packed is None


# Reading while others read or write.


def test_few_files_stay_open_and_none_is_closed_in_use(made: Path) -> None:
    paths = sorted((made / "packed").glob("shard-*.h5"))
    shards = OpenShards(most=1)
    with shards.use(paths[0]) as first:
        with shards.use(paths[1]) as second:
            assert first.file.id.valid
            assert second.file.id.valid
        assert first.file.id.valid
    assert [one.file.id.valid for one in (first, second)].count(True) == 1
    with shards.use(paths[1]) as again:
        shards.drop(paths[1])
        assert again.file.id.valid
    assert not again.file.id.valid


def test_threads_read_side_by_side(made: Path) -> None:
    plain, packed = FeatureStore(made / "plain"), FeatureStore(made / "packed")
    packed.packed._open = OpenShards(most=1)  # type: ignore[union-attr]
    wanted = {clip: plain.read(clip, "fer", "logmel") for clip in CLIPS}
    order = random.Random(0).choices(sorted(CLIPS), k=300)
    with ThreadPoolExecutor(4) as pool:
        for clip, got in zip(order, pool.map(lambda c: packed.read(c, "fer", "logmel"), order),
                             strict=True):  # fmt: skip
            same(got, wanted[clip])


def read_sum(store: FeatureStore, clip: str) -> float:
    return float(np.nansum(store.read(clip, "fer").visual))  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_from_the_same_object(made: Path, method: str) -> None:
    store = FeatureStore(made / "packed")
    expected = [read_sum(store, clip) for clip in CLIPS]
    context = multiprocessing.get_context(method)
    with context.Pool(2) as pool:
        assert pool.starmap(read_sum, [(store, clip) for clip in CLIPS]) == expected
    assert [read_sum(store, clip) for clip in CLIPS] == expected
    assert pickle.loads(pickle.dumps(store)).clips() == store.clips()  # noqa: S301


def test_a_reader_follows_what_is_packed_meanwhile(stores: Path) -> None:
    plain, packed = stores / "plain", stores / "packed"
    reader = FeatureStore(packed)
    old = reader.read("lab/0.mp4", "fer")
    hog = frozenset({"visual/hog"})
    for number in range(6):
        clip = f"lab/{number}.mp4"
        write_clip(plain, clip, 45 + number, recipe=with_visual("hog"), groups=hog, seed=number)
    write_clip(plain, "new.mp4", seed=8)
    before = set(packed.glob("*.h5"))
    pack(plain, packed, shard_bytes=1 << 16)
    assert before - set(packed.glob("*.h5")), "shards are gone that the reader knew"
    same(reader.read("lab/0.mp4", "fer"), old)
    same(reader.read("lab/3.mp4", "fer"), FeatureStore(plain).read("lab/3.mp4", "fer"))
    assert reader.read("new.mp4", "fer").visual is not None
    assert "new.mp4" in reader.clips()


# Damage.


def test_a_truncated_shard_is_one_line_and_the_others_are_read(stores: Path) -> None:
    packed = stores / "packed"
    path = packed / "shard-00001.h5"
    with h5py.File(path) as file:
        lost = {name.replace("%2F", "/") for name in file["clips"]}
    path.write_bytes(path.read_bytes()[:9000])
    for index in (True, False):
        if not index:
            (packed / ".grjca/shards.jsonl").unlink()
        store = FeatureStore(packed)
        for clip in set(CLIPS) - lost:
            same(store.read(clip, "fer"), FeatureStore(stores / "plain").read(clip, "fer"))
        if index:
            assert set(store.clips()) == set(CLIPS)
            with pytest.raises(GrjcaError, match=r"shard-00001\.h5: store: not a readable HDF5"):
                store.read(sorted(lost)[0])
        else:
            with pytest.raises(GrjcaError, match=r"shard-00001\.h5: store: not a readable HDF5"):
                store.clips()
        found, errors = summaries(packed)
        assert {clip.clip for clip in found} == set(CLIPS) - lost
        assert all("not a readable HDF5 file" in str(error) for error in errors)
        [finding] = verify(packed)
        assert (finding.path, finding.kind) == ("shard-00001.h5", "damaged")
        assert str(finding).count("\n") == 0
    report = pack(stores / "plain", packed)
    assert set(report.packed) == lost
    assert [error.source for error in report.failed] == ["shard-00001.h5"]
    path.unlink()
    assert verify(packed) == []
    assert set(FeatureStore(packed).clips()) == set(CLIPS)


def test_a_flipped_byte_is_seen_or_does_no_harm(stores: Path) -> None:
    """Whatever byte is wrong: the right numbers, or an error of one line; and verify knows."""
    packed, plain = stores / "packed", FeatureStore(stores / "plain")
    path = packed / "shard-00001.h5"
    whole = path.read_bytes()
    stat = path.stat()
    rng = random.Random(4)
    errors: list[tuple[str, str]] = []
    with h5py.File(path) as file:
        clips = [name.replace("%2F", "/") for name in file["clips"]]
    wanted = {clip: plain.read(clip, "fer", "logmel") for clip in CLIPS}
    for _ in range(150):
        broken = bytearray(whole)
        broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        path.write_bytes(broken)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        store = FeatureStore(packed)
        for clip in [*clips, "lab/5.mp4"]:
            try:
                got = store.read(clip, "fer", "logmel")
            except GrjcaError as error:
                errors.append((clip, str(error)))
            else:
                same(got, wanted[clip])
    assert {clip for clip, _ in errors} <= set(clips)
    assert not any("\n" in message for _, message in errors)
    assert len(errors) > 20


def test_verify_names_the_clip_with_a_wrong_number(stores: Path) -> None:
    packed = stores / "one"
    pack(stores / "plain", packed)
    with h5py.File(packed / "shard-00000.h5", "r+") as file:
        file[f"{place_of('lab/2.mp4')}/audio/logmel/features"][3, 1] += 1
        file[place_of("lab/4.mp4")].attrs["subject"] = "somebody else"
    found = verify(packed)
    assert [(f.path, f.kind) for f in found] == [
        ("shard-00000.h5:lab/2.mp4", "damaged"),
        ("shard-00000.h5:lab/4.mp4", "damaged"),
    ]
    assert "audio/logmel is not what was packed" in found[0].what
    assert "attributes are not those that were packed" in found[1].what


def test_verify_names_what_does_not_belong_there(stores: Path) -> None:
    packed = stores / "packed"
    shutil.copy(stores / "plain/long.mp4.h5", packed / "long.mp4.h5")
    (packed / "notes.txt").touch()
    (packed / f".{'0' * 32}-0.tmp").touch()
    assert {(f.path, f.kind) for f in verify(packed)} == {
        ("long.mp4.h5", "foreign"),
        ("notes.txt", "foreign"),
        (f".{'0' * 32}-0.tmp", "stale"),
    }
    assert FeatureStore(packed).clips() == sorted(CLIPS)


@pytest.mark.parametrize("name", ["version", "clip_version"])
def test_a_newer_schema_is_refused(stores: Path, name: str) -> None:
    packed = stores / "packed"
    with h5py.File(packed / "shard-00001.h5", "r+") as file:
        file.attrs[name] = 2
    with pytest.raises(GrjcaError, match=r"schema version .* Update grjca"):
        pack(stores / "plain", packed)
    (packed / ".grjca/shards.jsonl").unlink()
    with pytest.raises(GrjcaError, match=r"shard-00001\.h5: store: schema version"):
        FeatureStore(packed).clips()


# The released schema.


def test_a_shard_of_every_version_is_kept() -> None:
    kept = sorted(path.name for path in DATA.glob("shard-*.hdf5"))
    assert kept == [f"shard-{version}.hdf5" for version in range(1, VERSION + 1)]
    assert CLIP_VERSION == 1


def test_plain_h5py_finds_every_number_in_it() -> None:
    with h5py.File(DATA / "shard-1.hdf5") as file:
        assert (file.attrs["schema"], file.attrs["version"]) == ("grjca.shard", 1)
        assert file.attrs["clip_version"] == 1
        [(name, clip)] = file["clips"].items()
        assert name == "lab%2Fmonday%2Fa.mp4"
        assert (clip.attrs["clip"], clip.attrs["schema"]) == (CLIP, "grjca.clip")
        for path, values in columns().items():
            assert clip[path].dtype == values.dtype
            np.testing.assert_array_equal(clip[path][:], values, err_msg=path)


def test_the_reader_gives_them_back_and_verify_finds_nothing(tmp_path: Path) -> None:
    shutil.copy(DATA / "shard-1.hdf5", tmp_path / "shard-00000.h5")
    store, expected = FeatureStore(tmp_path), columns()
    clip = store.read(CLIP, visual="fer", audio="logmel", rows=slice(1, 5))
    np.testing.assert_array_equal(clip.time, expected["frames/time"][1:5])
    np.testing.assert_array_equal(clip.index, expected["frames/index"][1:5])  # type: ignore[arg-type]
    np.testing.assert_array_equal(clip.visual, expected["visual/fer/features"][1:5])  # type: ignore[arg-type]
    np.testing.assert_array_equal(clip.visual_valid, VALID[1:5])
    assert store.source(CLIP) == SOURCE
    assert [finding for finding in verify(tmp_path) if finding.kind != "stale"] == []


# Looking after it.


def everything(root: Path) -> bytes:
    return b"".join(
        os.fsencode(path.relative_to(root)) + (path.read_bytes() if path.is_file() else b"")
        for path in sorted(root.rglob("*"))
    )


def test_a_forgotten_person_is_gone_to_the_last_byte(stores: Path) -> None:
    packed = stores / "packed"
    (packed / ".grjca/last-run.json").write_text('{"clips": ["lab/1.mp4"]}')
    store = FeatureStore(packed)
    mine = [clip for clip in CLIPS if store.about(clip)["subject"] == "person1"]
    assert mine == ["lab/1.mp4", "lab/4.mp4"]
    gone = [store.read(clip, "fer", "logmel") for clip in mine]
    done = forget(packed, search(packed, subjects=["person1"]))
    assert (sorted(done.clips), done.failed) == (mine, [])
    assert done.notes == [".grjca/last-run.json"]
    rest = everything(packed)
    for trace in (b"person1", b"lab/1.mp4", b"lab%2F1.mp4", b"lab%2F4.mp4"):
        assert trace not in rest
    for clip in gone:
        assert clip.visual is not None
        assert clip.visual[3:9].tobytes() not in rest
    for clip in set(CLIPS) - set(mine):
        plain = FeatureStore(stores / "plain").read(clip, "fer", "logmel")
        same(FeatureStore(packed).read(clip, "fer", "logmel"), plain)
        same(store.read(clip, "fer", "logmel"), plain)
    assert verify(packed) == []
    with pytest.raises(GrjcaError, match="no such clip"):
        FeatureStore(packed).read(mine[0])


def test_forgetting_by_name_and_in_other_hands(stores: Path) -> None:
    packed = stores / "packed"
    with pytest.raises(GrjcaError, match="no such clip in the store"):
        search(packed, clips=["nobody.mp4"])
    found = search(packed, clips=["long.mp4"])
    assert found.names == ["long.mp4"]
    held = claim(packed, CLAIM_OF_SHARDS)
    assert held is not None
    with held:
        [error] = forget(packed, found).failed
    assert "in the hands of" in str(error)
    assert forget(packed, found).clips == ["long.mp4"]
    assert "long.mp4" not in FeatureStore(packed).clips()


def test_a_person_in_an_unreadable_shard_is_reported(stores: Path) -> None:
    packed = stores / "packed"
    (packed / "shard-00001.h5").write_bytes(b"broken")
    found = search(packed, subjects=["person1"])
    assert [error.source for error in found.unreadable] == ["shard-00001.h5"]
    assert forget(packed, found).failed


def test_gc_drops_groups_and_frees_their_room(stores: Path) -> None:
    plain, packed = stores / "plain", stores / "packed"
    listed = gc(packed, ["audio/logmel"])
    assert dict(listed.clips) == {"visual/fer": len(CLIPS)}
    assert dict(listed.bytes) == {"visual/fer": sum(rows * 17 for rows in CLIPS.values())}
    assert arrays(packed) == arrays(stores / "packed")
    before = sum(path.stat().st_size for path in packed.glob("*.h5"))
    done = gc(packed, ["audio/logmel"], delete=True)
    assert (done.clips, done.failed) == (listed.clips, [])
    assert before - sum(path.stat().st_size for path in packed.glob("*.h5")) > 10_000
    assert verify(packed) == []
    for clip in CLIPS:
        assert FeatureStore(packed).embedders(clip) == {"visual": [], "audio": ["logmel"]}
        same(FeatureStore(packed).read(clip, audio="logmel"),
             FeatureStore(plain).read(clip, audio="logmel"))  # fmt: skip
    with pytest.raises(UsageError, match="no clip has visual/fer"):
        gc(packed, ["visual/fer"])
    assert len(pack(plain, packed).packed) == len(CLIPS), "the other store still has them"


# The commands.


def run(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def test_the_command(stores: Path, tmp_path: Path) -> None:
    plain, out = stores / "plain", tmp_path / "out"
    told = run("pack", plain, "--out", out, "--shard-size", "64KiB", "--quiet")
    assert told.exit_code == 0, told.output
    assert told.output.startswith("7 packed, 0 already there, 0 failed; ")
    assert run("pack", out, "--out", tmp_path / "b", "--unpack", "--quiet").output == (
        "7 unpacked, 0 already there, 0 failed\n"
    )
    (plain / "x.h5").write_bytes(b"broken")
    bad = run("pack", plain, "--out", out, "--quiet")
    assert bad.exit_code == 1
    assert "x.h5" in bad.output
    assert bad.output.endswith("MB\n")
    for size in ("1", "big", "1TiBi"):
        assert run("pack", plain, "--out", out, "--shard-size", size).exit_code == 2
    refused = run("extract", tmp_path, "--store", out)
    assert refused.exit_code


def test_inspect_verify_and_export_say_the_same_of_both(made: Path, tmp_path: Path) -> None:
    for words in ((), ("--json",)):
        assert run("inspect", made / "packed", *words).output == (
            run("inspect", made / "plain", *words).output
        )
    shard = run("inspect", made / "packed/shard-00000.h5")
    assert "a shard of a packed store" in shard.output
    verified = run("verify", made / "packed", "--quiet")
    assert verified.output == "7 clips: 0 damaged, 0 stale, 0 foreign\n"
    for form in ("npz", "csv", "csd"):
        for store in ("plain", "packed"):
            done = run("export", made / store, "--format", form, "--out", tmp_path / form / store)
            assert done.exit_code == 0, done.output
        one, other = tmp_path / form / "plain", tmp_path / form / "packed"
        names = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
        assert names == sorted(p.relative_to(other) for p in other.rglob("*") if p.is_file())
        for name in names if form != "csd" else ():
            assert (one / name).read_bytes() == (other / name).read_bytes()


def test_train_and_evaluate_give_the_same_from_both(made: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = ["clip,frame,valence,arousal"]
    for clip, rows in CLIPS.items():
        values = rng.uniform(-1, 1, (rows, 2))
        lines += [f"{clip},{i},{v:.3f},{a:.3f}" for i, (v, a) in enumerate(values)]
    labels = tmp_path / "labels.csv"
    labels.write_text("\n".join(lines))
    tables, scores = [], []
    for store, memory in (("plain", "2GB"), ("packed", "2GB"), ("packed", 0)):
        out = tmp_path / f"{store}-{memory}"
        given = ("--store", made / store, "--labels", labels)
        quick = ("--epochs", 1, "--window", 32, "--hop", 16, "--fusion", "rjca", "--quiet")
        limit = ("--set", "train.memory_limit=0") if memory == 0 else ()
        done = run("train", *given, "--out", out, "--val", "lab/0.mp4,lab/3.mp4", *quick, *limit)
        assert done.exit_code == 0, (done.output, done.exception)
        rows = (out / "metrics.csv").read_text().splitlines()
        tables.append([line.rpartition(",")[0] for line in rows])
        told = tmp_path / f"{store}-{memory}.json"
        done = run("evaluate", "--checkpoint", out, *given, "--json", told, "--quiet")
        assert done.exit_code == 0, (done.output, done.exception)
        scores.append(json.loads(told.read_text())["overall"])
    assert tables[0] == tables[1] == tables[2]
    assert scores[0] == scores[1] == scores[2]


def test_unpacking_leaves_out_what_is_damaged(stores: Path, tmp_path: Path) -> None:
    with h5py.File(stores / "packed/shard-00000.h5", "r+") as file:
        clips = sorted(name.replace("%2F", "/") for name in file["clips"])
        file[f"{place_of(clips[0])}/audio/logmel/features"][3, 1] += 1
    report = unpack(stores / "packed", tmp_path / "back")
    assert [str(error).partition(":")[0] for error in report.failed] == [clips[0]]
    assert set(report.unpacked) == set(CLIPS) - {clips[0]}
    assert list(tmp_path.rglob("*.tmp")) == []


# The table of arrays, by which small arrays are read without HDF5.


def test_the_table_is_used_for_small_arrays_and_gives_what_hdf5_gives(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, plain = FeatureStore(made / "packed"), FeatureStore(made / "plain")
    assert store.packed is not None
    for clip in CLIPS:
        rows = slice(5, 30)
        at_once = store.packed._read_at_once(clip, "fer", "logmel", rows)
        assert at_once is not None
        same(at_once, plain.read(clip, "fer", "logmel", rows))
        assert at_once.time.flags.writeable, "as what HDF5 gives"
    monkeypatch.setattr("grjca.cache.open_files.load_table", lambda _: None)
    without = FeatureStore(made / "packed")
    assert without.packed is not None
    assert without.packed._read_at_once("long.mp4", "fer", "logmel", rows) is None
    for clip in CLIPS:
        same(without.read(clip, "fer", "logmel", rows), plain.read(clip, "fer", "logmel", rows))


def test_mixed_clips_are_read_right(tmp_path: Path) -> None:
    """Widths and types that differ, large arrays beside small ones, rows of another rate."""
    plain, packed = tmp_path / "plain", tmp_path / "packed"
    for seed, rows in enumerate((3, 300, 9000, 0, 1)):
        write_clip(plain, f"{rows}.mp4", rows, seed=seed)
    rng = np.random.default_rng(0)
    with h5py.File(plain / "300.mp4.h5", "r+") as file:
        valid = file["visual/fer/valid"][:]
        values = rng.normal(size=(300, 9)).astype("f2")
        values[~valid] = np.nan
        del file["visual/fer/features"]
        file["visual/fer"].create_dataset(
            "features", data=values, chunks=(256, 9), fletcher32=True, maxshape=(None, 9)
        )
        index = np.arange(300) * 2
        file["frames"].create_dataset("index", data=index, chunks=(256,), fletcher32=True)
    pack(plain, packed)
    assert verify(packed) == []
    for clip in FeatureStore(plain).clips():
        for rows in (slice(None), slice(2, 280), slice(200, 8000)):
            got = FeatureStore(packed).read(clip, "fer", "logmel", rows)
            same(got, FeatureStore(plain).read(clip, "fer", "logmel", rows))
    assert FeatureStore(packed).read("300.mp4", "fer").index is not None


def test_a_wrong_table_is_found(stores: Path) -> None:
    packed = stores / "one"
    pack(stores / "plain", packed)
    with h5py.File(packed / "shard-00000.h5", "r+") as file:
        file["arrays/offset"][0, 0] += 1
    store = FeatureStore(packed)
    errors = []
    for clip in CLIPS:
        expected = FeatureStore(stores / "plain").read(clip, "fer", "logmel")
        try:
            same(store.read(clip, "fer", "logmel"), expected)
        except GrjcaError as error:
            errors.append(str(error))
    [finding] = verify(packed)
    assert finding.kind == "damaged"
    assert len(errors) == 1
    assert "is not what was packed" in errors[0]
    assert "in the table of arrays" in finding.what
    # HDF5 opens no file for writing that the same process has open for reading.
    del store
    with h5py.File(packed / "shard-00000.h5", "r+") as file:
        del file["arrays"]
    assert "table of arrays cannot be read" in verify(packed)[0].what
    same(FeatureStore(packed).read("long.mp4", "fer"),
         FeatureStore(stores / "plain").read("long.mp4", "fer"))  # fmt: skip
