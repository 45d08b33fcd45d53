from __future__ import annotations

import json
import tempfile
import urllib.parse
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from stores import write_clip

from grjca.cache import ClipFeatures, FeatureStore
from grjca.errors import UsageError
from grjca.exchange import export_features, formats, import_features
from grjca.exchange.csd import intervals, video_id


def same(one: ClipFeatures, other: ClipFeatures) -> None:
    for name in ("time", "visual", "visual_valid", "audio", "audio_valid"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    write_clip(root, "lab/monday/a.mp4", rows=30, about={"subject": "Sören", "session": "1"})
    write_clip(root, "b.mp4", rows=7, seed=1)
    return root


@pytest.mark.parametrize("form", ["npz", "csv"])
def test_what_was_exported_is_imported_as_it_was(
    tmp_path: Path, store: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "BLOCK_ROWS", 11)
    report = export_features(store, tmp_path / "out", form)
    assert sorted(report.clips) == ["b.mp4", "lab/monday/a.mp4"]
    assert not report.failed
    back = import_features(tmp_path / "out/manifest.csv", tmp_path / "back")
    assert not back.failed
    one, other = FeatureStore(store), FeatureStore(tmp_path / "back")
    for clip in one.clips():
        same(one.read(clip, "fer", "logmel"), other.read(clip, "fer", "logmel"))
        assert one.about(clip) == other.about(clip)


NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), form=st.sampled_from(["npz", "csv"]))
def test_any_numbers_survive_the_way_out_and_back(data: st.DataObject, form: str) -> None:
    rows = data.draw(st.integers(1, 6))
    values = data.draw(hnp.arrays(np.float32, (rows, data.draw(st.integers(1, 4))),
                                  elements=NUMBERS))  # fmt: skip
    valid = data.draw(hnp.arrays(bool, rows))
    steps = data.draw(hnp.arrays(np.float64, rows, elements=st.floats(1e-3, 10)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.savez(folder / "f.npz", features=values, valid=valid, time=np.cumsum(steps))
        (folder / "m.csv").write_text(
            "clip,audio,audio_valid,time\na,f.npz,f.npz:valid,f.npz:time\n"
        )
        assert not import_features(folder / "m.csv", folder / "one").failed
        export_features(folder / "one", folder / "out", form)
        assert not import_features(folder / "out/manifest.csv", folder / "two").failed
        one = FeatureStore(folder / "one").read("a", None, "imported")
        other = FeatureStore(folder / "two").read("a", None, "imported")
        same(one, other)
        np.testing.assert_array_equal(one.time, np.cumsum(steps))
        np.testing.assert_array_equal(one.audio[valid], values[valid])
        np.testing.assert_array_equal(one.audio_valid, valid)


def test_an_npz_is_read_by_numpy_alone_and_is_the_same_each_time(
    tmp_path: Path, store: Path
) -> None:
    for out in ("1", "2"):
        export_features(store, tmp_path / out)
    file = "lab/monday/a.mp4.npz"
    assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes()
    clip = FeatureStore(store).read("lab/monday/a.mp4", "fer", "logmel")
    with np.load(tmp_path / "1" / file, allow_pickle=False) as data:
        assert set(data) == {"clip", "time", "visual", "visual_valid", "visual_name", "audio",
                             "audio_valid", "audio_name"}  # fmt: skip
        np.testing.assert_array_equal(data["visual"], clip.visual)
        assert data["visual"].dtype == np.float32
        assert (str(data["clip"]), str(data["visual_name"])) == ("lab/monday/a.mp4", "fer")


def test_a_parquet_file_has_nulls_where_nothing_is_valid(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(formats, "BLOCK_ROWS", 11)
    export_features(store, tmp_path / "out", "parquet")
    table = parquet.read_table(tmp_path / "out/lab/monday/a.mp4.parquet")
    assert table.column_names[:2] == ["time", "visual_0"]
    assert table.column_names[5:7] == ["visual_valid", "audio_0"]
    clip = FeatureStore(store).read("lab/monday/a.mp4", "fer", "logmel")
    assert table["visual_0"].null_count == (~clip.visual_valid).sum()
    column = table["visual_3"].to_numpy()
    np.testing.assert_array_equal(column, clip.visual[:, 3])
    np.testing.assert_array_equal(table["visual_valid"].to_numpy(), clip.visual_valid)
    assert table.schema.metadata[b"clip"] == b"lab/monday/a.mp4"
    assert not (tmp_path / "out/manifest.csv").exists()


def read_csd(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """As the SDK does: the first group, its data as a dict, its metadata through JSON."""
    file = h5py.File(path, "r")
    root = file[next(iter(file))]
    return dict(root["data"]), {key: json.loads(root["metadata"][key][0]) for key in
                                root["metadata"]}  # fmt: skip


def test_a_computational_sequence_has_the_valid_rows_and_their_intervals(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "BLOCK_ROWS", 11)
    report = export_features(store, tmp_path / "out", "csd")
    names = sorted(path.name for path in report.files)
    assert names == ["audio_logmel.csd", "visual_fer.csd"]
    data, metadata = read_csd(tmp_path / "out/visual_fer.csd")
    assert {urllib.parse.unquote(name) for name in data} == {"b.mp4", "lab/monday/a.mp4"}
    clip = FeatureStore(store).read("lab/monday/a.mp4", "fer")
    entry = data["lab%2Fmonday%2Fa.mp4"]
    np.testing.assert_array_equal(entry["features"][:], clip.visual[clip.visual_valid])
    starts = clip.time[clip.visual_valid]
    np.testing.assert_array_equal(entry["intervals"][:, 0], starts)
    np.testing.assert_allclose(entry["intervals"][:, 1], starts + 0.04)
    assert metadata["root name"] == "visual_fer"
    assert metadata["dimension names"] == ["fer_0", "fer_1", "fer_2", "fer_3"]
    assert metadata["alignment compatible"] is True
    wanted = {
        "root name", "computational sequence description", "dimension names",
        "computational sequence version", "alignment compatible", "dataset name",
        "dataset version", "creator", "contact", "featureset bib citation",
        "dataset bib citation", "uuid", "md5",
    }  # fmt: skip
    assert wanted <= metadata.keys()


def test_clips_without_a_valid_row_are_left_out_of_a_sequence_and_told_of(tmp_path: Path) -> None:
    np.save(tmp_path / "n.npy", np.full((4, 2), np.nan))
    np.save(tmp_path / "v.npy", np.ones((4, 2)))
    (tmp_path / "m.csv").write_text("clip,visual,fps\nnobody,n.npy,25\nsomebody,v.npy,25\n")
    import_features(tmp_path / "m.csv", tmp_path / "store")
    report = export_features(tmp_path / "store", tmp_path / "out", "csd")
    assert (report.clips, report.empty) == (["somebody"], ["nobody"])
    assert "left out: nobody" in report.summary()
    assert list(read_csd(tmp_path / "out/visual_imported.csd")[0]) == ["somebody"]


def test_intervals_reach_to_the_next_row() -> None:
    spans = intervals(np.array([0.0, 0.1, 0.4]))
    np.testing.assert_allclose(spans, [[0, 0.1], [0.1, 0.4], [0.4, 0.7]])
    assert intervals(np.array([2.0])).tolist() == [[2.0, 2.0]]


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1),
                min_size=1).map("/".join))  # fmt: skip
def test_names_of_entries_can_be_turned_back(clip: str) -> None:
    name = video_id(clip)
    assert "/" not in name
    assert "[" not in name
    assert urllib.parse.unquote(name) == clip


def test_only_what_was_asked_for_is_written(tmp_path: Path, store: Path) -> None:
    export_features(store, tmp_path / "1", clips=["b.mp4"], modalities=("audio",))
    files = sorted(path.name for path in (tmp_path / "1").rglob("*.*"))
    assert files == ["b.mp4.npz", "manifest.csv"]
    with np.load(tmp_path / "1/b.mp4.npz") as data:
        assert "visual" not in data
    write_clip(store, "b.mp4", rows=7, seed=1)
    (tmp_path / "m.csv").write_text("clip,visual\nb.mp4,v.npy\n")
    np.save(tmp_path / "v.npy", np.ones((7, 2)))
    assert not import_features(tmp_path / "m.csv", store).failed
    with pytest.raises(UsageError, match="there are several: fer, imported"):
        export_features(store, tmp_path / "2")
    report = export_features(store, tmp_path / "2", visual="imported")
    assert sorted(report.clips) == ["b.mp4", "lab/monday/a.mp4"]
    with np.load(tmp_path / "2/lab/monday/a.mp4.npz") as data:
        assert "visual" not in data
    report = export_features(store, tmp_path / "3", visual="imported", modalities=("visual",))
    assert report.clips == ["b.mp4"]
    assert "has none of these features" in str(report.failed[0])
    files = sorted(path.name for path in export_features(store, tmp_path / "4", "csd").files)
    assert files == ["audio_logmel.csd", "visual_fer.csd", "visual_imported.csd"]


def test_files_that_are_there_are_not_replaced_unasked(tmp_path: Path, store: Path) -> None:
    out = tmp_path / "out"
    export_features(store, out)
    (out / "b.mp4.npz").write_text("mine")
    with pytest.raises(UsageError, match="3 of the files are there already"):
        export_features(store, out)
    assert (out / "b.mp4.npz").read_text() == "mine"
    assert not export_features(store, out, overwrite=True).failed
    assert not [path for path in out.rglob("*") if path.name.startswith(".")]


@pytest.mark.parametrize("form", ["npz", "csd"])
def test_a_damaged_clip_does_not_stop_the_others(tmp_path: Path, store: Path, form: str) -> None:
    path = store / "b.mp4.h5"
    with h5py.File(path) as file:
        at = file["visual/fer/features"].id.get_chunk_info(0).byte_offset
    whole = bytearray(path.read_bytes())
    whole[at] ^= 1
    path.write_bytes(whole)
    report = export_features(store, tmp_path / "out", form, modalities=("visual",))
    assert report.clips == ["lab/monday/a.mp4"]
    assert "b.mp4" in str(report.failed[0])
    assert "damaged" in str(report.failed[0])
    (store / "c.mp4.h5").write_text("no HDF5")
    report = export_features(store, tmp_path / "again", form, modalities=("visual",))
    assert report.clips == ["lab/monday/a.mp4"]
    assert len(report.failed) == 2
    assert not list((tmp_path / "out").rglob(".*"))
    if form == "csd":
        assert list(read_csd(tmp_path / "out/visual_fer.csd")[0]) == ["lab%2Fmonday%2Fa.mp4"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"form": "mat"}, "no such format"),
        ({"clips": ["z"]}, "no such clips: z"),
        ({"visual": "z"}, "no visual features called z"),
        ({"clips": []}, "no such clips"),
    ],
)
def test_requests_that_cannot_be_met(
    tmp_path: Path, store: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        export_features(store, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="inside the store"):
        export_features(store, store / "out")


def test_odd_and_long_names_have_files_too(tmp_path: Path) -> None:
    store = tmp_path / "store"
    clips = ["x" * 300 + ".mp4", "café 表情.mp4", "a\nb, c[0].mp4"]
    for clip in clips:
        write_clip(store, clip, rows=3)
    for form in ("npz", "csv", "parquet", "csd"):
        report = export_features(store, tmp_path / form, form)
        assert sorted(report.clips) == sorted(clips)
        assert not report.failed
