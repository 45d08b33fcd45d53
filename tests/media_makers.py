"""Small clips made for the tests: every frame shows its own number, every beep has its time."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

CELLS = 4
BITS = CELLS * CELLS - 4
_CORNERS = {0: 1, CELLS - 1: 0, CELLS * (CELLS - 1): 0, CELLS * CELLS - 1: 0}
_CLOCK = Fraction(1, 90_000)
_CONTAINERS = {".mkv": "matroska", ".ts": "mpegts", ".m4a": "mp4", ".mpg": "mpeg", ".wmv": "asf"}
_SOUND_CODECS = {
    **dict.fromkeys((".mkv", ".mov", ".wav", ".avi"), "pcm_s16le"),
    ".mpg": "mp2",
    ".wmv": "wmav2",
    ".webm": "libopus",
}
_OPTIONS = {"libx264": {"preset": "ultrafast", "bf": "2", "b-adapt": "0"}}


def number_frame(number: int, size: tuple[int, int] = (160, 120)) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: a 4x4 grid of black and white, 12 bits; only the top left corner is lit."""
    width, height = size
    bits = iter(f"{number:0{BITS}b}")
    cells = [_CORNERS[i] if i in _CORNERS else int(next(bits)) for i in range(CELLS * CELLS)]
    grid = np.array(cells, np.uint8).reshape(CELLS, CELLS) * 255
    rows, columns = np.arange(height) * CELLS // height, np.arange(width) * CELLS // width
    return np.repeat(grid[np.ix_(rows, columns)][:, :, None], 3, axis=2)


def read_number(frame: NDArray[np.uint8]) -> int | None:
    """The number shown, or None when the frame is not upright (or shows none)."""
    height, width = frame.shape[:2]
    centre = (2 * np.arange(CELLS) + 1) / (2 * CELLS)
    grid = frame[np.ix_((centre * height).astype(int), (centre * width).astype(int))]
    cells = (grid.mean(axis=2) > 127).astype(int).ravel().tolist()
    if any(cells[i] != lit for i, lit in _CORNERS.items()):
        return None
    return int("".join(str(c) for i, c in enumerate(cells) if i not in _CORNERS), 2)


def beep(rate: int, seconds: float, at: float, length: float = 0.2) -> NDArray[np.float32]:
    """Silence but for a 1 kHz tone of ``length`` s that starts ``at`` s after the beginning."""
    t = np.arange(round(rate * seconds)) / rate
    sound = 0.5 * np.sin(2 * np.pi * 1000 * (t - at))
    return np.where((t >= at) & (t < at + length), sound, 0).astype(np.float32)


def make_clip(
    path: Path,
    *,
    frames: int = 25,
    fps: float = 25.0,
    times: Sequence[float] | None = None,
    size: tuple[int, int] = (160, 120),
    rotation: int = 0,
    video: bool = True,
    video_codec: str = "libx264",
    pixel_format: str = "yuv420p",
    options: Mapping[str, str] | None = None,
    flash: int | None = None,
    sound: NDArray[np.float32] | str | None = "tone",
    sound_start: float = 0.0,
    sound_gaps: Sequence[tuple[float, float]] = (),
    sound_rate: int = 44_100,
    sound_codec: str | None = None,
    channels: int = 1,
) -> Path:
    """Write a clip.

    Args:
        path: Where to; the name's end chooses the container.
        frames: Number of frames, each showing its number (``read_number``).
        fps: Frames per second, where ``times`` gives nothing else.
        times: Seconds of each frame, for a variable rate; says how many frames there are.
        size: Width and height of the displayed picture.
        rotation: Degrees counter-clockwise that a player has to turn the stored picture.
        video: Whether there is a picture stream.
        video_codec: Encoder of the pictures.
        pixel_format: What it is given, such as ``yuv420p10le``.
        options: The encoder's own options; x264 has B-frames without them.
        flash: Make frame ``flash`` white and all others black, instead of numbers.
        sound: Samples, or ``tone``, ``silence``, or None for no sound stream.
        sound_start: Seconds at which the sound starts; negative: the pictures start later.
        sound_gaps: Pauses (seconds into the sound, length) that the time stamps make.
        sound_rate: Samples per second.
        sound_codec: Encoder of the sound; AAC where nothing else is asked for, PCM in mkv and mov.
        channels: Number of equal channels.
    """
    stamps = list(times) if times is not None else [i / fps for i in range(frames)]
    seconds = (stamps[-1] + 1 / fps) if video else frames / fps
    if isinstance(sound, str):
        t = np.arange(round(seconds * sound_rate)) / sound_rate
        tone = 0.5 * np.sin(2 * np.pi * 440 * t)
        sound = (tone if sound == "tone" else 0 * t).astype(np.float32)
    raw = path.with_name(f"upright-{path.name}") if rotation else path
    packets: list[av.Packet] = []
    with av.open(f"file:{raw}", "w", format=_container(path)) as container:
        pictures = container.add_stream(video_codec, rate=Fraction(fps)) if video else None
        default = _SOUND_CODECS.get(path.suffix, "aac")
        codec = sound_codec or default
        voice = container.add_stream(codec, rate=sound_rate) if sound is not None else None
        if pictures is not None:
            pictures.pix_fmt = "bgr24" if video_codec == "rawvideo" else pixel_format
            pictures.options = dict(_OPTIONS.get(video_codec, {})) | dict(options or {})
            _add_pictures(packets, pictures, stamps, size, rotation, flash, max(-sound_start, 0.0))
        if voice is not None:
            voice.layout = "mono" if channels == 1 else "stereo"
            _add_sound(packets, voice, sound, channels, max(sound_start, 0.0), sound_gaps)
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            container.mux(packet)
    if rotation:
        turn = ["-display_rotation:v:0", str(rotation), "-i", f"file:{raw}"]
        ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *turn]
        subprocess.run([*ffmpeg, "-c", "copy", "-map", "0", f"file:{path}"], check=True)
        raw.unlink()
    return path


