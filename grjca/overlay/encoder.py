"""Writing drawn frames as a video, with the source's sound beside them, in one ffmpeg process.

The frames go to ffmpeg as a NUT stream, whose packets carry the frames' own times, so that a
variable rate stays what it was. ffmpeg reads the sound from the source itself and copies it: the
untrusted file is parsed in that process only, under the whitelists of :mod:`grjca.stages.ffmpeg`.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import select
import subprocess
import threading
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, Self, cast

import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError, UsageError, one_line
from grjca.stages.ffmpeg import SHARED_START, find_ffmpeg, input_options
from grjca.stages.process import EXIT_LIMIT, MEMORY_LIMIT, STALL_LIMIT, describe_exit
from grjca.stages.types import MediaInfo

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

ENCODER = "libx264"
QUALITY = ("-preset", "veryfast", "-crf", "20")

CLOCKS: Final[Mapping[str, int]] = MappingProxyType({".mp4": 90_000, ".mov": 90_000, ".mkv": 1000})
"""Ticks per second of the containers that are written, by the file's ending."""

FORMATS: Final[Mapping[str, str]] = MappingProxyType(
    {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
)

BYTES_PER_PIXEL = 128
"""Memory of the encoder per pixel of its picture, beyond MEMORY_LIMIT: it keeps some 50 frames."""

_SHOWN = 3
_ERROR = re.compile(r"(\[[^]]* @ [^]]*\] )?\[(error|fatal|panic)\] (?P<text>.*)")

_CLOSING = 300.0
"""Seconds for the frames that are still in the encoder, and for moving the index to the front."""


class OverlayEncoder:
    """Takes frames in the order of their times, and writes them as H.264 beside the sound.

    Use it as a context manager: leaving it before :meth:`finish` ends the process.

    Attributes:
        frames: Number of frames written.
    """

    def __init__(
        self, target: Path, out: Path, source: Path, info: MediaInfo, size: tuple[int, int],
        first: float,
    ) -> None:  # fmt: skip
        """Start the process.

        Args:
            target: The file to write; it is replaced.
            out: The name it gets in the end, whose ending is one of CLOCKS; for messages too.
            source: The file whose sound is copied.
            info: What ``probe`` said of it.
            size: Width and height of the frames; an odd one grows by a repeated pixel.
            first: Time of the first frame in seconds on the source's clock.

        Raises:
            UsageError: The ending is none that can be written.
            GrjcaError: The process cannot be started.
        """
        check_ending(out)
        self._target, self._out, self._first = target, out, first
        self._clock = CLOCKS[out.suffix]
        self._said: list[str] = []
        self.frames = 0
        self._last = -1
        self._odd = (size[1] % 2, size[0] % 2)
        command = _command(target, out.suffix, source, info, first)
        self._process = _started(command, out, size[0] * size[1])
        self._reader = threading.Thread(target=self._drain, daemon=True)
        self._reader.start()
        self._pipe = _PatientWriter(cast(IO[bytes], self._process.stdin).fileno())
        try:
            self._container, self._stream = self._open_stream(size, info)
        except BaseException:
            self.close()
            raise

    def _open_stream(self, size: tuple[int, int], info: MediaInfo) -> tuple[Any, Any]:
        import av

        rate = Fraction(info.video.fps if info.video and info.video.fps else 25.0)
        container = av.open(self._pipe, "w", format="nut", buffer_size=1 << 20)
        stream = container.add_stream("rawvideo", rate=rate.limit_denominator(100_000))
        stream.width, stream.height = size[0] + self._odd[1], size[1] + self._odd[0]
        stream.pix_fmt = "rgb24"
        stream.codec_context.time_base = Fraction(1, self._clock)
        return container, stream

    def write(self, frame: NDArray[np.uint8], time: float) -> None:
        """Add a frame.

        Args:
            frame: (H, W, 3) uint8, RGB.
            time: Seconds on the source's clock; later than that of the frame before.

        Raises:
            GrjcaError: The encoder has ended, with the reason in its own words, or takes nothing.
        """
        import av

        if any(self._odd):
            frame = np.pad(frame, ((0, self._odd[0]), (0, self._odd[1]), (0, 0)), mode="edge")
        picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
        # Two frames within one tick of the container's clock would get the same time.
        self._last = max(round((time - self._first) * self._clock), self._last + 1)
        picture.pts, picture.time_base = self._last, Fraction(1, self._clock)
        self._pass_on(picture)
        self.frames += 1

    def finish(self) -> None:
        """Have everything written.

        Raises:
            GrjcaError: It cannot be; the cause is in the encoder's own words.
        """
        self._pass_on(None)
        with self._reported():
            self._container.close()
        cast(IO[bytes], self._process.stdin).close()
        try:
            status = self._process.wait(_CLOSING)
        except subprocess.TimeoutExpired:
            raise self._failure("it does not end") from None
        self._reader.join(EXIT_LIMIT)
        if status != 0:
            raise self._failure(describe_exit(status))

    def close(self) -> None:
        """End the process; harmless when repeated."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(EXIT_LIMIT)
        self._reader.join(EXIT_LIMIT)
        for stream in (self._process.stdin, self._process.stderr):
            with contextlib.suppress(OSError):
                cast(IO[bytes], stream).close()

    def _pass_on(self, picture: Any) -> None:
        with self._reported():
            for packet in self._stream.encode(picture):
                self._container.mux(packet)

    @contextlib.contextmanager
    def _reported(self) -> Any:
        try:
            yield
        except TimeoutError as error:
            raise self._failure(str(error)) from error
        except OSError as error:
            # The pipe is closed: the process has ended, and said why.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(EXIT_LIMIT)
            self._reader.join(EXIT_LIMIT)
            status = self._process.poll()
            raise self._failure(str(error) if status is None else describe_exit(status)) from error

    def _failure(self, how: str) -> GrjcaError:
        said = "; ".join(self._said)
        cause = f"the encoder failed ({how}){f', after saying: {said}' if said else ''}"
        return GrjcaError("overlay", self._out, cause, _remedy(cause))

    def _drain(self) -> None:
        for line in cast(IO[bytes], self._process.stderr):
            text = one_line(line.decode(errors="replace")).replace(
                str(self._target), self._out.name
            )
            found = _ERROR.fullmatch(text)
            if found and len(self._said) < _SHOWN and found["text"] not in self._said:
                self._said.append(found["text"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _PatientWriter:
    """The write end of a pipe that gives up, instead of blocking for ever; for PyAV."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        os.set_blocking(fd, False)
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def write(self, data: ReadableBuffer) -> int:
        view = memoryview(data)
        done = 0
        while done < len(view):
            if not self._poll.poll(1000 * STALL_LIMIT):
                raise TimeoutError(f"time is up: it took nothing for {STALL_LIMIT:.0f} s")
            with contextlib.suppress(BlockingIOError):
                done += os.write(self._fd, view[done:])
        return done


def check_ending(out: Path) -> None:
    """Refuse a name whose ending is no container that is written.

    Raises:
        UsageError: So it is.
    """
    if out.suffix not in CLOCKS:
        cause = f"{out.suffix or 'a name without an ending'} is not a container that is written"
        raise UsageError("overlay", out, cause, f"Known: {', '.join(CLOCKS)}.")


def _command(
    target: Path, ending: str, source: Path, info: MediaInfo, first: float
) -> list[str]:  # fmt: skip
    command = [str(find_ffmpeg()), "-nostdin", "-hide_banner", "-loglevel", "level+warning", "-y"]
    command += ["-timelimit", str(_cpu_limit(source, info.duration))]
    # ffmpeg puts the first time of an input to 0; for the frames that is the first one's.
    command += ["-itsoffset", f"{first:.6f}", "-protocol_whitelist", "pipe", "-f", "nut"]
    command += ["-i", "pipe:0"]
    if info.audio is not None:
        for name, value in input_options().items():
            command += [f"-{name}", str(value)]
        command += ["-i", f"file:{source}"]
    command += ["-map", "0:v:0", "-c:v", ENCODER, *QUALITY]
    command += ["-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p"]
    for name in ("colorspace", "color_primaries", "color_trc"):
        command += [f"-{name}", "bt709"]
    command += ["-fps_mode", "passthrough", "-enc_time_base", f"1:{CLOCKS[ending]}"]
    if info.audio is not None:
        # The packets before time 0, which prime the decoder of the sound, are part of it.
        command += ["-map", f"1:{info.audio.index}", "-c:a", "copy", "-copypriorss", "1"]
    # Titles and places of recording stay with the source.
    command += ["-map_metadata", "-1", "-map_chapters", "-1"]
    if ending != ".mkv":
        command += ["-video_track_timescale", str(CLOCKS[ending]), "-movflags", "+faststart"]
    command += ["-f", FORMATS[ending], f"file:{target}"]
    if info.audio is not None and info.video is not None and info.container in SHARED_START:
        command += ["-map", f"1:{info.video.index}", "-c", "copy", "-f", "null", "-"]
    return command


def _started(command: list[str], out: Path, pixels: int) -> subprocess.Popen[bytes]:
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "MALLOC_ARENA_MAX": "2"},
            start_new_session=True,
        )
    except OSError as error:
        cause = f"{command[0]} cannot be started: {error.strerror}"
        raise GrjcaError(
            "overlay", out, cause, "Install ffmpeg, or name one in GRJCA_FFMPEG."
        ) from error
    _, highest = resource.getrlimit(resource.RLIMIT_AS)
    wanted = MEMORY_LIMIT + BYTES_PER_PIXEL * pixels
    bound = wanted if highest == resource.RLIM_INFINITY else min(wanted, highest)
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(process.pid, resource.RLIMIT_AS, (bound, bound))
    return process


def _cpu_limit(source: Path, duration: float | None) -> int:
    # It holds when this program is killed and cannot watch any more: many times what encoding
    # the claimed length takes. The size counts beside the duration, which may be false.
    claimed = min(max(duration or 0.0, 0.0), 86_400.0)
    return int(600 + 120 * claimed + source.stat().st_size / 5000)


def _remedy(said: str) -> str:
    if "Unknown encoder" in said:
        return f"Install an ffmpeg with {ENCODER}, or name one in GRJCA_FFMPEG."
    if "codec not currently supported in container" in said or "Could not find tag" in said:
        return "This container does not take the sound as it is; choose a name that ends in .mkv."
    if any(words in said for words in ("No space left", "File too large", "SIGXFSZ")):
        return "Free some space or choose another folder."
    return ""
