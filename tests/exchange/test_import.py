from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from stores import SOURCE, arrays, write_clip

from grjca.cache import FeatureStore
from grjca.cache.claims import claim
from grjca.cache.verify import verify
from grjca.errors import UsageError
from grjca.exchange import import_features
from grjca.exchange.importing import ImportReport


def table(path: Path, *rows: dict[str, Any]) -> Path:
    header = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, header, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def ran(folder: Path, *rows: dict[str, Any], store: str = "store", **options: Any) -> ImportReport:
    return import_features(table(folder / "m.csv", *rows), folder / store, **options)


def saved(path: Path, values: Any) -> np.ndarray:
    array = np.asarray(values)
    np.save(path, array)
    return array


def noise(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)


def causes(report: ImportReport) -> str:
    return "\n".join(map(str, report.failed))


def test_features_are_read_back_as_they_were(tmp_path: Path) -> None:
    face, sound = noise(30, 5), noise(30, 3, 1)
    face[4, 2] = np.nan
    np.save(tmp_path / "v.npy", face.astype(np.float64))
    np.savez(tmp_path / "a.npz", features=sound, other=np.zeros(3))
    report = ran(
        tmp_path,
        {"clip": "lab/a.mp4", "visual": "v.npy", "audio": "a.npz", "fps": 25, "subject": "S 1",
         "session": "2", "partition": "train", "visual_name": "openface"},
    )  # fmt: skip
    assert (report.imported, report.failed, report.warnings) == (["lab/a.mp4"], [], [])
    store = FeatureStore(tmp_path / "store")
    clip = store.read("lab/a.mp4", "openface", "imported")
    np.testing.assert_array_equal(clip.time, np.arange(30) / 25)
    face[4] = np.nan
    np.testing.assert_array_equal(clip.visual, face)
    np.testing.assert_array_equal(clip.audio, sound)
    assert np.flatnonzero(~clip.visual_valid).tolist() == [4]
    assert clip.audio_valid.all()
    assert clip.index is None
    assert store.about("lab/a.mp4") == {"subject": "S 1", "session": "2", "partition": "train"}
    summary = store.summary("lab/a.mp4")
    assert summary.faces == pytest.approx(29 / 30)
    assert (summary.about["subject"], summary.people, summary.crops) == ("S 1", None, ())


def test_a_modality_that_is_not_named_is_not_there(tmp_path: Path) -> None:
    saved(tmp_path / "a.npy", noise(8, 3))
    ran(tmp_path, {"clip": "a", "visual": "", "audio": "a.npy", "fps": 10})
    store = FeatureStore(tmp_path / "store")
    assert store.embedders("a") == {"visual": [], "audio": ["imported"]}
    assert not store.read("a", None, "imported").visual_valid.any()


def test_verify_finds_nothing_wrong_in_what_was_imported(tmp_path: Path) -> None:
    write_clip(tmp_path / "store", "b.mp4", rows=8)
    face = noise(8, 3)
    face[2] = np.nan
    saved(tmp_path / "v.npy", face)
    saved(tmp_path / "a.npy", noise(40, 2))
    rows = [{"clip": clip, "visual": "v.npy", "fps": 25, "audio": "a.npy", "audio_fps": 125}
            for clip in ("a", "b.mp4")]  # fmt: skip
    assert not ran(tmp_path, *rows).failed
    assert verify(tmp_path / "store") == []
    with h5py.File(tmp_path / "store/a.h5", "r+") as file:
        config = json.loads(file["audio/imported"].attrs["config"])
        file["audio/imported"].attrs["config"] = json.dumps({**config, "name": "other"})
    assert [finding.kind for finding in verify(tmp_path / "store")] == ["stale"]


def test_a_second_run_writes_nothing(tmp_path: Path) -> None:
    saved(tmp_path / "v.npy", noise(8, 3))
    row = {"clip": "a", "visual": "v.npy", "fps": 10}
    ran(tmp_path, row)
    before = (tmp_path / "store/a.h5").stat().st_mtime_ns
    again = ran(tmp_path, row)
    assert (again.imported, again.skipped) == ([], ["a"])
    assert (tmp_path / "store/a.h5").stat().st_mtime_ns == before
    ran(tmp_path, {**row, "subject": "S"})
    assert FeatureStore(tmp_path / "store").about("a") == {"subject": "S"}


