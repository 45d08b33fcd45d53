"""``python -m demo.make FOLDER``: the demo's clips and labels alone, for the tutorial."""

from __future__ import annotations

from pathlib import Path

import click

from demo.clips import build_clips
from grjca.errors import GrjcaError

SEED = 3407


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--quick", is_flag=True, help="Six clips of 4 s instead of thirty-two of 13 s.")
def main(folder: Path, quick: bool) -> None:
    """Make FOLDER/clips/SUBJECT/talk.mp4 and FOLDER/labels.csv: synthetic talking faces."""
    try:
        made = build_clips(folder, seed=SEED, quick=quick)
    except GrjcaError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{len(made.train)} clips to train on and {len(made.unseen)} others in {made.clips}")
    click.echo(f"labels of every frame in {made.labels}")


if __name__ == "__main__":
    main()
