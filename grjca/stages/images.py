"""A folder of numbered images as a clip, such as ``cropped_aligned/<trial>/00001.jpg``.

Images come from anywhere and their decoders have had holes, so they are decoded in a child
process (:mod:`grjca.stages.image_child`).
"""

from __future__ import annotations

import itertools
import math
import os
import re
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError, one_line
from grjca.stages.decoder import Decoder
from grjca.stages.ffmpeg import MAX_PIXELS
from grjca.stages.process import DecoderProcess, describe_exit
from grjca.stages.types import FrameBatch, check_array

BATCH_BYTES = 32 << 20
"""Most bytes of pictures in one batch (a single larger picture is a batch of its own)."""

READY = b"ready\n"
"""First line of the child: what follows are images."""

FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".bmp": "BMP", ".webp": "WEBP"}
"""Ends of names, in any case, and the formats of images that are opened."""

_NUMBERED = re.compile(r"([0-9]{1,12})(\.[A-Za-z]+)")
_NAMES_LOOKED_AT = 100
_MOST_TOLD = 20
_MOST_CRASHES = 20
_LINE_BYTES = 512


def is_image_folder(folder: Path) -> bool:
    """Whether a path is a folder with a numbered image among its first hundred files."""
    try:
        with os.scandir(folder) as entries:
            some = itertools.islice(entries, _NAMES_LOOKED_AT)
            return any(_number(entry.name) is not None for entry in some)
    except OSError:
        return False


