"""``grjca config``."""

from __future__ import annotations

from pathlib import Path

import click

from grjca.commands.talking import example, loudness_without_bar


@click.group(epilog=example("grjca config show --preset paper"))
def config() -> None:
    """Settings of a training."""


@config.command(epilog=example("grjca config show --preset paper > settings.yaml"))
@click.option("--preset", default="small", show_default=True, help="Settings: small or paper.")
@click.option(
    "--config", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file of settings that go over the preset's.",
)  # fmt: skip
@loudness_without_bar
def show(preset: str, file: Path | None) -> None:
    """Print all settings as YAML, in the form that 'train --config' takes."""
    from grjca.fusion.presets import preset as find_preset
    from grjca.fusion.settings import Given, read_settings, resolve, to_yaml

    found = find_preset(preset)
    given = Given(found.model, found.train)
    if file is not None:
        given = read_settings(file).over(given)
    click.echo(to_yaml(resolve(given).document()), nl=False)
