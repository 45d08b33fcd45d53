"""``grjca doctor``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from grjca.commands.talking import example, loudness_without_bar

if TYPE_CHECKING:
    from grjca.doctor.findings import Diagnosis

_COLOURS = {"ok": "green", "missing": "yellow", "problem": "red"}


@click.command(epilog=example("grjca doctor --store features"))
@click.option(
    "--store", type=click.Path(path_type=Path), help="Look at this store and at its disk too."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON (schema grjca.doctor).")
@loudness_without_bar
@click.pass_context
def doctor(ctx: click.Context, store: Path | None, as_json: bool) -> None:
    """Say what is there to work with: software, ffmpeg, GPU, models, machine, store.

    Nothing is downloaded. Exit code 0: an extraction with the default components would run; 1:
    it would not, and what to do is said.
    """
    from grjca.doctor.diagnosis import diagnose

    found = diagnose(store)
    if as_json:
        click.echo(found.as_json())
    else:
        for line in _lines(found):
            click.echo(line)
    if not found.ready:
        ctx.exit(1)


def _lines(found: Diagnosis) -> Iterator[str]:
    from grjca.doctor.findings import sections

    width = max(len(finding.name) for finding in found.findings)
    for section, findings in sections(found.findings).items():
        yield section
        for finding in findings:
            mark = click.style(f"{finding.state:8}", fg=_COLOURS[finding.state])
            yield f"  {mark} {finding.name:{width}}  {finding.detail}".rstrip()
            if finding.remedy:
                yield f"  {'':8} {'':{width}}  > {finding.remedy}"
    hindering = [finding for finding in found.findings if finding.hinders]
    if not hindering:
        yield "Ready: an extraction with the default components would run."
        return
    yield "Not ready: an extraction with the default components would fail."
    for finding in hindering:
        told = f" > {finding.remedy}" if finding.remedy else ""
        yield f"  {finding.section}, {finding.name}: {finding.detail}{told}"