def numbered_images(folder: Path) -> dict[int, Path]:
    """The images of a folder by their number, in its order.

    They are called by their number and one of FORMATS (``00001.jpg``, ``17.png``); files that are
    no images by their name are passed over.

    Raises:
        GrjcaError: The folder cannot be read, holds no numbered image or others beside them, or
            two of its images have the same number.
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise GrjcaError("images", folder, error.strerror or str(error), "Check it.") from error
    found: dict[int, Path] = {}
    for name in names:
        number = _number(name)
        if number is None:
            if Path(name).suffix.lower() in FORMATS and not name.startswith("."):
                cause = f"{name} is not called by the number of its frame"
                raise GrjcaError("images", folder, cause, "Rename it or take it out.")
        elif number in found:
            cause = f"{found[number].name} and {name} are both number {number}"
            raise GrjcaError("images", folder, cause, "Take one of them out.")
        else:
            found[number] = folder / name
    if not found:
        remedy = f"Images are called 00001.jpg and so on ({' '.join(FORMATS)})."
        raise GrjcaError("images", folder, "no numbered image in the folder", remedy)
    return dict(sorted(found.items()))


def _number(name: str) -> int | None:
    fields = _NUMBERED.fullmatch(name)
    return int(fields[1]) if fields and fields[2].lower() in FORMATS else None


class ImageFolder(Decoder[FrameBatch]):
    """The images of a folder as frames; row i is image number ``first_number`` + i.

    A row whose image is missing or cannot be read is not ``present``; its frame is black. Images
    become RGB of 8 bits: grey is repeated, transparency left out, of 16 bits the upper 8 are
    taken. A rotation noted in EXIF data is not applied, since crops are saved as they are meant
    to be seen. A batch ends where the size of the images changes; rows without an image have the
    size of the one before, or of the first.

    Use it as a context manager; leaving it, or the loop, ends the process.

    Attributes:
        warnings: After the last batch: which images could not be read, and why.
    """

    def __init__(
        self,
        folder: Path,
        time: NDArray[np.float64],
        *,
        first_number: int = 1,
        batch: int = 32,
        time_limit: float | None = None,
    ) -> None:
        """Prepare to decode; nothing is read before the first batch is asked for.

        Args:
            folder: The folder.
            time: (T,) float64, seconds, strictly increasing: the times of all frames of the video
                that the images were cut from.
            first_number: Number of the first frame's image.
            batch: Most rows per batch; BATCH_BYTES limits it further.
            time_limit: Seconds to wait for the decoder in all, the caller's own work between two
                batches not counted; ``process.STALL_LIMIT`` bounds a single wait in any case.

        Raises:
            ValueError: ``time`` holds nothing or does not increase, or ``batch`` is less than 1.
        """
        check_array("time", time, (None,), "float64")
        if not len(time) or not np.isfinite(time).all() or (np.diff(time) <= 0).any():
            raise ValueError("frame times must be there, finite and strictly increasing")
        if batch < 1:
            raise ValueError(f"batch {batch} must be at least 1")
        super().__init__()
        self._folder, self._time, self._first_number = folder, time, first_number
        self._batch, self._time_limit = batch, time_limit

    def _decode(self) -> Generator[FrameBatch]:
        images = numbered_images(self._folder)
        self._check(images)
        unread: dict[str, str] = {}
        rows: list[NDArray[np.uint8] | None] = []
        first = 0
        size: tuple[int, ...] = ()
        for picture, shape in _sized(self._rows(images, unread)):
            most = max(1, min(self._batch, BATCH_BYTES // math.prod(shape)))
            if rows and (len(rows) >= most or shape != size):
                yield self._joined(rows, size, first)
                first += len(rows)
                rows = []
            rows.append(picture)
            size = shape
        if not rows:
            name, reason = next(iter(unread.items()))
            cause = f"none of {len(images)} images can be read; {name}: {reason}"
            raise GrjcaError("images", self._folder, cause, "Copy them again.")
        yield self._joined(rows, size, first)
        self.warnings = tuple(_told(unread))

    def _check(self, images: dict[int, Path]) -> None:
        first, frames = self._first_number, len(self._time)
        lowest, highest = min(images), max(images)
        if lowest < first or highest >= first + frames:
            cause = (
                f"its {len(images)} images are number {lowest} to {highest}, but the {frames} "
                f"frames of its video are number {first} to {first + frames - 1}"
            )
            remedy = "The folder belongs to another video, or its images are counted otherwise."
            raise GrjcaError("images", self._folder, cause, remedy)

    def _rows(
        self, images: dict[int, Path], unread: dict[str, str]
    ) -> Iterator[NDArray[np.uint8] | None]:
        """Each row's picture or None; images that cannot be read are noted with the reason."""
        rows = 0
        for number, found in self._pictures(list(images)):
            row = number - self._first_number
            yield from itertools.repeat(None, row - rows)
            if isinstance(found, str):
                unread[images[number].name] = found
            yield None if isinstance(found, str) else found
            rows = row + 1
        yield from itertools.repeat(None, len(self._time) - rows)

    def _pictures(self, numbers: list[int]) -> Iterator[tuple[int, NDArray[np.uint8] | str]]:
        """The picture of every number, or the reason why there is none."""
        done, reason = 0, ""
        for _ in range(_MOST_CRASHES):
            command = [sys.executable, "-P", "-m", "grjca.stages.image_child"]
            child = DecoderProcess(
                [*command, os.fspath(self._folder), str(numbers[done])],
                stage="images",
                source=self._folder,
                time_limit=self._time_limit,
            )
            with self._within_reach(child) as process:
                if process.stdout.readline(len(READY)) != READY:
                    raise GrjcaError(
                        "images",
                        self._folder,
                        _ending(process),
                        "Run it again; if it stays so, check the pictures.",
                    )
                while done < len(numbers) and (found := self._next(process, numbers[done])):
                    yield numbers[done], found[0]
                    done += 1
                if done == len(numbers):
                    return
                reason = _ending(process)
            yield numbers[done], reason
            done += 1
            if done == len(numbers):
                return
        cause = f"the decoder broke down {_MOST_CRASHES} times; {reason}"
        raise GrjcaError("images", self._folder, cause, "Take the damaged images out.")

    def _next(self, process: DecoderProcess, number: int) -> tuple[NDArray[np.uint8] | str] | None:
        """What the child says of one image; None if it has ended."""
        line = process.stdout.readline(_LINE_BYTES)
        head = re.fullmatch(rb"(\d+) (?:(\d{1,6}) (\d{1,6})|! (.*))\n", line)
        if not head:
            return None
        if int(head[1]) != number:
            cause = f"image {int(head[1])} came where {number} was to come"
            raise GrjcaError("images", self._folder, cause, "Leave the folder as it is meanwhile.")
        if head[4] is not None:
            return (one_line(head[4].decode(errors="replace")),)
        height, width = int(head[2]), int(head[3])
        if not 0 < height * width <= MAX_PIXELS:
            return None
        data = process.stdout.read(3 * height * width)
        if len(data) < 3 * height * width:
            return None
        return (np.frombuffer(data, np.uint8).reshape(height, width, 3),)

    def _joined(
        self, rows: list[NDArray[np.uint8] | None], shape: tuple[int, ...], first: int
    ) -> FrameBatch:
        frames = np.zeros((len(rows), *shape), np.uint8)
        for place, picture in enumerate(rows):
            if picture is not None:
                frames[place] = picture
        present = np.array([picture is not None for picture in rows])
        return FrameBatch(frames, self._time[first : first + len(rows)], first, present=present)


def _sized(
    rows: Iterator[NDArray[np.uint8] | None],
) -> Iterator[tuple[NDArray[np.uint8] | None, tuple[int, ...]]]:
    """Each row with its size; a missing one has that of the last picture, or of the first."""
    shape: tuple[int, ...] | None = None
    leading = 0
    for picture in rows:
        if picture is not None:
            if shape is None:
                yield from itertools.repeat((None, picture.shape), leading)
            shape = picture.shape
        if shape is None:
            leading += 1
        else:
            yield picture, shape


def _ending(process: DecoderProcess) -> str:
    ended = f"the decoder ended with {describe_exit(process.finish())}"
    said = process.words.cause()
    return f"{ended}, after saying: {said}" if said else ended


def _told(unread: dict[str, str]) -> Iterator[str]:
    for name, reason in itertools.islice(unread.items(), _MOST_TOLD):
        yield f"{name} cannot be read: {reason}"
    if len(unread) > _MOST_TOLD:
        yield f"{len(unread) - _MOST_TOLD} more images cannot be read"