def test_other_content_is_refused_unless_overwritten(tmp_path: Path) -> None:
    saved(tmp_path / "v.npy", noise(8, 3))
    row = {"clip": "a", "visual": "v.npy", "fps": 10}
    ran(tmp_path, row)
    other = saved(tmp_path / "v.npy", noise(8, 3, seed=1))
    assert "other features as visual/imported" in causes(ran(tmp_path, row))
    assert "other features" in causes(ran(tmp_path, {**row, "fps": 20}))
    assert ran(tmp_path, row, overwrite=True).imported == ["a"]
    clip = FeatureStore(tmp_path / "store").read("a", "imported")
    np.testing.assert_array_equal(clip.visual, other)


def test_overwriting_may_change_the_rows_when_nothing_else_is_lost(tmp_path: Path) -> None:
    saved(tmp_path / "v.npy", noise(8, 3))
    row = {"clip": "a", "visual": "v.npy", "fps": 10}
    ran(tmp_path, row)
    saved(tmp_path / "v.npy", noise(12, 3))
    assert ran(tmp_path, row, overwrite=True).imported == ["a"]
    assert len(FeatureStore(tmp_path / "store").read("a")) == 12
    saved(tmp_path / "a.npy", noise(12, 2))
    ran(tmp_path, {"clip": "a", "audio": "a.npy", "fps": 10})
    saved(tmp_path / "v.npy", noise(9, 3))
    assert "9 rows of visual features, but the clip has 12" in causes(
        ran(tmp_path, row, overwrite=True)
    )
    assert FeatureStore(tmp_path / "store").embedders("a")["audio"] == ["imported"]


def test_embedders_of_several_runs_stand_side_by_side(tmp_path: Path) -> None:
    one, two = saved(tmp_path / "1.npy", noise(8, 3)), saved(tmp_path / "2.npy", noise(8, 2, 1))
    ran(tmp_path, {"clip": "a", "visual": "1.npy", "fps": 10}, visual_name="one")
    ran(tmp_path, {"clip": "a", "visual": "2.npy", "fps": 10}, visual_name="two")
    store = FeatureStore(tmp_path / "store")
    np.testing.assert_array_equal(store.read("a", "one").visual, one)
    np.testing.assert_array_equal(store.read("a", "two").visual, two)


def test_features_join_a_clip_made_from_its_video(tmp_path: Path) -> None:
    write_clip(tmp_path / "store", "a.mp4", rows=10)
    before = arrays(tmp_path / "store")
    face = saved(tmp_path / "v.npy", noise(10, 6))
    assert ran(tmp_path, {"clip": "a.mp4", "visual": "v.npy", "fps": 25}).imported
    after = arrays(tmp_path / "store")
    assert before.items() <= after.items()
    store = FeatureStore(tmp_path / "store")
    np.testing.assert_array_equal(store.read("a.mp4", "imported").visual, face)
    assert store.source("a.mp4") == SOURCE
    assert store.embedders("a.mp4")["visual"] == ["fer", "imported"]
    # Without times row i is frame i of the clip.
    assert ran(tmp_path, {"clip": "a.mp4", "visual": "v.npy"}, visual_name="bare").imported


