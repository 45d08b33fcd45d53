"""What picture and sound decoders share: started by a loop, ended with it."""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

Block = TypeVar("Block")


class Decoder(ABC, Generic[Block]):
    """Iterates over decoded blocks; each loop decodes anew, and only one runs at a time.

    Use it as a context manager; leaving it, or the loop, ends the process.

    Attributes:
        warnings: After the last block: what the decoder complained of, each kind once.
    """

    def __init__(self) -> None:
        # Weak, so that a loop left without a context manager ends the process at once.
        self._running: weakref.ref[Generator[Block]] | None = None
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
        running = self._decode()
        self._running = weakref.ref(running)
        return running

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
