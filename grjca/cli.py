"""The commands: parse, call the library, print."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import click

import grjca
from grjca.errors import GrjcaError, UsageError
from grjca.stages.catalog import names

if TYPE_CHECKING:
    from grjca.cache.store import ClipSummary
    from grjca.fusion.trainer import TrainResult

STOPPED = 130
"""Exit code after Ctrl-C or SIGTERM, as shells use it."""


class _Commands(click.Group):
    """Turns what the library raises into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        signal.signal(signal.SIGTERM, _stop)
        try:
            return super().invoke(ctx)
        except GrjcaError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(2 if isinstance(error, UsageError) else 1)
        except KeyboardInterrupt:
            click.echo("stopped; what is finished stays, run again to continue", err=True)
            ctx.exit(STOPPED)


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    # A batch system's SIGTERM ends a run as Ctrl-C does: cleanly, with the report written.
    raise KeyboardInterrupt


class _ClipsOrShare(click.ParamType[float | list[str]]):
    """A share such as 0.2, clips' names separated by commas, or ``@list.txt``."""

    name = "CLIPS|SHARE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | list[str]:
        text = str(value)
        try:
            return float(text)
        except ValueError:
            pass
        if text.startswith("@"):
            try:
                return [line for line in Path(text[1:]).read_text().splitlines() if line.strip()]
            except OSError as error:
                self.fail(f"{text[1:]}: {error.strerror}", param, ctx)
        return [name for name in text.split(",") if name]


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(grjca.__version__, prog_name="grjca")
def main() -> None:
    """Videos of people into features, features into continuous valence and arousal."""


_paths = click.argument("paths", nargs=-1, required=True, metavar="PATH...")
_workers = click.option(
    "--workers", type=click.IntRange(1), help="Processes side by side.  [default: one per core]"
)
_root = click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that clips are named relative to.",
)
_quiet = click.option("--quiet", is_flag=True, help="No progress bar.")


@main.command()
@_paths
@click.option("--store", required=True, type=click.Path(path_type=Path), help="Folder to fill.")
@click.option(
    "--detector", default=names("detector")[0], show_default=True,
    type=click.Choice(names("detector")), help="Face detector.",
)  # fmt: skip
@click.option(
    "--visual", default=names("visual")[0], show_default=True,
    type=click.Choice(names("visual")), help="Visual embedder.",
)  # fmt: skip
@click.option(
    "--audio", default=names("audio")[0], show_default=True,
    type=click.Choice(names("audio")), help="Audio embedder.",
)  # fmt: skip
@_root
@_workers
@click.option("--overwrite", is_flag=True, help="Compute anew what the store already holds.")
@click.option(
    "--json", "report", type=click.Path(dir_okay=False, path_type=Path),
    help="Write the run's report to this file.",
)  # fmt: skip
@_quiet
@click.pass_context
def extract(
    ctx: click.Context,
    paths: tuple[str, ...],
    store: Path,
    detector: str,
    visual: str,
    audio: str,
    root: Path | None,
    workers: int | None,
    overwrite: bool,
    report: Path | None,
    quiet: bool,
) -> None:
    """Extract features of videos into a store of HDF5 files, one per clip.

    PATH is a file, a folder (searched recursively) or @list.txt with a path per line. A second
    run skips what is done. Exit code 1: some clips failed, the others are there; 2: bad usage.
    """
    from grjca.pipeline.config import ExtractConfig

    config = ExtractConfig(detector, visual, audio)
    result = grjca.extract(
        paths, store, config, root=root, workers=workers, overwrite=overwrite, progress=not quiet
    )
    if report is not None:
        result.write(report)
    _print_failures([outcome.error for outcome in result.failed] if quiet else [])
    click.echo(result.summary())
    if result.failed:
        ctx.exit(1)


