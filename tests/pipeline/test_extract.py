"""Extraction on real files: rows that match frames, masks, reuse, and bad input."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from face_makers import make_face_clip
from media_makers import make_clip
from stores import arrays

import grjca
from grjca.pipeline.report import RunReport
from grjca.stages.retinaface import RetinaFace

LIGHT = grjca.ExtractConfig(visual="hog", audio="logmel")
FER = grjca.ExtractConfig(visual="fer", audio="logmel")
SPEECH = grjca.ExtractConfig(visual="hog", audio="speech")


def extract(
    paths: list[Path], store: Path, config: grjca.ExtractConfig = LIGHT, **options: bool
) -> RunReport:
    return grjca.extract(paths, store, config, workers=1, **options)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    make_face_clip(folder / "face.mp4", [10 <= i < 40 for i in range(50)])
    make_face_clip(folder / "mute.mp4", [True] * 12, sound=None)
    return folder


def test_rows_are_frames_with_their_times(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.2, 0.24, 0.9, 1.4]
    make_clip(tmp_path / "vfr.mkv", times=times)
    report = extract([tmp_path / "vfr.mkv"], tmp_path / "store")
    assert [outcome.status for outcome in report.outcomes] == ["done"]
    clip = grjca.FeatureStore(tmp_path / "store").read("vfr.mkv", "hog", "logmel")
    np.testing.assert_allclose(clip.time, times, atol=1e-3)
    with h5py.File(tmp_path / "store" / "vfr.mkv.h5") as file:
        assert {len(file[name]) for name in ("faces/box", "faces/track")} == {6}
        assert not file["faces/valid"][:].any()


def test_faces_are_marked_where_they_are(clips: Path, tmp_path: Path) -> None:
    report = extract([clips / "face.mp4"], tmp_path)
    clip = grjca.FeatureStore(tmp_path).read("face.mp4", "hog", "logmel")
    assert np.flatnonzero(clip.visual_valid).tolist() == list(range(10, 40))
    assert clip.visual is not None
    assert np.isfinite(clip.visual[clip.visual_valid]).all()
    assert np.isnan(clip.visual[~clip.visual_valid]).all()
    assert clip.audio_valid.all()
    assert report.outcomes[0].faces == pytest.approx(30 / 50)
    assert report.outcomes[0].sound == 1.0


def test_no_sound_stream_is_an_ordinary_input(clips: Path, tmp_path: Path) -> None:
    assert not extract([clips / "mute.mp4"], tmp_path).failed
    clip = grjca.FeatureStore(tmp_path).read("mute.mp4", "hog", "logmel")
    assert clip.audio is not None
    assert clip.audio.shape == (12, 128)
    assert not clip.audio_valid.any()
    assert np.isnan(clip.audio).all()


def test_sound_only_has_rows_at_25_hz(tmp_path: Path) -> None:
    make_clip(tmp_path / "voice.m4a", video=False, frames=50)
    assert not extract([tmp_path / "voice.m4a"], tmp_path / "store").failed
    clip = grjca.FeatureStore(tmp_path / "store").read("voice.m4a", "hog", "logmel")
    assert len(clip) in (50, 51, 52)  # an AAC stream ends with its last packet of 23 ms
    np.testing.assert_allclose(np.diff(clip.time), 0.04)
    assert clip.audio_valid[2:48].all()
    assert not clip.visual_valid.any()


def test_a_single_frame(tmp_path: Path) -> None:
    make_clip(tmp_path / "one.mp4", frames=1)
    assert not extract([tmp_path / "one.mp4"], tmp_path / "store").failed
    assert len(grjca.FeatureStore(tmp_path / "store").read("one.mp4", "hog", "logmel")) == 1


def test_a_second_run_skips_what_is_done(clips: Path, tmp_path: Path) -> None:
    extract([clips], tmp_path)
    before = arrays(tmp_path)
    again = extract([clips], tmp_path)
    assert [outcome.status for outcome in again.outcomes] == ["skipped", "skipped"]
    assert [outcome.rows for outcome in again.outcomes] == [50, 12]
    assert arrays(tmp_path) == before
    anew = extract([clips], tmp_path, overwrite=True)
    assert len(anew.with_status("done")) == 2
    assert arrays(tmp_path) == before


def test_a_touched_file_is_known_by_its_content(clips: Path, tmp_path: Path) -> None:
    source = shutil.copy(clips / "mute.mp4", tmp_path / "mute.mp4")
    extract([Path(source)], tmp_path / "store")
    os.utime(source, (1, 1))
    assert extract([Path(source)], tmp_path / "store").outcomes[0].status == "skipped"


def test_another_file_of_the_same_name_is_not_written_over(clips: Path, tmp_path: Path) -> None:
    extract([clips / "mute.mp4"], tmp_path / "store")
    before = arrays(tmp_path / "store")
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(clips / "face.mp4", other / "mute.mp4")
    report = extract([other / "mute.mp4"], tmp_path / "store")
    assert report.failed[0].error is not None
    assert "made from another file" in report.failed[0].error["message"]
    assert "--overwrite" in report.failed[0].error["remedy"]
    assert arrays(tmp_path / "store") == before
    extract([other / "mute.mp4"], tmp_path / "store", overwrite=True)
    assert len(grjca.FeatureStore(tmp_path / "store").read("mute.mp4")) == 50


def test_another_embedder_keeps_faces_and_sound(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract([clips / "face.mp4"], tmp_path)
    before = arrays(tmp_path)
    monkeypatch.setattr(RetinaFace, "detect", None)
    report = extract([clips / "face.mp4"], tmp_path, FER)
    assert report.outcomes[0].computed == ("visual/fer",)
    after = arrays(tmp_path)
    assert {name: after[name] for name in before} == before
    assert grjca.FeatureStore(tmp_path).embedders("face.mp4")["visual"] == ["fer", "hog"]
    fresh = tmp_path / "fresh"
    monkeypatch.undo()
    extract([clips / "face.mp4"], fresh, FER)
    name = "face.mp4.h5/visual/fer/features"
    np.testing.assert_allclose(
        np.frombuffer(after[name], np.float32), np.frombuffer(arrays(fresh)[name], np.float32)
    )


def test_another_audio_embedder_decodes_no_picture(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extract([clips / "face.mp4"], tmp_path)
    monkeypatch.setattr("grjca.pipeline.pictures.VideoDecoder", None)
    report = extract([clips / "face.mp4"], tmp_path, SPEECH)
    assert report.outcomes[0].computed == ("audio/speech",)


def test_the_same_input_gives_the_same_arrays_side_by_side_too(clips: Path, tmp_path: Path) -> None:
    extract([clips], tmp_path / "one")
    grjca.extract([clips], tmp_path / "two", LIGHT, workers=2)
    assert arrays(tmp_path / "one") == arrays(tmp_path / "two")


def test_bad_files_stop_nothing_and_say_why(clips: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    whole = (clips / "face.mp4").read_bytes()
    shutil.copy(clips / "face.mp4", folder / "good.mp4")
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("this is no video\n" * 100)
    (folder / "cut.mp4").write_bytes(whole[:60])
    (folder / "list.txt").write_text("")
    report = extract([folder, folder / "none.mp4"], tmp_path / "store")
    by_clip = {outcome.clip: outcome for outcome in report.outcomes}
    assert by_clip["good.mp4"].status == "done"
    told = {clip: outcome.error for clip, outcome in by_clip.items() if outcome.error}
    assert set(told) == {"empty.mp4", "text.mp4", "cut.mp4", "none.mp4"}
    for clip, error in told.items():
        assert error["message"].count("\n") == 0
        assert clip in error["message"]
        assert error["cause"]
        assert error["remedy"]
    assert "No such file" in told["none.mp4"]["cause"]
    assert grjca.FeatureStore(tmp_path / "store").clips() == ["good.mp4"]
    saved = json.loads((tmp_path / "store" / ".grjca" / "last-run.json").read_text())
    assert saved["counts"] == {"done": 1, "skipped": 0, "failed": 4}
    assert saved["versions"]["ffmpeg"]


def test_a_damaged_clip_in_the_store_is_reported(clips: Path, tmp_path: Path) -> None:
    extract([clips / "mute.mp4"], tmp_path)
    path = tmp_path / "mute.mp4.h5"
    path.write_bytes(path.read_bytes()[:1000])
    report = extract([clips / "mute.mp4", clips / "face.mp4"], tmp_path)
    assert [outcome.status for outcome in report.outcomes] == ["done", "failed"]
    assert report.failed[0].error is not None
    assert "not a readable HDF5 file" in report.failed[0].error["message"]


def test_nothing_of_this_machine_gets_into_the_store(clips: Path, tmp_path: Path) -> None:
    extract([clips / "mute.mp4"], tmp_path)
    data = (tmp_path / "mute.mp4.h5").read_bytes()
    for private in (str(clips), str(Path.home()), os.uname().nodename):
        assert private.encode() not in data
