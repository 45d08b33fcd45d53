"""``grjca ablate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from grjca.commands import options
from grjca.commands.setting import Pair, setting, settings_given
from grjca.commands.talking import example, loudness
from grjca.fusion.config import FUSIONS

ALONE = ("visual", "audio")
BASELINE = "ridge"


class Variants(click.ParamType[tuple[str, ...]]):
    """Names separated by commas, or ``all``."""

    name = "NAMES"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The names, if all are known."""
        if isinstance(value, tuple):
            return value
        known = (*FUSIONS, *ALONE, BASELINE)
        if str(value) == "all":
            return known
        names = tuple(name for name in str(value).split(",") if name)
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            self.fail(f"{', '.join(unknown) or 'none given'}; known: {', '.join(known)}, all",
                      param, ctx)  # fmt: skip
        return names


@click.command(
    epilog=example(
        "grjca ablate --store features --labels labels.csv --out ablation --folds 5 --seeds 3",
    )
)
@click.option("--store", required=True, type=click.Path(path_type=Path), help="Feature store.")
@click.option(
    "--labels", required=True, type=click.Path(path_type=Path), help="Annotations, as for train."
)
@click.option("--out", required=True, type=click.Path(path_type=Path),
              help="Folder for runs, tables and plot; the same again goes on.")  # fmt: skip
@click.option(
    "--fusions", "variants", type=Variants(), default="concat,ca,jca,rjca,grjca,hgrjca",
    show_default=True,
    help="Separated by commas; also visual, audio (one modality alone), ridge (linear), or all.",
)  # fmt: skip
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True, help="How many.")
@click.option(
    "--folds", type=click.IntRange(3),
    help="Roll this many folds over the clips: one tested on, the next chooses the epoch, the "
    "others are trained on.  [default: one split, as train chooses it]",
)  # fmt: skip
@click.option("--reference", help="The fusion that differences are taken to.  [default: the first]")
@click.option("--preset", default="small", show_default=True, help="Settings: small or paper.")
@click.option(
    "--config", "settings", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file of settings that go over the preset's.",
)  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), help="At most this many epochs.")
@click.option("--visual", help="Visual embedder, if the store has several.")
@click.option("--audio", help="Audio embedder, if the store has several.")
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True,
    help="Processes side by side, one thread each.",
)  # fmt: skip
@setting
@click.option(
    "--part", type=options.PartOfAll(), metavar="K/N",
    help="Only this share of the trials; the part that finishes last writes the tables.",
)  # fmt: skip
@click.option(
    "--overwrite", is_flag=True,
    help="Do trials again that were made with other settings, clips, labels or features.",
)  # fmt: skip
@loudness
def ablate(
    store: Path,
    labels: Path,
    out: Path,
    variants: tuple[str, ...],
    reference: str | None,
    preset: str,
    settings: Path | None,
    epochs: int | None,
    visual: str | None,
    audio: str | None,
    pairs: tuple[Pair, ...],
    part: Any,
    quiet: bool,
    **given: Any,
) -> None:
    """Compare fusions: all of them with all seeds on all folds, with paired differences.

    Trials that are finished are skipped and a killed one goes on: say the same again. The tables
    are trials.csv (every trial), ablation.md and ablation.json; ablation.png is their picture.
    Settings come from --preset, --config, the other options and --set; the later count.
    """
    from grjca.ablation.documents import DOCUMENT, TABLE, TRIALS, markdown
    from grjca.ablation.run import PLOT
    from grjca.ablation.run import ablate as run
    from grjca.fusion.settings import check_given

    single = settings_given(pairs)
    check_given(single)
    embedders = {"visual": visual, "audio": audio}
    named = {name: value for name, value in embedders.items() if value is not None}
    found = run(
        store, labels, out, preset=preset, settings=settings,
        model=single.model,
        config={**({} if epochs is None else {"epochs": epochs}), **single.train},
        data={**named, **single.data},
        part=part, variants=variants, reference=reference or variants[0], progress=not quiet,
        **given,
    )  # fmt: skip
    if found.lacking:
        there = len(found.scores)
        click.echo(f"{there} of {there + len(found.lacking)} trials are finished; no tables yet")
        return
    for line in markdown(found.results, found.notes):
        click.echo(line)
    click.echo()
    for name in (TRIALS, TABLE, DOCUMENT, PLOT):
        click.echo(f"  {out / name}")
