"""``python -m benchmarks NAME``: measure, print a table, exit with 1 where the goal is missed."""

from __future__ import annotations

import shlex
import sys
import tempfile
import time as clock
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from benchmarks.figures import Figures

Command = TypeVar("Command", bound=Callable[..., Any])

MEDIA = Path(__file__).resolve().parents[1].parent / "shared" / "media"

_report = click.option(
    "--json", "report", type=click.Path(dir_okay=False, path_type=Path),
    help="Also write the figures, with machine, versions and date, to this file.",
)  # fmt: skip
_scratch = click.option(
    "--scratch", type=click.Path(file_okay=False, path_type=Path),
    help="Folder that is kept, for clips and stores; new or empty.  [default: a temporary one]",
)  # fmt: skip
_media = click.option(
    "--media", type=click.Path(exists=True, file_okay=False, path_type=Path), default=MEDIA,
    help="Folder of the real clips.  [default: ../shared/media]",
)  # fmt: skip
_workers = click.option("--workers", type=click.IntRange(1), default=1, show_default=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The figures of docs/benchmarks.md, one command each."""


@main.command()
@_media
@_workers
@_scratch
@_report
def rows(media: Path, workers: int, scratch: Path | None, report: Path | None) -> None:
    """Rows in the store against frames that a plain ffmpeg decodes."""
    from benchmarks import rows

    _conclude(lambda folder: rows.run(media, folder, workers), scratch, report)


@main.command()
@_media
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@_scratch
@_report
def extraction(media: Path, rounds: int, scratch: Path | None, report: Path | None) -> None:
    """Speed: the parts alone, a straightforward script and this program, side by side."""
    from benchmarks import extraction

    _conclude(lambda folder: extraction.run(media, folder, rounds), scratch, report)


@main.command()
@_workers
@_scratch
@_report
def sync(workers: int, scratch: Path | None, report: Path | None) -> None:
    """A flash and a beep at one moment, found again in the store."""
    from benchmarks import sync

    _conclude(lambda folder: sync.run(folder, workers), scratch, report)


@main.command()
@click.option(
    "--minutes", type=click.FloatRange(0.1, 600), default=30, show_default=True,
    help="Length of the long clip.",
)  # fmt: skip
@click.option(
    "--visual", "visuals", type=click.Choice(["hog", "fer"]), multiple=True,
    default=("hog", "fer"), show_default=True, help="Visual embedder; may be given twice.",
)  # fmt: skip
@_scratch
@_report
def memory(
    minutes: float, visuals: tuple[str, ...], scratch: Path | None, report: Path | None
) -> None:
    """Peak memory of a long 720p clip against that of one minute."""
    from benchmarks import memory

    _conclude(lambda folder: memory.run(folder, (1, minutes), visuals), scratch, report)


@main.command()
@click.option("--instants", type=click.IntRange(1), default=20, show_default=True)
@_scratch
@_report
def kills(instants: int, scratch: Path | None, report: Path | None) -> None:
    """SIGKILL at many instants, each followed by a run that has to complete the store."""
    from benchmarks import kills

    _conclude(lambda folder: kills.run(folder, instants), scratch, report)


@main.command()
@_media
@_scratch
@_report
def identity(media: Path, scratch: Path | None, report: Path | None) -> None:
    """Who is who: faces side by side, shot cuts, faces that cross."""
    from benchmarks import identity

    _conclude(lambda folder: identity.run(media, folder), scratch, report)


@main.command()
@click.option("--epochs", type=click.IntRange(1), default=8, show_default=True)
@_scratch
@_report
def training(epochs: int, scratch: Path | None, report: Path | None) -> None:
    """An epoch of training against its own arithmetic."""
    from benchmarks import training

    _conclude(lambda folder: training.run(folder, epochs), scratch, report)


@main.command()
@click.option("--epochs", type=click.IntRange(1), default=3, show_default=True)
@_scratch
@_report
def reading(epochs: int, scratch: Path | None, report: Path | None) -> None:
    """How long a training waits for its windows."""
    from benchmarks import reading

    _conclude(lambda folder: reading.run(folder, epochs), scratch, report)


@main.command()
@click.option("--windows", type=click.IntRange(1), default=4, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@_scratch
@_report
def epoch(windows: int, rounds: int, scratch: Path | None, report: Path | None) -> None:
    """An epoch from the store against one that runs the backbones each time."""
    from benchmarks import epoch

    _conclude(lambda folder: epoch.run(folder, windows, rounds), scratch, report)


@main.command()
@click.option("--rounds", type=click.IntRange(1), default=15, show_default=True)
@_report
def fusion(rounds: int, report: Path | None) -> None:
    """The fusion's forward and backward pass against a plain transcription of the paper."""
    from benchmarks import fusion

    _conclude(lambda _: fusion.run(rounds), None, report)


@main.command()
@click.option(
    "--frames", type=click.IntRange(1), multiple=True, default=(100, 300, 1000, 3000),
    show_default=True, help="T; may be given several times.",
)  # fmt: skip
@click.option(
    "--batch", "batches", type=click.IntRange(1), multiple=True, default=(1, 12, 64),
    show_default=True, help="B; may be given several times.",
)  # fmt: skip
@click.option(
    "--precision", "precisions", type=click.Choice(["float32", "tf32", "bfloat16"]), multiple=True,
    default=("float32", "tf32", "bfloat16"), show_default=True,
)  # fmt: skip
@click.option("--rounds", type=click.IntRange(1), default=30, show_default=True)
@_report
def kernels(
    frames: tuple[int, ...],
    batches: tuple[int, ...],
    precisions: tuple[str, ...],
    rounds: int,
    report: Path | None,
) -> None:
    """The fusion on a GPU: eager, torch.compile and the Triton kernels."""
    import torch

    from benchmarks import kernels

    if not torch.cuda.is_available():
        click.echo("kernels: torch finds no CUDA device, nothing was measured", err=True)
        raise SystemExit(2)
    cases = [kernels.Case(b, t, p) for p in precisions for b in batches for t in frames]
    _conclude(lambda _: kernels.run(cases, rounds, torch.device("cuda")), None, report)


@main.command()
@click.option("--count", type=click.IntRange(100), default=100_000, show_default=True)
@click.option("--windows", type=click.IntRange(1), default=5_000, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@_scratch
@_report
def shards(
    count: int, windows: int, rounds: int, scratch: Path | None, report: Path | None
) -> None:
    """Tiny clips packed: opening the store, windows at random, against a file per clip."""
    from benchmarks import shards

    _conclude(lambda folder: shards.run(folder, count, windows, rounds), scratch, report)


@main.command()
@click.option(
    "--media", type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=MEDIA / "av", help="Folder of clips, taken as it is.  [default: ../shared/media/av]",
)  # fmt: skip
@click.option("--repeats", type=click.IntRange(1), default=3, show_default=True)
@click.option(
    "--visual", type=click.Choice(["hog", "fer"]), default="fer", show_default=True,
    help="Visual embedder.",
)  # fmt: skip
@click.option(
    "--copies", type=click.IntRange(1), default=2, show_default=True,
    help="How often each clip is there.",
)  # fmt: skip
@_scratch
@_report
def workers(
    media: Path,
    repeats: int,
    visual: str,
    copies: int,
    scratch: Path | None,
    report: Path | None,
) -> None:
    """Two workers against one on the real clips."""
    from benchmarks import scale

    _conclude(
        lambda folder: scale.run_workers(media, folder, repeats, visual, copies), scratch, report
    )


@main.command()
@click.option("--clips", type=click.IntRange(1), default=100_000, show_default=True)
@click.option("--left", type=click.IntRange(0), default=100, show_default=True)
@_scratch
@_report
def planning(clips: int, left: int, scratch: Path | None, report: Path | None) -> None:
    """Time and memory of a plan over many clips of which few are left."""
    from benchmarks import scale

    _conclude(lambda folder: scale.run_planning(folder, clips, left), scratch, report)


@main.command()
@click.option("--clips", type=click.IntRange(1), default=10_000, show_default=True)
@click.option("--workers", type=click.IntRange(1), default=2, show_default=True)
@_scratch
@_report
def overhead(clips: int, workers: int, scratch: Path | None, report: Path | None) -> None:
    """What Dask and the children cost, by clips that take no time."""
    from benchmarks import scale

    _conclude(lambda folder: scale.run_overhead(folder, clips, workers), scratch, report)


@main.command("all")
@click.option(
    "--media", type=click.Path(file_okay=False, path_type=Path), default=MEDIA,
    help="Folder of the real clips; what needs them is skipped where there are none.",
)  # fmt: skip
@click.option(
    "--into", type=click.Path(file_okay=False, path_type=Path), required=True,
    help="Folder for a JSON file per benchmark.",
)  # fmt: skip
@click.option(
    "--page", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Markdown page in which the summary is renewed, between its marks.",
)  # fmt: skip
def every(media: Path, into: Path, page: Path | None) -> None:
    """All that fit into a quarter of an hour on 2 cores, at a small size where need be."""
    import torch

    from benchmarks import every
    from grjca.errors import GrjcaError

    gpu = torch.cuda.is_available()
    broken = every.run(media if media.is_dir() else None, into, click.echo, gpu=gpu)
    try:
        if page is not None:
            every.summarise(into, page)
    except GrjcaError as error:
        raise click.ClickException(str(error)) from error
    if broken:
        raise click.ClickException(f"broken down: {', '.join(broken)}")


def _conclude(
    measure: Callable[[Path], Figures], scratch: Path | None, report: Path | None
) -> None:
    """Measure in a folder, print, write, and exit with 1 where the goal is missed."""
    from benchmarks.machine import describe
    from grjca.errors import GrjcaError

    began = clock.perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix="grjca-benchmark-") as temporary:
            figures = measure(scratch or Path(temporary))
        click.echo(figures.as_text())
        if report is not None:
            figures.write(
                report,
                command=f"python -m benchmarks {shlex.join(sys.argv[1:])}",
                seconds=clock.perf_counter() - began,
                surroundings=describe(),
            )
    except GrjcaError as error:
        raise click.ClickException(str(error)) from error
    if not figures.reached:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
