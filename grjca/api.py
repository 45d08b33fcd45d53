"""The public functions: what the commands call, and what a script may call."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from grjca.cache import FeatureStore
from grjca.errors import GrjcaError, UsageError
from grjca.fusion.checkpoint import FILE as CHECKPOINT
from grjca.fusion.checkpoint import Checkpoint, load_checkpoint
from grjca.fusion.initial import settings_of
from grjca.fusion.lag import find_label_delay
from grjca.fusion.predictor import Prediction, predict_stored
from grjca.fusion.presets import preset as find_preset
from grjca.fusion.settings import Given, read_settings, resolve
from grjca.fusion.sides import choose_split
from grjca.fusion.trainer import TrainResult
from grjca.fusion.trainer import train as fit
from grjca.fusion.writers import WRITERS
from grjca.labels.matching import match
from grjca.labels.readers import read_labels
from grjca.pipeline.batch import extract, gather, run
from grjca.pipeline.config import Components, check_same_weights, config_from_recipe
from grjca.pipeline.executors import single_threaded
from grjca.pipeline.outcome import ClipOutcome
from grjca.pipeline.parts import Part
from grjca.pipeline.placing import Placement
from grjca.pipeline.predicted import Ledger, file_digest
from grjca.pipeline.report import RunReport
from grjca.report.plots import plot_prediction, plot_training
from grjca.stages.catalog import Kind
from grjca.stages.ffmpeg import ffmpeg_version, find_ffmpeg
from grjca.stages.people import Choice

__all__ = ["PredictResult", "extract", "predict", "train"]


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
    progress: bool = False,
) -> TrainResult:
    """Train a fusion model on a store's features and keep the best weights.

    Args:
        store: The feature store's folder.
        labels: Annotations in one of the forms that ``grjca.labels.readers`` knows.
        out: The RUN folder: checkpoints, ``metrics.csv``, ``config.yaml``, ``curves.png``.
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
        progress: Draw a progress bar on standard error.

    Returns:
        The best epoch, its validation CCC, and a row per epoch.

    Raises:
        UsageError: Unknown settings, a folder in use, a split with an empty side, a run to go on
            with that was started otherwise.
        GrjcaError: Labels or a checkpoint that do not fit the store's clips, damaged features, a
            full disk.
    """
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
    plot_training(result.out / "curves.png", result.rows)
    return result


@dataclass(frozen=True)
class PredictResult:
    """What a run of predictions made.

    Attributes:
        files: The table of predictions by clip.
        plots: The picture of predictions by clip; empty when none were asked for.
        predictions: The predictions themselves, by clip; empty where a function took them.
        failed: Clips that could not be extracted or predicted.
        extraction: The report of the extraction before it.
        skipped: Clips whose predictions were there already; they are in ``files`` and ``plots``.
    """

    files: dict[str, Path]
    plots: dict[str, Path]
    predictions: dict[str, Prediction]
    failed: list[ClipOutcome]
    extraction: RunReport
    skipped: list[str] = field(default_factory=list)


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
    placement: Placement | None = None,
    part: Part | None = None,
    table: str = "csv",
    plots: bool = True,
    skip_done: bool = False,
    take: Callable[[Path, Prediction], None] | None = None,
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
        placement: Where the extraction is done; None for this machine.
        part: Only this share of the clips, chosen by their names; None for all.
        table: ``csv``, ``json`` or ``parquet``.
        plots: Draw a picture per clip.
        skip_done: Leave out clips whose predictions by this model, from these features, are in
            ``out`` already.
        take: Called with each table's path and the prediction in it as soon as it is written;
            predictions are then not kept, so that memory does not grow with their number.
        progress: Draw progress bars on standard error.

    Returns:
        Predictions and where they were written; clips that failed are in ``failed``.

    Raises:
        UsageError: Nothing to predict, unknown table format, missing weights, or an extraction
            on other machines without a store.
        GrjcaError: The checkpoint cannot be read, or its weights differ from those here.
    """
    if table not in WRITERS:
        raise UsageError("options", table, "no such form of table", f"Known: {', '.join(WRITERS)}.")
    if placement is not None and not placement.local and store is None:
        raise UsageError("options", "store", "other machines have no place for the features",
                         "Name a --store that all of them reach.")  # fmt: skip
    model = load_checkpoint(Path(checkpoint))
    inputs = gather(videos, manifest=manifest, root=root)
    if part is not None:
        kept = {clip: source for clip, source in inputs.clips.items() if part.keeps(clip)}
        inputs = dataclasses.replace(inputs, clips=kept)
    config = dataclasses.replace(config_from_recipe(model.recipe, weights), faces=faces)
    components = Components.load(config)
    check_same_weights(components, model.recipe, Path(checkpoint))
    ledger = Ledger(
        Path(out),
        file_digest(_checkpoint_file(checkpoint)),
        components.recipe(ffmpeg_version(find_ffmpeg())),
        (f".{table}", *([".png"] if plots else [])),
    )
    found = {c: ledger.done(c, s) for c, s in inputs.clips.items()} if skip_done else {}
    done = {clip: clips for clip, clips in found.items() if clips is not None}
    if store is None:
        # Their features would be made for nothing.
        left = {clip: source for clip, source in inputs.clips.items() if clip not in done}
        inputs = dataclasses.replace(inputs, clips=left)
    with _kept_or_temporary(store) as where:
        report = run(
            inputs, where, components,
            workers=workers, placement=placement, part=part, progress=progress,
        )  # fmt: skip
        result = PredictResult({}, {}, {}, list(report.failed), report, [])
        for clip in (clip for clips in done.values() for clip in clips):
            result.skipped.append(clip)
            _note(ledger, clip, result)
        made = [out for out in report.outcomes if out.status != "failed" and out.clip not in done]
        features = FeatureStore(where)
        with single_threaded():
            for outcome in tqdm(made, "predict", unit="clip", disable=not progress):
                _predict_one(model, features, outcome, ledger, result, take)
    return result


