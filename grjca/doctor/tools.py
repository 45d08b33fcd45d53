"""Which ffmpeg runs, and what it can decode."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path

from grjca.doctor.findings import Finding
from grjca.errors import GrjcaError
from grjca.stages.ffmpeg import PROTOCOLS, ffmpeg_version, find_ffmpeg

SECTION = "ffmpeg"

DECODERS = {
    "h264": ("h264",),
    "hevc": ("hevc",),
    "vp9": ("vp9", "libvpx-vp9"),
    # ffmpeg's own "av1" decodes on a graphics card only.
    "av1": ("libdav1d", "libaom-av1", "libgav1"),
    "aac": ("aac", "libfdk_aac"),
    "opus": ("opus", "libopus"),
}
"""Codecs that videos of people come in, and the decoders of ffmpeg for each."""

ENCODER = "libx264"

_ANOTHER = "Install ffmpeg 5.1 or later, or name one in GRJCA_FFMPEG."


def tools() -> Iterator[Finding]:
    """The ffmpeg that is used, its decoders, its protocols, and the encoder of ``overlay``."""
    try:
        binary = find_ffmpeg()
        version = ffmpeg_version(binary)
    except GrjcaError as error:
        yield Finding(
            SECTION, "ffmpeg", "missing", f"{error.source}: {error.cause}", error.remedy, True
        )
        return
    except ImportError as error:
        cause = f"none on the PATH, and imageio-ffmpeg cannot be loaded ({error})"
        yield Finding(SECTION, "ffmpeg", "missing", cause, _ANOTHER, needed=True)
        return
    yield Finding(SECTION, "ffmpeg", "ok", f"{version}, {binary}", needed=True)
    decoders = _listed(binary, "-decoders")
    for codec, known in DECODERS.items():
        able = [name for name in known if name in decoders]
        if able:
            yield Finding(SECTION, f"decoder {codec}", "ok", able[0])
        else:
            cause = f"none of {', '.join(known)}; such files fail"
            yield Finding(SECTION, f"decoder {codec}", "missing", cause, _ANOTHER)
    yield _protocols(_listed(binary, "-protocols"))
    if ENCODER in _listed(binary, "-encoders"):
        yield Finding(SECTION, f"encoder {ENCODER}", "ok", "for grjca overlay")
    else:
        cause = "grjca overlay needs it"
        yield Finding(SECTION, f"encoder {ENCODER}", "missing", cause, _ANOTHER)


def schedulers() -> Iterator[Finding]:
    """Whether a batch system's command is there."""
    found = shutil.which("sbatch")
    if found:
        yield Finding("cluster", "sbatch", "ok", found)
    else:
        yield Finding("cluster", "sbatch", "missing", "no SLURM here", "Only --cluster needs it.")


def _protocols(known: Collection[str]) -> Finding:
    lacking = [name for name in PROTOCOLS.split(",") if name not in known]
    if lacking:
        cause = f"it lacks {', '.join(lacking)}"
        return Finding(SECTION, "protocols", "problem", cause, _ANOTHER, needed=True)
    return Finding(SECTION, "protocols", "ok", f"{PROTOCOLS}; files may use no others")


def _listed(binary: Path, what: str) -> set[str]:
    """Names that ffmpeg lists: the second word of a line with flags, or the line's only word."""
    try:
        done = subprocess.run(
            [binary, "-hide_banner", what],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=30,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return set()
    text = done.stdout.decode(errors="replace")
    return set(re.findall(r"^ +(?:[A-Z.]{6} +)?(\w[\w-]*)", text, re.MULTILINE))