def join(
    parts: Sequence[Path], path: Path, *, options: Sequence[str] = (), before: Sequence[str] = ()
) -> Path:
    """Put all streams of files into one, in their order, without coding them anew.

    Args:
        parts: The files.
        path: Where to.
        options: Further options of ffmpeg for the new file, such as dispositions.
        before: Its options for every file read, such as an offset.
    """
    inputs = [word for part in parts for word in (*before, "-i", f"file:{part}")]
    maps = [word for i in range(len(parts)) for word in ("-map", str(i))]
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y"]
    command = [*ffmpeg, *inputs, *maps, "-c", "copy", *options, f"file:{path}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def _container(path: Path) -> str:
    return _CONTAINERS.get(path.suffix, path.suffix[1:])


def _add_pictures(
    packets: list[av.Packet],
    stream: av.VideoStream,
    stamps: Sequence[float],
    size: tuple[int, int],
    rotation: int,
    flash: int | None,
    start: float,
) -> None:
    stream.width, stream.height = size if rotation % 180 == 0 else size[::-1]
    if stream.name == "libx264":
        stream.codec_context.time_base = _CLOCK
    clock = stream.codec_context.time_base or Fraction(1, 1) / stream.codec_context.framerate
    for number, stamp in enumerate(stamps):
        picture = number_frame(number, size)
        if flash is not None:
            picture = np.full_like(picture, 255 if number == flash else 0)
        turned = np.ascontiguousarray(np.rot90(picture, -(rotation // 90)))
        frame = av.VideoFrame.from_ndarray(turned, format="rgb24")
        frame.pts, frame.time_base = round((stamp + start) / clock), clock
        packets.extend(stream.encode(frame))
    packets.extend(stream.encode(None))


def _add_sound(
    packets: list[av.Packet],
    stream: av.AudioStream,
    sound: NDArray[np.float32],
    channels: int,
    start: float,
    gaps: Sequence[tuple[float, float]],
) -> None:
    rate, piece = stream.codec_context.sample_rate, 1024
    for first in range(0, len(sound), piece):
        part = np.repeat(sound[None, first : first + piece], channels, axis=0)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(part), format="fltp", layout=stream.codec_context.layout.name
        )
        paused = sum(length for at, length in gaps if first >= at * rate)
        frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
        frame.pts = first + round((start + paused) * rate)
        packets.extend(stream.encode(frame))
    packets.extend(stream.encode(None))


def children(pid: int | None = None) -> list[int]:
    """Processes started by a process, zombies included.

    Python's own tracker, which lives on after tests that used worker processes, does not count.
    """
    parent, found = pid or os.getpid(), []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text(errors="replace").rpartition(")")[2].split()
            words = (entry.parent / "cmdline").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == parent and "multiprocessing" not in words:
            found.append(int(entry.parent.name))
    return found
