"""``grjca verify``, ``grjca gc`` and ``grjca forget``: looking after a store."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from grjca.commands.talking import example, loudness, loudness_without_bar
from grjca.errors import GrjcaError, UsageError, one_line

if TYPE_CHECKING:
    from grjca.cache.forget import Search
    from grjca.cache.gc import Collected

_NOT_REACHED = (
    "not reached: the recordings (extracting them again brings the clips back), labels files, "
    "exported features, predictions and pages of them, checkpoints trained on these clips, copies "
    "of the store, and the report of a run that is still going; see docs/privacy.md"
)

_store = click.argument(
    "store", metavar="STORE", type=click.Path(exists=True, file_okay=False, path_type=Path)
)


@click.command(epilog=example("grjca verify features --root videos"))
@_store
@click.option(
    "--root", type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that clips are named relative to; sources found there are compared by content.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@loudness
@click.pass_context
def verify(ctx: click.Context, store: Path, root: Path | None, as_json: bool, quiet: bool) -> None:
    """Find damaged, stale and foreign files in a store; nothing is changed.

    Every number of every clip is read and compared with its checksum. A line per finding says
    what is wrong and what to do. Exit code 1 if there are any.
    """
    from tqdm import tqdm

    from grjca.cache.leftovers import clip_names
    from grjca.cache.verify import findings

    total = sum(1 for _ in clip_names(store))
    sources = dict(_sources(store, root)) if root is not None else None
    found = []
    with tqdm(total=total, desc="verify", unit="clip", disable=quiet) as bar:
        for finding in findings(store, sources=sources, progress=bar.update):
            found.append(finding)
            if not as_json:
                bar.write(str(finding), file=sys.stdout)
    counts = {kind: sum(f.kind == kind for f in found) for kind in ("damaged", "stale", "foreign")}
    if as_json:
        told = {"clips": total, "counts": counts, "findings": [asdict(f) for f in found]}
        click.echo(json.dumps(told, indent=2))
    else:
        click.echo(f"{_count(total)}: " + ", ".join(f"{n} {kind}" for kind, n in counts.items()))
    if found:
        ctx.exit(1)


def _sources(store: Path, root: Path) -> Iterator[tuple[str, Path]]:
    from grjca.cache.leftovers import clip_names

    for clip in clip_names(store):
        for name in (clip, clip.rpartition("@")[0]):
            if name and (root / name).is_file():
                yield name, root / name


@click.command(epilog=example("grjca gc features --keep visual/fer --keep audio/logmel --delete"))
@_store
@click.option(
    "--keep", multiple=True, metavar="GROUP",
    help="A group that stays, for example visual/fer; all groups not named go. Repeatable.",
)  # fmt: skip
@click.option("--delete", is_flag=True, help="Do it; otherwise what would go is only listed.")
@loudness
@click.pass_context
def gc(ctx: click.Context, store: Path, keep: tuple[str, ...], delete: bool, quiet: bool) -> None:
    """Remove groups that --keep does not name, and what killed runs left behind.

    Without --keep only leftovers go. Rows (frames) and faces always stay.
    """
    from tqdm import tqdm

    from grjca.cache.gc import gc as collect

    with tqdm(desc="gc", unit="clip", disable=quiet or not delete) as bar:
        collected = collect(store, keep, delete=delete, progress=bar.update)
    _print_collected(collected, store)
    if collected.failed:
        ctx.exit(1)


def _print_collected(collected: Collected, store: Path) -> None:
    verb = "removed" if collected.deleted else "would remove"
    for path in sorted(collected.clips):
        size = _megabytes(collected.bytes[path])
        click.echo(f"{verb} {path} from {_count(collected.clips[path])}, {size}")
    for stray in collected.strays:
        place = one_line(stray.path.relative_to(store).as_posix())
        click.echo(f"{verb} {place}: {stray.what}")
    for error in collected.failed:
        click.echo(f"error: {error}", err=True)
    count = len(collected.clips) + len(collected.strays)
    if not count:
        click.echo("nothing to remove")
    elif not collected.deleted:
        click.echo("nothing was changed; say --delete to do it")


def _count(clips: int) -> str:
    return "1 clip" if clips == 1 else f"{clips} clips"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


@click.command(epilog=example("grjca forget features --subject p7"))
@_store
@click.option("--subject", "subjects", multiple=True, help="The person, as the store has it.")
@click.option("--clip", "clips", multiple=True, help="A clip of the person. Repeatable.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@loudness_without_bar
@click.pass_context
def forget(
    ctx: click.Context, store: Path, subjects: tuple[str, ...], clips: tuple[str, ...], yes: bool
) -> None:
    """Remove a person everywhere in a store: clips, index, reports, temporary files.

    Clips carry a subject when a manifest gave it; name the clips where only a labels file knows.
    """
    from grjca.cache.forget import forget as remove
    from grjca.cache.forget import search

    if not subjects and not clips:
        raise UsageError("forget", "options", "nobody named", "Give --subject or --clip.")
    found = search(store, subjects=subjects, clips=clips)
    for error in found.unreadable:
        click.echo(f"error: {error} If it is of this person, name it with --clip.", err=True)
    if subjects and found.unknown:
        said = "1 other clip says nothing about its subject"
        if found.unknown > 1:
            said = f"{found.unknown} other clips say nothing about their subject"
        click.echo(f"{said}; if only a labels file knows it, use --clip")
    if not found.clips:
        raise GrjcaError("forget", ", ".join(subjects), "no clip of this subject in the store",
                         "Subjects are compared as written, case included.")  # fmt: skip
    _ask(found, yes)
    done = remove(store, found)
    for clip in done.clips:
        click.echo(f"removed {one_line(clip)}")
    for note in done.notes:
        click.echo(f"removed {one_line(note)}, which may name clips")
    for error in done.failed:
        click.echo(f"error: {error}", err=True)
    click.echo(_NOT_REACHED)
    if done.failed or found.unreadable:
        ctx.exit(1)


def _ask(found: Search, yes: bool) -> None:
    """Have the removal confirmed."""
    if yes:
        return
    names = found.names
    for clip in names:
        click.echo(f"  {one_line(clip)}")
    if not sys.stdin.isatty():
        raise UsageError("forget", "options", f"{_count(len(names))} would be removed for good",
                         "Say --yes where nobody can be asked.")  # fmt: skip
    click.confirm(f"Remove {_count(len(names))} for good?", abort=True)
