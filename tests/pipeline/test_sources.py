"""Clips made from parts of recordings, sound from elsewhere, other rates, and folders of images."""

from __future__ import annotations

from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from face_makers import make_face_clip, portrait
from media_makers import beep, make_clip
from numpy.typing import NDArray

import grjca
from grjca.cache.records import ClipFeatures
from grjca.pipeline.report import RunReport
from grjca.stages.audio import AudioDecoder
from grjca.stages.probe import probe
from grjca.stages.video import VideoDecoder

LIGHT = grjca.ExtractConfig(visual="hog", audio="logmel")
ALIGNED = grjca.ExtractConfig(detector="aligned", visual="hog", audio="logmel")


def run_manifest(folder: Path, header: str, *lines: str) -> RunReport:
    path = folder / "manifest.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return grjca.extract([], folder / "store", LIGHT, manifest=path, workers=1)


def recorded(seconds: float, at: float) -> NDArray[np.float32]:
    """A beep in a room that is not digitally silent, 16 kHz."""
    noise = np.random.default_rng(0).normal(scale=1e-3, size=round(16_000 * seconds))
    return beep(16_000, seconds, at) + noise.astype(np.float32)


def read(folder: Path, clip: str) -> ClipFeatures:
    return grjca.FeatureStore(folder / "store").read(clip, "hog", "logmel")


def loudest(clip: ClipFeatures) -> float:
    """Time of the row whose surroundings are loudest: the middle of the beep."""
    assert clip.audio is not None
    level = clip.audio[:, :64].mean(axis=1)
    middle = (np.nanmax(level) + np.nanmedian(level)) / 2
    return float(clip.time[np.nan_to_num(level, nan=-np.inf) > middle].mean())


def test_a_part_of_a_recording_has_its_rows_and_its_sound(tmp_path: Path) -> None:
    sound = recorded(6, at=3.4)
    make_clip(tmp_path / "long.mkv", frames=150, sound=sound, sound_rate=16_000)
    report = run_manifest(
        tmp_path, "clip,video,start,end,subject,session,partition",
        "early,long.mkv,0.5,2.5,p1,s1,train", "late,long.mkv,2.5,0:05,p1,s1,test",
    )  # fmt: skip
    assert not report.failed
    early, late = read(tmp_path, "early"), read(tmp_path, "late")
    assert (len(early), len(late)) == (50, 62)  # frames 13..62 and 63..124
    assert early.time[0] == pytest.approx(0.02, abs=1e-3)
    assert loudest(late) == pytest.approx(1.0, abs=0.04)  # the beep's middle, 3.5 s, less 2.5
    store = grjca.FeatureStore(tmp_path / "store")
    assert store.about("late") == {"subject": "p1", "session": "s1", "partition": "test"}


@pytest.mark.parametrize("offset", [-1.2, 0.0, 1.5])
def test_sound_of_another_recorder_is_laid_where_it_belongs(tmp_path: Path, offset: float) -> None:
    make_clip(tmp_path / "camera.mp4", frames=100, sound=None)
    sound = recorded(5, at=2.4 - offset)
    make_clip(tmp_path / "mic.wav", video=False, frames=125, sound=sound, sound_rate=16_000)
    report = run_manifest(
        tmp_path, "clip,video,audio,offset,start", f"talk,camera.mp4,mic.wav,{offset},1.0"
    )
    assert not report.failed
    clip = read(tmp_path, "talk")
    assert len(clip) == 75
    assert loudest(clip) == pytest.approx(1.5, abs=0.04)
    # Before the recorder was switched on there is no sound, and the mask says so.
    assert clip.audio_valid[0] == (offset < 1.0)


def test_parts_of_one_recording_do_not_share_their_digests(tmp_path: Path) -> None:
    make_clip(tmp_path / "long.mp4", frames=50)
    header = "clip,video,start,end"
    assert len(run_manifest(tmp_path, header, "a,long.mp4,0,1").with_status("done")) == 1
    again = run_manifest(tmp_path, header, "a,long.mp4,0,1")
    assert len(again.with_status("skipped")) == 1
    moved = run_manifest(tmp_path, header, "a,long.mp4,0.4,1")
    assert len(moved.with_status("done")) == 1
    assert len(read(tmp_path, "a")) == 15


def test_a_part_beyond_the_end_is_one_clear_line(tmp_path: Path) -> None:
    make_clip(tmp_path / "short.mp4", frames=25)
    report = run_manifest(tmp_path, "clip,video,start,end", "a,short.mp4,5,6")
    assert report.failed[0].error is not None
    assert "short.mp4" in report.failed[0].error["message"]


