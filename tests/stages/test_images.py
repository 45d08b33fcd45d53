"""A folder of numbered images as a clip: which image is which row, and what is none."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_makers import children, number_frame, read_number
from numpy.typing import NDArray
from PIL import Image

from grjca.errors import GrjcaError
from grjca.stages.images import ImageFolder, is_image_folder, numbered_images
from grjca.stages.types import FrameBatch


def save(path: Path, number: int, size: tuple[int, int] = (64, 64)) -> Path:
    Image.fromarray(number_frame(number, size)).save(path)
    return path


def decode(
    folder: Path, rows: int, **options: int
) -> tuple[list[FrameBatch], NDArray[np.bool_], ImageFolder]:
    """Batches whose rows are checked to follow each other, and ``present`` of all rows."""
    time = np.arange(rows) / 25
    with ImageFolder(folder, time, **options) as decoder:
        batches = list(decoder)
    firsts = np.cumsum([0, *(len(batch) for batch in batches)])
    assert [batch.first for batch in batches] == firsts[:-1].tolist()
    np.testing.assert_array_equal(np.concatenate([b.time for b in batches]), time)
    assert all(b.index is None and b.present is not None for b in batches)
    present = np.concatenate([b.present for b in batches if b.present is not None])
    return batches, present, decoder


def shown(batches: list[FrameBatch]) -> list[int | None]:
    """The number that each row shows; None where there is no image."""
    return [
        read_number(frame) if there else None
        for batch in batches
        for frame, there in zip(batch.frames, np.asarray(batch.present), strict=True)
    ]


def test_row_i_is_image_i(tmp_path: Path) -> None:
    # As Aff-Wild2 has them: counted from 1, missing where no face was found.
    for number in (3, 4, 6, 10):
        save(tmp_path / f"{number:05}.jpg", number)
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "labels.json").write_text("{}")
    batches, present, decoder = decode(tmp_path, 12, batch=5)
    assert [len(batch) for batch in batches] == [5, 5, 2]
    expected = [None, None, 3, 4, None, 6, None, None, None, 10, None, None]
    assert shown(batches) == expected
    assert present.tolist() == [number is not None for number in expected]
    assert {batch.frames.shape[1:] for batch in batches} == {(64, 64, 3)}
    assert decoder.warnings == ()


def test_counting_from_another_number(tmp_path: Path) -> None:
    for number in (0, 2):
        save(tmp_path / f"{number}.png", number)
    batches, _, _ = decode(tmp_path, 3, first_number=0)
    assert shown(batches) == [0, None, 2]
    with pytest.raises(GrjcaError, match=r"2 images are number 0 to 2, but the 3 frames.*1 to 3"):
        decode(tmp_path, 3)


def test_images_of_another_video(tmp_path: Path) -> None:
    for number in range(1, 8):
        save(tmp_path / f"{number:05}.jpg", number)
    with pytest.raises(GrjcaError, match=r"7 images are number 1 to 7, but the 6 frames") as caught:
        decode(tmp_path, 6)
    assert "another video" in str(caught.value)
    assert children() == []


def test_real_images(media: Path) -> None:
    folder = media / "features" / "afew_va_example" / "video3"
    batches, present, _ = decode(folder, 39)
    assert present.all()
    frames = np.concatenate([batch.frames for batch in batches])
    for row in (0, 17, 38):
        with Image.open(folder / f"{row + 1:05}.png") as image:
            np.testing.assert_array_equal(frames[row], np.asarray(image.convert("RGB")))


def test_sizes_do_not_mix(tmp_path: Path) -> None:
    sizes = [(64, 64)] * 3 + [(32, 48)] * 2 + [(64, 64)]
    for number, size in enumerate(sizes, start=1):
        if number != 4:
            save(tmp_path / f"{number}.png", number, size)
    batches, _, _ = decode(tmp_path, 6)
    # The missing fourth is like the third.
    assert [batch.frames.shape for batch in batches] == [
        (4, 64, 64, 3),
        (1, 48, 32, 3),
        (1, 64, 64, 3),
    ]
    assert shown(batches) == [1, 2, 3, None, 5, 6]


def test_batches_are_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grjca.stages.images.BATCH_BYTES", 3 * 64 * 64 * 3 + 1)
    for number in range(1, 9):
        save(tmp_path / f"{number}.bmp", number)
    batches, _, _ = decode(tmp_path, 8)
    assert [len(batch) for batch in batches] == [3, 3, 2]


GREY = np.linspace(0, 255, 64 * 64).round().astype(np.uint8).reshape(64, 64)
COLOUR = np.stack([GREY, GREY.T, 255 - GREY], axis=2)
KINDS: dict[str, Callable[[Path], object]] = {
    "grey.jpg": lambda path: Image.fromarray(GREY).save(path, quality=100),
    "grey.png": lambda path: Image.fromarray(GREY).save(path),
    "grey16.png": lambda path: Image.fromarray(GREY.astype(np.uint16) * 256 + 3).save(path),
    "grey.bmp": lambda path: Image.fromarray(GREY).save(path),
    "bits.png": lambda path: Image.fromarray(GREY > 127).save(path),
    "alpha.png": lambda path: Image.fromarray(np.dstack([COLOUR, GREY])).save(path),
    "greyalpha.png": lambda path: Image.fromarray(np.dstack([GREY, GREY.T])).save(path),
    "alpha.webp": lambda path: Image.fromarray(np.dstack([COLOUR, 255 - 0 * GREY])).save(
        path, lossless=True
    ),
    "palette.png": lambda path: Image.fromarray(GREY).convert("P").save(path),
    "colour.jpeg": lambda path: Image.fromarray(COLOUR).save(path, quality=100, subsampling=0),
    "inks.jpg": lambda path: Image.fromarray(COLOUR).convert("CMYK").save(path, quality=100),
    "turned.jpg": lambda path: Image.fromarray(COLOUR).save(
        path, quality=100, subsampling=0, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03"
        b"\0\0\0\x01\0\x06\0\0\0\0\0\0",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, NDArray[np.uint8]]:
    folder = tmp_path_factory.mktemp("kinds")
    for number, (name, write) in enumerate(KINDS.items(), start=1):
        write(folder / f"{number}{Path(name).suffix}")
    batches, present, decoder = decode(folder, len(KINDS))
    assert decoder.warnings == ()
    assert present.all()
    frames = [frame for batch in batches for frame in batch.frames]
    return dict(zip(KINDS, frames, strict=True))


@pytest.mark.parametrize("name", sorted(KINDS))
def test_all_become_rgb_of_8_bits(kinds: dict[str, NDArray[np.uint8]], name: str) -> None:
    grey = np.repeat(GREY[:, :, None], 3, axis=2)
    if name.startswith("bits"):
        expected = np.where(grey > 127, 255, 0)
    elif name.startswith(("grey", "palette")):
        expected = grey
    else:
        expected = COLOUR
    most = 4 if name.endswith(("jpg", "jpeg")) else 0
    assert np.abs(kinds[name].astype(int) - expected).max() <= most


def test_colour_of_16_bits(tmp_path: Path) -> None:
    import cv2

    deep = np.stack([GREY, GREY.T, 255 - GREY], axis=2).astype(np.uint16) * 256 + 7
    cv2.imwrite(os.fspath(tmp_path / "1.png"), deep[:, :, ::-1])
    batches, _, _ = decode(tmp_path, 1)
    np.testing.assert_array_equal(batches[0].frames[0], deep >> 8)


def test_what_cannot_be_read_is_no_row_less(tmp_path: Path) -> None:
    for number in range(1, 8):
        save(tmp_path / f"{number}.jpg", number)
    whole = (tmp_path / "2.jpg").read_bytes()
    (tmp_path / "2.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "3.jpg").write_bytes(b"")
    (tmp_path / "4.jpg").write_text("no image\n! 5")
    (tmp_path / "6.jpg").unlink()
    (tmp_path / "6.jpg").mkdir()
    batches, _, decoder = decode(tmp_path, 8)
    assert shown(batches) == [1, None, None, None, 5, None, 7, None]
    assert [line.split(":")[0] for line in decoder.warnings] == [
        f"{number}.jpg cannot be read" for number in (2, 3, 4, 6)
    ]
    assert "truncated" in decoder.warnings[0].lower()


def test_nothing_can_be_read(tmp_path: Path) -> None:
    for number in range(1, 4):
        (tmp_path / f"{number}.png").write_text("no image")
    with pytest.raises(GrjcaError, match=r"none of 3 images can be read; 1\.png: cannot identify"):
        decode(tmp_path, 5)


def test_warnings_are_bounded(tmp_path: Path) -> None:
    for number in range(2, 60):
        (tmp_path / f"{number}.png").write_text("no image")
    save(tmp_path / "1.png", 1)
    _, present, decoder = decode(tmp_path, 60)
    assert present.tolist() == [True] + [False] * 59
    assert len(decoder.warnings) == 21
    assert decoder.warnings[-1] == "38 more images cannot be read"


def test_other_formats_under_an_images_name_are_not_opened(tmp_path: Path) -> None:
    save(tmp_path / "1.png", 1)
    for number, form in enumerate(("TIFF", "GIF", "PPM", "ICO"), start=2):
        Image.fromarray(number_frame(number, (64, 64))).save(tmp_path / f"{number}.jpg", form)
    batches, _, _ = decode(tmp_path, 5)
    assert shown(batches) == [1, None, None, None, None]


def test_a_picture_too_large_is_not_decoded(tmp_path: Path) -> None:
    save(tmp_path / "1.png", 1)
    Image.new("1", (20_000, 20_000)).save(tmp_path / "2.png")
    batches, _, decoder = decode(tmp_path, 2)
    assert shown(batches) == [1, None]
    assert decoder.warnings == ("2.png cannot be read: 20000x20000 pixels are too many",)


def test_an_image_that_ends_the_decoder_costs_its_own_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 7):
        save(tmp_path / f"{number}.png", number)
    # A decoder like the real one that dies, as from a hole in a library, at two of the images.
    program = (
        "import os, sys, grjca.stages.image_child as child; real = child.decoded\n"
        "child.decoded = lambda path: os.abort() if path.stem in '35' else real(path)\n"
        "child.main(*sys.argv[-2:])"
    )
    dying = tmp_path / "python"

    dying.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{program}" "$@"\n')
    dying.chmod(0o755)
    monkeypatch.setattr("grjca.stages.images.sys.executable", os.fspath(dying))
    batches, _, decoder = decode(tmp_path, 6)
    assert shown(batches) == [1, 2, None, 4, None, 6]
    assert [line.partition(": ")[2] for line in decoder.warnings] == [
        "the decoder ended with SIGABRT"
    ] * 2
    monkeypatch.setattr("grjca.stages.images._MOST_CRASHES", 2)
    with pytest.raises(GrjcaError, match="broke down 2 times; the decoder ended with SIGABRT"):
        decode(tmp_path, 6)


def test_a_decoder_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "1.png", 1)
    monkeypatch.setattr("grjca.stages.images.sys.executable", "/bin/false")
    with pytest.raises(GrjcaError, match="ended with exit status 1"):
        decode(tmp_path, 1)


def test_early_ends_leave_nothing_behind(tmp_path: Path) -> None:
    for number in range(1, 100):
        save(tmp_path / f"{number}.png", number, (200, 200))
    files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for batch in ImageFolder(tmp_path, np.arange(99.0), batch=4):
        assert batch.first == 0
        break
    assert children() == []
    with ImageFolder(tmp_path, np.arange(99.0), batch=4) as decoder:
        next(iter(decoder))
    assert children() == []
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == files


def test_listing(tmp_path: Path) -> None:
    with pytest.raises(GrjcaError, match="no numbered image"):
        numbered_images(tmp_path)
    assert not is_image_folder(tmp_path)
    for name in ("00002.JPG", "1.png", "0010.webp", "notes.txt", ".3.png", "7.gif"):
        (tmp_path / name).touch()
    found = numbered_images(tmp_path)
    assert list(found) == [1, 2, 10]
    assert [path.name for path in found.values()] == ["1.png", "00002.JPG", "0010.webp"]
    assert is_image_folder(tmp_path)
    (tmp_path / "01.jpeg").touch()
    with pytest.raises(GrjcaError, match=r"01\.jpeg and 1\.png are both number 1"):
        numbered_images(tmp_path)
    (tmp_path / "01.jpeg").rename(tmp_path / "frame_1.jpeg")
    with pytest.raises(GrjcaError, match=r"frame_1\.jpeg is not called by the number"):
        numbered_images(tmp_path)


def test_what_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file.mp4").touch()
    for name, cause in {"missing": "No such file", "file.mp4": "Not a directory"}.items():
        assert not is_image_folder(tmp_path / name)
        with pytest.raises(GrjcaError, match=cause):
            numbered_images(tmp_path / name)


@pytest.mark.parametrize("time", [[], [0.0, 0.0], [1.0, 0.5], [0.0, np.nan]])
def test_times_must_increase(tmp_path: Path, time: list[float]) -> None:
    with pytest.raises(ValueError, match="frame times"):
        ImageFolder(tmp_path, np.array(time))


def test_a_batch_holds_a_row(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="batch 0"):
        ImageFolder(tmp_path, np.zeros(1), batch=0)


@settings(max_examples=10, deadline=None)
@given(numbers=st.sets(st.integers(1, 40), min_size=1, max_size=12), batch=st.integers(1, 9))
def test_every_row_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, numbers: set[int], batch: int
) -> None:
    folder = tmp_path_factory.mktemp("images")
    for number in numbers:
        save(folder / f"{number}.png", number, (8, 8))
    batches, _, _ = decode(folder, 40, batch=batch)
    assert shown(batches) == [i if i in numbers else None for i in range(1, 41)]
    assert all(len(b) == batch for b in batches[:-1])
