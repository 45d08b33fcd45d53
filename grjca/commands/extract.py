"""``grjca extract``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import grjca
from grjca.commands import options
from grjca.commands.talking import example, loudness


@click.command(epilog=example("grjca extract videos --store features"))
@click.argument("paths", nargs=-1, type=options.MediaPath(), metavar="[PATH]...")
@click.option("--store", required=True, type=click.Path(path_type=Path), help="Folder to fill.")
@options.manifest
@options.component("detector", "Face detector")
@options.component("visual", "Visual embedder")
@options.component("audio", "Audio embedder")
@options.weights("detector", "face detector")
@options.weights("visual", "visual embedder")
@options.weights("audio", "audio embedder")
@options.faces
@click.option(
    "--fps", type=click.FloatRange(0, 1000, min_open=True),
    help="Rows per second.  [default: one row per frame]",
)  # fmt: skip
@click.option(
    "--audio-hop", type=click.FloatRange(0), metavar="SECONDS",
    help="Embed sound this often and interpolate between; 0: at every row.  [default: 0, but "
    "0.1 for egemaps]",
)  # fmt: skip
@click.option(
    "--video-stream", type=click.IntRange(0), metavar="N",
    help="Which picture stream, counted from 0.  [default: the file's default one]",
)  # fmt: skip
@click.option(
    "--audio-stream", type=click.IntRange(0), metavar="N",
    help="Which sound stream, counted from 0.  [default: the file's default one]",
)  # fmt: skip
@click.option("--images", is_flag=True, help="Clips are folders of numbered images.")
@click.option(
    "--sound", type=click.Path(exists=True, path_type=Path), metavar="VIDEO|FOLDER",
    help="With --images: the raw videos, for sound and times.",
)  # fmt: skip
@click.option("--keep-crops", is_flag=True, help="Store the face crops for later embedders.")
@options.root
@options.part
@options.placement
@click.option("--overwrite", is_flag=True, help="Compute anew what the store already holds.")
@click.option(
    "--json", "report", type=click.Path(dir_okay=False, path_type=Path),
    help="Write the run's report to this file.",
)  # fmt: skip
@loudness
@click.pass_context
def extract(
    ctx: click.Context,
    /,
    paths: tuple[str, ...],
    store: Path,
    manifest: Path | None,
    detector: str,
    visual: str,
    audio: str,
    faces: Any,
    fps: float | None,
    audio_hop: float | None,
    video_stream: int | None,
    audio_stream: int | None,
    images: bool,
    sound: Path | None,
    keep_crops: bool,
    root: Path | None,
    part: Any,
    workers: int | None,
    scheduler: str | None,
    cluster: str | None,
    jobs: int | None,
    cluster_config: Path | None,
    dashboard: bool,
    overwrite: bool,
    report: Path | None,
    quiet: bool,
    **files: str | None,
) -> None:
    """Extract features of videos into a store of HDF5 files, one per clip.

    PATH is a file, a folder (searched recursively) or @list.txt with a path per line. A second
    run skips what is done. Exit code 1: some clips failed, the others are there; 2: bad usage; 130
    or 143: stopped by Ctrl-C or SIGTERM, with the report written.
    """
    from grjca.pipeline.config import ExtractConfig

    placement = options.placement_given(
        workers=workers, scheduler=scheduler, cluster=cluster, jobs=jobs,
        cluster_config=cluster_config, dashboard=dashboard,
    )  # fmt: skip
    given = options.weights_given(**files)
    named = {"detector": detector, "visual": visual, "audio": audio}
    for kind in given:
        options.check_takes_file(kind, named[kind])
    config = ExtractConfig(
        detector, visual, audio, {kind: {"file": file} for kind, file in given.items()},
        fps=fps, faces=faces, keep_crops=keep_crops, audio_hop=audio_hop,
    )  # fmt: skip
    with options.stoppable(ctx):
        result = grjca.extract(
            paths, store, config, manifest=manifest, root=root, images=images, sound=sound,
            video_stream=video_stream, audio_stream=audio_stream,
            placement=placement, part=part, overwrite=overwrite, progress=not quiet,
        )  # fmt: skip
    if report is not None:
        result.write(report)
    options.print_failures([outcome.error for outcome in result.failed] if quiet else [])
    click.echo(result.summary())
    if result.failed:
        ctx.exit(1)
