"""``grjca completion``."""

from __future__ import annotations

import click
from click.shell_completion import ShellComplete, get_completion_class

from grjca.commands.talking import example, loudness_without_bar

PROGRAM = "grjca"
VARIABLE = "_GRJCA_COMPLETE"
"""What asks the program for completions instead of work; click's own name for it."""


@click.command(epilog=example("grjca completion bash > ~/.grjca-complete.bash"))
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@loudness_without_bar
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands, options, names and paths in a shell.

    bash and zsh: eval "$(grjca completion bash)" in ~/.bashrc or ~/.zshrc, or write it to a file
    that is sourced there, which starts quicker. fish: write it to
    ~/.config/fish/completions/grjca.fish.
    """
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - click has these three
    made = kind(ctx.find_root().command, {}, PROGRAM, VARIABLE)
    # Not the shell's own source(): bash's starts a bash to find its version.
    click.echo(ShellComplete.source(made))
