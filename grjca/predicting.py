"""``predict``: from new videos to a table, a picture and a page of each."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from grjca.cache import FeatureStore
from grjca.errors import GrjcaError, UsageError
from grjca.fusion.ensemble import Ensemble, checkpoint_paths
from grjca.fusion.predictor import Prediction
from grjca.fusion.run_files import MODEL
from grjca.fusion.writers import WRITERS
from grjca.pipeline.batch import gather, run
from grjca.pipeline.config import Components, check_same_weights, config_from_recipe
from grjca.pipeline.executors import single_threaded
from grjca.pipeline.outcome import ClipOutcome
from grjca.pipeline.parts import Part
from grjca.pipeline.placing import Placement
from grjca.pipeline.predicted import Ledger, file_digest
from grjca.pipeline.report import RunReport
from grjca.pipeline.source import ClipSource
from grjca.report.plots import plot_prediction
from grjca.reporting.making import NAME, MakeResult, report_clips
from grjca.reporting.media import Played
from grjca.stages.catalog import Kind
from grjca.stages.ffmpeg import ffmpeg_version, find_ffmpeg
from grjca.stages.people import Choice

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReportConfig:
    """How the report of a run of predictions is made.

    Attributes:
        embed: Put the videos into the pages; otherwise pages link to them.
        faces: Show the face along the time axis.
    """

    embed: bool = False
    faces: bool = True


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
        models: How many models the predictions are the mean of.
        report: The report's page, what it lacks and why; None when none was asked for or no clip
            has predictions.
    """

    files: dict[str, Path]
    plots: dict[str, Path]
    predictions: dict[str, Prediction]
    failed: list[ClipOutcome]
    extraction: RunReport
    skipped: list[str] = field(default_factory=list)
    models: int = 1
    report: MakeResult | None = None


def predict(
    videos: Sequence[str | Path],
    checkpoint: str | Path | Sequence[str | Path],
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
    report: ReportConfig | None = None,
    skip_done: bool = False,
    take: Callable[[Path, Prediction], None] | None = None,
    progress: bool = False,
) -> PredictResult:
    """Valence and arousal for every frame of new videos.

    The features are extracted with the very configuration that the checkpoint records. Several
    checkpoints must record the same; then each dimension is the mean over the models that predict
    it, and there are no gates' weights.

    Args:
        videos: Files, folders or ``@list.txt``, as for ``extract``.
        checkpoint: A RUN folder, or the ``model.safetensors`` inside it; or several.
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
        report: Write ``report.html`` into ``out``, about the clips of this call; None for none.
            A page that cannot be written fails no clip: ``result.report.failed`` says why.
        skip_done: Leave out clips whose predictions by this model, from these features, are in
            ``out`` already.
        take: Called with each table's path and the prediction in it as soon as it is written;
            predictions are then not kept, so that memory does not grow with their number.
        progress: Draw progress bars on standard error.

    Returns:
        Predictions and where they were written; clips that failed are in ``failed``.

    Raises:
        UsageError: Nothing to predict, unknown table format, missing weights, an extraction on
            other machines without a store, or a report of a part.
        GrjcaError: A checkpoint cannot be read, its weights differ from those here, or two take
            other features.
    """
    if table not in WRITERS:
        raise UsageError("options", table, "no such form of table", f"Known: {', '.join(WRITERS)}.")
    if placement is not None and not placement.local and store is None:
        raise UsageError("options", "store", "other machines have no place for the features",
                         "Name a --store that all of them reach.")  # fmt: skip
    if report is not None and part is not None:
        raise UsageError("options", "report", "parts would write over each other's page",
                         "Make it when all parts are done, with: grjca report OUT.")  # fmt: skip
    paths = checkpoint_paths(checkpoint)
    model = Ensemble.load(paths)
    inputs = gather(videos, manifest=manifest, root=root)
    if part is not None:
        kept = {clip: source for clip, source in inputs.clips.items() if part.keeps(clip)}
        inputs = dataclasses.replace(inputs, clips=kept)
    sources = inputs.clips
    config = dataclasses.replace(config_from_recipe(model.recipe, weights), faces=faces)
    components = Components.load(config)
    check_same_weights(components, model.recipe, ", ".join(map(str, paths)))
    ledger = Ledger(
        Path(out),
        _digest(paths),
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
        extraction = run(
            inputs, where, components,
            workers=workers, placement=placement, part=part, progress=progress,
        )  # fmt: skip
        result = PredictResult(
            {}, {}, {}, list(extraction.failed), extraction, models=len(paths)
        )  # fmt: skip
        for clip in (clip for clips in done.values() for clip in clips):
            result.skipped.append(clip)
            _note(ledger, clip, result)
        fresh = [
            own for own in extraction.outcomes if own.status != "failed" and own.clip not in done
        ]
        features = FeatureStore(where)
        with single_threaded():
            for outcome in tqdm(fresh, "predict", unit="clip", disable=not progress):
                _predict_one(model, features, outcome, ledger, result, take)
        if report is not None and result.files:
            # While a store that is thrown away still has the faces.
            page = _report(report, Path(out), result.files, sources, where, progress)
            result = dataclasses.replace(result, report=page)
    return result


def _report(
    config: ReportConfig,
    out: Path,
    tables: Mapping[str, Path],
    sources: Mapping[str, ClipSource],
    store: Path,
    progress: bool,
) -> MakeResult:
    played = {
        clip: Played(source.path, source.start, source.video_stream)
        for clip, source in sources.items()
    }
    try:
        return report_clips(
            tables, out / NAME, videos=played, store=store, embed=config.embed,
            faces=config.faces, title=out.resolve().name, progress=progress,
        )  # fmt: skip
    except GrjcaError as error:
        # The predictions are there, and worth no less without a page.
        return MakeResult(out / NAME, failed=(error,))


def _predict_one(
    model: Ensemble,
    features: FeatureStore,
    outcome: ClipOutcome,
    ledger: Ledger,
    result: PredictResult,
    take: Callable[[Path, Prediction], None] | None,
) -> None:
    """Predict a clip, or all its people, and record that it is done if all went well."""
    failed = len(result.failed)
    for clip in outcome.clips:
        began = time.perf_counter()
        try:
            prediction = model.predict(features, clip)
            _write(ledger.files(clip), clip, prediction)
        except GrjcaError as error:
            result.failed.append(ClipOutcome.failure(clip, error))
            continue
        logger.info("%s: predicted and written in %.2f s", clip, time.perf_counter() - began)
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


def _digest(paths: Sequence[Path]) -> str:
    """SHA-256 of a checkpoint's file; of several, over theirs in their order."""
    files = [path / MODEL if path.is_dir() else path for path in paths]
    digests = [file_digest(file) for file in files]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


@contextlib.contextmanager
def _kept_or_temporary(store: str | Path | None) -> Iterator[Path]:
    if store is not None:
        yield Path(store)
        return
    with tempfile.TemporaryDirectory(prefix="grjca-") as folder:
        yield Path(folder)
