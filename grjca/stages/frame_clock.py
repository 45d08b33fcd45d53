"""When each decoded frame is shown, and whether that lies in the wanted part of the file."""

from __future__ import annotations

import math

from grjca.stages.decoder import Part
from grjca.stages.types import VideoStream

_SQUEEZE = 1e-3
_RESTART = 1.0
_PERIOD = 0.04


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


class FramePicker:
    """Says of each decoded frame whether it lies in the part, and when on the part's clock.

    Attributes:
        decoded: Number of frames seen.
        missed: Whether decoding began behind the part's beginning, so that frames may be missing.
        done: Whether a frame behind the part has been seen, so that no more need be decoded.
        picked: Number of frames in the part.
        repaired: Of these, how many have a time that is not their own.
    """

    def __init__(self, stream: VideoStream, part: Part, *, sought: bool) -> None:
        """``sought``: decoding does not begin with the file, but at a place looked up in it."""
        self.decoded = self.picked = self.repaired = 0
        self.missed = self.done = False
        self._clock = FrameClock(1 / stream.fps if stream.fps else _PERIOD)
        self._part, self._sought = part, sought
        self._before: float | None = None
        self._after: float | None = None

    @property
    def complete(self) -> bool:
        """Whether no frame of the part lies before the first that was decoded."""
        return not self._sought or (self.decoded > 0 and not self.missed)

    def place(self, microseconds: int | None) -> float | None:
        """Take in the next frame's time stamp; its time in the part, or None where it is out."""
        repaired = self._clock.repaired
        time = self._clock.place(microseconds)
        self.decoded += 1
        # A whole file's first frames are in it even where their times lie below 0.
        start = self._part.start or -math.inf
        if self._sought and self.decoded == 1 and time > start:
            self.missed = True
        elif self._part.end is not None and time >= self._part.end:
            self.done, self._after = True, time
        elif time < start:
            self._before = time
        else:
            self.picked += 1
            self.repaired += self._clock.repaired - repaired
            return time - self._part.start
        return None

    def emptiness(self, claimed: float | None) -> str:
        """That no frame lies in the part, and where some do; ``claimed``: the file's duration."""
        told = [f"no frame lies in {self._part}"]
        if self._before is not None:
            told.append(f"the last one before it is at {self._before:.3f} s")
        if self._after is not None:
            told.append(f"the next one is at {self._after:.3f} s")
        if claimed is not None:
            told.append(f"the container claims a duration of {claimed:.3f} s")
        return ", ".join(told)
