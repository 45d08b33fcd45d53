"""Decoded frames with their times, from one ffmpeg process (contract C1).

The filter graph writes each frame's time to a side pipe just before the frame itself goes to
standard output as a PPM picture, which carries its own size. So a row's picture and its time
cannot come apart, whatever the container claims about rate, count or size.
"""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError
from grjca.stages.decoder import Decoder
from grjca.stages.ffmpeg import MAX_PIXELS, check_source, compile_command, open_input
from grjca.stages.process import DecoderProcess, LinePipe, describe_exit
from grjca.stages.types import FrameBatch, MediaInfo

BATCH_BYTES = 64 << 20
"""Most bytes of pictures in one batch (a single larger picture is a batch of its own)."""

_SQUEEZE = 1e-3
_RESTART = 1.0


class FrameClock:
    """Makes presentation times strictly increasing, and counts the repairs.

    A missing time continues by one frame period. A time that is not later than the one before is
    put a millisecond after it, so that the frames behind keep their own times; a clock that jumps
    back by a second or more has been restarted, and goes on from where it was.

    Attributes:
        repaired: Number of frames whose time is not that of their own stamp.
    """

    def __init__(self, period: float) -> None:
        """``period`` is the time from frame to frame in seconds, as far as it is known."""
        self.repaired = 0
        self._period = period
        self._offset = 0.0
        self._last: float | None = None

    def place(self, microseconds: int | None) -> float:
        """The time in seconds of the next frame, from its own time stamp or from none."""
        stamp = None if microseconds is None else microseconds / 1e6 + self._offset
        if self._last is None:
            time = 0.0 if stamp is None else stamp
        elif stamp is None:
            time = self._last + self._period
        elif stamp > self._last:
            time = stamp
        elif stamp <= self._last - _RESTART:
            time = self._last + self._period
            self._offset += time - stamp
        else:
            time = max(self._last + _SQUEEZE, math.nextafter(self._last, math.inf))
        self.repaired += microseconds is None or time != microseconds / 1e6
        self._last = time
        return time


class VideoDecoder(Decoder[FrameBatch]):
    """The frames of a clip, in batches; row i is decoded frame i.

    Times lie on the clip's clock (the container's start is 0), variable frame rate included, and
    the display rotation is applied. A change of size in mid-stream is scaled to the first size.
    One decoder thread is the default since the frames that a damaged stream yields depend on the
    number of threads.

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
        batch: int = 32,
        time_limit: float | None = None,
        threads: int = 1,
    ) -> None:
        """Prepare to decode; nothing is started before the first batch is asked for.

        Args:
            path: The file.
            info: What ``probe`` said of it.
            batch: Most frames per batch; BATCH_BYTES limits it further.
            time_limit: Seconds to wait for the decoder in all, the caller's own work between two
                batches not counted; ``process.STALL_LIMIT`` bounds a single wait in any case.
            threads: Decoder threads.

        Raises:
            GrjcaError: The clip has no picture stream.
            ValueError: ``batch`` or ``threads`` is less than 1.
        """
        if info.video is None:
            raise GrjcaError("video", path, "the file holds no picture stream")
        if batch < 1 or threads < 1:
            raise ValueError(f"batch {batch} and threads {threads} must be at least 1")
        super().__init__()
        self._path, self._info, self._stream = path, info, info.video
        self._batch, self._time_limit, self._threads = batch, time_limit, threads
        self.repaired = 0

    def _command(self, times: LinePipe) -> list[str]:
        import ffmpeg

        source = open_input(threads=self._threads, max_pixels=MAX_PIXELS)
        # pts is printed as a whole number, so in microseconds it is exact; pts_time is not.
        frames = (
            source[str(self._stream.index)]
            .filter("settb", "AVTB")
            .filter("metadata", mode="add", key="grjca", value=1)
            .filter("metadata", mode="print", key="grjca", file=f"pipe:{times.fd}", direct=1)
        )
        output = ffmpeg.output(
            frames,
            "pipe:1",
            format="image2pipe",
            vcodec="ppm",
            pix_fmt="rgb24",
            fps_mode="passthrough",
        )
        return compile_command(output, self._path, self._info.duration)

    def _decode(self) -> Generator[FrameBatch]:
        check_source(self._path, "video")
        with (
            closing(LinePipe()) as times,
            DecoderProcess(
                self._command(times),
                stage="video",
                source=self._path,
                lines=times,
                time_limit=self._time_limit,
            ) as process,
        ):
            yield from self._batches(process, times)

    def _batches(self, process: DecoderProcess, times: LinePipe) -> Iterator[FrameBatch]:
        clock = FrameClock(1 / self._stream.fps if self._stream.fps else 0.04)
        shape: tuple[int, int, int] | None = None
        pictures: NDArray[np.uint8] | None = None
        stamps: list[float] = []
        first = 0
        while (found := self._shape(process)) is not None:
            if shape is None:
                shape = found
            if found != shape:
                cause = f"the picture changes from {shape[1]}x{shape[0]} to {found[1]}x{found[0]}"
                raise GrjcaError("video", self._path, cause)
            if pictures is None:
                rows = max(1, min(self._batch, BATCH_BYTES // math.prod(shape)))
                pictures = np.empty((rows, *shape), np.uint8)
            here = memoryview(pictures[len(stamps)]).cast("B")
            if process.stdout.readinto(here) < len(here):
                break
            stamps.append(clock.place(self._time(times)))
            if len(stamps) == len(pictures):
                yield FrameBatch(pictures, np.array(stamps), first)
                first += len(stamps)
                pictures, stamps = None, []
        if pictures is not None and stamps:
            yield FrameBatch(pictures[: len(stamps)], np.array(stamps), first)
        self._conclude(process, times, first + len(stamps), clock)

    def _shape(self, process: DecoderProcess) -> tuple[int, int, int] | None:
        """Height, width, 3 from the next picture's header; None at the end of the stream."""
        header = b"".join(process.stdout.readline(32) for _ in range(3))
        fields = re.fullmatch(rb"P6\n(\d+) (\d+)\n255\n", header)
        return (int(fields[2]), int(fields[1]), 3) if fields else None

    def _time(self, times: LinePipe) -> int | None:
        line, _ = times.get(), times.get()
        fields = re.match(r"frame:\d+ +pts:(\S+)", line or "")
        if not fields:
            raise GrjcaError("video", self._path, f"a frame came without its time ({line})")
        return int(fields[1]) if re.fullmatch(r"-?\d+", fields[1]) else None

    def _conclude(
        self, process: DecoderProcess, times: LinePipe, frames: int, clock: FrameClock
    ) -> None:
        status = process.finish()
        said = process.words.cause()
        if frames == 0:
            cause = said or f"the decoder gave no frame ({describe_exit(status)})"
            raise GrjcaError("video", self._path, cause, "The file may be cut off or damaged.")
        self.warnings = process.words.distinct()
        self.repaired = clock.repaired
        if status != 0:
            ended = f"the decoder ended early ({describe_exit(status)}) after {frames} frames"
            self.warnings = (*self.warnings, ended)
        elif times.get() is not None:
            raise GrjcaError("video", self._path, f"more times than the {frames} frames")
        # Nothing else tells of a file whose end is missing just behind a frame.
        if self._stream.frames is not None and frames < self._stream.frames:
            claim = f"{frames} frames decode where the header claims {self._stream.frames}"
            self.warnings = (*self.warnings, claim)