@pytest.mark.parametrize(
    ("rows", "fps", "said"),
    [
        (9, 25, "9 rows of visual features, but the clip has 10 rows"),
        (10, 30, "row 9 of the visual features would be at 0.300 s and not 0.360 s"),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_features_that_do_not_fit_a_clips_frames_are_refused(
    tmp_path: Path, rows: int, fps: int, said: str, overwrite: bool
) -> None:
    write_clip(tmp_path / "store", "a.mp4", rows=10)
    before = arrays(tmp_path / "store")
    saved(tmp_path / "v.npy", noise(rows, 6))
    row = {"clip": "a.mp4", "visual": "v.npy", "fps": fps}
    assert said in causes(ran(tmp_path, row, overwrite=overwrite))
    assert arrays(tmp_path / "store") == before
    assert ran(tmp_path, row, align="nearest").imported


def test_a_faster_modality_is_brought_to_the_rows_of_the_other(tmp_path: Path) -> None:
    saved(tmp_path / "v.npy", noise(25, 2))
    fast = saved(tmp_path / "a.npy", noise(100, 3, 1))
    row = {"clip": "a", "visual": "v.npy", "audio": "a.npy", "visual_fps": 25, "audio_fps": 100}
    ran(tmp_path, row)
    store = FeatureStore(tmp_path / "store")
    np.testing.assert_array_equal(store.read("a", None, "imported").audio, fast[::4])
    config = store.summary("a").groups[1].config
    assert config["imported"]["align"] == "nearest"
    # The same with the clip's rate and a rate of the sound's own, and without the picture.
    ran(tmp_path, {**row, "visual_fps": "", "fps": 25}, store="2")
    np.testing.assert_array_equal(
        FeatureStore(tmp_path / "2").read("a", None, "imported").audio, fast[::4]
    )
    ran(tmp_path, {"clip": "a", "audio": "a.npy", "audio_fps": 100, "fps": 50}, store="3")
    np.testing.assert_array_equal(
        FeatureStore(tmp_path / "3").read("a", None, "imported").audio, fast[::2]
    )


def test_unequal_lengths_are_refused_with_both(tmp_path: Path) -> None:
    saved(tmp_path / "v.npy", noise(25, 2))
    sound = saved(tmp_path / "a.npy", noise(24, 3, 1))
    row = {"clip": "a", "visual": "v.npy", "audio": "a.npy", "fps": 25}
    assert "24 rows of audio features, but the clip has 25 rows" in causes(ran(tmp_path, row))
    assert not list((tmp_path / "store").rglob("*.h5"))
    assert ran(tmp_path, row, align="nearest").imported == ["a"]
    clip = FeatureStore(tmp_path / "store").read("a", None, "imported")
    np.testing.assert_array_equal(clip.audio[:24], sound)
    assert np.isnan(clip.audio[24]).all()
    assert clip.audio_valid.tolist() == [True] * 24 + [False]


def test_zeros_are_kept_and_told_of_or_missing(tmp_path: Path) -> None:
    face = noise(10, 4)
    face[2:5] = 0
    saved(tmp_path / "v.npy", face)
    row = {"clip": "a", "visual": "v.npy", "fps": 25}
    report = ran(tmp_path, row)
    assert "visual/imported: 30.0% of the rows hold nothing but zeros" in report.warnings[0]
    assert FeatureStore(tmp_path / "store").read("a", "imported").visual_valid.all()
    report = ran(tmp_path, row, store="2", zeros_are_missing=True)
    assert not report.warnings
    valid = FeatureStore(tmp_path / "2").read("a", "imported").visual_valid
    assert np.flatnonzero(~valid).tolist() == [2, 3, 4]


def test_a_mask_leaves_rows_out(tmp_path: Path) -> None:
    saved(tmp_path / "v.npy", noise(4, 2))
    np.savez(tmp_path / "m.npz", seen=np.array([True, False, True, True]), x=np.zeros(2))
    saved(tmp_path / "odd.npy", [1, 0.5, 1, 1])
    row = {"clip": "a", "visual": "v.npy", "fps": 25}
    ran(tmp_path, {**row, "visual_valid": "m.npz:seen"})
    clip = FeatureStore(tmp_path / "store").read("a", "imported")
    assert clip.visual_valid.tolist() == [True, False, True, True]
    assert np.isnan(clip.visual[1]).all()
    assert "0.5 in row 1 of a mask" in causes(ran(tmp_path, {**row, "visual_valid": "odd.npy"},
                                                  store="2"))  # fmt: skip


OPENFACE = """frame, face_id, timestamp, confidence, success, AU01_r, AU02_r, AU01_c
1, 0, 0.000, 0.98, 1, 0.5, 0.25, 1
2, 0, 0.033, 0.98, 1, 0.6, , 1
3, 0, 0.067, 0.10, 0, 0.0, 0.0, 0
4, 0, 0.100, 0.98, 1, 0.8, 0.55, 0
"""


def test_a_table_as_openface_writes_it(tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text(OPENFACE)
    row = {"clip": "a", "visual": "o.csv:AU*_r", "visual_valid": "o.csv:success"}
    ran(tmp_path, row)
    store = FeatureStore(tmp_path / "store")
    clip = store.read("a", "imported")
    assert clip.time.tolist() == [0.0, 0.033, 0.067, 0.1]
    assert clip.visual_valid.tolist() == [True, False, False, True]
    np.testing.assert_array_equal(clip.visual[[0, 3]], np.float32([[0.5, 0.25], [0.8, 0.55]]))
    assert store.summary("a").groups[0].config["imported"]["columns"] == ["AU01_r", "AU02_r"]
    ran(tmp_path, {"clip": "a", "visual": "o.csv", "fps": 30}, store="2")
    assert FeatureStore(tmp_path / "2").read("a", "imported").visual.shape == (4, 6)


def test_numbered_frames_with_gaps_leave_rows_that_are_not_valid(tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("frame,x,y\n2,1,1\n3,2,2\n6,3,3\n")
    ran(tmp_path, {"clip": "a", "visual": "g.csv", "fps": 10})
    clip = FeatureStore(tmp_path / "store").read("a", "imported")
    np.testing.assert_array_equal(clip.time, np.arange(6) / 10)
    assert np.flatnonzero(clip.visual_valid).tolist() == [1, 2, 5]
    np.testing.assert_array_equal(clip.visual[[1, 2, 5], 0], [1, 2, 3])
    write_clip(tmp_path / "store", "b.mp4", rows=10)
    ran(tmp_path, {"clip": "b.mp4", "visual": "g.csv"})
    valid = FeatureStore(tmp_path / "store").read("b.mp4", "imported").visual_valid
    assert np.flatnonzero(valid).tolist() == [1, 2, 5]


def test_frames_numbered_as_the_clips_are_its_frames_whatever_a_nominal_clock_says(
    tmp_path: Path,
) -> None:
    saved(tmp_path / "vfr.npy", np.cumsum([0.01, 0.1, 0.3, 0.05, 0.2]))
    face = saved(tmp_path / "v.npy", noise(5, 2))
    ran(tmp_path, {"clip": "a", "audio": "v.npy", "time": "vfr.npy"})
    lines = [f"{i + 1},{i / 30},{x},{y}" for i, (x, y) in enumerate(face)]
    (tmp_path / "o.csv").write_text("\n".join(["frame,timestamp,x,y", *lines]))
    ran(tmp_path, {"clip": "a", "visual": "o.csv"})
    np.testing.assert_array_equal(FeatureStore(tmp_path / "store").read("a", "imported").visual,
                                  face)  # fmt: skip


def test_a_bad_line_does_not_stop_the_others(tmp_path: Path) -> None:
    saved(tmp_path / "v.npy", noise(6, 2))
    saved(tmp_path / "flat.npy", np.zeros(6))
    saved(tmp_path / "inf.npy", [[1.0, 2], [np.inf, 0]])
    saved(tmp_path / "big.npy", [[1e300, 2.0]])
    saved(tmp_path / "words.npy", [["a", "b"]])
    saved(tmp_path / "none.npy", np.zeros((0, 4)))
    np.save(tmp_path / "objects.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 torn")
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "back.csv").write_text("time,x\n0,1\n0.2,1\n0.1,1\n")
    (tmp_path / "faces.csv").write_text("frame,x\n0,1\n0,2\n")
    (tmp_path / "ragged.csv").write_text("1,2\n3\n")
    (tmp_path / "words.csv").write_text("x,word\n1,and\n")
    (tmp_path / "unix.csv").write_text("time,x\n1600000000,1\n1600000001,1\n")
    np.savez(tmp_path / "two.npz", a=noise(3, 2), b=noise(3, 2))
    bad = {
        "flat.npy": "(6,), wanted (rows, numbers per row)",
        "inf.npy": "infinity, or a number beyond float32, in 1 rows, first row 1",
        "big.npy": "first row 0",
        "words.npy": "wanted real numbers",
        "none.npy": "no features: 0 rows",
        "objects.npy": "not a readable .npy file",
        "torn.npz": "not a readable .npz file",
        "text.npy": "not a readable .npy file",
        "back.csv": "times do not increase: 0.2 s, then 0.1 s in row 2",
        "faces.csv": "frame number 0 in row 1 follows 0",
        "ragged.csv": "line 2 has 1 cells, the first 2",
        "words.csv": "line 2, column word: 'and' is not a number",
        "unix.csv": "Times are seconds from the clip's start",
        "two.npz": "2 arrays, which one; there are: a, b",
        "two.npz:c": "no array called c; there are: a, b",
        "ragged.csv:x": "no line of names",
        "words.csv:z*": "no column called z*; there are: x, word",
        "gone.npy": "no such file. See",
        "video.mp4": "ends neither in .npy, .npz nor .csv",
    }
    rows = [{"clip": f"{i}", "visual": name, "fps": 10} for i, name in enumerate(bad)]
    rows += [
        {"clip": "../out", "visual": "v.npy", "fps": 10},
        {"clip": "x0", "visual": "v.npy", "fps": "ten"},
        {"clip": "x1", "visual": "v.npy"},
        {"clip": "x2", "visual": "v.npy", "fps": 10, "time": "v.npy"},
        {"clip": "x3"},
        {"clip": "x4", "visual": "v.npy", "fps": 10, "visual_name": "a/b"},
        {"clip": "x5", "visual": "v.npy", "time": "flat.npy"},
    ]
    said = [
        *bad.values(), "not a clip's name", "fps 'ten' is not a rate", "no times: when is each row",
        "time and fps: one of them", "neither visual nor audio", "'a/b' cannot name an embedder",
        "times do not increase: 0 s, then 0 s in row 1",
    ]  # fmt: skip
    good = {"clip": "good", "visual": "v.npy", "fps": 10}
    report = ran(tmp_path, *rows, good)
    assert report.imported == ["good"]
    assert len(report.failed) == len(said)
    assert all("\n" not in str(error) for error in report.failed)
    for words in said:
        assert words in causes(report), words
    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert [path.name for path in files] == ["good.h5"]


def test_two_lines_for_the_same_features_are_refused(tmp_path: Path) -> None:
    saved(tmp_path / "v.npy", noise(6, 2))
    row = {"clip": "a", "visual": "v.npy", "fps": 10}
    report = ran(tmp_path, row, row, {**row, "visual_name": "other"}, overwrite=True)
    assert report.imported == ["a", "a"]
    assert "m.csv:3: manifest: a second line for visual/imported of a" in causes(report)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("clip,video\n", "unknown columns: video"),
        ("clip,fps\n", "no column visual or audio"),
        ("visual\n", "no column clip"),
        ("clip,visual,clip\n", "columns twice: clip"),
        ("clip,visual\na,\"b\n", "unexpected end of data"),
        ("clip,visual\n\xff", "utf-8"),
    ],
)  # fmt: skip
def test_a_manifest_that_makes_no_sense_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match=said):
        import_features(path, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_clip_that_another_run_is_writing_is_left_to_it(tmp_path: Path) -> None:
    saved(tmp_path / "v.npy", noise(6, 2))
    row = {"clip": "a", "visual": "v.npy", "fps": 10}
    held = claim(tmp_path / "store", "a")
    assert held is not None
    with held:
        assert "is writing this clip" in causes(ran(tmp_path, row))
    assert ran(tmp_path, row).imported == ["a"]


def test_a_thousand_long_names_of_columns_fit_into_the_store(tmp_path: Path) -> None:
    names = [f"pcm_fftMag_spectralEntropy_sma_de_quartile{i:05d}_x{'y' * 40}" for i in range(2000)]
    values = noise(3, 2000)
    lines = [",".join(names), *(",".join(map(str, row)) for row in values)]
    (tmp_path / "e.csv").write_text("\n".join(lines))
    assert ran(tmp_path, {"clip": "a", "audio": "e.csv", "fps": 1}).imported == ["a"]
    store = FeatureStore(tmp_path / "store")
    np.testing.assert_array_equal(store.read("a", None, "imported").audio, values)
    assert store.summary("a").groups[0].config["imported"]["columns"] == names


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
def test_mutated_files_are_read_or_refused_and_leave_nothing_behind(tmp_path: Path) -> None:
    saved(tmp_path / "v.npy", noise(20, 3))
    np.savez_compressed(tmp_path / "z.npz", features=noise(20, 3), seen=np.ones(20))
    lines = [f"{i + 1},{i / 25},{i},{i / 10}" for i in range(20)]
    (tmp_path / "c.csv").write_text("\n".join(["frame,timestamp,a,b", *lines]))
    table(
        tmp_path / "m.csv",
        {"clip": "a", "visual": "v.npy", "audio": "z.npz", "fps": 25, "audio_valid": "z.npz:seen"},
        {"clip": "b", "visual": "c.csv:*", "time": "c.csv:timestamp", "subject": "S"},
    )
    whole = {name: (tmp_path / name).read_bytes() for name in ("v.npy", "z.npz", "c.csv", "m.csv")}
    rng = np.random.default_rng(0)
    imported = failed = 0
    for turn in range(120):
        for name, content in whole.items():
            (tmp_path / name).write_bytes(content)
        name = list(whole)[turn % len(whole)]
        content = bytearray(whole[name])
        for at in rng.integers(0, len(content), rng.integers(1, 6)):
            kind = rng.integers(3)
            if kind == 0:
                content[at : at + 1] = bytes([rng.integers(256)])
            elif kind == 1:
                del content[at : at + rng.integers(1, 30)]
            else:
                content[at:at] = rng.bytes(4)
        (tmp_path / name).write_bytes(content)
        store = tmp_path / f"store{turn}"
        try:
            report = import_features(tmp_path / "m.csv", store)
        except UsageError:
            failed += 1
            continue
        imported, failed = imported + len(report.imported), failed + len(report.failed)
        assert all("\n" not in str(error) for error in report.failed)
        for clip in FeatureStore(store).clips():
            FeatureStore(store).summary(clip)
        assert not list(store.rglob("*.tmp"))
    assert imported > 50
    assert failed > 50


def test_a_real_sequence_of_omg_empathy(tmp_path: Path, media: Path) -> None:
    packed = media / "features/omg_empathy/Subject_1_Story_1.csv.gz"
    text = gzip.decompress(packed.read_bytes()).decode()
    (tmp_path / "s.csv").write_text(text)
    lines = [row for row in csv.DictReader(text.splitlines()) if row["seconds"]]
    wanted = [[row["opensmile_valence"], row["opensmile_arousal"]] for row in lines]
    expected = np.array([[float(x or "nan") for x in row] for row in wanted], np.float32)
    face = np.array([[float(row["image_valence"] or "nan")] for row in lines], np.float32)
    saved(tmp_path / "v.npy", face)
    report = ran(
        tmp_path,
        {"clip": "Subject_1_Story_1", "visual": "v.npy", "audio": "s.csv:opensmile_*",
         "time": "s.csv:seconds"},
    )  # fmt: skip
    assert "audio/imported: 0.8% of the rows hold nothing but zeros" in report.warnings[0]
    clip = FeatureStore(tmp_path / "store").read("Subject_1_Story_1", "imported", "imported")
    assert len(clip) == len(lines) == 9250
    valid = clip.audio_valid
    np.testing.assert_array_equal(valid, ~np.isnan(expected).any(axis=1))
    np.testing.assert_array_equal(clip.audio[valid], expected[valid])
    np.testing.assert_array_equal(clip.visual, face)


def test_real_clips_of_one_row_and_of_twenty(tmp_path: Path, media: Path) -> None:
    with np.load(media / "features/ravdess/au_mfcc.npz") as data:
        names, face, sound = data["clip"][:3], data["visual"][:3], data["audio"][:3]
    with h5py.File(media / "features/ict_mmmo/video_train.h5") as file:
        twenty = file["d1"][0]
    rows = []
    for name, one, other in zip(names, face, sound, strict=True):
        np.savez(tmp_path / f"{name}.npz", au=one[None], mfcc=other[None])
        rows.append({"clip": str(name), "visual": f"{name}.npz:au", "audio": f"{name}.npz:mfcc",
                     "fps": 1})  # fmt: skip
    saved(tmp_path / "mmmo.npy", twenty)
    report = ran(
        tmp_path, *rows, {"clip": "mmmo", "visual": "mmmo.npy", "fps": 1}, zeros_are_missing=True
    )
    assert not report.failed
    store = FeatureStore(tmp_path / "store")
    for name, one, other in zip(names, face, sound, strict=True):
        clip = store.read(str(name), "imported", "imported")
        np.testing.assert_array_equal(clip.visual, one[None].astype(np.float32))
        np.testing.assert_array_equal(clip.audio, other[None].astype(np.float32))
    clip = store.read("mmmo", "imported")
    np.testing.assert_array_equal(clip.visual_valid, twenty.any(axis=1))
