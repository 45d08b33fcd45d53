"""The pictures and the sound of a clip's source, opened as often as they are needed."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError
from grjca.pipeline.ahead import Ahead
from grjca.pipeline.source import ClipSource
from grjca.stages.audio import AudioDecoder
from grjca.stages.frame_rate import resampled
from grjca.stages.images import ImageFolder, numbered_images
from grjca.stages.probe import probe
from grjca.stages.types import AUDIO_RATE, FrameBatch, MediaInfo
from grjca.stages.video import VideoDecoder, frame_times

BATCH = 16
"""Most frames that go through the stages together."""


class Media:
    """What a clip is decoded from; probed once, decoded as often as asked for.

    Args:
        source: The clip's source.
        fps: Rows per second; None for the frames as they are.

    Raises:
        GrjcaError: A file cannot be read or holds neither picture nor sound.
    """

    def __init__(self, source: ClipSource, fps: float | None = None) -> None:
        self._source = source
        self._fps = fps
        self._image_times: NDArray[np.float64] | None = None
        self._said: dict[str, list[str]] = {"picture": [], "sound": []}
        self._listening: AudioDecoder | None = None
        streams: dict[str, Any] = {
            "video_stream": source.video_stream,
            "audio_stream": source.audio_stream,
        }
        if source.images:
            self._picture: MediaInfo | None = None
            self._sound = probe(source.sound, **streams) if source.sound is not None else None
        else:
            self._picture = probe(source.path, **streams)
            self._sound = self._picture
            if source.sound is not None:
                self._sound = probe(source.sound, audio_stream=source.audio_stream)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the decoders complained of so far, the pictures' first, each kind once."""
        return tuple(dict.fromkeys((*self._said["picture"], *self._said["sound"])))

    @property
    def has_picture(self) -> bool:
        """Whether there are pictures, so that rows are frames."""
        return self._picture is None or self._picture.video is not None

    def describe(self) -> dict[str, Any]:
        """What the containers claim, JSON-able."""
        told: dict[str, Any]
        if self._picture is not None:
            told = dataclasses.asdict(self._picture)
        else:
            images = len(numbered_images(self._source.path))
            told = {"container": "folder of images", "duration": None, "images": images}
            told |= {"video": None, "audio": None}
        if self._sound is not None and self._sound is not self._picture:
            audio = self._sound.audio
            told["audio"] = dataclasses.asdict(audio) if audio is not None else None
        return told

    @contextlib.contextmanager
    def frames(self) -> Iterator[Ahead[FrameBatch]]:
        """Decode the pictures, from the clip's beginning, row by row, in a thread of their own.

        Raises:
            GrjcaError: They cannot be decoded.
        """
        source = self._source
        decoder: ImageFolder | VideoDecoder = (
            self._image_decoder()
            if self._picture is None
            else VideoDecoder(
                source.path, self._picture, batch=BATCH, start=source.start, end=source.end
            )
        )
        with decoder:
            rows = resampled(decoder, rate) if (rate := self._row_rate) else decoder
            with Ahead(rows, decoder.halt) as ahead:
                yield ahead
            self._said["picture"] += decoder.warnings
            repaired = decoder.repaired if isinstance(decoder, VideoDecoder) else 0
            if repaired:
                self._said["picture"].append(f"{repaired} frame times were repaired")

    @contextlib.contextmanager
    def sound(self) -> Iterator[AudioDecoder | None]:
        """Decode the sound, on the pictures' clock; None where there is none.

        Raises:
            GrjcaError: It cannot be decoded.
        """
        if self._sound is None:
            yield None
            return
        source, begin = self._source, self._source.start
        path, offset = (source.path, 0.0) if source.sound is None else (source.sound, source.offset)
        end = None if source.end is None else source.end - offset
        with AudioDecoder(path, self._sound, start=begin - offset, end=end) as decoder:
            self._listening = decoder
            yield decoder
            self._said["sound"] += decoder.warnings

    def halt_sound(self) -> None:
        """End the decoding of the sound, from another thread than the one that listens."""
        if self._listening is not None:
            self._listening.halt()

    def sound_length(self) -> float:
        """Seconds of sound in a clip without pictures; counted by decoding it.

        Raises:
            GrjcaError: Nothing of it can be decoded.
        """
        samples = 0
        with self.sound() as decoder:
            for piece in decoder or ():
                samples = piece.stop
            said = decoder.warnings if decoder is not None else ()
        if not samples:
            raise GrjcaError(
                "audio", self._source.path, f"no sound could be decoded: {'; '.join(said)}",
                "The file may be truncated; re-encode it or leave it out.",
            )  # fmt: skip
        return samples / AUDIO_RATE

    @property
    def _row_rate(self) -> float | None:
        """Rows per second that the frames are brought to; None where they stay as they are."""
        # Of a folder of images alone the rate is what it has, not what it is brought to.
        return self._fps if self._picture is not None or self._raw_has_picture else None

    @property
    def _raw_has_picture(self) -> bool:
        return self._sound is not None and self._sound.video is not None

    def _image_decoder(self) -> ImageFolder:
        if self._image_times is None:
            self._image_times = self._times_of_images()
        return ImageFolder(self._source.path, self._image_times, batch=BATCH)

    def _times_of_images(self) -> NDArray[np.float64]:
        source = self._source
        if source.start or source.end is not None:
            raise GrjcaError(
                "video", source.path, "a part of a folder of images was asked for",
                "Leave out start and end, or make a folder of the images that are wanted.",
            )  # fmt: skip
        if self._raw_has_picture and source.sound is not None and self._sound is not None:
            return frame_times(source.sound, self._sound)
        fps = source.fps or self._fps
        if fps is None:
            raise GrjcaError(
                "video", source.path, "nothing tells the rate of these images",
                "Give the raw video with --sound, or their rate with --fps.",
            )  # fmt: skip
        return np.arange(max(numbered_images(source.path)), dtype=np.float64) / fps
