"""Options and kinds of values that several commands share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from grjca.errors import UsageError
from grjca.stages.catalog import CATALOG, Kind, names, takes_file

if TYPE_CHECKING:
    from grjca.pipeline.parts import Part
    from grjca.pipeline.placing import Placement
    from grjca.reporting import MakeResult

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

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """The names that begin so."""
        known = (_shown(name).removesuffix("FILE") for name in names(self.kind))
        return [CompletionItem(name) for name in known if name.startswith(incomplete)]


class MediaPath(click.ParamType[str]):
    """A file, a folder or ``@list.txt``; whether it is there is found out later."""

    name = "PATH"

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """Paths, which the shell completes itself."""
        return [CompletionItem(incomplete, type="file")]


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


class PartOfAll(click.ParamType["Part"]):
    """One share of the clips, ``K/N``."""

    name = "K/N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Part:
        """The part, if there is such a one."""
        from grjca.pipeline.parts import Part

        try:
            return value if isinstance(value, Part) else Part.parse(str(value))
        except UsageError as error:
            self.fail(str(error), param, ctx)


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


part = click.option(
    "--part", type=PartOfAll(), metavar="K/N",
    help="Only this share of the clips, chosen by their names; its report is .grjca/reports/"
    "part-K-of-N.json.",
)  # fmt: skip
root = click.option(
    "--root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that clips are named relative to.",
)
manifest = click.option(
    "--manifest", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="CSV that names the clips: files, parts, sound from elsewhere, subjects (docs/stages.md).",
)  # fmt: skip
faces = click.option(
    "--faces", type=click.Choice(["main", "left", "right", "all"]), default="main",
    show_default=True, help="Whose face; all makes a file per person (clip@1, clip@2, ...).",
)  # fmt: skip


def placement(command: Command) -> Command:
    """The options that say where the work is done; for :func:`placement_given`."""
    options = (
        click.option(
            "--workers", type=click.IntRange(1), metavar="N",
            help="Processes side by side on this machine.  [default: one per core]",
        ),
        click.option(
            "--scheduler", metavar="ADDRESS|FILE",
            help="Work on a running Dask scheduler: tcp://HOST:PORT or its scheduler file.",
        ),
        click.option(
            "--cluster", type=click.Choice(["slurm"]), help="Work in SLURM jobs, through Dask."
        ),
        click.option(
            "--jobs", type=click.IntRange(1), metavar="N", help="With --cluster: most jobs."
        ),
        click.option(
            "--cluster-config", type=click.Path(exists=True, dir_okay=False, path_type=Path),
            metavar="FILE", help="With --cluster: YAML that says what a job is (docs/hpc.md).",
        ),
        click.option("--dashboard", is_flag=True, help="Say where Dask's dashboard is."),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def placement_given(
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    cluster: Any = None,
    jobs: int | None = None,
    cluster_config: Path | None = None,
    dashboard: bool = False,
) -> Placement:
    """What the options of :func:`placement` say.

    Raises:
        UsageError: They do not go together.
    """
    from grjca.pipeline.placing import Placement

    return Placement(workers, scheduler, cluster, jobs, cluster_config, dashboard)


@contextlib.contextmanager
def stoppable(ctx: click.Context) -> Iterator[None]:
    """SIGINT or SIGTERM end what is in here cleanly, with exit code 130 or 143; twice, at once."""
    from grjca.pipeline.stopping import StoppedError, Stopper

    try:
        with Stopper():
            yield
    except StoppedError as stopped:
        click.echo("stopped; what is finished stays, run again to continue", err=True)
        ctx.exit(stopped.code)


def print_failures(errors: Sequence[dict[str, str] | None]) -> None:
    """One line per error on standard error."""
    for error in errors:
        if error is not None:
            click.echo(f"error: {error['message']}", err=True)


def print_report(made: MakeResult) -> bool:
    """Where a report lies, what it lacks and what could not be shown.

    Returns:
        Whether something could not be shown.
    """
    for note in made.notes:
        click.echo(f"note: {note}", err=True)
    for error in made.failed:
        click.echo(f"error: {error}", err=True)
    count = f"  {len(made.pages)} clips" if len(made.pages) > 1 else ""
    if made.pages or not made.failed:
        click.echo(f"{made.out}{count}")
    return bool(made.failed)
