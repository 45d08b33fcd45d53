"""What a media file says about itself, read in a child process.

Probing decodes: a container's header and first frames reach the same parsers as decoding does. So
PyAV runs in a child, under the whitelists of :mod:`grjca.stages.ffmpeg`, and a crash or an endless
loop in it is one file's error. ``python -m grjca.stages.probe FILE CHOICE`` prints the answer as
JSON.

Which streams: of the pictures (cover art aside) and of the sound, the one asked for by its number
among its kind, else the first that the container marks as default, else the first.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from grjca.errors import GrjcaError
from grjca.stages.ffmpeg import MAX_PIXELS, check_source, input_options
from grjca.stages.process import DecoderProcess, describe_exit
from grjca.stages.types import AudioStream, MediaInfo, VideoStream

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream as AvVideoStream

    AnyStream = TypeVar("AnyStream", bound=Stream)

_CPU_SECONDS = 120
_PACKETS_FOR_FIRST_FRAME = 300
_ANSWER_BYTES = 1 << 16


def probe(
    path: Path,
    *,
    video_stream: int | None = None,
    audio_stream: int | None = None,
    time_limit: float = 60.0,
) -> MediaInfo:
    """Container, picture stream and sound stream of a file.

    A stream that PyAV's libraries cannot decode is reported all the same, so that the decoder
    says why; sizes and rates that are not stated count as 1.

    Args:
        path: The file.
        video_stream: Which of its picture streams, cover art not counted, from 0; None for the
            first that is marked as default, or the first.
        audio_stream: The same for sound.
        time_limit: Seconds to wait for the answer.

    Raises:
        GrjcaError: No readable file, no media file, no picture or sound stream in it, no stream
            of the number asked for, or the probing process crashed or ran out of time; the cause
            is in ffmpeg's own words.
    """
    check_source(path, "probe")
    # -P: a module in the working directory must not stand in for one that the child imports.
    choice = json.dumps([video_stream, audio_stream])
    command = [sys.executable, "-P", "-m", "grjca.stages.probe", os.fspath(path), choice]
    with DecoderProcess(command, stage="probe", source=path, time_limit=time_limit) as process:
        answer = process.stdout.read(_ANSWER_BYTES)
        status = process.finish()
        said = process.words.cause()
    if status != 0:
        ended = f"the probing process ended with {describe_exit(status)}"
        cause = f"{ended}, after saying: {said}" if said else ended
        raise GrjcaError("probe", path, cause, "The file may be damaged.")
    found: dict[str, Any] = json.loads(answer)
    if "error" in found:
        words = "; ".join(dict.fromkeys(part for part in (said, found["error"]) if part))
        remedy = "Is it a whole video or sound file? Playlists and pictures are not opened."
        raise GrjcaError("probe", path, words, remedy)
    if "lacking" in found:
        remedy = "Ask for another stream, or for none to get the default."
        raise GrjcaError("probe", path, found["lacking"], remedy)
    info = MediaInfo(
        container=found["container"],
        duration=found["duration"],
        video=VideoStream(**found["video"]) if found["video"] else None,
        audio=AudioStream(**found["audio"]) if found["audio"] else None,
    )
    if info.video is None and info.audio is None:
        cause = "the file holds no picture and no sound stream"
        raise GrjcaError("probe", path, cause, "Check that it is the recording you meant.")
    return info


def describe(
    container: InputContainer, video_stream: int | None = None, audio_stream: int | None = None
) -> MediaInfo:
    """The same for a container that PyAV has opened.

    Raises:
        LookupError: There is no stream of the number asked for.
    """
    import av
    from av.stream import Disposition

    cover = Disposition.attached_pic
    pictures = [s for s in container.streams.video if not s.disposition & cover]
    picture = _chosen("picture", pictures, video_stream)
    voice = _chosen("sound", container.streams.audio, audio_stream)
    sound = voice.codec_context if voice is not None else None
    return MediaInfo(
        container=container.format.name,
        duration=container.duration / av.time_base if container.duration else None,
        video=_describe_video(container, picture) if picture is not None else None,
        audio=AudioStream(
            index=voice.index,
            codec=sound.codec.canonical_name if sound else "unknown",
            rate=max(sound.sample_rate or 1, 1) if sound else 1,
            channels=max(sound.channels, 1) if sound else 1,
        )
        if voice is not None
        else None,
    )


def _chosen(kind: str, streams: Sequence[AnyStream], number: int | None) -> AnyStream | None:
    from av.stream import Disposition

    if number is None:
        marked = [stream for stream in streams if stream.disposition & Disposition.default]
        return next(iter([*marked, *streams]), None)
    if not 0 <= number < len(streams):
        count = f"{len(streams)} {kind} stream{'' if len(streams) == 1 else 's'}"
        raise LookupError(f"{kind} stream {number} was asked for; the file has {count}, from 0 on")
    return streams[number]


def _describe_video(container: InputContainer, stream: AvVideoStream) -> VideoStream:
    codec = stream.codec_context
    width, height, rotation = (codec.width, codec.height, 0) if codec else (1, 1, 0)
    if codec:
        codec.options = {"max_pixels": str(MAX_PIXELS)}
        codec.thread_count = 1
        rotation = _rotation(container, stream)
    if rotation in (90, 270):
        width, height = height, width
    rate = stream.average_rate or stream.guessed_rate
    return VideoStream(
        index=stream.index,
        codec=codec.codec.canonical_name if codec else "unknown",
        width=max(width, 1),
        height=max(height, 1),
        rotation=rotation,
        fps=float(rate) if rate else None,
        frames=stream.frames or None,
    )


def _rotation(container: InputContainer, stream: AvVideoStream) -> int:
    """Rotation to display, counter-clockwise degrees; only a decoded frame tells it reliably."""
    import av

    for _, packet in zip(range(_PACKETS_FOR_FIRST_FRAME), container.demux(stream), strict=False):
        try:
            for frame in packet.decode():
                return _quarter(frame.rotation)
        except av.error.FFmpegError:
            continue
    return 0


def _quarter(degrees: int) -> int:
    # ffmpeg turns by other angles inside an unchanged frame, so the size stays what it was.
    return degrees % 360 if degrees % 90 == 0 else 0


def _child(name: str, choice: str) -> int:
    """Probe a file in this process and print the answer; the part that may crash."""
    import av

    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS, _CPU_SECONDS + 1))
    # libav's own words then go to standard error, where the parent collects them.
    av.logging.set_level(av.logging.ERROR)
    av.logging.restore_default_callback()
    options = {key: str(value) for key, value in input_options().items()}
    # Titles need not be UTF-8; from version 19 on PyAV takes that for granted.
    old = int(av.__version__.partition(".")[0]) < 19
    titles: dict[str, Any] = {"metadata_errors": "replace"} if old else {}
    try:
        with av.open(f"file:{name}", options=options, **titles) as container:
            answer: dict[str, Any] = dataclasses.asdict(describe(container, *json.loads(choice)))
    except av.error.FFmpegError as error:
        answer = {"error": error.strerror}
    except LookupError as error:
        answer = {"lacking": str(error)}
    json.dump(answer, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(_child(*sys.argv[1:]))
