"""What became of one clip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grjca.cache.layout import person_clip
from grjca.errors import GrjcaError


@dataclass(frozen=True, slots=True)
class ClipOutcome:
    """What became of one clip.

    Attributes:
        clip: The clip's identity.
        status: ``done`` (computed now), ``skipped`` (nothing was missing), ``failed``, or ``busy``
            (another run has the clip in hand; asked for again later and never reported).
        rows: Rows of the clip in the store.
        seconds: Wall time spent.
        computed: Paths of the groups computed now.
        faces: Share of rows with a face, in [0, 1]; None unless computed or read now; with
            several people the mean over them.
        people: Files written where every person gets one, else None.
        sound: Share of rows with sound, in [0, 1]; None unless computed now.
        warnings: The decoders' own words about what they could not decode, and repairs made.
        error: For a failure its stage, cause and remedy.
    """

    clip: str
    status: Literal["done", "skipped", "failed", "busy"]
    rows: int = 0
    seconds: float = 0.0
    computed: tuple[str, ...] = ()
    faces: float | None = None
    sound: float | None = None
    people: int | None = None
    warnings: tuple[str, ...] = ()
    error: dict[str, str] | None = None

    @property
    def clips(self) -> list[str]:
        """Identities of the clip's files in the store."""
        if self.people is None:
            return [self.clip]
        return [person_clip(self.clip, number) for number in range(1, self.people + 1)]

    @classmethod
    def failure(cls, clip: str, error: GrjcaError, seconds: float = 0.0) -> ClipOutcome:
        """The outcome of a clip that could not be extracted."""
        told = {"stage": error.stage, "cause": error.cause, "remedy": error.remedy}
        return cls(clip, "failed", seconds=seconds, error={**told, "message": str(error)})
