"""``grjca pack``: a store of a file per clip into shards, and back."""

from __future__ import annotations

import re
from pathlib import Path

import click

from grjca.commands.talking import example, loudness

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 2**10, "mi": 2**20, "gi": 2**30}
_SMALLEST = 1 << 16


class Size(click.ParamType[int]):
    """A number of bytes, with or without a unit: ``512MiB``, ``2G``."""

    name = "SIZE"

    def convert(
        self, value: str | int, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Read it."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]i?)?b?", str(value).strip().lower())
        size = int(float(found[1]) * _UNITS[found[2] or ""]) if found else 0
        if size < _SMALLEST:
            self.fail(f"{value} is not a size of at least 64KiB, like 512MiB or 1GiB", param, ctx)
        return size


@click.command(epilog=example("grjca pack features --out packed"))
@click.argument(
    "store", metavar="STORE", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the packed store.",
)  # fmt: skip
@click.option(
    "--shard-size", type=Size(), default="1GiB", show_default=True,
    help="About how large a shard is, for example 512MiB.",
)  # fmt: skip
@click.option("--prune", is_flag=True, help="Remove packed clips that STORE has no longer.")
@click.option(
    "--unpack", is_flag=True, help="The other way: STORE is packed, --out gets a file per clip."
)
@loudness
@click.pass_context
def pack(
    ctx: click.Context,
    store: Path,
    out: Path,
    shard_size: int,
    prune: bool,
    unpack: bool,
    quiet: bool,
) -> None:
    """Gather a store's clips into a few large files, which are read faster.

    A second run adds what is new and packs anew what has changed. STORE stays as it is. Exit code
    1 if clips failed; the others are packed.
    """
    from tqdm import tqdm

    from grjca.cache.leftovers import clip_names

    total = sum(1 for _ in clip_names(store))
    with tqdm(total=total, desc=ctx.info_name, unit="clip", disable=quiet) as bar:
        if unpack:
            from grjca.cache.unpacking import unpack as undo

            undone = undo(store, out, progress=bar.update)
            told, failed = undone.summary(), undone.failed
        else:
            from grjca.cache.packing import pack as gather

            done = gather(store, out, shard_bytes=shard_size, prune=prune, progress=bar.update)
            told, failed = done.summary(), done.failed
    for error in failed:
        click.echo(f"error: {error}", err=True)
    click.echo(told)
    if failed:
        ctx.exit(1)
