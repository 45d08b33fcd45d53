"""``grjca status``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from grjca.commands import options
from grjca.commands.talking import example, loudness_without_bar

if TYPE_CHECKING:
    from grjca.pipeline.status import Status

SHOWN = 10
"""How many of many are named to a person; a program gets them all."""


@click.command(epilog=example("grjca status features videos"))
@click.argument("store", metavar="STORE", type=click.Path(exists=True, file_okay=False,
                                                          path_type=Path))  # fmt: skip
@click.argument("paths", nargs=-1, type=options.MediaPath(), metavar="[PATH]...")
@options.manifest
@options.root
@click.option("--images", is_flag=True, help="Clips are folders of numbered images.")
@click.option("--hours", is_flag=True, help="Add up the clips' lengths; opens every file.")
@click.option(
    "--merge", is_flag=True,
    help="First merge the reports of parts into .grjca/last-run.json.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with every clip's name.")
@loudness_without_bar
@click.pass_context
def status(
    ctx: click.Context,
    store: Path,
    paths: tuple[str, ...],
    manifest: Path | None,
    root: Path | None,
    images: bool,
    hours: bool,
    merge: bool,
    as_json: bool,
) -> None:
    """Say what of a store is done, failed, missing or in hand, from its files alone.

    With PATH or --manifest as extract takes them, clips that are not there are missing. Exit
    code 0: all is done; 1: something failed, is missing or is still in hand.
    """
    from grjca.pipeline.merging import merge_reports
    from grjca.pipeline.status import status_of

    if merge:
        merge_reports(store)
    found = status_of(store, _wanted(paths, manifest, root, images), hours=hours)
    if as_json:
        import dataclasses
        import json

        told = {**dataclasses.asdict(found), "complete": found.complete}
        click.echo(json.dumps(told, indent=2))
    else:
        for line in _lines(store, found):
            click.echo(line)
    if not found.complete:
        ctx.exit(1)


def _wanted(
    paths: tuple[str, ...], manifest: Path | None, root: Path | None, images: bool
) -> set[str] | None:
    if not paths and manifest is None:
        return None
    from grjca.pipeline.batch import gather

    return set(gather(paths, manifest=manifest, root=root, images=images).clips)


def _lines(store: Path, found: Status) -> Iterator[str]:
    hours = "" if found.hours is None else f", {found.hours:.2f} hours"
    yield f"{store}: {found.clips} clips done, {found.rows} rows{hours}"
    for group, lacking in found.lacking.items():
        there = f"  {group}: {found.clips - len(lacking)} of {found.clips}"
        yield there + (f"; not {_some(lacking)}" if lacking else "")
    if found.failed:
        yield f"{len(found.failed)} failed"
        yield from (f"  {failure.message}" for failure in found.failed[:SHOWN])
        yield from _more(len(found.failed))
    if found.missing is not None:
        yield f"{len(found.missing)} missing" + (
            f": {_some(found.missing)}" if found.missing else ""
        )
    if found.in_hand:
        yield f"{len(found.in_hand)} in hand"
        for held in found.in_hand[:SHOWN]:
            state = "" if held.alive else "; gone, the next run takes it over"
            yield f"  {held.clip}: {held.owner}, last heard of {held.silent:.0f} s ago{state}"
        yield from _more(len(found.in_hand))
    if found.parts is not None:
        ended = found.parts - len(found.unfinished)
        yield f"{ended} of {found.parts} parts have ended" + (
            f"; not {_some([str(number) for number in found.unfinished])}"
            if found.unfinished else ""
        )  # fmt: skip
    elif found.interrupted:
        yield "the last run was stopped before its end"


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _more(count: int) -> Iterator[str]:
    if count > SHOWN:
        yield f"  and {count - SHOWN} more; --json names all"
