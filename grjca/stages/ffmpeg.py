"""Which ffmpeg runs, and what a file that nobody vouches for may make it do.

What it may open is limited twice: by protocol (local files) and by demuxer (no playlists), because
a playlist named ``x.mp4`` would otherwise read the files it lists under the protocol list alone.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

from grjca.errors import GrjcaError, UsageError

PROTOCOLS = "file,pipe"
"""Protocols a media file may use: itself, and the pipes this package hands to ffmpeg."""

DEMUXERS = (
    "aac,ac3,aiff,amr,asf,au,av1,avi,caf,dv,eac3,flac,flv,gif,h264,hevc,ivf,m4v,matroska,mov,mp3,"
    "mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,w64,wav,webm,wv"
)
"""Containers that are opened: none of them names other files (concat, hls, dash, image2 do)."""

MAX_PIXELS = 1 << 26
"""Largest picture that is decoded (8192x8192), so that a header cannot ask for all the memory."""


def find_ffmpeg() -> Path:
    """The ffmpeg to use: ``GRJCA_FFMPEG``, else the system's from 5.1 on, else imageio-ffmpeg's.

    Raises:
        UsageError: ``GRJCA_FFMPEG`` names no usable ffmpeg, or there is none at all.
    """
    named = os.environ.get("GRJCA_FFMPEG")
    if named:
        if not _is_recent(named):
            cause = "GRJCA_FFMPEG does not name an ffmpeg of version 5.1 or later"
            raise UsageError("ffmpeg", named, cause, "Correct the variable or unset it.")
        return Path(named)
    system = shutil.which("ffmpeg")
    if system and _is_recent(system):
        return Path(system)
    import imageio_ffmpeg

    try:
        return Path(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        remedy = "Install ffmpeg 5.1 or later, or name one in GRJCA_FFMPEG."
        raise UsageError("ffmpeg", "ffmpeg", str(error), remedy) from error


def ffmpeg_version(binary: Path) -> str:
    """The version token of ``ffmpeg -version``'s first line, for example ``5.1.6-0+deb12u1``.

    Raises:
        UsageError: The binary does not run or is no ffmpeg.
    """
    found = re.match(r"ffmpeg version (\S+)", _version_text(str(binary)))
    if not found:
        raise UsageError("ffmpeg", binary, "this is not an ffmpeg", "Name one in GRJCA_FFMPEG.")
    return found[1]


def _is_recent(binary: str) -> bool:
    # libavcodec's number orders snapshots and vendors' builds, whose own version names do not;
    # 59.37 came with ffmpeg 5.1, the first to know -fps_mode.
    found = re.search(r"libavcodec\s+(\d+)\.\s*(\d+)\.", _version_text(binary))
    return found is not None and (int(found[1]), int(found[2])) >= (59, 37)


@functools.cache
def _version_text(binary: str) -> str:
    try:
        done = subprocess.run(
            [binary, "-version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace")


def input_options() -> dict[str, str | int]:
    """Options before ``-i`` that keep a media file from opening anything but itself."""
    return {"protocol_whitelist": PROTOCOLS, "format_whitelist": DEMUXERS}


def open_input(*, seek: float | None = None, **options: str | int) -> Any:
    """An ffmpeg-python input node for one untrusted file, named in :func:`compile_command`.

    Args:
        seek: Seconds on the file's clock to begin at, or at a key frame not far from it; None
            begins with the file. The times of what is decoded are the same either way.
        options: Further options before ``-i``.
    """
    import ffmpeg

    flags: dict[str, str | None] = {}
    if seek is not None:
        # Without the first two, ffmpeg shifts all times by the place sought, rounded to the
        # stream's own ticks; with accurate seeking it would hide where decoding really began.
        flags = {"copyts": None, "start_at_zero": None, "noaccurate_seek": None}
        flags["ss"] = f"{seek:.6f}"
    return ffmpeg.input("file:", **input_options(), **flags, **options)


SHARED_START = frozenset({"mpegts", "mpeg"})
"""Containers whose clock ffmpeg puts to 0 at the beginning of what is read, not of the file."""


def beside(container: str, other: int | None) -> int | None:
    """The stream to read along, so that picture and sound, decoded apart, share a clock."""
    return other if container in SHARED_START else None


def compile_command(
    output: Any, path: Path, duration: float | None, along: int | None = None
) -> list[str]:
    """The command line of an ffmpeg-python output node.

    Args:
        output: What ``ffmpeg.output`` returned, made from :func:`open_input`.
        path: The file to read.
        duration: Its claimed length in seconds, from which a limit on processor time follows;
            this limit holds when this program is killed and cannot watch any more.
        along: A stream that is read along and thrown away, see :func:`beside`.
    """
    import ffmpeg

    quiet = output.global_args("-nostdin", "-hide_banner", "-loglevel", "level+warning")
    bounded = quiet.global_args("-filter_threads", "1", "-timelimit", _cpu_limit(path, duration))
    command: list[str] = ffmpeg.compile(bounded, cmd=str(find_ffmpeg()))
    # ffmpeg-python hashes its nodes as UTF-8, which not every file name is.
    command[command.index("-i") + 1] = f"file:{path}"
    if along is not None:
        command += ["-map", f"0:{along}", "-c", "copy", "-f", "null", "-"]
    return command


def _cpu_limit(path: Path, duration: float | None) -> str:
    # More than an honest file needs. The size counts beside the duration, which may be false.
    claimed = min(max(duration or 0.0, 0.0), 86_400.0)
    return str(int(600 + 60 * claimed + path.stat().st_size / 10_000))


def check_source(path: Path, stage: str) -> None:
    """Refuse what is no readable, non-empty, regular file; a pipe or device could block forever.

    Raises:
        GrjcaError: One of these; the message says which.
    """
    try:
        status = path.stat()
    except OSError as error:
        remedy = "Check the path and its permissions."
        words = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise GrjcaError(stage, path, words or str(error), remedy) from error
    if stat.S_ISDIR(status.st_mode):
        raise GrjcaError(stage, path, "this is a folder, not a media file", "Name a file in it.")
    if not stat.S_ISREG(status.st_mode):
        raise GrjcaError(stage, path, "this is not a regular file", "Copy it to one first.")
    if status.st_size == 0:
        raise GrjcaError(stage, path, "the file is empty (0 bytes)", "Copy it again.")
    if not os.access(path, os.R_OK):
        raise GrjcaError(stage, path, "permission to read is denied", "Change its permissions.")
