"""``grjca import`` and ``grjca export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from grjca.commands import options
from grjca.commands.talking import example, loudness

if TYPE_CHECKING:
    from grjca.errors import GrjcaError


class _Clips(options.ClipsOrShare):
    """Clips' names separated by commas, or ``@list.txt``; a number is a name too."""

    name = "CLIPS"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[str]:
        given = super().convert(value, param, ctx)
        return [str(value)] if isinstance(given, float) else given


@click.command("import", epilog=example("grjca import mine.csv --store features"))
@click.argument("manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--store", required=True, type=click.Path(path_type=Path), help="Folder to fill.")
@click.option(
    "--visual-name", default="imported", show_default=True,
    help="Name in the store of visual features whose line gives none.",
)  # fmt: skip
@click.option(
    "--audio-name", default="imported", show_default=True, help="The same for audio features."
)
@click.option(
    "--align", type=click.Choice(["nearest", "linear"]),
    help="How features are brought to other rows.  [default: nearest, and only where a modality "
    "has times of its own]",
)  # fmt: skip
@click.option(
    "--zeros-are-missing", is_flag=True, help="A row of nothing but zeros counts as missing."
)
@click.option("--overwrite", is_flag=True, help="Replace other features of the same name.")
@loudness
@click.pass_context
def import_features(
    ctx: click.Context,
    manifest: Path,
    store: Path,
    visual_name: str,
    audio_name: str,
    align: Literal["nearest", "linear"] | None,
    zeros_are_missing: bool,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Import features made elsewhere: MANIFEST is a CSV with a line per clip (docs/store.md).

    A second run skips what is there. Exit code 1: some lines failed, the others are imported.
    """
    from grjca import exchange

    report = exchange.import_features(
        manifest, store, visual_name=visual_name, audio_name=audio_name, align=align,
        zeros_are_missing=zeros_are_missing, overwrite=overwrite, progress=not quiet,
    )  # fmt: skip
    for warning in report.warnings:
        click.echo(f"warning: {warning}", err=True)
    _finish(ctx, report.failed, report.summary())


@click.command("export", epilog=example("grjca export features --format npz --out shared"))
@click.argument("store", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--format", "form", default="npz", show_default=True,
    type=click.Choice(["npz", "csv", "parquet", "csd"]),
    help="A file per clip, or (csd, CMU computational sequence) one per embedder.",
)  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to fill.")
@click.option("--clips", type=_Clips(), help="Clips' names separated by commas, or @list.txt.")
@click.option("--visual", help="Visual embedder, if the store has several.")
@click.option("--audio", help="Audio embedder, if the store has several.")
@click.option(
    "--modality", type=click.Choice(["both", "visual", "audio"]), default="both",
    show_default=True, help="Write one modality alone.",
)  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Replace files that are there.")
@loudness
@click.pass_context
def export_features(
    ctx: click.Context,
    store: Path,
    form: str,
    out: Path,
    clips: list[str] | None,
    visual: str | None,
    audio: str | None,
    modality: Literal["both", "visual", "audio"],
    overwrite: bool,
    quiet: bool,
) -> None:
    """Write a store's features as npz, csv or parquet files, or as computational sequences.

    npz and csv come with a manifest that `grjca import` reads. Exit code 1: some clips failed.
    """
    from grjca import exchange

    report = exchange.export_features(
        store, out, form, clips=clips, visual=visual, audio=audio,
        overwrite=overwrite, progress=not quiet,
        modalities=("visual", "audio") if modality == "both" else (modality,),
    )  # fmt: skip
    _finish(ctx, report.failed, report.summary())


def _finish(ctx: click.Context, failed: list[GrjcaError], summary: str) -> None:
    for error in failed:
        click.echo(f"error: {error}", err=True)
    click.echo(summary)
    if failed:
        ctx.exit(1)
