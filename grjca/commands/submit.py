"""``grjca submit``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from grjca.commands.smooth import SmoothWidths
from grjca.commands.talking import example, loudness


@click.command(
    epilog=example(
        "grjca submit --checkpoint run --store features --list sample.txt --out predictions.txt",
    )
)
@click.option(
    "--checkpoint", "checkpoints", required=True, multiple=True, type=click.Path(path_type=Path),
    help="Folder of a run; several are averaged, a run per dimension is fine.",
)  # fmt: skip
@click.option("--store", required=True, type=click.Path(path_type=Path), help="Feature store.")
@click.option(
    "--list", "sample_list", required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The challenge's sample list: a line per frame.",
)  # fmt: skip
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write."
)
@click.option(
    "--fill", type=click.Choice(["error", "nearest"]), default="error", show_default=True,
    help="Frames of the list that the store has no row of.",
)  # fmt: skip
@click.option(
    "--smooth", type=SmoothWidths("none"), default="none", show_default=True,
    metavar="none|SECONDS|valence=SECONDS,...",
    help="Moving mean over predictions, as wide as 'evaluate --smooth auto' found best.",
)  # fmt: skip
@loudness
def submit(
    checkpoints: tuple[Path, ...],
    store: Path,
    sample_list: Path,
    out: Path,
    fill: Literal["error", "nearest"],
    smooth: str | float | dict[str, float],
    quiet: bool,
) -> None:
    """Write predictions in the form of the ABAW valence-arousal challenge."""
    from grjca.evaluation.run import submit as run

    written = run(
        checkpoints, store, sample_list, out, fill=fill,
        smooth=0.0 if isinstance(smooth, str) else smooth, progress=not quiet,
    )  # fmt: skip
    click.echo(f"{out}  {written} lines")
