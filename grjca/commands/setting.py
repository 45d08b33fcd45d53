"""``--set SECTION.NAME=VALUE``: single settings of a training on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from grjca.fusion.settings import Given

OPTION = "--set"
SECTIONS = ("model", "train", "data")


@dataclass(frozen=True)
class Pair:
    """One setting as it was given.

    Attributes:
        section: ``model``, ``train`` or ``data``.
        name: The setting's name in its section; whether there is one is found out later.
        value: The value, read as YAML.
        text: The whole as it was typed.
    """

    section: str
    name: str
    value: Any
    text: str


class Setting(click.ParamType[Pair]):
    """``SECTION.NAME=VALUE``, the value in YAML."""

    name = "SECTION.NAME=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Pair:
        """The parts of it; click refuses what has another form."""
        import yaml

        if isinstance(value, Pair):
            return value
        text = str(value)
        place, equals, written = text.partition("=")
        section, dot, name = place.strip().partition(".")
        if not (equals and dot and name) or section not in SECTIONS:
            sections = ", ".join(SECTIONS)
            self.fail(f"{text}: give SECTION.NAME=VALUE, with a section of {sections}", param, ctx)
        try:
            return Pair(section, name, yaml.safe_load(written), text)
        except yaml.YAMLError as error:
            cause = getattr(error, "problem", None) or "it cannot be read"
            return self.fail(f"{text}: the value is not YAML: {cause}", param, ctx)


setting = click.option(
    OPTION, "pairs", type=Setting(), multiple=True,
    help="One setting, for example train.plateau_patience=30; may be given again, and goes over "
    "--config and other options.",
)  # fmt: skip


def settings_given(pairs: Sequence[Pair]) -> Given:
    """The settings of all ``--set`` options, each with its place for messages.

    ``grjca.fusion.settings.resolve`` refuses those that do not exist or cannot be.

    Raises:
        UsageError: A setting is given twice.
    """
    from grjca.errors import UsageError
    from grjca.fusion.settings import Given

    values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    places: dict[tuple[str, str], str] = {}
    for pair in pairs:
        if (pair.section, pair.name) in places:
            raise UsageError("config", f"{OPTION} {pair.text}",
                             f"{pair.section}.{pair.name} for the second time",
                             "Keep one of them.")  # fmt: skip
        values[pair.section][pair.name] = pair.value
        places[pair.section, pair.name] = f"{OPTION} {pair.text}"
    return Given(values["model"], values["train"], values["data"], places)
