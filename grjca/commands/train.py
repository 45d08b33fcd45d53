"""``grjca train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import grjca
from grjca.commands import options
from grjca.commands.setting import Pair, setting, settings_given
from grjca.commands.talking import example, loudness
from grjca.fusion.config import FUSIONS

if TYPE_CHECKING:
    from grjca.fusion.trainer import TrainResult


class _SecondsOrAuto(click.ParamType[float | str]):
    """Seconds, or the word ``auto``."""

    name = "SECONDS|auto"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | str:
        return "auto" if value == "auto" else float(click.FLOAT.convert(value, param, ctx))


_DATA = ("val", "folds", "fold", "visual", "audio", "label_delay", "align", "allow_missing")


@click.command(epilog=example("grjca train --store features --labels labels.csv --out run"))
@click.option("--store", required=True, type=click.Path(path_type=Path), help="Feature store.")
@click.option(
    "--labels", required=True, type=click.Path(path_type=Path),
    help="Annotations: Aff-Wild2's tree or text files, AFEW-VA's json files, CSV tables.",
)  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--preset", default="small", show_default=True, help="Settings: small or paper.")
@click.option(
    "--config", "settings", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML file of settings that go over the preset's; 'grjca config show' prints all.",
)  # fmt: skip
@click.option(
    "--val", type=options.ClipsOrShare(),
    help="Validation: a share of the clips, names separated by commas, or @list.txt."
    "  [default: the partition that labels or store name, else 0.2]",
)  # fmt: skip
@click.option("--folds", type=click.IntRange(2), help="Roll this many folds over the clips.")
@click.option("--fold", type=click.IntRange(1), help="Validate on this one of them, from 1.")
@click.option("--fusion", type=click.Choice(FUSIONS), help="[default: grjca]")
@click.option("--visual", help="Visual embedder, if the store has several.")
@click.option("--audio", help="Audio embedder, if the store has several.")
@click.option(
    "--modality", type=click.Choice(["both", "visual", "audio"]),
    help="Train on one modality alone.",
)  # fmt: skip
@click.option("--epochs", type=click.IntRange(1), help="At most this many epochs.")
@click.option("--batch", type=click.IntRange(1), help="Windows per step.")
@click.option("--window", type=click.IntRange(1), help="Frames per window.")
@click.option("--hop", type=click.IntRange(1), help="Frames between windows.")
@click.option("--lr", type=click.FloatRange(0, min_open=True), help="Learning rate.")
@click.option("--seed", type=int, help="Seed of weights, dropout and order.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.")
@click.option("--device", help="auto, cpu, cuda or cuda:N.  [default: auto]")
@click.option("--amp", is_flag=True, default=None, help="Mixed precision, on CUDA.")
@click.option("--compile", is_flag=True, default=None, help="torch.compile the model, on CUDA.")
@click.option(
    "--attention", type=click.Choice(["auto", "torch", "triton"]),
    help="Joint attention and gates by PyTorch or by Triton kernels, on CUDA.  [default: auto]",
)  # fmt: skip
@click.option(
    "--label-delay", type=_SecondsOrAuto(), metavar="SECONDS|auto",
    help="Seconds by which annotations come after what they are about; auto finds it on the "
    "training clips.",
)  # fmt: skip
@click.option(
    "--align", type=click.Choice(["error", "truncate"]),
    help="Labels that do not match a clip's frames: refuse, or cut.  [default: error]",
)  # fmt: skip
@click.option(
    "--allow-missing", is_flag=True, default=None,
    help="Go on though more than half of the labelled clips are not in the store.",
)  # fmt: skip
@click.option(
    "--init", type=click.Path(exists=True, path_type=Path),
    help="Start from the weights of this run or checkpoint, with its model's settings.",
)  # fmt: skip
@setting
@click.option("--no-report", is_flag=True, help="Do not write report.html.")
@click.option("--tensorboard", is_flag=True, help="Write the curves for TensorBoard as well.")
@click.option(
    "--resume", is_flag=True, help="Go on with the run in --out, or start it if there is none."
)
@click.option("--overwrite", is_flag=True, help="Replace a run in --out.")
@loudness
def train(
    store: Path,
    labels: Path,
    out: Path,
    preset: str,
    settings: Path | None,
    fusion: str | None,
    modality: str | None,
    pairs: tuple[Pair, ...],
    init: Path | None,
    no_report: bool,
    tensorboard: bool,
    resume: bool,
    overwrite: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Train a fusion model on a store's features; the best checkpoint lands in --out.

    Settings come from --preset, --init, --config, the other options and --set; the later count.
    """
    from grjca.fusion.settings import check_given

    single = settings_given(pairs)
    check_given(single)
    asked = {name: value for name, value in given.items() if value is not None}
    data = {name: asked.pop(name) for name in _DATA if name in asked} | dict(single.data)
    find_delay = data.get("label_delay") == "auto"
    if find_delay:
        del data["label_delay"]
    if modality is not None:
        asked["modalities"] = ("visual", "audio") if modality == "both" else (modality,)
    result = grjca.train(
        store, labels, out, preset=preset, settings=settings,
        model={**({} if fusion is None else {"fusion": fusion}), **single.model},
        config={**asked, **single.train}, data=data,
        init=init, find_delay=find_delay, overwrite=overwrite, resume=resume,
        tensorboard=tensorboard, report=not no_report,
        progress=not quiet,
    )  # fmt: skip
    _print_training(result, report=not no_report)


def _print_training(result: TrainResult, *, report: bool) -> None:
    reached = ", ".join(f"{name} {value:.3f}" for name, value in result.best_ccc.items())
    click.echo(f"best epoch {result.best_epoch} of {len(result.rows)}: validation CCC {reached}")
    for note in result.notes:
        click.echo(f"note: {note}")
    names = ["model.safetensors", "last.safetensors", "metrics.csv", "config.yaml", "curves.png"]
    if report and (result.out / "report.html").exists():
        names.append("report.html")
    for name in names:
        click.echo(f"  {result.out / name}")
