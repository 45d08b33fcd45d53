"""``python -m results NAME``: make the tables of docs/results.md again."""

from __future__ import annotations

import json
from pathlib import Path

import click

from results.real import EXPERIMENTS, VARIANTS
from results.synthetic import DIALS
from results.synthetic import VARIANTS as MADE_VARIANTS

MEDIA = Path(__file__).resolve().parents[1].parent / "shared" / "media"

_out = click.option(
    "--out", type=click.Path(path_type=Path), required=True,
    help="Folder for sets, runs and tables; the same again goes on.",
)  # fmt: skip
_seeds = click.option("--seeds", type=click.IntRange(1), default=5, show_default=True)
_workers = click.option("--workers", type=click.IntRange(1), default=2, show_default=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The tables of docs/results.md, one command each."""


@main.command()
@_out
@_seeds
@_workers
@click.option("--dial", "dials", type=float, multiple=True, default=DIALS, show_default=True)
@click.option("--variants", default=",".join(MADE_VARIANTS), show_default=True)
@click.option("--made", default="{}", help="What differs in the set, as JSON.")
@click.option("--model", default="{}", help="What differs in the model, as JSON.")
def synthetic(
    out: Path,
    seeds: int,
    workers: int,
    dials: tuple[float, ...],
    variants: str,
    made: str,
    model: str,
) -> None:
    """Two streams that carry one target, one of them failing for a share of the time."""
    from results import synthetic

    asked = synthetic.Benchmark(
        seeds, dials, tuple(variants.split(",")), json.loads(made), json.loads(model)
    )
    synthetic.run(asked, out, workers)


@main.command()
@click.argument("name", type=click.Choice([*EXPERIMENTS, *(f"{n}-shipped" for n in EXPERIMENTS)]))
@_out
@_seeds
@_workers
@click.option("--variants", default=",".join(VARIANTS), show_default=True)
@click.option(
    "--media", type=click.Path(exists=True, file_okay=False, path_type=Path), default=MEDIA,
    help="Folder of the real features.  [default: ../shared/media]",
)  # fmt: skip
def real(name: str, out: Path, seeds: int, workers: int, variants: str, media: Path) -> None:
    """A real set by name; with -shipped the preset's own model, temporal encoder and all."""
    from results import real

    real.run(name, media, out, seeds, workers, variants.split(","))


@main.command()
@_out
@click.option(
    "--checkpoint", type=click.Path(exists=True, path_type=Path), required=True,
    help="A RUN folder, for example demo-run/run-visual-audio.",
)  # fmt: skip
@click.option("--media", type=click.Path(path_type=Path), default=MEDIA, show_default=True)
def clips(out: Path, checkpoint: Path, media: Path) -> None:
    """Real clips from the file to the table, twice."""
    from results import real_clips

    for line in real_clips.run(checkpoint, media, out):
        click.echo(line.text())


if __name__ == "__main__":
    main()
