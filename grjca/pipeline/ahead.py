"""Work ahead: what an iterator computes, computed in a thread while its user does something else.

The stages spend their time in ffmpeg, onnxruntime and torch, which all let go of Python's lock, so
that two threads keep two cores busy with one clip. Items come in their order and are computed one
at a time, each stage by one thread: the result does not depend on how the threads take turns.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")


class Ahead(Generic[Item]):
    """Computes the items of an iterable in a thread of its own, a little before they are taken.

    Use it as a context manager, and iterate over it once. Leaving it ends the thread, also in the
    midst of the items; a generator that is given is closed in that thread.
    """

    def __init__(
        self, items: Iterable[Item], halt: Callable[[], None] | None = None, *, depth: int = 1
    ) -> None:
        """Prepare; nothing is computed before the context is entered.

        Args:
            items: What to compute. Nothing else may use it meanwhile.
            halt: Called, from another thread, when no more items are wanted; makes an item that
                may be long in coming end soon. It may be called more than once.
            depth: Most items that lie ready; one more is in the making.
        """
        self._items = items
        self._halt = halt
        self._depth = depth
        self._ready: deque[Item] = deque()
        self._changed = threading.Condition()
        self._ended = self._stopped = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._compute, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._thread.join()

    def __iter__(self) -> Iterator[Item]:
        """The items, as they come.

        Raises:
            BaseException: Whatever computing the next item raised.
        """
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ready or self._ended or self._stopped)
                if not self._ready:
                    if self._error is not None and not self._stopped:
                        raise self._error
                    return
                item = self._ready.popleft()
                self._changed.notify_all()
            yield item
            # While it waits for the next one, this one's memory can go.
            del item

    def stop(self) -> None:
        """Ask for no more items; returns at once, may be called from any thread and repeated."""
        with self._changed:
            self._stopped = True
            self._ready.clear()
            self._changed.notify_all()
        if self._halt is not None:
            self._halt()

    def _compute(self) -> None:
        try:
            try:
                for item in self._items:
                    if not self._hand_over(item):
                        break
                    del item
            finally:
                if isinstance(self._items, Generator):
                    self._items.close()
        except BaseException as error:  # noqa: BLE001 - raised where the items are taken
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _hand_over(self, item: Item) -> bool:
        """Put an item where it is taken from, once there is room; false if it is not wanted."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._ready) < self._depth or self._stopped)
            if not self._stopped:
                self._ready.append(item)
                self._changed.notify_all()
            return not self._stopped
