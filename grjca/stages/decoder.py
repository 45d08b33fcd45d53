"""What picture and sound decoders share: which part of a file, started and ended by a loop."""

from __future__ import annotations

import contextlib
import math
import weakref
from abc import ABC, abstractmethod
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, Self, TypeVar

from grjca.stages.process import DecoderProcess

Block = TypeVar("Block")

_MARGINS = (1.0, 30.0)


@dataclass(frozen=True)
class Part:
    """The half-open stretch [start, end) of a file's own clock, in seconds.

    A time stamp is a whole number of microseconds, so the bounds are rounded to them too: with
    ``start = 1 / 30`` the frame stamped 0.033333 s is in.

    Attributes:
        start: Where the part begins and its clock is 0.
        end: Where it ends; None for the end of the file.
    """

    start: float = 0.0
    end: float | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.start) or (self.end is not None and not math.isfinite(self.end)):
            raise ValueError(f"a part from {self.start} to {self.end} s is not bounded by times")
        object.__setattr__(self, "start", round(self.start, 6))
        if self.end is not None:
            object.__setattr__(self, "end", round(self.end, 6))
            if self.end <= self.start:
                raise ValueError(f"a part from {self.start} to {self.end} s ends before it begins")

    @property
    def whole(self) -> bool:
        """Whether it is all of the file."""
        return self.start == 0 and self.end is None

    def seeks(self, container: str, seekable: Collection[str]) -> list[float | None]:
        """Places in the file to begin decoding at, each to be tried if the one before fails.

        A try fails that does not find a place to begin at or before ``start``: indexes are
        sometimes coarse, late or missing. The last place is always None, the file's beginning.

        Args:
            container: The container's name, as ``probe`` gives it.
            seekable: First names of the containers in which seeking finds the same frames.
        """
        able = container.split(",", maxsplit=1)[0] in seekable
        return [*(self.start - m for m in _MARGINS if able and self.start > m), None]

    def __str__(self) -> str:
        end = "the end" if self.end is None else f"{self.end:g} s"
        return f"the part from {self.start:g} s to {end}"


class Decoder(ABC, Generic[Block]):
    """Iterates over decoded blocks; each loop decodes anew, and only one runs at a time.

    Use it as a context manager; leaving it, or the loop, ends the process.

    Attributes:
        warnings: After the last block: what the decoder complained of, each kind once.
    """

    def __init__(self) -> None:
        # Weak, so that a loop left without a context manager ends the process at once.
        self._running: weakref.ref[Generator[Block]] | None = None
        self._child: DecoderProcess | None = None
        self._halted = False
        self.warnings: tuple[str, ...] = ()

    @abstractmethod
    def _decode(self) -> Generator[Block]:
        """Run the decoder process and yield what it decodes."""

    def __iter__(self) -> Iterator[Block]:
        """Decode from the start.

        Raises:
            GrjcaError: Nothing decodes that should, the file is gone, or the decoder stalls or
                exceeds its limit; the cause is in the decoder's own words.
        """
        self.close()
        self._halted = False
        running = self._decode()
        self._running = weakref.ref(running)
        return running

    @contextlib.contextmanager
    def _within_reach(self, process: DecoderProcess) -> Iterator[DecoderProcess]:
        """The process as a context, and while it lasts :meth:`halt` can end it."""
        with process:
            self._child = process
            if self._halted:
                process.kill()
            try:
                yield process
            finally:
                self._child = None

    def halt(self) -> None:
        """End the decoder process from another thread than the one that loops.

        The loop then ends soon, with or without an error; what it says is worth nothing.
        """
        self._halted = True
        if (child := self._child) is not None:
            child.kill()

    def close(self) -> None:
        """End the decoder process, if one runs."""
        running = self._running() if self._running is not None else None
        if running is not None:
            running.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
