"""Reading ahead: what comes next is made in a thread while the caller works on what it has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Made = TypeVar("Made")


def ahead(calls: Iterable[Callable[[], Made]]) -> Iterator[Made]:
    """The results of calls, in their order; one is made ahead of the caller.

    No more than two results are alive at a time, besides those that the caller keeps.

    Args:
        calls: Each is made once, in one thread beside the caller's.

    Raises:
        Exception: What a call raises, where its result would have come.
    """
    with ThreadPoolExecutor(1, "ahead") as maker:
        remaining = iter(calls)
        coming = [maker.submit(call) for call in _first(remaining)]
        while coming:
            made = coming.pop().result()
            coming += [maker.submit(call) for call in _first(remaining)]
            yield made


def _first(calls: Iterator[Callable[[], Made]]) -> list[Callable[[], Made]]:
    for call in calls:
        return [call]
    return []
