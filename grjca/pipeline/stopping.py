"""The first SIGINT or SIGTERM ends a run cleanly, the second one at once.

Python raises in the midst of whatever it does, and drops what is raised while it clears a weak
reference or runs a finaliser. So who works in a loop also asks :func:`check` now and then.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StoppedError(KeyboardInterrupt):
    """A signal asked for the end.

    Attributes:
        signal: Which.
        code: Exit code by which shells know it: 130 after Ctrl-C, 143 after SIGTERM.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = signal.Signals(number)
        self.code = 128 + number


class Stopper:
    """Raises :class:`StoppedError` at the first signal.

    Use as a context manager; the handlers before it come back when it is left. Outside a
    program's main thread, where signals cannot be had, it does nothing.

    Args:
        patient: Further signals do nothing; else the second one ends the process on the spot.

    Attributes:
        caught: The first signal, once there was one.
    """

    def __init__(self, *, patient: bool = False) -> None:
        self._patient = patient
        self.caught: int | None = None
        self._before: dict[int, object] = {}

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.caught is not None:
            if self._patient:
                return
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.caught = number
        raise StoppedError(number)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self) for number in SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]


def check() -> None:
    """Raise again what a signal has raised before, if that was dropped on its way.

    Raises:
        StoppedError: The :class:`Stopper` in force has caught a signal.
    """
    for number in SIGNALS:
        handler = signal.getsignal(number)
        if isinstance(handler, Stopper) and handler.caught is not None:
            raise StoppedError(handler.caught)
