"""Small files that ask for much are refused, or survived in bounded memory.

Every file is probed and decoded in a program of its own, whose memory is watched together with
that of its children.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_makers import make_clip
from safety.bomb_makers import (
    h264,
    jpeg,
    png,
    write_nothing,
    write_packed_frames,
    write_packed_header,
    write_pictures,
    write_silence,
    write_tables,
    write_wav,
)
from safety.limits import Measured, deadline, measure

import grjca
from grjca.stages.images import ImageFolder
from grjca.stages.process import MEMORY_LIMIT

LIGHT = grjca.ExtractConfig(visual="hog", audio="logmel")
# Libraries for sound are large, and loaded only where there is some.
DECODE = """
import json, sys
from pathlib import Path
from grjca.errors import GrjcaError
from grjca.stages.probe import probe
from grjca.stages.video import VideoDecoder
def decode(path):
    told = {"frames": 0, "samples": 0, "said": []}
    try:
        info = probe(path)
        if info.video:
            with VideoDecoder(path, info) as frames:
                told["frames"] = sum(map(len, frames))
                told["said"] += frames.warnings
        if info.audio:
            from grjca.stages.audio import AudioDecoder
            with AudioDecoder(path, info) as sound:
                told["samples"] = sum(map(len, sound))
                told["said"] += sound.warnings
    except GrjcaError as error:
        told["error"] = str(error)
    return told
json.dump([decode(Path(name)) for name in sys.argv[1:]], sys.stdout)
"""
IMAGES = """
import json, sys
import numpy as np
from pathlib import Path
import grjca
from grjca.stages.images import ImageFolder
with ImageFolder(Path(sys.argv[1]), np.arange(int(sys.argv[2])) / 25) as folder:
    present = np.concatenate([batch.present for batch in folder]).tolist()
    json.dump({"present": present, "said": folder.warnings}, sys.stdout)
