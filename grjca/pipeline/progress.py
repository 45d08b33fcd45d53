"""One bar over a whole run: clips done, frames a second, the time that is left, failures."""

from __future__ import annotations

import logging
import math
import sys
import time as clock
from types import TracebackType
from typing import Never, Self

from tqdm import tqdm

from grjca.pipeline.outcome import ClipOutcome

logger = logging.getLogger(__name__)

LOG_EVERY = 10.0
"""Seconds between two lines where standard error is a file."""

ALONE = 60.0
"""Seconds without any worker after which that is said once."""


class Progress:
    """Counts rows in the midst of clips too; use as a context manager.

    The time left is told from bytes: how many of the clips' sources are worked through, of which
    the part of a clip in hand is known by its rows and by the rows a byte gave so far.
    """

    def __init__(self, total: int, known: int, size: int, *, shown: bool) -> None:
        """Begin.

        Args:
            total: Clips in all.
            known: Those whose outcome is known before anything is computed.
            size: Bytes of the sources to work through.
            shown: Whether a bar is drawn on standard error.
        """
        self._shown = shown
        self._every = 0.2 if sys.stderr.isatty() else LOG_EVERY
        self._draw_at = 0.0
        self._size = size
        self._began = clock.monotonic()
        self._rows = self._rows_of_ended = self._bytes = self._bytes_with_rows = 0
        self._in_hand: dict[str, int] = {}
        self._workers: int | None = None
        self._alone_since = 0.0
        self._bar: tqdm[Never] = tqdm(
            total=total, initial=known, unit="clip", desc="extract", disable=not shown,
            dynamic_ncols=True, mininterval=self._every,
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]",
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def rows(self, clip: str, rows: int) -> None:
        """Note that a clip in hand has come to so many rows."""
        self._rows += rows - self._in_hand.get(clip, 0)
        self._in_hand[clip] = rows
        self._tell()

    def more_rows(self, clip: str, rows: int) -> None:
        """Note that a clip in hand has come so many rows further."""
        self.rows(clip, self._in_hand.get(clip, 0) + rows)

    def workers(self, number: int) -> None:
        """Note how many workers there are; it is only told while there are none."""
        if number != self._workers:
            self._workers = number
            self._alone_since = clock.monotonic()
            self._tell()
        if number == 0 and clock.monotonic() > self._alone_since + ALONE:
            self._alone_since = math.inf
            if self._shown:
                self._bar.write(
                    f"warning: no worker has come for {ALONE:.0f} s; see the queue of the cluster "
                    "and the output of its jobs",
                    file=sys.stderr,
                )

    def tell(self, outcome: ClipOutcome) -> None:
        """Show a failure as it happens, and log what became of the clip."""
        logger.info("%s", _described(outcome))
        if outcome.error and self._shown:
            self._bar.write(f"error: {outcome.error['message']}", file=sys.stderr)

    def ended(self, outcome: ClipOutcome, size: int) -> None:
        """Note a clip's outcome.

        Args:
            outcome: What became of it.
            size: Bytes of its source.
        """
        self._rows -= self._in_hand.pop(outcome.clip, 0)
        self._bytes += size
        if outcome.status == "done":
            self._rows += outcome.rows
            self._rows_of_ended += outcome.rows
            self._bytes_with_rows += size
        self.tell(outcome)
        self._tell()
        self._bar.update()

    def given_back(self, clip: str) -> None:
        """Note that a clip is left to another run for now."""
        self._rows -= self._in_hand.pop(clip, 0)

    def seconds_left(self) -> float | None:
        """Seconds that the rest takes at the speed so far; None while nothing tells."""
        passed = clock.monotonic() - self._began
        done = float(self._bytes)
        if self._rows_of_ended:
            per_row = self._bytes_with_rows / self._rows_of_ended
            done += per_row * sum(self._in_hand.values())
        # The last clip in hand may have more rows for its bytes than the others had.
        return passed * (self._size - done) / done if 0 < done < self._size else None

    def _tell(self) -> None:
        if not self._shown:
            return
        if self._workers == 0:
            told = "waiting for workers"
        else:
            told = f"{self._rows / max(clock.monotonic() - self._began, 1e-3):.0f} frames/s"
            left = self.seconds_left()
            told += f", {self._bar.format_interval(left)} left" if left is not None else ""
        self._bar.set_postfix_str(told, refresh=False)
        now = clock.monotonic()
        if now >= self._draw_at:
            self._draw_at = now + self._every
            self._bar.refresh()


def _described(outcome: ClipOutcome) -> str:
    told = f"{outcome.clip}: {outcome.status} in {outcome.seconds:.2f} s"
    if outcome.rows:
        told += f", {outcome.rows} rows"
    if outcome.computed:
        told += f"; computed {', '.join(outcome.computed)}"
    shares = {"face": outcome.faces, "sound": outcome.sound}
    told += "".join(f"; {name} {share:.0%}" for name, share in shares.items() if share is not None)
    return "; ".join([told, *outcome.warnings])
