"""``evaluate`` and ``submit``: from folders and files to results on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from grjca.cache.store import FeatureStore
from grjca.errors import GrjcaError, UsageError
from grjca.evaluation.documents import write_json
from grjca.evaluation.evaluation import Evaluation, EvaluationConfig, evaluate_clips
from grjca.evaluation.smoothing import check_widths, widths_of
from grjca.evaluation.sources import check_features, one_thread
from grjca.evaluation.submission import DIMENSIONS, Fill, fill_in, read_list, write_submission
from grjca.fusion.checkpoint import load_checkpoint
from grjca.fusion.ensemble import Paths, checkpoint_paths
from grjca.fusion.predictor import average, predict_stored
from grjca.fusion.run_files import MODEL
from grjca.labels.matching import find_clips, match
from grjca.labels.readers import read_labels
from grjca.labels.smoothing import moving_mean
from grjca.report.agreement import plot_agreement
from grjca.report.stress import plot_stress


def evaluate(
    checkpoint: Paths,
    store: str | Path,
    labels: str | Path,
    *,
    json: str | Path | None = None,
    plot: str | Path | None = None,
    allow_missing: bool = False,
    progress: bool = False,
    **config: Any,
) -> Evaluation:
    """Score trained models on a store's labelled clips.

    Args:
        checkpoint: A RUN folder or several, whose mean is scored.
        store: The feature store's folder.
        labels: Annotations, as for ``train``.
        json: Write the scores there.
        plot: Draw the stress sweep there or, without one, predictions against labels (PNG).
        allow_missing: Go on though more than half of the labelled clips are not in the store.
        progress: Draw progress bars on standard error.
        config: Values for fields of ``EvaluationConfig``, for example ``partition="test"``.

    Raises:
        UsageError: Settings that do not exist, nothing to score, features of another embedder.
        GrjcaError: A file that cannot be read, or labels and features that do not fit.
    """
    settings = _settings(config)
    paths = checkpoint_paths(checkpoint)
    runs = [load_checkpoint(path) for path in paths]
    features = FeatureStore(store)
    read = read_labels(Path(labels))
    annotations = match(read, features.clips(), allow_missing=allow_missing).labels
    with one_thread():
        found = evaluate_clips(runs, features, annotations, settings, progress=progress)
    if json is not None:
        write_json(Path(json), found, [_described(path) for path in paths])
    if plot is not None:
        _draw(Path(plot), found, ", ".join(path.name for path in paths))
    return found


def submit(
    checkpoint: Paths,
    store: str | Path,
    sample_list: str | Path,
    out: str | Path,
    *,
    fill: Fill = "error",
    smooth: float | Mapping[str, float] = 0.0,
    progress: bool = False,
) -> int:
    """Write predictions in the form of the ABAW valence-arousal challenge.

    The file has the lines of the organisers' sample list, in its order: line
    ``<trial>/00001.jpg`` gets the prediction of the first frame of the clip that the trial's name
    means. Values are held to [-1, 1].

    Args:
        checkpoint: A RUN folder or several, whose mean is predicted; of valence and arousal
            together or apart.
        store: The feature store's folder.
        sample_list: The organisers' list, a line per frame.
        out: The file to write.
        fill: What a frame gets that a clip has no row of: ``error``, or ``nearest`` for the
            values of the nearest row.
        smooth: Width in seconds of a moving mean over predictions, one or by dimension.
        progress: Draw a progress bar on standard error.

    Returns:
        Lines written, without the header.

    Raises:
        UsageError: A dimension that no model predicts, or features of another embedder.
        GrjcaError: Trials that are not in the store, frames that it has no row of, a file that
            cannot be read or written.
    """
    runs = [load_checkpoint(path) for path in checkpoint_paths(checkpoint)]
    lacking = [name for name in DIMENSIONS if not any(name in run.outputs for run in runs)]
    if lacking:
        raise UsageError("submit", "--checkpoint", f"no model predicts {' and '.join(lacking)}",
                         "Give a run of each dimension.")  # fmt: skip
    try:
        check_widths(smooth)
    except ValueError as error:
        raise UsageError("submit", "settings", str(error), "Correct --smooth.") from error
    widths = widths_of(smooth, DIMENSIONS)
    features = FeatureStore(store)
    wanted = read_list(Path(sample_list))
    trials = list(dict.fromkeys(line.trial for line in wanted))
    clips = find_clips(trials, features.clips(), "submit")
    for run in runs:
        check_features(run, features, list(clips.values()))
    predictions, frames = {}, {}
    with one_thread():
        for trial, clip in tqdm(clips.items(), "submit", unit="clip", disable=not progress):
            made = average([predict_stored(run, features, clip) for run in runs])
            columns = [made.names.index(name) for name in DIMENSIONS]
            values = [
                moving_mean(made.values[:, column], made.time, widths[name])
                for name, column in zip(DIMENSIONS, columns, strict=True)
            ]
            predictions[trial] = np.stack(values, axis=1)
            index = features.read(clip).index
            frames[trial] = np.arange(len(made)) if index is None else index
    write_submission(Path(out), wanted, fill_in(wanted, predictions, frames, fill))
    return len(wanted)


def _settings(values: dict[str, Any]) -> EvaluationConfig:
    try:
        return EvaluationConfig(**values)
    except (TypeError, ValueError) as error:
        raise UsageError("evaluate", "settings", str(error), "Correct this setting.") from error


def _described(path: Path) -> dict[str, str]:
    file = path / MODEL if path.is_dir() else path
    try:
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise GrjcaError(
            "checkpoint", file, f"cannot read it ({error})", "Check the path and its permissions."
        ) from error
    return {"name": path.resolve().name, "sha256": digest}


def _draw(path: Path, found: Evaluation, runs: str) -> None:
    title = f"{runs}: {found.config.partition}, {len(found.traces)} clips"
    if found.stress:
        rows = [
            (
                row.condition.kind,
                row.condition.level,
                {name: (own.value, own.low, own.high) for name, own in row.ccc.items()},
            )
            for row in found.stress
        ]
        plot_stress(path, rows, title)
        return
    overall = found.scores.overall
    plot_agreement(
        path,
        title=title,
        prediction=np.concatenate([trace.prediction for trace in found.traces]),
        labels=np.concatenate([trace.labels for trace in found.traces]),
        names=found.names,
        overall={n: (own.ccc.value, own.ccc.low, own.ccc.high) for n, own in overall.items()},
        clips={
            clip: {name: own[name].ccc.value for name in found.names}
            for clip, own in found.scores.clips.items()
        },
    )