"""


def decode_all(*paths: Path) -> tuple[list[dict[str, Any]], Measured]:
    measured = measure(DECODE, *paths)
    return json.loads(measured.output), measured


def decode(path: Path) -> tuple[dict[str, Any], Measured]:
    (told,), measured = decode_all(path)
    return told, measured


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> float:
    """MiB that decoding a harmless clip takes."""
    clip = make_clip(tmp_path_factory.mktemp("usual") / "a.mp4", frames=50, sound=None)
    told, measured = decode(clip)
    assert told["frames"] == 50
    return measured.peak


@pytest.fixture(scope="module")
def usual_with_sound(tmp_path_factory: pytest.TempPathFactory) -> float:
    """The same for a clip that has sound too."""
    told, measured = decode(make_clip(tmp_path_factory.mktemp("usual") / "b.mp4"))
    assert told["samples"] > 0
    return measured.peak


def pictures(codec: str, *parts: bytes) -> Callable[[Path], Path]:
    return lambda folder: write_pictures(folder / "x.mov", codec, parts)


def stream(claim: int) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / "x.h264"
        first, second = (h264((160, 128), 40, folder / "raw", claim=c) for c in (None, claim))
        path.write_bytes(first + second)
        return path

    return write


def tables(folder: Path) -> Path:
    return write_tables(folder / "x.mp4", make_clip(folder / "a.mp4", sound=None), 1 << 28)


@pytest.mark.parametrize(
    ("write", "rows"),
    [
        pytest.param(lambda f: pictures("mjpeg", jpeg(1 << 14, 1 << 14, f))(f), None, id="header"),
        pytest.param(
            lambda f: pictures("png", png(16, 16), png(20_000, 20_000), png(16, 16))(f),
            2, id="grows to 20000x20000",
        ),
        pytest.param(
            lambda f: pictures("mjpeg", jpeg(16, 16, f), jpeg(16_384, 16_384, f))(f),
            1, id="grows to 16384x16384",
        ),
        pytest.param(stream(16_384), 80, id="H.264 grows to 16384x16384"),
        pytest.param(tables, None, id="tables of 2^28 samples"),
        pytest.param(
            lambda f: write_packed_frames(f / "x.mkv", 10, 100), None, id="packed frames"
        ),
    ],
)  # fmt: skip
def test_pictures_larger_than_any_are_never_made(
    write: Callable[[Path], Path], rows: int | None, tmp_path: Path, usual: float
) -> None:
    path = write(tmp_path)
    told, measured = decode(path)
    assert path.stat().st_size < 2 << 20
    assert measured.peak < usual + 64
    if rows is None:
        assert told["error"].startswith(f"{path}: video: ")
        assert len(told["error"].splitlines()) == 1
    else:
        # The decoder's rows; the pictures that it did not make are told of.
        assert told["frames"] == rows
        assert any("16384x16384" in text or "20000x20000" in text for text in told["said"])


def test_the_largest_pictures_there_may_be(tmp_path: Path) -> None:
    largest = png(8192, 8192)
    path = write_pictures(tmp_path / "x.mov", "png", [largest] * 3, (8192, 8192))
    told, measured = decode(path)
    assert told["frames"] == 3
    assert measured.peak < MEMORY_LIMIT >> 20
    grows = write_pictures(tmp_path / "y.mov", "png", [png(16, 16), largest, largest])
    told, measured = decode(grows)
    assert told["frames"] == 3
    assert measured.peak < 768


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(stream(8192), id="16 references of 8192x8192"),
        pytest.param(lambda f: write_packed_header(f / "x.mov", 2500), id="packed header"),
    ],
)
def test_a_decoder_ends_at_its_memory_limit(
    write: Callable[[Path], Path], tmp_path: Path, usual: float
) -> None:
    told, measured = decode(write(tmp_path))
    assert measured.peak < usual + (MEMORY_LIMIT >> 20)
    words = told.get("error", "; ".join(told["said"]))
    assert "memory" in words or "get_buffer() failed" in words


@pytest.mark.slow
def test_a_hundred_thousand_frames_of_nothing(tmp_path: Path, usual: float) -> None:
    path = write_nothing(tmp_path / "x.mkv", 100_000)
    assert path.stat().st_size < 2 << 20
    told, measured = decode(path)
    assert told["frames"] == 100_000
    assert measured.peak < 1.15 * usual


@pytest.mark.slow
def test_an_hour_of_silence(tmp_path: Path, usual_with_sound: float) -> None:
    path = write_silence(tmp_path / "x.flac", 3600)
    assert path.stat().st_size < 32 << 10
    told, measured = decode(path)
    assert told["samples"] == 3600 * 16_000
    assert measured.peak < 1.15 * usual_with_sound


@pytest.mark.slow
def test_hours_of_silence_that_one_time_stamp_claims(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "x.mkv", sound_gaps=[(0.2, 72_000.0)])
    with deadline(90):
        report = grjca.extract([path], tmp_path / "store", LIGHT, workers=1)
    assert [(outcome.status, outcome.rows) for outcome in report.outcomes] == [("done", 25)]


def test_sound_of_odd_claims(tmp_path: Path, usual_with_sound: float) -> None:
    many = write_wav(tmp_path / "many.wav", rate=48_000, channels=384, seconds=0.02)
    fast = write_wav(tmp_path / "fast.wav", rate=10_000_000, channels=1, seconds=0.02)
    slow = write_wav(tmp_path / "slow.wav", rate=1, channels=1, seconds=60)
    told, measured = decode_all(many, fast, slow)
    assert measured.peak < 1.15 * usual_with_sound
    assert [found["samples"] for found in told] == [0, 320, 960_000]
    assert any("384 channels" in text for text in told[0]["said"])


def test_images_larger_than_any(tmp_path: Path, usual: float) -> None:
    (tmp_path / "00001.png").write_bytes(png(16, 16))
    (tmp_path / "00002.png").write_bytes(png(20_000, 20_000))
    (tmp_path / "00003.jpg").write_bytes(jpeg(16_384, 16_384, tmp_path))
    (tmp_path / "00004.jpg").write_bytes(jpeg(65_500, 65_500, tmp_path))
    (tmp_path / "00005.png").write_bytes(png(16, 16))
    measured = measure(IMAGES, tmp_path, "5")
    told = json.loads(measured.output)
    assert told["present"] == [True, False, False, False, True]
    assert [text.partition(" ")[0] for text in told["said"]] == [
        "00002.png", "00003.jpg", "00004.jpg",
    ]  # fmt: skip
    assert measured.peak < usual + 64


def test_images_that_name_other_files(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(png(16, 16))
    (tmp_path / "2.png").write_text("ffconcat version 1.0\nfile 1.png\n")
    (tmp_path / "3.png").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    (tmp_path / "4.png").symlink_to("/dev/zero")
    (tmp_path / "5.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
    with ImageFolder(tmp_path, np.arange(5) / 25) as folder:
        present = np.concatenate([batch.present for batch in folder if batch.present is not None])
        assert present.tolist() == [True, False, False, False, False]
        assert len(folder.warnings) == 4
