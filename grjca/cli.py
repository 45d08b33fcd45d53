"""The command line: ``grjca`` and what it does with errors; the commands are in ``commands``."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any, NoReturn

import click

import grjca
from grjca.commands.ablate import ablate
from grjca.commands.completion import completion
from grjca.commands.config import config
from grjca.commands.doctor import doctor
from grjca.commands.evaluate import evaluate
from grjca.commands.exchange import export_features, import_features
from grjca.commands.extract import extract
from grjca.commands.inspect import inspect
from grjca.commands.overlay import overlay
from grjca.commands.pack import pack
from grjca.commands.predict import predict
from grjca.commands.report import report
from grjca.commands.slurm import slurm_script
from grjca.commands.status import status
from grjca.commands.submit import submit
from grjca.commands.synth import synth
from grjca.commands.talking import example
from grjca.commands.train import train
from grjca.commands.upkeep import forget, gc, verify
from grjca.errors import GrjcaError, UsageError

STOPPED = 130
"""Exit code after Ctrl-C or SIGTERM, as shells use it."""


class _Commands(click.Group):
    """Turns what the library raises into one line and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        signal.signal(signal.SIGTERM, _stop)
        if os.environ.get("NO_COLOR"):
            # click knows by itself that files and pipes get no colours.
            ctx.color = False
        try:
            return super().invoke(ctx)
        except GrjcaError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(2 if isinstance(error, UsageError) else 1)
        except ModuleNotFoundError as error:
            if (error.name or "grjca").partition(".")[0] == "grjca":
                raise
            click.echo(f"error: {error.name}: python: {error}. "
                       "See what is missing, and how to install it, with: grjca doctor.",
                       err=True)  # fmt: skip
            ctx.exit(2)
        except KeyboardInterrupt:
            click.echo("stopped; what is finished stays, run again to continue", err=True)
            ctx.exit(STOPPED)

    def list_commands(self, _ctx: click.Context) -> list[str]:
        # In the order of the work, not of the alphabet.
        return list(self.commands)


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    # A batch system's SIGTERM ends a run as Ctrl-C does: cleanly, with the report written. It may
    # come twice, once from the system and once from the job's shell.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=example(
        "grjca extract videos --store features",
        "grjca train --store features --labels labels.csv --out run",
        "grjca predict new.mp4 --checkpoint run --out predictions --report",
    ),
)
@click.version_option(grjca.__version__, prog_name="grjca")
def main() -> None:
    """Videos of people into features, features into continuous valence and arousal."""


for _command in (
    extract, status, inspect, train, config, evaluate, predict, report, submit, ablate, synth,
    overlay, slurm_script, import_features, export_features, pack, verify, gc, forget, doctor,
    completion,
):  # fmt: skip
    main.add_command(_command)
