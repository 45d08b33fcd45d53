"""An ablation as JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from grjca.ablation.comparison import LEVEL, Mean, VariantResult
from grjca.ablation.scores import TrialScore
from grjca.files import written_in_one_step
from grjca.fusion.run_files import without_nan

FORMAT = "grjca.ablation"
VERSION = 1

TRIALS, TABLE, DOCUMENT = "trials.csv", "ablation.md", "ablation.json"


def write_documents(
    out: Path,
    scores: Sequence[TrialScore],
    results: Sequence[VariantResult],
    about: Mapping[str, Any],
    notes: Sequence[str],
) -> None:
    """Write ``trials.csv`` (a line per trial), ``ablation.md`` and ``ablation.json``.

    Args:
        out: The folder.
        scores: Of all trials.
        results: By variant.
        about: How it was made, as plain values.
        notes: What a reader should know.

    Raises:
        GrjcaError: The folder cannot be written.
    """
    names = list(scores[0].ccc)
    with written_in_one_step(out / TRIALS) as path, path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(
            ["fusion", "seed", "fold", *(f"ccc_{name}" for name in names), "ccc_mean",
             "ccc_mean_gates_held", "best_epoch", "epochs", "seconds"]
        )  # fmt: skip
        for s in scores:
            writer.writerow(
                [s.trial.variant, s.trial.seed, s.trial.fold, *s.ccc.values(), s.mean,
                 s.mean_of_mean_gates, s.best_epoch, s.epochs, round(s.seconds, 3)]
            )  # fmt: skip
    with written_in_one_step(out / TABLE) as path:
        path.write_text("\n".join(markdown(results, notes)) + "\n", encoding="utf-8")
    document = without_nan(
        {
            "format": FORMAT,
            "version": VERSION,
            "interval": {"level": LEVEL, "method": "Student's t, corrected for folds"},
            **about,
            "notes": list(notes),
            "fusions": [dataclasses.asdict(result) for result in results],
        }
    )
    with written_in_one_step(out / DOCUMENT) as path:
        text = json.dumps(document, allow_nan=False, indent=1)
        path.write_text(text + "\n", encoding="utf-8")


def markdown(results: Sequence[VariantResult], notes: Sequence[str] = ()) -> Iterator[str]:
    """A table with a line per variant: mean (deviation) [interval], and differences."""
    reference = next(result.variant for result in results if not result.difference)
    names = list(results[0].ccc)
    # With one dimension its mean says the same again.
    columns = names if len(names) > 2 else names[:1]
    together = any(result.ensemble for result in results)
    header = [
        "fusion", *(f"CCC {name}" for name in columns), f"less {reference} [95 %]",
        f"better than {reference}", "gates' entropy (of their mean)",
        "worth of choosing by frame [95 %]", *(["CCC of all seeds together"] if together else []),
        "s/training",
    ]  # fmt: skip
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for result in results:
        own = result.difference.get("mean")
        cells = [
            result.variant,
            *(_spread(result.ccc[name]) for name in columns),
            _interval(own) if own else "",
            f"{result.better} of {own.trials}" if own else "",
            f"{result.entropy:.2f} ({result.mean_entropy:.2f})"
            if not math.isnan(result.entropy) else "",
            _interval(result.choosing) if result.choosing else "",
            *([_number(result.ensemble.get("mean", math.nan))] if together else []),
            f"{result.seconds:.1f}",
        ]  # fmt: skip
        yield "| " + " | ".join(cells) + " |"
    if notes:
        yield ""
        yield from (f"- {note}" for note in notes)


def _spread(mean: Mean) -> str:
    if math.isnan(mean.deviation):
        return _number(mean.value)
    return f"{mean.value:.3f} ({mean.deviation:.3f})"


def _interval(mean: Mean) -> str:
    if math.isnan(mean.value):
        return "undefined"
    bounds = "" if math.isnan(mean.low) else f" [{mean.low:+.3f}, {mean.high:+.3f}]"
    return f"{mean.value:+.3f}{bounds}"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3f}"
