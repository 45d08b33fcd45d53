"""Decoded frames with their times, from one ffmpeg process (contract C1).

The filter graph writes each frame's time to a side pipe just before the frame itself goes to
standard output as a PPM picture, which carries its own size. So a row's picture and its time
cannot come apart, whatever the container claims about rate, count or size. Which frames belong to
a part of a file is decided by these times, and not by ffmpeg.
"""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError
from grjca.stages.decoder import Decoder, Part
from grjca.stages.ffmpeg import MAX_PIXELS, beside, check_source, compile_command, open_input
from grjca.stages.frame_clock import FramePicker
from grjca.stages.process import MEMORY_LIMIT, DecoderProcess, LinePipe, describe_exit
from grjca.stages.types import FrameBatch, MediaInfo, VideoStream

BATCH_BYTES = 32 << 20
"""Most bytes of pictures in one batch (a single larger picture is a batch of its own)."""

SEEKABLE = frozenset({"mov", "matroska", "avi"})
"""Containers in which a part is looked up, and not reached by decoding all that lies before it.

The others have no index, or none that is always there: MPEG transport and program streams are
searched by guessing at bytes, and their clocks may jump by design, which only a run through all
of the file sets right; raw streams have no times at all.
"""

BYTES_PER_PIXEL = 64
"""Memory of a decoder per pixel of its picture, beyond MEMORY_LIMIT; about twice what was seen."""

_BEHIND = 1e-3


