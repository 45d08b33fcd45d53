"""``grjca inspect``."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from grjca.commands.talking import example, loudness_without_bar

if TYPE_CHECKING:
    from grjca.cache.store import ClipSummary


@click.command(epilog=example("grjca inspect features"))
@click.argument("path", metavar="STORE|FILE", type=click.Path(exists=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@loudness_without_bar
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
    if clip.interpolated:
        click.echo(f"         {clip.interpolated:.1%} of the rows interpolated")
    for name, text in clip.about.items():
        click.echo(f"{name:9}{text}")
    if clip.people is not None:
        click.echo(f"people   {clip.people}")
    if clip.crops:
        click.echo(f"crops    {', '.join(clip.crops)}")
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
