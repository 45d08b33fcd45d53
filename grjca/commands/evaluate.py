"""``grjca evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from grjca.commands.smooth import SmoothWidths
from grjca.commands.talking import example, loudness


@click.command(
    epilog=example(
        "grjca evaluate --checkpoint run --store features --labels labels.csv --stress",
    )
)
@click.option(
    "--checkpoint", "checkpoints", required=True, multiple=True, type=click.Path(path_type=Path),
    help="Folder of a run; several are averaged.",
)  # fmt: skip
@click.option("--store", required=True, type=click.Path(path_type=Path), help="Feature store.")
@click.option(
    "--labels", required=True, type=click.Path(path_type=Path), help="Annotations, as for train."
)
@click.option(
    "--partition", type=click.Choice(["val", "train", "test", "all"]), default="val",
    show_default=True, help="Clips: as the run split them, test for those it never saw, or all.",
)  # fmt: skip
@click.option(
    "--smooth", type=SmoothWidths("none", "auto"), default="none", show_default=True,
    metavar="none|auto|SECONDS|valence=SECONDS,...",
    help="Moving mean over predictions; auto chooses its width on the validation clips.",
)  # fmt: skip
@click.option("--gates", is_flag=True, help="How gates are used, and the CCC with each fixed.")
@click.option("--stress", is_flag=True, help="Features missing, noisy, late or patchy: a table.")
@click.option(
    "--label-delay", type=float, metavar="SECONDS",
    help="How long annotations come after what they are about.  [default: as trained]",
)  # fmt: skip
@click.option(
    "--align", type=click.Choice(["error", "truncate"]), default="error", show_default=True,
    help="Rows of labels that do not match the frames.",
)  # fmt: skip
@click.option(
    "--allow-missing", is_flag=True,
    help="Go on though more than half of the labelled clips are not in the store.",
)  # fmt: skip
@click.option("--seed", type=int, default=3407, show_default=True, help="Of resamples and stress.")
@click.option("--json", type=click.Path(dir_okay=False, path_type=Path), help="Scores to a file.")
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path),
    help="A PNG: predictions against labels or, with --stress, the sweep.",
)  # fmt: skip
@loudness
def evaluate(
    checkpoints: tuple[Path, ...],
    store: Path,
    labels: Path,
    stress: bool,
    seed: int,
    quiet: bool,
    **given: Any,
) -> None:
    """Score trained models on labelled clips: CCC, PCC, RMSE with 95 % intervals over clips."""
    from grjca.evaluation.documents import lines
    from grjca.evaluation.run import evaluate as run
    from grjca.evaluation.stress import StressConfig

    found = run(
        checkpoints, store, labels, seed=seed, stress=StressConfig(seed=seed) if stress else None,
        progress=not quiet, **given,
    )  # fmt: skip
    for line in lines(found):
        click.echo(line)