class VideoDecoder(Decoder[FrameBatch]):
    """The frames of a clip, in batches; row i is decoded frame i.

    Times lie on the clip's clock (the container's start is 0), variable frame rate included, and
    the display rotation is applied. A change of size in mid-stream is scaled to the first size.
    One decoder thread is the default since the frames that a damaged stream yields depend on the
    number of threads.

    Of a part of a file the frames are exactly those that decoding all of it shows in [start,
    end), and their times count from ``start``.

    Use it as a context manager; leaving it, or the loop, ends the process.

    Attributes:
        warnings: After the last batch: what the decoder complained of, each kind once.
        repaired: After the last batch: number of frames whose time was missing or not increasing,
            and so is not their own (``FrameClock``).
    """

    def __init__(
        self,
        path: Path,
        info: MediaInfo,
        *,
        start: float = 0.0,
        end: float | None = None,
        batch: int = 32,
        time_limit: float | None = None,
        threads: int = 1,
    ) -> None:
        """Prepare to decode; nothing is started before the first batch is asked for.

        Args:
            path: The file.
            info: What ``probe`` said of it.
            start: Seconds on the file's clock at which the clip begins; 0 leaves out nothing.
            end: Seconds at which it ends, itself excluded; None for the file's end.
            batch: Most frames per batch; BATCH_BYTES limits it further.
            time_limit: Seconds to wait for the decoder in all, the caller's own work between two
                batches not counted; ``process.STALL_LIMIT`` bounds a single wait in any case.
            threads: Decoder threads.

        Raises:
            GrjcaError: The clip has no picture stream.
            ValueError: ``batch`` or ``threads`` is less than 1, or ``start`` and ``end`` bound no
                part of a file.
        """
        if batch < 1 or threads < 1:
            raise ValueError(f"batch {batch} and threads {threads} must be at least 1")
        super().__init__()
        self._path, self._info = path, info
        self._stream, self._part = _picture_of(path, info), _part(start, end)
        self._batch, self._time_limit, self._threads = batch, time_limit, threads
        self.repaired = 0

    def _decode(self) -> Generator[FrameBatch]:
        check_source(self._path, "video")
        for seek in self._part.seeks(self._info.container, SEEKABLE):
            picker = FramePicker(self._stream, self._part, sought=seek is not None)
            with (
                closing(LinePipe()) as times,
                self._within_reach(
                    DecoderProcess(
                        self._command(times, seek),
                        stage="video",
                        source=self._path,
                        lines=times,
                        time_limit=self._time_limit,
                        memory=_memory(self._stream),
                    )
                ) as process,
            ):
                yield from self._batches(process, times, picker)
                if picker.complete:
                    self._conclude(process, times, picker)
                    return

    def _command(self, times: LinePipe, seek: float | None) -> list[str]:
        import ffmpeg

        source = open_input(seek=seek, threads=self._threads, max_pixels=MAX_PIXELS)
        begin = None if seek is None else self._part.start
        output = ffmpeg.output(
            _timed(source[str(self._stream.index)], f"pipe:{times.fd}", begin),
            "pipe:1",
            format="image2pipe",
            vcodec="ppm",
            pix_fmt="rgb24",
            fps_mode="passthrough",
        )
        sound = self._info.audio
        along = beside(self._info.container, sound.index if sound else None)
        return compile_command(output, self._path, self._info.duration, along)

    def _batches(
        self, process: DecoderProcess, times: LinePipe, picker: FramePicker
    ) -> Iterator[FrameBatch]:
        shape: tuple[int, int, int] | None = None
        pictures: NDArray[np.uint8] | None = None
        stamps: list[float] = []
        first = 0
        while not (picker.done or picker.missed) and (found := self._shape(process)) is not None:
            if shape is None:
                shape = found
            if found != shape:
                cause = f"the picture changes from {shape[1]}x{shape[0]} to {found[1]}x{found[0]}"
                raise GrjcaError(
                    "video",
                    self._path,
                    cause,
                    "Convert it to one size first, for example with ffmpeg's filter scale.",
                )
            if pictures is None:
                rows = max(1, min(self._batch, BATCH_BYTES // math.prod(shape)))
                pictures = np.empty((rows, *shape), np.uint8)
            here = memoryview(pictures[len(stamps)]).cast("B")
            if process.stdout.readinto(here) < len(here):
                break
            line, _ = times.get(), times.get()
            time = picker.place(_stamp(self._path, line))
            if time is None:
                continue
            stamps.append(time)
            if len(stamps) == len(pictures):
                yield FrameBatch(pictures, np.array(stamps), first)
                first += len(stamps)
                pictures, stamps = None, []
        if pictures is not None and stamps:
            yield FrameBatch(pictures[: len(stamps)], np.array(stamps), first)

    def _shape(self, process: DecoderProcess) -> tuple[int, int, int] | None:
        """Height, width, 3 from the next picture's header; None at the end of the stream."""
        header = b"".join(process.stdout.readline(32) for _ in range(3))
        fields = re.fullmatch(rb"P6\n(\d+) (\d+)\n255\n", header)
        return (int(fields[2]), int(fields[1]), 3) if fields else None

    def _conclude(self, process: DecoderProcess, times: LinePipe, picker: FramePicker) -> None:
        status = 0 if picker.done else process.finish()
        _check(self._path, self._info, process, picker, status)
        self.warnings = process.words.distinct()
        self.repaired = picker.repaired
        frames, claimed = picker.decoded, self._stream.frames
        if status != 0:
            ended = f"the decoder ended early ({describe_exit(status)}) after {frames} frames"
            self.warnings = (*self.warnings, ended)
        elif not picker.done and times.get() is not None:
            raise GrjcaError(
                "video",
                self._path,
                f"more times than the {frames} frames",
                "Convert it first, for example with: ffmpeg -i FILE copy.mp4.",
            )
        # Nothing else tells of a file whose end is missing just behind a frame.
        if self._part.whole and claimed is not None and frames < claimed:
            claim = f"{frames} frames decode where the header claims {claimed}"
            self.warnings = (*self.warnings, claim)


def frame_times(
    path: Path,
    info: MediaInfo,
    *,
    start: float = 0.0,
    end: float | None = None,
    time_limit: float | None = None,
) -> NDArray[np.float64]:
    """The times of a clip's frames, as ``VideoDecoder`` gives them, without the pictures.

    Args:
        path: The file.
        info: What ``probe`` said of it.
        start: Seconds on the file's clock at which the clip begins; 0 leaves out nothing.
        end: Seconds at which it ends, itself excluded; None for the file's end.
        time_limit: Seconds to wait for the decoder in all.

    Returns:
        (T,) float64, seconds from ``start``, strictly increasing.

    Raises:
        GrjcaError: The clip has no picture stream, nothing of it decodes, or no frame lies in
            the part.
        ValueError: ``start`` and ``end`` bound no part of a file.
    """
    stream, part = _picture_of(path, info), _part(start, end)
    check_source(path, "video")
    times: list[float] = []
    for seek in part.seeks(info.container, SEEKABLE):
        picker = FramePicker(stream, part, sought=seek is not None)
        with DecoderProcess(
            _times_command(path, info, part, seek),
            stage="video",
            source=path,
            time_limit=time_limit,
            memory=_memory(stream),
        ) as process:
            times = list(_told_times(path, process, picker))
            if picker.complete:
                _check(path, info, process, picker, 0 if picker.done else process.finish())
                break
    return np.array(times)


def _times_command(path: Path, info: MediaInfo, part: Part, seek: float | None) -> list[str]:
    import ffmpeg

    stream = _picture_of(path, info)
    source = open_input(seek=seek, threads=1, max_pixels=MAX_PIXELS)
    frames = _timed(source[str(stream.index)], "pipe:1", None if seek is None else part.start)
    output = ffmpeg.output(frames, "-", format="null", fps_mode="passthrough")
    along = beside(info.container, info.audio.index if info.audio else None)
    return compile_command(output, path, info.duration, along)


def _told_times(path: Path, process: DecoderProcess, picker: FramePicker) -> Iterator[float]:
    while not (picker.done or picker.missed) and (line := process.stdout.readline(256)):
        time = picker.place(_stamp(path, line.decode(errors="replace")))
        process.stdout.readline(256)
        if time is not None:
            yield time


def _picture_of(path: Path, info: MediaInfo) -> VideoStream:
    if info.video is None:
        raise GrjcaError(
            "video", path, "the file holds no picture stream", "Give a file with a picture."
        )
    return info.video


def _part(start: float, end: float | None) -> Part:
    if start < 0:
        raise ValueError(f"a part of a video cannot begin at {start} s")
    return Part(start, end)


def _timed(frames: Any, target: str, begin: float | None) -> Any:
    """Filters that write each frame's time to ``target`` before they hand it on.

    ``begin``: where the part begins, if decoding begins at a place looked up before it.
    """
    if begin is not None:
        # What a decoder shows before its first whole picture may rest on pictures that were not
        # read, so the run begins with a whole one. A stream that has none (intra refresh) shows
        # itself behind the part's beginning, which tells the picker that this was no place.
        whole = f"gte(selected_n,1)+eq(pict_type,I)+gt(t,{begin + _BEHIND:.6f})"
        frames = frames.filter("select", whole)
    # pts is printed as a whole number, so in microseconds it is exact; pts_time is not.
    return (
        frames.filter("settb", "AVTB")
        .filter("metadata", mode="add", key="grjca", value=1)
        .filter("metadata", mode="print", key="grjca", file=target, direct=1)
    )


def _stamp(path: Path, line: str | None) -> int | None:
    fields = re.match(r"frame:\d+ +pts:(\S+)", line or "")
    if not fields:
        raise GrjcaError(
            "video",
            path,
            f"a frame came without its time ({line})",
            "Convert it first, for example with: ffmpeg -i FILE copy.mp4.",
        )
    return int(fields[1]) if re.fullmatch(r"-?\d+", fields[1]) else None


def _memory(stream: VideoStream) -> int:
    return MEMORY_LIMIT + BYTES_PER_PIXEL * min(stream.width * stream.height, MAX_PIXELS)


def _check(
    path: Path, info: MediaInfo, process: DecoderProcess, picker: FramePicker, status: int
) -> None:
    if picker.decoded == 0:
        cause = process.words.cause() or f"the decoder gave no frame ({describe_exit(status)})"
        raise GrjcaError("video", path, cause, "The file may be cut off or damaged.")
    if picker.picked == 0:
        cause = picker.emptiness(info.duration)
        raise GrjcaError("video", path, cause, "Correct the beginning and the end of the part.")
