"""What one clip is made from: which file, which part of it, whose sound, whose face."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from grjca.cache.keys import Recipe
from grjca.stages.images import numbered_images
from grjca.stages.people import Choice

FACES: tuple[Choice, ...] = get_args(Choice)
"""Whose face can be followed; see ``stages.people.choose``."""


@dataclass(frozen=True)
class ClipSource:
    """Where a clip's picture and sound come from.

    Attributes:
        path: A video or sound file, or a folder of numbered images.
        images: ``path`` is a folder of images.
        sound: Another file that the sound is taken from; None for ``path`` itself. For a folder
            of images it is the raw video, whose frames' times are those of the images.
        offset: Seconds on the picture's clock at which the other sound file begins.
        start: Seconds on the picture's clock at which the clip begins.
        end: Seconds at which it ends, itself excluded; None for the file's end.
        video_stream: Which of several picture streams, counted from 0; None for the default one.
        audio_stream: The same for sound.
        fps: Images per second of a folder without a raw video.
        faces: Whose face is followed; None leaves it to the run's configuration.
        about: What is known of the clip, by the names in ``cache.layout.ABOUT``.

    Raises:
        ValueError: A time is not finite, ``start`` is negative, ``end`` does not lie behind it, or
            a stream's number is negative.
    """

    path: Path
    images: bool = False
    sound: Path | None = None
    offset: float = 0.0
    start: float = 0.0
    end: float | None = None
    video_stream: int | None = None
    audio_stream: int | None = None
    fps: float | None = None
    faces: Choice | None = None
    about: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        for name, value in (("offset", self.offset), ("start", self.start), ("end", self.end)):
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} {value} is not a time")
        if self.start < 0 or (self.end is not None and self.end <= self.start):
            raise ValueError(f"from {self.start} to {self.end} s is no part of a recording")
        if self.fps is not None and not (math.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"{self.fps} images a second")
        if self.faces is not None and self.faces not in FACES:
            raise ValueError(f"faces {self.faces}; known: {', '.join(FACES)}")
        for name, stream in (("video", self.video_stream), ("audio", self.audio_stream)):
            if stream is not None and stream < 0:
                raise ValueError(f"{name} stream {stream}")

    def files(self) -> list[Path]:
        """Every file whose content decides the clip's features, in an order that counts.

        Raises:
            GrjcaError: The folder of images cannot be read or holds none.
        """
        pictures = list(numbered_images(self.path).values()) if self.images else [self.path]
        return pictures + ([self.sound] if self.sound is not None else [])

    def recipe(self, run: Recipe) -> Recipe:
        """The recipe of a run, with what is this clip's own added to it."""
        picture = {
            "images": self.images or None,
            "start": self.start or None,
            "end": self.end,
            "stream": self.video_stream,
            "fps": self.fps,
        }
        sound = {
            "separate": True if self.sound is not None else None,
            "offset": self.offset or None,
            "stream": self.audio_stream,
        }
        return replace(
            run,
            video={**run.video, **_part(picture)},
            sound={**run.sound, **_part(sound)},
            faces={**run.faces, **({"choice": self.faces} if self.faces else {})},
        )


def _part(values: dict[str, Any]) -> dict[str, Any]:
    said = {name: value for name, value in values.items() if value is not None}
    return {"part": said} if said else {}