@main.command()
@click.argument("path", metavar="STORE|FILE", type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def inspect(ctx: click.Context, path: Path, as_json: bool) -> None:
    """Show what a store, or one clip's file in it, holds."""
    from grjca.cache.inspect import summaries

    clips, failures = summaries(path)
    if as_json:
        from dataclasses import asdict

        text = json.dumps([asdict(clip) for clip in clips], indent=2)
        click.echo(text.replace("NaN", "null"))
    elif path.is_file():
        _print_clip(clips[0])
    else:
        _print_store(clips)
    for failure in failures:
        click.echo(f"error: {failure}", err=True)
    if failures:
        ctx.exit(1)


@main.command()
@click.option("--store", required=True, type=click.Path(path_type=Path), help="Feature store.")
@click.option(
    "--labels", required=True, type=click.Path(path_type=Path),
    help="Folder of Aff-Wild2 text files, or one CSV (clip,frame|time,valence,arousal).",
)  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option(
    "--val", type=_ClipsOrShare(), default="0.2", show_default=True,
    help="Validation: a share of the clips, names separated by commas, or @list.txt.",
)  # fmt: skip
@click.option(
    "--fusion", type=click.Choice(["grjca", "rjca", "concat"]), default="grjca", show_default=True
)
@click.option("--preset", default="small", show_default=True, help="Settings: small or paper.")
@click.option("--visual", help="Visual embedder, if the store has several.")
@click.option("--audio", help="Audio embedder, if the store has several.")
@click.option(
    "--modality", type=click.Choice(["both", "visual", "audio"]), default="both",
    show_default=True, help="Train on one modality alone.",
)  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), help="At most this many epochs.")
@click.option("--batch", type=click.IntRange(1), help="Windows per step.")
@click.option("--window", type=click.IntRange(1), help="Frames per window.")
@click.option("--hop", type=click.IntRange(1), help="Frames between windows.")
@click.option("--lr", type=click.FloatRange(0, min_open=True), help="Learning rate.")
@click.option("--seed", type=int, help="Seed of weights, dropout and order.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.")
@click.option("--overwrite", is_flag=True, help="Replace a run in --out.")
@_quiet
def train(
    store: Path,
    labels: Path,
    out: Path,
    val: float | list[str],
    fusion: str,
    preset: str,
    visual: str | None,
    audio: str | None,
    modality: str,
    overwrite: bool,
    quiet: bool,
    **settings: Any,
) -> None:
    """Train a fusion model on a store's features; the best checkpoint lands in --out."""
    config = {name: value for name, value in settings.items() if value is not None}
    if modality != "both":
        config["modalities"] = (modality,)
    result = grjca.train(
        store, labels, out, val=val, preset=preset, model={"fusion": fusion}, config=config,
        visual=visual, audio=audio, overwrite=overwrite, progress=not quiet,
    )  # fmt: skip
    _print_training(result)


@main.command()
@click.argument("videos", nargs=-1, required=True, metavar="VIDEO...")
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
@click.option("--no-plots", is_flag=True, help="Tables only.")
@_root
@_workers
@_quiet
@click.pass_context
def predict(
    ctx: click.Context,
    videos: tuple[str, ...],
    checkpoint: Path,
    out: Path,
    table: str,
    store: Path | None,
    no_plots: bool,
    root: Path | None,
    workers: int | None,
    quiet: bool,
) -> None:
    """Predict valence and arousal for every frame of videos: a table and a picture per clip."""
    result = grjca.predict(
        videos, checkpoint, out, store=store, root=root, workers=workers, table=table,
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
    _print_failures([out.error for out in result.failed if out.clip not in shown])
    if result.failed:
        click.echo(f"{len(result.files)} predicted, {len(result.failed)} failed")
        ctx.exit(1)


def _print_failures(errors: Sequence[dict[str, str] | None]) -> None:
    for error in errors:
        if error is not None:
            click.echo(f"error: {error['message']}", err=True)


def _print_training(result: TrainResult) -> None:
    reached = ", ".join(f"{name} {value:.3f}" for name, value in result.best_ccc.items())
    click.echo(f"best epoch {result.best_epoch} of {len(result.rows)}: validation CCC {reached}")
    for name in ("model.safetensors", "metrics.csv", "config.yaml", "curves.png"):
        click.echo(f"  {result.out / name}")


def _print_store(clips: Sequence[ClipSummary]) -> None:
    width = max([len(clip.clip) for clip in clips] + [4])
    header = f"{'clip':{width}}  {'rows':>7}  {'seconds':>8}  {'fps':>6}  {'face':>5}  {'sound':>5}"
    click.echo(f"{header}  features")
    for clip in clips:
        features = ", ".join(f"{group.path} {group.dim}" for group in clip.groups)
        click.echo(
            f"{clip.clip:{width}}  {clip.rows:7d}  {clip.seconds:8.2f}  {_rate(clip.fps):>6}  "
            f"{clip.faces:5.0%}  {clip.sound:5.0%}  {features}"
        )
    rows, seconds = sum(clip.rows for clip in clips), sum(clip.seconds for clip in clips)
    click.echo(f"{len(clips)} clips, {rows} rows, {seconds:.1f} s")


def _print_clip(clip: ClipSummary) -> None:
    click.echo(f"clip     {clip.clip}")
    click.echo(f"rows     {clip.rows} in {clip.seconds:.3f} s, {_rate(clip.fps)} a second")
    click.echo(f"face     in {clip.faces:.1%} of the rows")
    click.echo(f"sound    in {clip.sound:.1%} of the rows")
    click.echo(f"source   {clip.source.size} bytes, sha256 {clip.source.sha256}")
    for kind in ("video", "audio"):
        stream = clip.media.get(kind)
        told = ", ".join(f"{key} {value}" for key, value in stream.items()) if stream else "none"
        click.echo(f"{kind:8} {told}")
    for group in clip.groups:
        click.echo(f"{group.path}: {group.dim} numbers a row, {group.valid:.1%} valid")
        click.echo(f"  digest {group.digest}")
        click.echo(f"  config {json.dumps(group.config)}")


def _rate(fps: float) -> str:
    return "-" if math.isnan(fps) else f"{fps:.2f}"
