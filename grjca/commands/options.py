"""Options and kinds of values that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from grjca.stages.catalog import CATALOG, Kind, names, takes_file

Command = TypeVar("Command", bound=Callable[..., Any])


class ComponentName(click.ParamType[str]):
    """A name of the catalog, or ``onnx:FILE``."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.name = "NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, if the catalog has it."""
        text = str(value)
        name, with_file, _ = text.partition(":")
        if name not in CATALOG[self.kind] or (with_file and name != "onnx"):
            known = ", ".join(_shown(name) for name in names(self.kind))
            what = self.kind if self.kind == "detector" else f"{self.kind} embedder"
            self.fail(f"{text} is no {what}; known: {known}", param, ctx)
        return text


class ClipsOrShare(click.ParamType[float | list[str]]):
    """A share such as 0.2, clips' names separated by commas, or ``@list.txt``."""

    name = "CLIPS|SHARE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | list[str]:
        """The share, or the list of names."""
        text = str(value)
        try:
            return float(text)
        except ValueError:
            pass
        if text.startswith("@"):
            try:
                return [line for line in Path(text[1:]).read_text().splitlines() if line.strip()]
            except OSError as error:
                self.fail(f"{text[1:]}: {error.strerror}", param, ctx)
        return [name for name in text.split(",") if name]


def component(kind: Kind, what: str) -> Callable[[Command], Command]:
    """The option that names a component, with all names in its help."""
    known = ", ".join(_shown(name) for name in names(kind))
    return click.option(
        f"--{kind}", default=names(kind)[0], show_default=True, type=ComponentName(kind),
        help=f"{what}: {known}.",
    )  # fmt: skip


def weights(kind: Kind, what: str) -> Callable[[Command], Command]:
    """The option that names a component's file of weights."""
    return click.option(
        f"--{kind}-weights", type=click.Path(exists=True, dir_okay=False),
        help=f"File of weights of the {what}, where no package carries them.",
    )  # fmt: skip


def weights_given(**files: str | None) -> dict[Kind, str]:
    """The files of weights that were given, by kind of component."""
    kinds: Sequence[Kind] = ("detector", "visual", "audio")
    return {kind: file for kind in kinds if (file := files.get(f"{kind}_weights"))}


def check_takes_file(kind: Kind, name: str) -> None:
    """Refuse a file of weights for a component that has its own.

    Raises:
        BadParameter: It takes none.
    """
    if not takes_file(kind, name):
        raise click.BadParameter(f"{name} takes no file of weights", param_hint=f"--{kind}-weights")


def _shown(name: str) -> str:
    return "onnx:FILE" if name == "onnx" else name


workers = click.option(
    "--workers", type=click.IntRange(1), help="Processes side by side.  [default: one per core]"
)
root = click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that clips are named relative to.",
)
manifest = click.option(
    "--manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV that names the clips: files, parts, sound from elsewhere, subjects (docs/store.md).",
)  # fmt: skip
faces = click.option(
    "--faces", type=click.Choice(["main", "left", "right", "all"]), default="main",
    show_default=True, help="Whose face; all makes a file per person (clip@1, clip@2, ...).",
)  # fmt: skip
quiet = click.option("--quiet", is_flag=True, help="No progress bar.")


def print_failures(errors: Sequence[dict[str, str] | None]) -> None:
    """One line per error on standard error."""
    for error in errors:
        if error is not None:
            click.echo(f"error: {error['message']}", err=True)
