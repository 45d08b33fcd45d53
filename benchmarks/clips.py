"""Writing a clip frame by frame: any times, any container, turned, with sound that starts apart."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from numpy.typing import NDArray

from grjca.stages.ffmpeg import find_ffmpeg

CLOCK = Fraction(1, 90_000)
"""Resolution of the frames' times."""

PIECE = 1024
"""Samples given to the encoder at once."""

_CONTAINERS = {".mkv": "matroska", ".mp4": "mp4", ".ts": "mpegts"}
_SOUND_CODECS = {".mkv": "pcm_s16le", ".mp4": "aac", ".ts": "aac"}


@dataclass(frozen=True)
class Sound:
    """A clip's sound.

    Attributes:
        samples: (n,) float32 in [-1, 1], mono.
        rate: Samples per second.
        start: Seconds between the first frame and the first sample; negative where the sound is
            first.
    """

    samples: NDArray[np.float32]
    rate: int
    start: float = 0.0

    def __post_init__(self) -> None:
        if self.samples.ndim != 1 or self.samples.dtype != np.float32 or self.rate < 1:
            raise ValueError(f"no mono float32 sound: {self.samples.shape} at {self.rate} Hz")


def write_clip(
    path: Path,
    pictures: Iterable[NDArray[np.uint8]],
    times: Sequence[float],
    sound: Sound | None = None,
    *,
    rotation: int = 0,
) -> Path:
    """Encode a clip: H.264 with B-frames, and sound in AAC (``.mp4``, ``.ts``) or PCM (``.mkv``).

    Args:
        path: Where to; its ending chooses the container.
        pictures: (H, W, 3) uint8 RGB, as displayed, all of one size with even sides.
        times: Seconds of each picture, from 0 on.
        sound: None for no sound stream.
        rotation: Degrees counter-clockwise, a multiple of 90, by which the picture is stored turned
            back, so that a player has to turn it; only where the container can say so.

    Returns:
        ``path``.

    Raises:
        ValueError: There are not as many pictures as times.
    """
    stored = path.with_name(f"stored-{path.name}") if rotation else path
    early = max(-sound.start, 0.0) if sound is not None else 0.0
    with av.open(f"file:{stored}", "w", format=_CONTAINERS[path.suffix]) as container:
        turned = (np.ascontiguousarray(np.rot90(picture, -rotation // 90)) for picture in pictures)
        video = container.add_stream("libx264", rate=25)
        voice = _sound_stream(container, path.suffix, sound.rate) if sound is not None else None
        packets = list(_encode_pictures(video, turned, [time + early for time in times]))
        if voice is not None and sound is not None:
            packets += _encode_sound(voice, sound)
        for packet in sorted(packets, key=_decoding_time):
            container.mux(packet)
    if rotation:
        run_ffmpeg(
            "-display_rotation:v:0", str(rotation), "-i", f"file:{stored}", "-c", "copy", path
        )
        stored.unlink()
    return path


def run_ffmpeg(*arguments: str | Path) -> None:
    """Run ffmpeg on files that are our own; the last argument is the output's path.

    Raises:
        CalledProcessError: It failed; its words are on standard error.
    """
    *options, output = arguments
    command = [str(find_ffmpeg()), "-nostdin", "-v", "error", "-y", *map(str, options)]
    subprocess.run([*command, f"file:{output}"], check=True)


def steady(frames: int, fps: float) -> list[float]:
    """Times of a constant rate."""
    return [number / fps for number in range(frames)]


def unsteady(seconds: float, steps: Sequence[float], seed: int) -> list[float]:
    """Times from 0 to ``seconds`` whose distances are drawn from ``steps``."""
    rng = np.random.default_rng(seed)
    times = [0.0]
    while times[-1] < seconds:
        times.append(times[-1] + float(rng.choice(steps)))
    return times


def _sound_stream(container: OutputContainer, suffix: str, rate: int) -> av.AudioStream:
    stream = container.add_stream(_SOUND_CODECS[suffix], rate=rate)
    if not isinstance(stream, av.AudioStream):
        raise TypeError(f"{_SOUND_CODECS[suffix]} encodes no sound")
    stream.layout = "mono"
    return stream


def _encode_pictures(
    stream: av.VideoStream, pictures: Iterator[NDArray[np.uint8]], times: Sequence[float]
) -> Iterator[av.Packet[Any]]:
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = CLOCK
    stream.options = {"preset": "ultrafast", "bf": "2", "b-adapt": "0", "crf": "20"}
    for picture, time in zip(pictures, times, strict=True):
        if not stream.codec_context.is_open:
            stream.height, stream.width = picture.shape[:2]
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = round(time / CLOCK), CLOCK
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _encode_sound(stream: av.AudioStream, sound: Sound) -> Iterator[av.Packet[Any]]:
    late = round(max(sound.start, 0.0) * sound.rate)
    for first in range(0, len(sound.samples), PIECE):
        piece = np.ascontiguousarray(sound.samples[None, first : first + PIECE])
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
        frame.sample_rate, frame.time_base = sound.rate, Fraction(1, sound.rate)
        frame.pts = first + late
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _decoding_time(packet: av.Packet[Any]) -> Fraction:
    if packet.dts is None or packet.time_base is None:
        raise ValueError("the encoder gave a packet without its time")
    return packet.dts * packet.time_base
