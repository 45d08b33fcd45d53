"""``grjca predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import grjca
from grjca.commands import options


@click.command()
@click.argument("videos", nargs=-1, metavar="[VIDEO]...")
@click.option(
    "--checkpoint", required=True, type=click.Path(path_type=Path), help="Folder of a run."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to fill.")
@click.option(
    "--format", "table", type=click.Choice(["csv", "json", "parquet"]), default="csv",
    show_default=True, help="Form of the tables.",
)  # fmt: skip
@click.option(
    "--store", type=click.Path(path_type=Path),
    help="Keep the features in this store, and use what it holds.",
)  # fmt: skip
@options.manifest
@options.faces
@options.weights("detector", "face detector")
@options.weights("visual", "visual embedder")
@options.weights("audio", "audio embedder")
@click.option("--no-plots", is_flag=True, help="Tables only.")
@options.root
@options.workers
@options.quiet
@click.pass_context
def predict(
    ctx: click.Context,
    /,
    videos: tuple[str, ...],
    checkpoint: Path,
    out: Path,
    table: str,
    store: Path | None,
    manifest: Path | None,
    faces: Any,
    no_plots: bool,
    root: Path | None,
    workers: int | None,
    quiet: bool,
    **files: str | None,
) -> None:
    """Predict valence and arousal for every frame of videos: a table and a picture per clip."""
    result = grjca.predict(
        videos, checkpoint, out, manifest=manifest, store=store, root=root, faces=faces,
        weights=options.weights_given(**files), workers=workers, table=table,
        plots=not no_plots, progress=not quiet,
    )  # fmt: skip
    for clip, file in result.files.items():
        means = ", ".join(
            f"{name} {value:+.2f}"
            for name, value in zip(
                result.predictions[clip].names,
                result.predictions[clip].values.mean(axis=0),
                strict=True,
            )
        )
        click.echo(f"{file}  {len(result.predictions[clip].time)} frames, mean {means}")
    shown = set() if quiet else {outcome.clip for outcome in result.extraction.failed}
    options.print_failures([out.error for out in result.failed if out.clip not in shown])
    if result.failed:
        click.echo(f"{len(result.files)} predicted, {len(result.failed)} failed")
        ctx.exit(1)
