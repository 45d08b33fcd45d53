"""``grjca train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import grjca
from grjca.commands import options

if TYPE_CHECKING:
    from grjca.fusion.trainer import TrainResult


@click.command()
@click.option("--store", required=True, type=click.Path(path_type=Path), help="Feature store.")
@click.option(
    "--labels", required=True, type=click.Path(path_type=Path),
    help="Folder of Aff-Wild2 text files, or one CSV (clip,frame|time,valence,arousal).",
)  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option(
    "--val", type=options.ClipsOrShare(), default="0.2", show_default=True,
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
@options.quiet
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


def _print_training(result: TrainResult) -> None:
    reached = ", ".join(f"{name} {value:.3f}" for name, value in result.best_ccc.items())
    click.echo(f"best epoch {result.best_epoch} of {len(result.rows)}: validation CCC {reached}")
    for name in ("model.safetensors", "metrics.csv", "config.yaml", "curves.png"):
        click.echo(f"  {result.out / name}")
