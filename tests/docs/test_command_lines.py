"""Every command line in README and documentation is one that the program takes."""

from __future__ import annotations

import click
import pytest
from blocks import PAGES, ROOT, grjca_commands, lines, words

from documentation.commands import examples
from grjca.cli import main


def check(arguments: list[str], *, whole: bool) -> None:
    """Refuse a command line.

    Args:
        arguments: What stands behind ``grjca``.
        whole: Required options and arguments must stand there too.

    Raises:
        ClickException: No such command or option, an option without its value, a value that is
            none of the option's choices, or something required is not there.
    """
    context, command = click.Context(main, info_name="grjca"), main
    while isinstance(command, click.Group):
        if not arguments or arguments[0] in ("-h", "--help", "--version") or arguments[0].isupper():
            return
        found = command.get_command(context, arguments[0])
        if found is None:
            raise click.UsageError(f"no command {arguments[0]}")
        context = click.Context(found, info_name=arguments[0], parent=context)
        command, arguments = found, arguments[1:]
    inner = arguments[arguments.index("--") + 1 :] if "--" in arguments else None
    # Dots stand for what a page leaves out, brackets for what may be left out.
    whole = whole and "..." not in arguments
    given = [argument.strip("[]") for argument in arguments if argument not in ("--help", "...")]
    try:
        values, surplus, order = command.make_parser(context).parse_args(list(given))
    except click.BadOptionUsage as error:
        if whole or not given or error.option_name != given[-1]:
            raise
        # In running text an option stands without its value.
        values, surplus, order = command.make_parser(context).parse_args(given[:-1])
    if surplus and not inner:
        raise click.UsageError(f"surplus: {' '.join(surplus)}")
    for parameter in command.params:
        value = values.get(parameter.name)
        if isinstance(parameter.type, click.Choice) and isinstance(value, str):
            parameter.type.convert(value, parameter, context)
        if whole and parameter.required and parameter not in order:
            raise click.MissingParameter(ctx=context, param=parameter)
    if inner:
        check(inner, whole=whole)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_line_of_a_page_is_taken(page) -> None:
    for where, arguments, whole in grjca_commands(page):
        try:
            check(arguments, whole=whole)
        except click.ClickException as error:
            pytest.fail(f"{where}: grjca {' '.join(arguments)}: {error.format_message()}")


def test_the_examples_in_the_help_of_the_commands_are_taken() -> None:
    for command in main.commands.values():
        for line in examples(command):
            check(words(line)[0][1:], whole=True)


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("grjca extrakt videos --store s", "no command extrakt"),
        ("grjca extract videos --stores s", "No such option"),
        ("grjca extract videos", "store"),
        ("grjca extract videos --store s --faces everybody", "everybody"),
        ("grjca extract videos --store", "requires an argument"),
        ("grjca slurm-script --tasks 2 -- extract videos", "store"),
        ("grjca config shows", "no command shows"),
        ("grjca inspect one two three", "surplus: two three"),
    ],
)
def test_a_wrong_command_line_is_noticed(line: str, cause: str) -> None:
    (command,) = words(line)
    with pytest.raises(click.ClickException) as caught:
        check(command[1:], whole=True)
    assert cause in f"{caught.value.format_message()} {getattr(caught.value, 'param', '')}"


def test_lines_of_a_shell_are_taken_apart() -> None:
    assert lines("$ a b \\\n   c\n\nd\n") == ["a b     c", "d"]
    assert words("grjca x --y 1 > out; sbatch 'a b'  # why") == [
        ["grjca", "x", "--y", "1"], ["out"], ["sbatch", "a b"],
    ]  # fmt: skip
