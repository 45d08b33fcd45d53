"""Reading a RUN folder, and what ``grjca evaluate`` wrote about it."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from grjca.errors import GrjcaError
from grjca.evaluation.documents import FORMAT, VERSION
from grjca.fusion.run_files import CONFIG, METRICS, MODEL
from grjca.report.html import EvaluationPart, RunPage

_REMEDY = "Write it anew with: grjca evaluate --json."


def read_run(folder: Path, evaluation: Path | None = None) -> RunPage:
    """What a RUN folder's report shows.

    Args:
        folder: The RUN folder.
        evaluation: What ``grjca evaluate --json`` wrote; None for all such files in the folder.

    Raises:
        GrjcaError: The table of epochs, the settings or an evaluation cannot be read.
    """
    settings = _text(folder / CONFIG)
    given = [evaluation] if evaluation is not None else sorted(folder.glob("*.json"))
    parts = [_evaluation(path, folder, asked=evaluation is not None) for path in given]
    return RunPage(
        name=folder.resolve().name,
        rows=_epochs(folder / METRICS),
        settings=settings,
        facts=_facts(folder / CONFIG, settings),
        evaluations=[part for part in parts if part is not None],
    )


def _epochs(path: Path) -> list[dict[str, float]]:
    try:
        rows = [
            {name: float(text) if text else math.nan for name, text in row.items()}
            for row in csv.DictReader(_text(path).splitlines())
        ]
    except (ValueError, TypeError, csv.Error) as error:
        raise GrjcaError(
            "report",
            path,
            f"not a table of epochs ({error})",
            "Give a RUN folder as grjca train left it.",
        ) from error
    if not rows:
        raise GrjcaError("report", path, "no epoch yet", "Let the training finish one.")
    return rows


def _facts(path: Path, settings: str) -> dict[str, str]:
    """The settings one asks for first; what a run does not have is left out."""
    try:
        found = yaml.safe_load(settings)
    except yaml.YAMLError as error:
        raise GrjcaError(
            "report", path, f"not YAML ({error})", "Give a RUN folder as grjca train left it."
        ) from error
    parts = {name: _mapping(_mapping(found).get(name)) for name in ("model", "train", "run")}
    model, train, run = parts["model"], parts["train"], parts["run"]
    split = _mapping(run.get("split"))
    wanted = {
        "fusion": model.get("fusion"),
        "iterations": model.get("iterations"),
        "visual": run.get("visual"),
        "audio": run.get("audio"),
        "window": train.get("window"),
        "clips trained on": len(split.get("train") or ()) or None,
        "clips to validate": len(split.get("val") or ()) or None,
        "seed": train.get("seed"),
    }
    return {name: str(value) for name, value in wanted.items() if value is not None}


def _evaluation(path: Path, folder: Path, *, asked: bool) -> EvaluationPart | None:
    """An evaluation; None for a file that is something else and was not asked for."""
    try:
        found = json.loads(_text(path))
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            if not asked:
                return None
            raise GrjcaError("report", path, "not an evaluation", _REMEDY)
        if found["version"] > VERSION:
            cause = f"version {found['version']}, and this program knows up to {VERSION}"
            raise GrjcaError("report", path, cause, "Use a newer grjca.")
        return _part(path, folder, found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if not asked and isinstance(error, ValueError):
            return None
        cause = f"not as grjca evaluate writes it ({error!r})"
        raise GrjcaError("report", path, cause, _REMEDY) from error


def _part(path: Path, folder: Path, found: dict[str, Any]) -> EvaluationPart:
    overall = dict(found["overall"])
    mean = overall.pop("mean_ccc", None)
    names = tuple(overall)
    bounds = {name: _bounds(own["ccc"]) for name, own in overall.items()}
    if mean is not None and len(names) > 1:
        bounds["mean"] = _bounds(mean)
    notes = list(found["notes"])
    if not _is_of(folder, found["checkpoints"]):
        notes.insert(0, "This evaluation is of another checkpoint than the one in the folder.")
    return EvaluationPart(
        source=path.name,
        partition=str(found["config"]["partition"]),
        names=names,
        overall=bounds,
        clips={
            clip: {name: (own[name]["ccc"]["value"], own[name]["rmse"]["value"]) for name in names}
            for clip, own in found["clips"].items()
        },
        stress=[
            (row["kind"], float(row["level"]), {name: _bounds(row["ccc"][name]) for name in names})
            for row in found.get("stress", [])
        ],
        notes=notes,
    )


def _is_of(folder: Path, checkpoints: list[dict[str, str]]) -> bool:
    try:
        with (folder / MODEL).open("rb") as stream:
            own = hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise GrjcaError(
            "report",
            folder / MODEL,
            error.strerror or str(error),
            "Check the path and its permissions.",
        ) from error
    return any(checkpoint["sha256"] == own for checkpoint in checkpoints)


def _bounds(value: Mapping[str, float | None]) -> tuple[float | None, float | None, float | None]:
    return value["value"], value["low"], value["high"]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise GrjcaError(
            "report", path, error.strerror or str(error), "Check the path and its permissions."
        ) from error
