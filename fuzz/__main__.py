"""``python -m fuzz``: a campaign, its progress, its summary, its report."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from fuzz.check import Verdict
from fuzz.pool import Campaign, run
from fuzz.seeds import made_clips, real_clips
from grjca.files import written_in_one_step
from grjca.stages.ffmpeg import ffmpeg_version, find_ffmpeg


@click.command()
@click.option("--count", default=500, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=1, show_default=True, help="What the damage follows from.")
@click.option("--only", type=int, help="One mutant, by its number, instead of --count.")
@click.option(
    "--media",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of real clips to damage beside the made ones.",
)
@click.option("--workers", default=2, show_default=True, type=click.IntRange(1))
@click.option(
    "--extract-every",
    default=5,
    show_default=True,
    type=click.IntRange(1),
    help="Of so many mutants one goes through the whole extraction.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="A report, as JSON.")
@click.option(
    "--keep", type=click.Path(file_okay=False, path_type=Path), default=Path("fuzz-violations"),
    show_default=True, help="Folder for mutants that should not end as they do.",
)  # fmt: skip
def main(
    count: int,
    seed: int,
    only: int | None,
    media: Path | None,
    workers: int,
    extract_every: int,
    out: Path | None,
    keep: Path,
) -> None:
    """Damage media files and see that each is decoded exactly, or refused with one clear line."""
    began = time.monotonic()
    verdicts: dict[int, Verdict] = {}
    with tempfile.TemporaryDirectory(prefix="grjca-fuzz-") as name:
        folder = Path(name)
        clips = made_clips(folder / "made")
        clips += real_clips(media, folder / "real") if media else []
        campaign = Campaign(clips, seed, extract_every, folder)
        numbers = range(count) if only is None else [only]
        click.echo(f"{len(numbers)} mutants of {len(clips)} clips, seed {seed}", err=True)
        progress = tqdm(
            run(campaign, numbers, workers), total=len(numbers), unit="mutant",
            disable=not sys.stderr.isatty(),
        )  # fmt: skip
        for number, verdict in progress:
            verdicts[number] = verdict
            if verdict.violations:
                keep.mkdir(parents=True, exist_ok=True)
                _, data, done = campaign.mutant(number)
                (keep / verdict.name).write_bytes(data)
                for violation in verdict.violations:
                    progress.write(f"{verdict.name} ({done}): {violation}", file=sys.stderr)
    report = {
        "count": len(numbers),
        "clips": len(clips),
        "seed": seed,
        "ffmpeg": ffmpeg_version(find_ffmpeg()),
        "seconds": round(time.monotonic() - began, 1),
        **summary(list(verdicts.values())),
        "verdicts": [asdict(verdicts[number]) for number in sorted(verdicts)],
    }
    if out is not None:
        with written_in_one_step(out) as temporary:
            temporary.write_text(json.dumps(report, indent=1))
    click.echo(json.dumps({k: v for k, v in report.items() if k != "verdicts"}, indent=1))
    if report["violations"]:
        click.echo(f"violating mutants are in {keep}", err=True)
        sys.exit(1)


def summary(verdicts: list[Verdict]) -> dict[str, Any]:
    """Counts over all verdicts."""
    return {
        "decoded": sum(not v.refused and not v.violations for v in verdicts),
        "refused": dict(Counter(v.refused for v in verdicts if v.refused)),
        "extracted": sum(v.extracted for v in verdicts),
        "rows": sum(v.rows for v in verdicts),
        "slowest_seconds": round(max((v.seconds for v in verdicts), default=0.0), 1),
        "violations": sum(bool(v.violations) for v in verdicts),
    }


if __name__ == "__main__":
    main()
