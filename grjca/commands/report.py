"""``grjca report``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from grjca.commands import options
from grjca.commands.talking import example, loudness


@click.command(
    epilog=example(
        "grjca report predictions --videos videos --store features --out report.html",
    )
)
@click.argument("source", metavar="PREDICTIONS|RUN", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path),
    help="The page; those of many clips lie beside it.  [default: report.html in the folder]",
)  # fmt: skip
@click.option(
    "--videos", type=click.Path(path_type=Path),
    help="Folder in which the clips' videos lie, by the clips' paths.",
)  # fmt: skip
@click.option("--embed", is_flag=True, help="Put the videos into the pages; large.")
@click.option("--labels", type=click.Path(path_type=Path), help="Annotations, as for train.")
@click.option(
    "--label-delay", type=float, default=0.0, metavar="SECONDS",
    help="How long annotations come after what they are about.",
)  # fmt: skip
@click.option(
    "--align", type=click.Choice(["error", "truncate"]), default="error", show_default=True,
    help="Rows of labels that do not match the frames.",
)  # fmt: skip
@click.option(
    "--store", type=click.Path(path_type=Path), help="Feature store, from which the faces come."
)
@click.option("--no-faces", is_flag=True, help="No pictures of faces.")
@click.option(
    "--evaluation", type=click.Path(path_type=Path), metavar="JSON",
    help="Of a RUN: what evaluate --json wrote.  [default: those in the folder]",
)  # fmt: skip
@loudness
@click.pass_context
def report(
    ctx: click.Context,
    /,
    source: Path,
    no_faces: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Make a page to look at: predictions beside the video, or how a training went.

    A browser opens it from the disk; it loads nothing from any network.
    """
    from grjca.reporting import make_report

    made = make_report(source, faces=not no_faces, progress=not quiet, **given)
    if options.print_report(made):
        ctx.exit(1)
