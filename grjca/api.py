"""The public functions: what the commands call, and what a script may call."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from grjca.cache import FeatureStore
from grjca.errors import GrjcaError, UsageError
from grjca.fusion.checkpoint import Checkpoint, load_checkpoint
from grjca.fusion.predictor import Prediction, predict_stored
from grjca.fusion.presets import preset as find_preset
from grjca.fusion.train_config import TrainConfig
from grjca.fusion.trainer import TrainResult
from grjca.fusion.trainer import train as fit
from grjca.fusion.writers import WRITERS
from grjca.labels.matching import match
from grjca.labels.readers import read_labels
from grjca.labels.splits import split
from grjca.labels.subjects import subject_of
from grjca.pipeline.batch import extract, gather, run
from grjca.pipeline.config import Components, check_same_weights, config_from_recipe
from grjca.pipeline.executors import single_threaded
from grjca.pipeline.outcome import ClipOutcome
from grjca.pipeline.report import RunReport
from grjca.report.plots import plot_prediction, plot_training
from grjca.stages.catalog import Kind
from grjca.stages.people import Choice

__all__ = ["PredictResult", "extract", "predict", "train"]


def train(
    store: str | Path,
    labels: str | Path,
    out: str | Path,
    *,
    val: float | Sequence[str] = 0.2,
    preset: str = "small",
    model: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    visual: str | None = None,
    audio: str | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> TrainResult:
    """Train a fusion model on a store's features and keep the best weights.

    Args:
        store: The feature store's folder.
        labels: Folder of Aff-Wild2 text files, or one CSV.
        out: The RUN folder: checkpoint, ``metrics.csv``, ``config.yaml``, ``curves.png``.
        val: Share of clips to validate on, or their names; whole clips, grouped by subject.
        preset: Named settings that ``model`` and ``config`` add to.
        model: Values for fields of ``FusionConfig``, for example ``{"fusion": "rjca"}``.
        config: Values for fields of ``TrainConfig``, for example ``{"epochs": 20}``.
        visual: The visual embedder; None for the only one the store has.
        audio: The audio embedder; None for the only one the store has.
        overwrite: Replace a run that the folder holds.
        progress: Draw a progress bar on standard error.

    Returns:
        The best epoch, its validation CCC, and a row per epoch.

    Raises:
        UsageError: Unknown settings, a folder in use, a split with an empty side.
        GrjcaError: Labels that do not fit the store's clips, damaged features, a full disk.
    """
    features = FeatureStore(store)
    annotations = match(read_labels(Path(labels)), features.clips()).labels
    chosen = find_preset(preset)
    settings = _train_config({**chosen.train, **(config or {})})
    subjects = {
        clip: subject_of(clip, annotations, features.about(clip).get("subject"))
        for clip in annotations.clips
    }
    sides = split(sorted(annotations.clips), subjects, val, settings.seed)
    result = fit(
        features, annotations, sides, {**chosen.model, **(model or {})}, settings, Path(out),
        visual=visual, audio=audio, overwrite=overwrite, progress=progress,
    )  # fmt: skip
    plot_training(result.out / "curves.png", result.rows)
    return result


def _train_config(values: Mapping[str, Any]) -> TrainConfig:
    try:
        return TrainConfig(**values)
    except (TypeError, ValueError) as error:
        known = ", ".join(field.name for field in dataclasses.fields(TrainConfig))
        raise UsageError("train", "settings", str(error), f"Settings: {known}.") from error


@dataclass(frozen=True)
class PredictResult:
    """What a run of predictions made.

    Attributes:
        files: The table of predictions by clip.
        plots: The picture of predictions by clip; empty when none were asked for.
        predictions: The predictions themselves, by clip.
        failed: Clips that could not be extracted or predicted.
        extraction: The report of the extraction before it.
    """

    files: dict[str, Path]
    plots: dict[str, Path]
    predictions: dict[str, Prediction]
    failed: list[ClipOutcome]
    extraction: RunReport


def predict(
    videos: Sequence[str | Path],
    checkpoint: str | Path,
    out: str | Path,
    *,
    manifest: str | Path | None = None,
    store: str | Path | None = None,
    root: str | Path | None = None,
    faces: Choice = "main",
    weights: Mapping[Kind, str] | None = None,
    workers: int | None = None,
    table: str = "csv",
    plots: bool = True,
    progress: bool = False,
) -> PredictResult:
    """Valence and arousal for every frame of new videos.

    The features are extracted with the very configuration that the checkpoint records.

    Args:
        videos: Files, folders or ``@list.txt``, as for ``extract``.
        checkpoint: A RUN folder, or the ``model.safetensors`` inside it.
        out: Folder for a table and a picture per clip, at the clip's own relative path.
        manifest: A table of clips instead of ``videos``.
        store: Keep the features in this store, and use what it already holds; None throws
            them away afterwards.
        root: Folder that clips are named relative to.
        faces: Whose face is followed; ``all`` predicts for every person.
        weights: Files of weights by kind of component (``detector``, ``visual``, ``audio``), for
            components that no package carries weights for.
        workers: Processes side by side for the extraction.
        table: ``csv``, ``json`` or ``parquet``.
        plots: Draw a picture per clip.
        progress: Draw progress bars on standard error.

    Returns:
        Predictions and where they were written; clips that failed are in ``failed``.

    Raises:
        UsageError: Nothing to predict, unknown table format, missing weights.
        GrjcaError: The checkpoint cannot be read, or its weights differ from those here.
    """
    if table not in WRITERS:
        raise UsageError("options", table, "no such form of table", f"Known: {', '.join(WRITERS)}.")
    model = load_checkpoint(Path(checkpoint))
    inputs = gather(videos, manifest=manifest, root=root)
    config = dataclasses.replace(config_from_recipe(model.recipe, weights), faces=faces)
    components = Components.load(config)
    check_same_weights(components, model.recipe, Path(checkpoint))
    folder = Path(out)
    with _kept_or_temporary(store) as where:
        report = run(inputs, where, components, workers=workers, progress=progress)
        features = FeatureStore(where)
        result = PredictResult({}, {}, {}, list(report.failed), report)
        succeeded = (outcome for outcome in report.outcomes if outcome.status != "failed")
        clips = [clip for outcome in succeeded for clip in outcome.clips]
        with single_threaded():
            for clip in tqdm(clips, "predict", unit="clip", disable=not progress):
                try:
                    _predict_one(model, features, clip, folder, table, plots, result)
                except GrjcaError as error:
                    result.failed.append(ClipOutcome.failure(clip, error))
    return result


def _predict_one(
    model: Checkpoint,
    features: FeatureStore,
    clip: str,
    folder: Path,
    table: str,
    plots: bool,
    result: PredictResult,
) -> None:
    prediction = predict_stored(model, features, clip)
    file = folder / f"{clip}.{table}"
    WRITERS[table](prediction, file)
    result.predictions[clip] = prediction
    result.files[clip] = file
    if plots:
        result.plots[clip] = folder / f"{clip}.png"
        plot_prediction(
            result.plots[clip],
            title=clip,
            time=prediction.time,
            prediction=prediction.values,
            names=prediction.names,
            face_valid=prediction.face_valid,
            audio_valid=prediction.audio_valid,
            gates=prediction.gates,
        )


@contextlib.contextmanager
def _kept_or_temporary(store: str | Path | None) -> Iterator[Path]:
    if store is not None:
        yield Path(store)
        return
    with tempfile.TemporaryDirectory(prefix="grjca-") as folder:
        yield Path(folder)
