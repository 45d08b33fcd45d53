"""An evaluation as JSON and as text."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grjca.evaluation.scores import Score, Scores
from grjca.evaluation.sums import LEVEL, Estimate
from grjca.files import written_in_one_step
from grjca.fusion.run_files import without_nan

if TYPE_CHECKING:
    from grjca.evaluation.evaluation import Evaluation
    from grjca.evaluation.stress import Condition

FORMAT = "grjca.evaluation"
VERSION = 1

_UNIT = {"picture noise": " sd", "sound noise": " sd", "late sound": " s"}


def document(found: Evaluation) -> dict[str, Any]:
    """An evaluation as JSON-able values; what is undefined is None."""
    whole: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "config": dataclasses.asdict(found.config),
        "mapping": found.mapping,
        "interval": {"level": LEVEL, "method": "percentile bootstrap over clips"},
        "smooth": dict(found.smooth),
        "notes": list(found.notes),
        "overall": _overall(found.scores),
        "clips": {clip: _by_name(own) for clip, own in found.scores.clips.items()},
    }
    if found.gates is not None:
        whole["gates"] = [
            {name: dataclasses.asdict(use) for name, use in own.items()} for own in found.gates
        ]
    if found.mean_gates is not None:
        whole["mean_gates"] = _overall(found.mean_gates)
    if found.stress:
        whole["stress"] = [
            {
                **dataclasses.asdict(row.condition),
                "ccc": {name: value.document() for name, value in row.ccc.items()},
                "change": {name: value.document() for name, value in row.change.items()},
            }
            for row in found.stress
        ]
    cleaned: dict[str, Any] = without_nan(whole)
    return cleaned


def write_json(path: Path, found: Evaluation, runs: list[dict[str, str]]) -> None:
    """Write an evaluation.

    Args:
        path: The file.
        found: The evaluation.
        runs: What each checkpoint is called and its digest.

    Raises:
        GrjcaError: The file cannot be written.
    """
    text = json.dumps({"checkpoints": runs, **document(found)}, allow_nan=False, indent=1)
    with written_in_one_step(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def lines(found: Evaluation) -> Iterator[str]:
    """An evaluation as lines of text: overall, by clip, gates, stress, notes."""
    frames = sum(len(trace.time) for trace in found.traces)
    yield f"{found.config.partition}: {len(found.traces)} clips, {frames} frames"
    yield from _score_lines(found.scores)
    for name, width in found.smooth.items():
        if width:
            yield f"  {name} smoothed over {width:g} s"
    yield ""
    yield from _clip_lines(found.scores, found.names)
    if found.gates is not None:
        yield from _gate_lines(found)
    if found.stress:
        yield ""
        yield f"{'stress: CCC (change)':28}" + "".join(f"{name:>34}" for name in found.names)
        for row in found.stress:
            cells = (f"{_shown(row.ccc[n])} ({row.change[n].value:+.3f})" for n in found.names)
            yield f"  {described(row.condition):26}" + "".join(f"{cell:>34}" for cell in cells)
    for note in found.notes:
        yield f"note: {note}"


def described(condition: Condition) -> str:
    """A condition in words, for example ``late sound -0.5 s``."""
    if condition.level == 0:
        return condition.kind
    if condition.kind == "faces missing":
        return f"{condition.kind} {condition.level:.0%}"
    sign = "+" if condition.kind == "late sound" else ""
    return f"{condition.kind} {condition.level:{sign}g}{_UNIT[condition.kind]}"


def _score_lines(scores: Scores) -> Iterator[str]:
    yield f"{'':10}{'CCC':>24}{'PCC':>24}{'RMSE':>24}{'frames':>10}{'clips':>7}"
    for name, own in scores.overall.items():
        cells = "".join(f"{_shown(estimate):>24}" for estimate in (own.ccc, own.pcc, own.rmse))
        yield f"{name:10}{cells}{own.frames:>10}{own.clips:>7}"
    if len(scores.overall) > 1:
        yield f"{'mean':10}{_shown(scores.mean_ccc):>24}"


def _clip_lines(scores: Scores, names: tuple[str, ...]) -> Iterator[str]:
    width = max([len(clip) for clip in scores.clips] + [4])
    yield f"{'clip':{width}}" + "".join(f"{name + ' CCC':>14}{'RMSE':>8}" for name in names)
    for clip, own in scores.clips.items():
        cells = (f"{_number(own[n].ccc.value):>14}{_number(own[n].rmse.value):>8}" for n in names)
        yield f"{clip:{width}}" + "".join(cells)


def _gate_lines(found: Evaluation) -> Iterator[str]:
    yield ""
    for number, uses in enumerate(found.gates or (), start=1):
        which = f" of checkpoint {number}" if len(found.gates or ()) > 1 else ""
        if not uses:
            yield f"no gates{which}"
        for name, use in uses.items():
            mean = ", ".join(
                f"{weight:.3f} ({deviation:.3f})"
                for weight, deviation in zip(use.mean, use.deviation, strict=True)
            )
            yield (
                f"gate {name}{which}: entropy {use.entropy:.3f}, of its mean "
                f"{use.mean_entropy:.3f}; mean weights (deviation) {mean}"
            )
    if found.mean_gates is not None:
        yield "with every gate held at its mean:"
        yield from _score_lines(found.mean_gates)


def _overall(scores: Scores) -> dict[str, Any]:
    return {**_by_name(scores.overall), "mean_ccc": scores.mean_ccc.document()}


def _by_name(scores: Mapping[str, Score]) -> dict[str, Any]:
    return {name: own.document() for name, own in scores.items()}


def _shown(estimate: Estimate) -> str:
    value = _number(estimate.value)
    if math.isnan(estimate.low):
        return value
    return f"{value} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
