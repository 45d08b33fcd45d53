"""What all commands say alike: how much is told while they work, and an example in their help."""

from __future__ import annotations

import contextlib
import functools
import logging
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click

Command = Callable[..., Any]

_quiet = click.option("--quiet", is_flag=True, help="No progress bar.")
_verbose = click.option(
    "--verbose", is_flag=True,
    help="Tell on standard error what is done, how long it took, and what libraries log.",
)  # fmt: skip


def loudness(command: Command) -> Command:
    """The options ``--quiet``, which the command is given as ``quiet``, and ``--verbose``."""
    return _quiet(_verbose(_told(command)))


def loudness_without_bar(command: Command) -> Command:
    """The same for a command that draws no bar: ``--quiet`` is taken, and changes nothing."""

    @functools.wraps(command)
    def run(*args: Any, quiet: bool, **kwargs: Any) -> Any:  # noqa: ARG001
        return command(*args, **kwargs)

    return _quiet(_verbose(_told(run)))


def example(*lines: str) -> str:
    """The end of a command's help: lines as they are typed."""
    return "\n".join(["\b", "Example:", *(f"  {line}" for line in lines)])


def _told(command: Command) -> Command:
    @functools.wraps(command)
    def run(*args: Any, verbose: bool, **kwargs: Any) -> Any:
        with _telling() if verbose else contextlib.nullcontext():
            return command(*args, **kwargs)

    return run


@contextlib.contextmanager
def _telling() -> Iterator[None]:
    """Show log records from INFO on, for a while; a bar is not cut in two by them."""
    root, handler = logging.getLogger(), _AroundBars()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s", "%H:%M:%S"))
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.setLevel(before)
        root.removeHandler(handler)


class _AroundBars(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        tqdm.write(self.format(record), file=sys.stderr)
