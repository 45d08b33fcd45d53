"""``grjca overlay``."""

from __future__ import annotations

from pathlib import Path

import click

from grjca.commands.talking import example, loudness


@click.command(
    epilog=example(
        "grjca predict talk.mp4 --checkpoint run --out predictions --store features",
        "grjca overlay talk.mp4 --predictions predictions --store features --out seen.mp4",
    )
)
@click.argument("video", type=click.Path(path_type=Path))
@click.option(
    "--predictions", required=True, type=click.Path(path_type=Path), metavar="TABLE|FOLDER",
    help="What grjca predict wrote: a table, or the folder.",
)  # fmt: skip
@click.option(
    "--out", required=True, type=click.Path(path_type=Path),
    help="The video to write: .mp4, .mov or .mkv.",
)  # fmt: skip
@click.option(
    "--store", type=click.Path(path_type=Path),
    help="The store that the predictions were made from; tells box and landmarks.",
)  # fmt: skip
@click.option(
    "--labels", type=click.Path(path_type=Path), help="Annotations to draw beside the predictions."
)
@click.option("--overwrite", is_flag=True, help="Replace a video that --out names.")
@loudness
def overlay(
    video: Path,
    predictions: Path,
    out: Path,
    store: Path | None,
    labels: Path | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Draw predictions into the video they were made from.

    Box and landmarks of the face, valence and arousal, and their plane with the last two seconds;
    every frame at its own time, with the sound as it was.
    """
    from tqdm import tqdm

    from grjca.overlay.job import overlay as draw

    with tqdm(desc="overlay", unit="frame", disable=quiet) as bar:
        result = draw(
            video, predictions, out, store=store, labels=labels, overwrite=overwrite,
            begin=bar.reset, progress=bar.update,
        )  # fmt: skip
    for note in result.notes:
        click.echo(f"note: {note}", err=True)
    click.echo(f"{result.out}  {result.frames} frames from {result.table}")
