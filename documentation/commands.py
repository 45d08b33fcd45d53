"""The reference of the commands, as Markdown, from what click knows of them."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Iterator

import click


def reference(group: click.Group, name: str) -> str:
    """Markdown of every command of a group: purpose, usage, arguments, options.

    Args:
        group: The group; groups inside it are described too.
        name: What is typed to reach it, ``grjca``.
    """
    context = click.Context(group, info_name=name)
    return "\n".join(_commands(group, context, level=2))


def _commands(group: click.Group, context: click.Context, level: int) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, info_name=name, parent=context)
        yield f"{'#' * level} {inner.command_path}\n"
        yield f"{_prose(command.help or '')}\n"
        usage = " ".join([inner.command_path, *command.collect_usage_pieces(inner)])
        yield f"```text\n{usage}\n```\n"
        rows = [
            record
            for parameter in command.get_params(inner)
            if (record := parameter.get_help_record(inner)) is not None and record[1]
        ]
        if rows:
            yield "| option | |\n|---|---|"
            yield from (
                f"| <code>{_cell(html.escape(option))}</code> | {_cell(_plain(text))} |"
                for option, text in rows
            )
            yield ""
        typed = examples(command)
        if typed:
            yield "\n".join(["```bash", *typed, "```\n"])
        if isinstance(command, click.Group):
            yield from _commands(command, inner, level + 1)


def examples(command: click.Command) -> list[str]:
    """The lines below a command's options that can be typed."""
    lines = (line.strip() for line in (command.epilog or "").splitlines())
    return [line for line in lines if line.startswith("grjca ")]


def _prose(text: str) -> str:
    # \b marks a paragraph that click must not wrap, \f the end of what it shows.
    kept = inspect.cleandoc(text).partition("\f")[0].replace("\b\n", "")
    return _plain(kept)


def _plain(text: str) -> str:
    """Text whose brackets are neither tags nor links, and whose pages are links."""
    for sign, shown in (("<", "&lt;"), (">", "&gt;"), ("[", "&#91;"), ("]", "&#93;")):
        text = text.replace(sign, shown)
    # Help names pages by their files.
    return re.sub(r"\bdocs/(\w+)\.md", r"[\1](../\1.md)", text)


def _cell(text: str) -> str:
    # A backslash before the bar would show inside code.
    return " ".join(text.split()).replace("|", "&#124;")