def _predict_one(
    model: Checkpoint,
    features: FeatureStore,
    outcome: ClipOutcome,
    ledger: Ledger,
    result: PredictResult,
    take: Callable[[Path, Prediction], None] | None,
) -> None:
    """Predict a clip, or all its people, and record that it is done if all went well."""
    failed = len(result.failed)
    for clip in outcome.clips:
        try:
            prediction = predict_stored(model, features, clip)
            _write(ledger.files(clip), clip, prediction)
        except GrjcaError as error:
            result.failed.append(ClipOutcome.failure(clip, error))
            continue
        _note(ledger, clip, result)
        if take is None:
            result.predictions[clip] = prediction
        else:
            take(result.files[clip], prediction)
    if len(result.failed) == failed:
        first = outcome.clips[0]
        source, digests = features.source(first), features.digests(first)
        ledger.record(outcome.clip, outcome.clips, source, digests)


def _write(files: Sequence[Path], clip: str, prediction: Prediction) -> None:
    table, *pictures = files
    WRITERS[table.suffix[1:]](prediction, table)
    for picture in pictures:
        plot_prediction(
            picture,
            title=clip,
            time=prediction.time,
            prediction=prediction.values,
            names=prediction.names,
            face_valid=prediction.face_valid,
            audio_valid=prediction.audio_valid,
            gates=prediction.gates,
        )


def _note(ledger: Ledger, clip: str, result: PredictResult) -> None:
    result.files[clip], *pictures = ledger.files(clip)
    if pictures:
        result.plots[clip] = pictures[0]


def _checkpoint_file(checkpoint: str | Path) -> Path:
    """The file of a checkpoint that a RUN folder or the file itself names."""
    path = Path(checkpoint)
    return path / CHECKPOINT if path.is_dir() else path


@contextlib.contextmanager
def _kept_or_temporary(store: str | Path | None) -> Iterator[Path]:
    if store is not None:
        yield Path(store)
        return
    with tempfile.TemporaryDirectory(prefix="grjca-") as folder:
        yield Path(folder)
