"""``grjca predict``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import grjca
from grjca.commands import options
from grjca.commands.talking import example, loudness

if TYPE_CHECKING:
    from grjca.fusion.predictor import Prediction


@click.command(epilog=example("grjca predict videos --checkpoint run --out predictions --report"))
@click.argument("videos", nargs=-1, type=options.MediaPath(), metavar="[VIDEO]...")
@click.option(
    "--checkpoint", "checkpoints", required=True, multiple=True, type=click.Path(path_type=Path),
    help="Folder of a run; several are averaged.",
)  # fmt: skip
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
@click.option("--no-plots", is_flag=True, help="No pictures beside the tables.")
@click.option(
    "--report", "with_report", is_flag=True,
    help="Write report.html into --out: video, curves and faces of the clips of this run.",
)  # fmt: skip
@click.option("--embed", is_flag=True, help="With --report: put the videos into it; large.")
@click.option("--no-faces", is_flag=True, help="With --report: no pictures of faces.")
@options.root
@options.part
@options.placement
@click.option("--overwrite", is_flag=True, help="Predict anew what --out already holds.")
@loudness
@click.pass_context
def predict(
    ctx: click.Context,
    /,
    videos: tuple[str, ...],
    checkpoints: tuple[Path, ...],
    out: Path,
    table: str,
    store: Path | None,
    manifest: Path | None,
    faces: Any,
    no_plots: bool,
    with_report: bool,
    embed: bool,
    no_faces: bool,
    root: Path | None,
    part: Any,
    workers: int | None,
    scheduler: str | None,
    cluster: str | None,
    jobs: int | None,
    cluster_config: Path | None,
    dashboard: bool,
    overwrite: bool,
    quiet: bool,
    **files: str | None,
) -> None:
    """Predict valence and arousal for every frame of videos: a table and a picture per clip.

    A second run leaves out clips whose predictions by this model are there. Exit code 1: some
    clips failed, the others are there; 2: bad usage; 130 or 143: stopped by Ctrl-C or SIGTERM.
    """
    if (embed or no_faces) and not with_report:
        raise click.UsageError("--embed and --no-faces are about a page; add --report.")
    placement = options.placement_given(
        workers=workers, scheduler=scheduler, cluster=cluster, jobs=jobs,
        cluster_config=cluster_config, dashboard=dashboard,
    )  # fmt: skip
    with options.stoppable(ctx):
        result = grjca.predict(
            videos, checkpoints, out, manifest=manifest, store=store, root=root, faces=faces,
            weights=options.weights_given(**files), placement=placement, part=part, table=table,
            report=grjca.ReportConfig(embed, not no_faces) if with_report else None,
            plots=not no_plots, skip_done=not overwrite, take=_print, progress=not quiet,
        )  # fmt: skip
    shown = set() if quiet else {outcome.clip for outcome in result.extraction.failed}
    options.print_failures([out.error for out in result.failed if out.clip not in shown])
    made = len(result.files) - len(result.skipped)
    if result.failed or result.skipped or not made:
        already = f", {len(result.skipped)} already there" if result.skipped else ""
        click.echo(f"{made} predicted{already}, {len(result.failed)} failed")
    if result.models > 1:
        click.echo(f"mean of {result.models} models")
    page_failed = options.print_report(result.report) if result.report is not None else False
    if result.failed or page_failed:
        ctx.exit(1)


def _print(file: Path, prediction: Prediction) -> None:
    """One line per table as it is written, without cutting a progress bar in two."""
    from tqdm import tqdm

    means = ", ".join(
        f"{name} {value:+.2f}"
        for name, value in zip(prediction.names, prediction.values.mean(axis=0), strict=True)
    )
    tqdm.write(f"{file}  {len(prediction.time)} frames, mean {means}")
