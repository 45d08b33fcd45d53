"""``grjca synth``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from grjca.commands.talking import example, loudness


@click.group(epilog=example("grjca synth complementarity --out made --dial 0.5"))
def synth() -> None:
    """Made-up features and labels whose every property is known, to test methods on."""


@synth.command(epilog=example("grjca synth complementarity --out made --dial 0.5"))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new folder.")
@click.option(
    "--dial", required=True, type=click.FloatRange(0, 0.75),
    help="Share of the time at which one of the two streams fails.",
)  # fmt: skip
@click.option(
    "--failure", type=click.Choice(["misleading", "absent", "both"]), default="misleading",
    show_default=True, help="Wrong but plausible, missing, or spans of either.",
)  # fmt: skip
@click.option(
    "--together", is_flag=True,
    help="Streams fail independently, sometimes at once.  [default: never at once]",
)  # fmt: skip
@click.option(
    "--cue", type=click.FloatRange(0), default=1.0, show_default=True,
    help="How far a misleading stream looks unusual; 0: nothing gives it away.",
)  # fmt: skip
@click.option(
    "--noise", type=click.FloatRange(0), default=0.35, show_default=True,
    help="Each stream's own error.",
)  # fmt: skip
@click.option(
    "--span", type=click.FloatRange(0, min_open=True), default=3.0, show_default=True,
    help="Mean seconds of a failure.",
)  # fmt: skip
@click.option("--clips", type=click.IntRange(5), default=60, show_default=True)
@click.option(
    "--seconds", type=click.FloatRange(0, min_open=True), default=30.0, show_default=True,
    help="Length of a clip.",
)  # fmt: skip
@click.option(
    "--fps", type=click.FloatRange(0, min_open=True), default=10.0, show_default=True,
    help="Rows per second.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=3407, show_default=True)
@loudness
def complementarity(out: Path, quiet: bool, **given: Any) -> None:
    """Two feature streams that carry valence and arousal, one failing for a share of the time.

    Writes a store whose clips are split already into train, val and test, the labels, and a table
    of the failures. The same seed with another --dial differs only in the failures.
    """
    from grjca.errors import UsageError
    from grjca.synth.complementarity import Complementarity
    from grjca.synth.writing import write_complementarity

    try:
        config = Complementarity(**given)
    except ValueError as error:
        raise UsageError("synth", "settings", str(error), "Correct this option.") from error
    made = write_complementarity(config, out, progress=not quiet)
    click.echo(f"{made.clips} clips of {config.rows} rows")
    for path in (made.store, made.labels, made.failures):
        click.echo(f"  {path}")