def test_another_rate_keeps_the_source_frame_of_each_row(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.mp4", frames=50)
    config = grjca.ExtractConfig(visual="hog", audio="logmel", fps=10)
    assert not grjca.extract([tmp_path / "a.mp4"], tmp_path / "store", config, workers=1).failed
    clip = read(tmp_path, "a.mp4")
    np.testing.assert_allclose(clip.time, np.arange(20) / 10, atol=1e-6)
    with h5py.File(tmp_path / "store" / "a.mp4.h5") as file:
        expected = np.floor(np.arange(20) * 2.5 + 1e-6)
        np.testing.assert_array_equal(file["frames/index"][:], expected)
    native = grjca.extract([tmp_path / "a.mp4"], tmp_path / "store", LIGHT, workers=1)
    assert len(native.with_status("done")) == 1
    assert len(read(tmp_path, "a.mp4")) == 50


def write_images(folder: Path, numbers: list[int], picture: NDArray[np.uint8]) -> None:
    folder.mkdir(parents=True)
    for number in numbers:
        assert cv2.imwrite(str(folder / f"{number:05}.jpg"), picture[:, :, ::-1])


def test_a_folder_of_images_joined_with_its_raw_video(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.1, 0.2, 0.24, 0.3, 0.5, 0.6]
    (tmp_path / "raw").mkdir()
    make_clip(tmp_path / "raw" / "video5.mkv", times=times)
    write_images(tmp_path / "crops" / "video5_left", [1, 2, 5, 8], portrait(112))
    report = grjca.extract(
        [tmp_path / "crops"], tmp_path / "store", ALIGNED, images=True, sound=tmp_path / "raw",
        workers=1,
    )  # fmt: skip
    assert not report.failed
    clip = read(tmp_path, "video5_left")
    np.testing.assert_allclose(clip.time, times, atol=1e-3)
    assert np.flatnonzero(clip.visual_valid).tolist() == [0, 1, 4, 7]
    assert clip.audio_valid.all()


def test_images_alone_need_a_rate_and_have_no_sound(tmp_path: Path) -> None:
    write_images(tmp_path / "crops" / "a", [1, 3], portrait(112))
    report = grjca.extract(
        [tmp_path / "crops"], tmp_path / "store", ALIGNED, images=True, workers=1
    )
    assert report.failed[0].error is not None
    assert "--fps" in report.failed[0].error["remedy"]
    config = grjca.ExtractConfig(detector="aligned", visual="hog", audio="logmel", fps=5)
    report = grjca.extract([tmp_path / "crops"], tmp_path / "store", config, images=True, workers=1)
    assert not report.failed
    clip = read(tmp_path, "a")
    np.testing.assert_allclose(clip.time, [0, 0.2, 0.4])
    assert clip.visual_valid.tolist() == [True, False, True]
    assert not clip.audio_valid.any()


def test_more_images_than_the_raw_video_has_frames_is_refused(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.mp4", frames=5)
    write_images(tmp_path / "crops" / "a", [1, 6], portrait(112))
    report = grjca.extract(
        [tmp_path / "crops"], tmp_path / "store", ALIGNED, images=True, sound=tmp_path / "a.mp4",
        workers=1,
    )  # fmt: skip
    assert report.failed[0].error is not None
    assert "6" in report.failed[0].error["cause"]


def test_streams_are_chosen_by_number(media: Path, tmp_path: Path) -> None:
    clip = media / "hard" / "nasa_13013_multistream.mp4"
    rows = {}
    for number in (0, 1):
        report = grjca.extract(
            [clip], tmp_path / str(number), LIGHT, video_stream=number, audio_stream=number,
            workers=1,
        )  # fmt: skip
        assert not report.failed
        rows[number] = report.outcomes[0].rows
        with h5py.File(tmp_path / str(number) / f"{clip.name}.h5") as file:
            assert f'"width": {(320, 480)[number]}' in file.attrs["media"]
    assert rows[0] == 325
    assert rows[1] > rows[0]
    bad = grjca.extract([clip], tmp_path / "bad", LIGHT, video_stream=2, workers=1)
    assert bad.failed[0].error is not None


def test_kept_crops_spare_the_next_embedder_the_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_face_clip(tmp_path / "a.mp4", [i % 20 < 15 for i in range(40)])
    keep = grjca.ExtractConfig(visual="hog", audio="logmel", keep_crops=True)
    fer = grjca.ExtractConfig(visual="fer", audio="logmel")
    assert not grjca.extract([tmp_path / "a.mp4"], tmp_path / "store", keep, workers=1).failed
    with h5py.File(tmp_path / "store" / "a.mp4.h5") as file:
        assert file["crops/face64-64/crops"].shape == (40, 64, 64, 3)
    with monkeypatch.context() as patch:
        patch.setattr("grjca.pipeline.pictures.VideoDecoder", None)
        report = grjca.extract([tmp_path / "a.mp4"], tmp_path / "store", fer, workers=1)
    assert report.outcomes[0].computed == ("visual/fer",)
    grjca.extract([tmp_path / "a.mp4"], tmp_path / "fresh", fer, workers=1)
    kept, fresh = (
        grjca.FeatureStore(tmp_path / name).read("a.mp4", "fer") for name in ("store", "fresh")
    )
    assert kept.visual is not None
    np.testing.assert_array_equal(kept.visual, fresh.visual)


@pytest.mark.parametrize(
    ("suffix", "start"),
    [(".ts", -0.5), (".ts", 0.5), (".mpg", 0.5), (".mkv", -0.5), (".mkv", 0.5)],
)
def test_picture_and_sound_share_a_clock_in_every_container(
    tmp_path: Path, suffix: str, start: float
) -> None:
    path = tmp_path / f"a{suffix}"
    mpeg = {"video_codec": "mpeg1video", "sound_codec": "mp2"} if suffix == ".mpg" else {}
    make_clip(path, frames=100, flash=50, sound="tone", sound_rate=48_000,
              sound_start=start, **mpeg)  # fmt: skip
    info = probe(path)
    with VideoDecoder(path, info) as frames:
        seen = [(batch.frames.mean(axis=(1, 2, 3)), batch.time) for batch in frames]
    light, time = (np.concatenate(part) for part in zip(*seen, strict=True))
    with AudioDecoder(path, info) as pieces:
        begins = [
            (piece.start + int(np.argmax(piece.present))) / 16_000
            for piece in pieces
            if piece.present.any()
        ]
    assert light.argmax() == 50
    assert time[50] - 2.0 - begins[0] == pytest.approx(-start, abs=0.1)
