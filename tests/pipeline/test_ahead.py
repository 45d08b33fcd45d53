"""Items computed in a thread of their own: order, errors, and the end of the thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from media_makers import make_clip

from grjca.pipeline.ahead import Ahead
from grjca.pipeline.pictures import Media
from grjca.pipeline.source import ClipSource


def numbers(count: int, made: list[int]) -> Iterator[int]:
    for number in range(count):
        made.append(number)
        yield number


def test_items_come_in_order_and_a_few_are_made_ahead() -> None:
    made: list[int] = []
    with Ahead(numbers(20, made), depth=2) as ahead:
        items = iter(ahead)
        assert next(items) == 0
        time.sleep(0.1)
        # One taken, two ready, one in the making.
        assert made == [0, 1, 2, 3]
        assert list(items) == list(range(1, 20))


def test_an_error_comes_after_the_items_before_it() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise RuntimeError("the second")

    with Ahead(failing()) as ahead:
        items = iter(ahead)
        assert next(items) == 1
        with pytest.raises(RuntimeError, match="the second"):
            next(items)


def test_leaving_early_closes_the_generator_in_its_thread_and_ends_it() -> None:
    closed: list[threading.Thread] = []

    def endless() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.append(threading.current_thread())

    with Ahead(endless()) as first, Ahead(first, first.stop) as second:
        next(iter(second))
    assert len(closed) == 1
    assert closed[0] is not threading.main_thread()
    assert not closed[0].is_alive()


def test_halting_ends_an_item_that_would_be_long_in_coming() -> None:
    halted = threading.Event()

    def waiting() -> Iterator[int]:
        yield 0
        halted.wait(60)

    began = time.monotonic()
    with Ahead(waiting(), halted.set) as ahead:
        next(iter(ahead))
    assert time.monotonic() - began < 30


def test_a_clip_left_in_its_midst_leaves_no_decoder_and_can_be_decoded_again(
    tmp_path: Path,
) -> None:
    media = Media(ClipSource(make_clip(tmp_path / "clip.mp4", frames=100)))
    before = threading.active_count()
    with media.frames() as frames:
        first = next(iter(frames))
    assert threading.active_count() == before
    with media.frames() as frames:
        again = list(frames)
    assert sum(map(len, again)) == 100
    assert (again[0].frames == first.frames).all()
