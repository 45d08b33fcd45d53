"""Training a fusion model on the features of a store."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grjca.errors import UsageError
from grjca.fusion.checkpoint import Checkpoint
from grjca.fusion.data import FeatureSource
from grjca.fusion.data_config import DataConfig
from grjca.fusion.dataset import check_features, clip_moments, load_clips
from grjca.fusion.device import Machine, choose_machine
from grjca.fusion.fitting import Fitting, Log
from grjca.fusion.initial import check_same_embedders, digest, standardise, start_from
from grjca.fusion.model import FusionModel
from grjca.fusion.preparing import (
    check_labelled,
    check_loss,
    choose_modalities,
    choose_outputs,
    digest_of_data,
    model_config,
)
from grjca.fusion.recipe import choose_embedders, common_recipe
from grjca.fusion.ridge_start import start_as_ridge
from grjca.fusion.run_claim import check_free, claimed
from grjca.fusion.run_files import without_nan
from grjca.fusion.run_folder import RunFolder, check_folder
from grjca.fusion.settings import DECIDED, FOUND, Settings
from grjca.fusion.tensorboard import TensorBoard, check_installed
from grjca.fusion.train_config import TrainConfig
from grjca.fusion.window_set import WindowSet
from grjca.labels.matching import match, shown
from grjca.labels.records import Labels
from grjca.labels.splits import Split


@dataclass(frozen=True)
class TrainResult:
    """What a training reached.

    Attributes:
        best_epoch: The epoch whose weights were kept, counted from 1; 0 where nothing was better
            than the start (ridge regression, or the checkpoint that was started from).
        best_ccc: Validation CCC of that epoch, by dimension; NaN where undefined.
        out: The RUN folder.
        rows: One row per epoch, as in ``metrics.csv``.
        notes: What a reader of the results should know.
    """

    best_epoch: int
    best_ccc: dict[str, float]
    out: Path
    rows: list[dict[str, float]]
    notes: tuple[str, ...]


def train(
    source: FeatureSource,
    labels: Labels,
    split: Split,
    fusion: Mapping[str, Any],
    config: TrainConfig,
    out: Path,
    *,
    data: DataConfig = DataConfig(),  # noqa: B008 - frozen
    init: Checkpoint | None = None,
    overwrite: bool = False,
    resume: bool = False,
    tensorboard: bool = False,
    log: Log | None = None,
    progress: bool = True,
    machine: Machine | None = None,
) -> TrainResult:
    """Train a model and keep the weights of the epoch with the best validation CCC.

    The score is the mean, over the dimensions, of the CCC over all labelled frames of all
    validation clips at once; each frame's prediction is first averaged over the windows that
    cover it. Where the labels are those of whole clips, a clip's prediction is the mean over its
    frames that show or sound something, in the loss and in the score, and the CCC is over clips.
    An undefined CCC counts as -1. Weights that a training starts from, ridge regression's or a
    checkpoint's, are scored first and kept where no epoch is better.

    A run that was killed goes on with ``resume`` and gives the curve and the weights it would
    have given undisturbed, on the same machine with the same number of threads.

    Args:
        source: The feature store.
        labels: Annotations, by names that mean clips of the store.
        split: Training and validation clips.
        fusion: Values for ``FusionConfig``'s fields other than the features' dimensions and the
            window; ``outputs`` defaults to what is labelled.
        config: How to train.
        out: The RUN folder: gets the checkpoints ``model.safetensors`` (best) and
            ``last.safetensors``, ``metrics.csv``, ``config.yaml``, and ``state.safetensors`` to
            go on from.
        data: Embedders, annotator's delay, what to do about labels that do not match. How it says
            that clips were split is only recorded.
        init: Start from this checkpoint's weights and keep what it standardises inputs with.
        overwrite: Replace a run that the folder holds.
        resume: Go on with the run in the folder; start it where there is none.
        tensorboard: Write the curves for TensorBoard as well.
        log: Takes in each epoch's row as soon as there is one.
        progress: Show a progress bar.
        machine: Where and how to compute; None for what the configuration asks for.

    Returns:
        What was reached; its ``rows`` are what the curves are drawn from.

    Raises:
        UsageError: Unknown settings, a folder that holds a run or that another process is at work
            in, a run to go on with that was started otherwise, a device that is not there, clips
            without labels, or a choice between embedders that only the user can make.
        GrjcaError: Labels, features, recipes or a checkpoint that do not fit, a loss that is not
            finite, or a disk that cannot be written.
    """
    check_free(out)
    check_folder(out, overwrite, resume)
    machine = machine or choose_machine(config)
    if tensorboard:
        check_installed()
    labels = match(labels, source.clips(), allow_missing=data.allow_missing).labels
    clips = [*split.train, *split.val]
    bare = [clip for clip in clips if clip not in labels.clips]
    if bare:
        cause = f"without labels: {shown(bare)}"
        raise UsageError("train", f"{len(bare)} of {len(clips)} clips", cause,
                         "Split the labelled clips only.")  # fmt: skip
    visual, audio = choose_embedders(source, clips, data.visual, data.audio)
    modalities = choose_modalities(config, visual, audio)
    recipe = common_recipe(source, clips, visual, audio)
    outputs = choose_outputs(labels, fusion)
    check_loss(config, data, labels.clip_level)
    if init is not None:
        check_same_embedders(init, recipe)
    loaded = load_clips(
        source,
        labels,
        split.train,
        split.val,
        visual=visual,
        audio=audio,
        outputs=outputs,
        modalities=modalities,
        rate=config.rate,
        memory_limit=config.memory_limit,
        align=data.align,
        delay=data.label_delay,
        smoothing=data.label_smoothing_seconds,
    )
    check_labelled(loaded, split, outputs)
    train_clips = [loaded.clips[clip] for clip in split.train]
    val_clips = [loaded.clips[clip] for clip in split.val]
    moments = clip_moments(train_clips)
    check_features(val_clips)
    built = model_config(fusion, loaded.inputs, outputs, config.window)
    found = {
        "visual": visual,
        "audio": audio,
        "visual_dim": built.visual_dim,
        "audio_dim": built.audio_dim,
        "rate": loaded.rate,
        "modalities": list(modalities),
        "clip_level": loaded.clip_level,
        "label_delay": data.label_delay,
        "mapping": labels.mapping,
        "recipe": recipe,
        "split": dataclasses.asdict(split),
        "init": digest(init) if init else None,
        "data": digest_of_data(loaded, moments),
        "device": machine.device.type,
        "attention": machine.attention,
    }
    asked = {name: value for name, value in vars(built).items() if name not in DECIDED}
    settings = {**Settings(asked, config, data).document(), FOUND: found}
    train_values = settings["train"]
    meta = {**found, "train": train_values, "window": config.window, "hop": config.hop}
    with contextlib.ExitStack() as stack:
        stack.enter_context(machine.seeded(config.seed, config.threads))
        model = FusionModel(built)
        if init is not None:
            start_from(model, init)
        standardise(model, moments, init)
        if init is None:
            start_as_ridge(model, train_clips, val_clips, clip_level=loaded.clip_level)
        windows = WindowSet(
            train_clips,
            config.window,
            config.hop,
            clip_level=loaded.clip_level,
            # A compiled model is compiled again for every other length.
            fixed=built.time_mix == "dense" or machine.compile,
        )
        claim = stack.enter_context(claimed(out))
        # Another training may have come and gone while clips were read.
        check_folder(out, overwrite, resume)
        run = RunFolder(claim, built, meta, settings, without_nan(settings))
        fitting = Fitting(
            model, windows, val_clips, config, machine, run, clip_level=loaded.clip_level,
            score_start=init is not None or built.linear != "none",
        )  # fmt: skip
        state = run.resume() if resume else None
        if state is None:
            run.start(fitting.state())
        else:
            fitting.restore(state)
        if log is not None:
            fitting.logs.append(log)
        if tensorboard:
            fitting.logs.append(stack.enter_context(TensorBoard(out, len(fitting.rows) + 1)))
        fitting.fit(progress)
    notes = (*split.notes, *labels.notes, *filter(None, (machine.note,)))
    return TrainResult(fitting.schedule.best_epoch, fitting.best_ccc, out, fitting.rows, notes)
