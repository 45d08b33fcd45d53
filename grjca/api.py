"""The public functions: what the commands call, and what a script may call."""

from __future__ import annotations

import dataclasses
import logging
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from grjca.cache import FeatureStore
from grjca.errors import one_line
from grjca.fusion.checkpoint import load_checkpoint
from grjca.fusion.initial import settings_of
from grjca.fusion.lag import find_label_delay
from grjca.fusion.presets import preset as find_preset
from grjca.fusion.settings import Given, read_settings, resolve
from grjca.fusion.sides import choose_split
from grjca.fusion.trainer import TrainResult
from grjca.fusion.trainer import train as fit
from grjca.labels.matching import match
from grjca.labels.readers import read_labels
from grjca.pipeline.batch import extract
from grjca.predicting import PredictResult, ReportConfig, predict
from grjca.report.plots import plot_training
from grjca.reporting import MakeResult, make_report

logger = logging.getLogger(__name__)

__all__ = [
    "MakeResult",
    "PredictResult",
    "ReportConfig",
    "extract",
    "make_report",
    "predict",
    "train",
]


def train(
    store: str | Path,
    labels: str | Path,
    out: str | Path,
    *,
    val: float | Sequence[str] | None = None,
    preset: str = "small",
    settings: str | Path | None = None,
    model: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    data: Mapping[str, Any] | None = None,
    visual: str | None = None,
    audio: str | None = None,
    init: str | Path | None = None,
    find_delay: bool = False,
    overwrite: bool = False,
    resume: bool = False,
    tensorboard: bool = False,
    report: bool = True,
    progress: bool = False,
) -> TrainResult:
    """Train a fusion model on a store's features and keep the best weights.

    Args:
        store: The feature store's folder.
        labels: Annotations in one of the forms that ``grjca.labels.readers`` knows.
        out: The RUN folder: checkpoints, ``metrics.csv``, ``config.yaml``, ``curves.png``,
            ``report.html``.
        val: Share of clips to validate on, or their names; whole clips, grouped by subject. None
            for the partition that annotations or store name, else a share of 0.2.
        preset: Named settings that all the others go over.
        settings: A YAML file of settings; ``model``, ``config`` and ``data`` go over it.
        model: Values for fields of ``FusionConfig``, for example ``{"fusion": "rjca"}``.
        config: Values for fields of ``TrainConfig``, for example ``{"epochs": 20}``.
        data: Values for fields of ``DataConfig``, for example ``{"folds": 6, "fold": 1}``.
        visual: The visual embedder; None for the only one the store has.
        audio: The audio embedder; None for the only one the store has.
        init: A RUN folder or checkpoint to start from. Its model settings, window, hop, rate and
            embedders then go over the preset's.
        find_delay: Find the annotations' delay on folds of the training clips, by ridge
            regression, and train with it; what was found is warned of where it is uncertain.
        overwrite: Replace a run that the folder holds.
        resume: Go on with the run in the folder, or start it where there is none.
        tensorboard: Write the curves for TensorBoard as well.
        report: Write ``report.html``. What hinders it is a note of the result, not an error.
        progress: Draw a progress bar on standard error.

    Returns:
        The best epoch, its validation CCC, and a row per epoch.

    Raises:
        UsageError: Unknown settings, a folder in use, a split with an empty side, a run to go on
            with that was started otherwise.
        GrjcaError: Labels or a checkpoint that do not fit the store's clips, damaged features, a
            full disk.
    """
    began = time.perf_counter()
    start = load_checkpoint(Path(init)) if init is not None else None
    named = {"val": val, "visual": visual, "audio": audio}
    about_data = {name: value for name, value in named.items() if value is not None}
    found = find_preset(preset)
    given = Given(model or {}, config or {}, {**(data or {}), **about_data})
    if settings is not None:
        given = given.over(read_settings(Path(settings)))
    if start is not None:
        given = given.over(settings_of(start))
    resolved = resolve(given.over(Given(found.model, found.train)))
    features = FeatureStore(store)
    annotations = match(
        read_labels(Path(labels)), features.clips(), allow_missing=resolved.data.allow_missing
    ).labels
    sides = choose_split(features, annotations, resolved.data, resolved.train.seed)
    logger.info("%d clips to train on, %d to validate on; found in %.2f s",
                len(sides.train), len(sides.val), time.perf_counter() - began)  # fmt: skip
    about = resolved.data
    if find_delay:
        sweep = find_label_delay(features, annotations, sides, about)
        for note in sweep.notes:
            warnings.warn(note, stacklevel=2)
        about = dataclasses.replace(about, label_delay=sweep.best)
    result = fit(
        features,
        annotations,
        sides,
        resolved.model,
        resolved.train,
        Path(out),
        data=about,
        init=start,
        overwrite=overwrite,
        resume=resume,
        tensorboard=tensorboard,
        progress=progress,
    )
    seconds = sum(row["seconds"] for row in result.rows)
    logger.info("%d epochs in %.2f s", len(result.rows), seconds)
    plot_training(result.out / "curves.png", result.rows)
    if report:
        try:
            make_report(result.out)
        # The training is done and saved; nothing about its page may take that away.
        except Exception as error:  # noqa: BLE001
            note = f"no report ({one_line(str(error))}); make it with: grjca report {result.out}"
            return dataclasses.replace(result, notes=(*result.notes, note))
    return result
