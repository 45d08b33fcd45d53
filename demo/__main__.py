"""``python -m demo``: the whole job on a small made set, and on a video of your own."""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path

import click

import grjca
from demo import job
from demo.clips import build_clips

GOAL = 0.6
MARGIN = 0.05
SEED = 3407


@click.command()
@click.option("--video", type=click.Path(exists=True, path_type=Path), help="Also predict on it.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("demo-run"), show_default=True,
    help="Folder for everything; emptied first.",
)  # fmt: skip
def main(video: Path | None, out: Path) -> None:
    """Make clips, extract, train, predict clips never seen, print the CCC reached."""
    logging.basicConfig(format="%(message)s")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    watch = job.Stopwatch()
    progress = sys.stderr.isatty()
    with watch.step("make clips"):
        made = build_clips(out, seed=SEED)
    click.echo(f"{len(made.train)} clips to train on, {len(made.unseen)} unseen, in {made.clips}")
    with watch.step("extract"):
        store = job.extract_train(made, out, progress=progress)
    labels = job.training_labels(made, out / "training-labels.csv")
    reached: dict[str, dict[str, float]] = {}
    for name, modalities in job.MODALITIES.items():
        run = out / "-".join(["run", *modalities])
        with watch.step("train" if len(modalities) > 1 else "train one modality alone"):
            job.train(store, labels, run, modalities, progress=progress)
        with watch.step("predict" if len(modalities) > 1 else "predict with one alone"):
            result = job.predict(
                made, run, out / "unseen-features", out / f"predictions{run.name[3:]}",
                progress=progress,
            )  # fmt: skip
        reached[name] = job.score(made, result.predictions)
        if len(modalities) > 1:
            shown = result
    click.echo("\nCCC on clips of people, voices and light that the training never saw:")
    for name, values in reached.items():
        click.echo(f"  {name:16} valence {values['valence']:.3f}  arousal {values['arousal']:.3f}")
    click.echo("\nseconds: " + ", ".join(f"{k} {v:.0f}" for k, v in watch.seconds.items()))
    first = made.unseen[0]
    click.echo(f"table    {shown.files[first]}\nplot     {shown.plots[first]}\nstore    {store}")
    if video is not None:
        _predict_own(video, out)
    _judge(reached)


def _predict_own(video: Path, out: Path) -> None:
    result = grjca.predict([video], out / "run-visual-audio", out / "own")
    for clip, file in result.files.items():
        click.echo(f"yours    {file}\n         {result.plots[clip]}")
    click.echo("         (a model of the made clips: it shows that your video goes through)")
    for failure in result.failed:
        click.echo(f"error: {(failure.error or {}).get('message')}", err=True)


def _judge(reached: dict[str, dict[str, float]]) -> None:
    fusion, *alone = reached.values()
    low = {name for name, value in fusion.items() if not value >= GOAL}
    near = {
        name for name, value in fusion.items()
        if any(not value >= other[name] + MARGIN for other in alone)
    }  # fmt: skip
    for name in sorted(low):
        click.echo(f"goal missed: {name} CCC below {GOAL}", err=True)
    for name in sorted(near):
        click.echo(f"goal missed: {name} CCC not {MARGIN} above one modality alone", err=True)
    if low | near:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
