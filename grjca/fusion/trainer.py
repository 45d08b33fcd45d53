"""Training a fusion model on the features of a store."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from grjca.errors import GrjcaError, UsageError
from grjca.fusion.config import FusionConfig
from grjca.fusion.data import MODALITIES, FeatureSource, Inputs
from grjca.fusion.dataset import ClipSet, LabelledClip, WindowSet, clip_moments, load_clips
from grjca.fusion.inference import run_clip
from grjca.fusion.loss import ccc_loss
from grjca.fusion.metrics import ccc
from grjca.fusion.model import FusionModel
from grjca.fusion.recipe import choose_embedders, common_recipe
from grjca.fusion.run_folder import RunFolder, check_folder
from grjca.fusion.schedule import Schedule, Verdict
from grjca.fusion.train_config import TrainConfig
from grjca.labels.matching import match, shown
from grjca.labels.records import Labels
from grjca.labels.splits import Split


@dataclass(frozen=True)
class TrainResult:
    """What a training reached.

    Attributes:
        best_epoch: The epoch whose weights were kept, counted from 1.
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
    visual: str | None = None,
    audio: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> TrainResult:
    """Train a model and keep the weights of the epoch with the best validation CCC.

    The score is the mean, over the dimensions, of the CCC over all labelled frames of all
    validation clips at once; each frame's prediction is first averaged over the windows that
    cover it. An undefined CCC counts as -1.

    Args:
        source: The feature store.
        labels: Annotations, by names that mean clips of the store.
        split: Training and validation clips.
        fusion: Values for ``FusionConfig``'s fields other than the features' dimensions and the
            window; ``outputs`` defaults to what is labelled.
        config: How to train.
        out: The RUN folder: gets ``model.safetensors``, ``metrics.csv`` and ``config.yaml``.
        visual: The visual embedder; None for the only one there is.
        audio: The audio embedder; None for the only one there is.
        overwrite: Replace a run that the folder holds.
        progress: Show a progress bar.

    Returns:
        What was reached; its ``rows`` are what the curves are drawn from.

    Raises:
        UsageError: Unknown settings, a folder that holds a run, clips without labels, or a
            choice between embedders that only the user can make.
        GrjcaError: Labels, features or recipes that do not fit, a loss that is not finite, or a
            disk that cannot be written.
    """
    check_folder(out, overwrite)
    matched = match(labels, source.clips())
    clips = [*split.train, *split.val]
    bare = [clip for clip in clips if clip not in matched.labels.clips]
    if bare:
        cause = f"without labels: {shown(bare)}"
        raise UsageError("train", f"{len(bare)} of {len(clips)} clips", cause,
                         "Split the labelled clips only.")  # fmt: skip
    visual, audio = choose_embedders(source, clips, visual, audio)
    modalities = _modalities(config, visual, audio)
    recipe = common_recipe(source, clips, visual, audio)
    outputs = _outputs(labels, fusion)
    loaded = load_clips(
        source,
        matched.labels,
        split.train,
        split.val,
        visual=visual,
        audio=audio,
        outputs=outputs,
        modalities=modalities,
        rate=config.rate,
        memory_limit=config.memory_limit,
    )
    for side, names in (("training", split.train), ("validation", split.val)):
        _check_labelled(side, [loaded.clips[name] for name in names], outputs)
    model_config = _model_config(fusion, loaded.inputs, outputs, config.window)
    meta = {
        "train": dataclasses.asdict(config),
        "visual": visual,
        "audio": audio,
        "rate": loaded.rate,
        "window": config.window,
        "hop": config.hop,
        "modalities": list(modalities),
        "mapping": labels.mapping,
        "recipe": recipe,
        "split": dataclasses.asdict(split),
    }
    run = RunFolder(out, model_config, meta)
    run.start()
    with _reproducible(config):
        result = _fit(loaded, split, model_config, config, run, progress)
    notes = list(split.notes)
    if matched.unlabelled:
        notes.append(f"{len(matched.unlabelled)} clips of the store have no labels")
    return dataclasses.replace(result, notes=tuple(notes))


def _fit(
    loaded: ClipSet,
    split: Split,
    model_config: FusionConfig,
    config: TrainConfig,
    run: RunFolder,
    progress: bool,
) -> TrainResult:
    train_clips = [loaded.clips[clip] for clip in split.train]
    val_clips = [loaded.clips[clip] for clip in split.val]
    model = FusionModel(model_config)
    moments = clip_moments(train_clips)
    model.set_standardisation(
        *(x for m in MODALITIES for x in (moments[m].mean, moments[m].deviation()))
    )
    data = WindowSet(train_clips, config.window, config.hop)
    order = torch.Generator().manual_seed(config.seed)
    schedule = Schedule(config.schedule())
    optimiser = _optimiser(model, config)
    best_state: dict[str, Tensor] = {}
    best_ccc: dict[str, float] = {}
    rows: list[dict[str, float]] = []
    bar = tqdm(range(1, config.epochs + 1), "train", unit="epoch", disable=not progress)
    for epoch in bar:
        began = time.perf_counter()
        rate = schedule.rate(epoch)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = _train_epoch(model, optimiser, data, order, config, epoch)
        reached = _validate(model, val_clips, config)
        score = float(np.mean([-1.0 if math.isnan(c) else c for c in reached.values()]))
        row = {"epoch": epoch, "lr": rate, "train_loss": loss}
        row |= {f"val_ccc_{name}": value for name, value in reached.items()}
        row |= {"val_ccc": score, "seconds": round(time.perf_counter() - began, 3)}
        rows.append(row)
        run.append(row)
        verdict = schedule.record(epoch, score)
        if verdict is Verdict.IMPROVED:
            best_ccc = reached
            best_state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            run.keep(best_state, epoch, best_ccc)
        elif verdict is Verdict.LOWER and config.reload_best:
            model.load_state_dict(best_state)
            # Adam's moments belong to the path that is given up.
            optimiser = _optimiser(model, config)
        bar.set_postfix(loss=f"{loss:.3f}", ccc=f"{score:.3f}", best=f"{schedule.best_score:.3f}")
        if verdict is Verdict.STOP:
            break
    bar.close()
    return TrainResult(schedule.best_epoch, best_ccc, run.folder, rows, ())


def _optimiser(model: FusionModel, config: TrainConfig) -> torch.optim.Adam:
    return torch.optim.Adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)


def _train_epoch(
    model: FusionModel,
    optimiser: torch.optim.Adam,
    data: WindowSet,
    order: torch.Generator,
    config: TrainConfig,
    epoch: int,
) -> float:
    model.train()
    numbers: list[int] = torch.randperm(len(data), generator=order).tolist()
    losses = []
    for first in range(0, len(numbers), config.batch):
        batch = data.batch(numbers[first : first + config.batch])
        prediction = model(*batch.inputs.arguments).prediction
        loss = ccc_loss(prediction, batch.target, batch.mask, config.ccc_over)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise GrjcaError(
                "train", f"epoch {epoch}, step {first // config.batch + 1}",
                f"the loss is {value}",
                "Lower the learning rate; what was reached before is kept.",
            )  # fmt: skip
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(value)
    return float(np.mean(losses))


def _validate(
    model: FusionModel, clips: Sequence[LabelledClip], config: TrainConfig
) -> dict[str, float]:
    predicted = [
        run_clip(model, clip.sequence, config.window, config.hop, config.batch).values
        for clip in clips
    ]
    values, labels = np.concatenate(predicted), np.concatenate([clip.labels for clip in clips])
    return {
        name: ccc(values[:, k], labels[:, k], ~np.isnan(labels[:, k]))
        for k, name in enumerate(model.config.outputs)
    }


def _modalities(config: TrainConfig, visual: str | None, audio: str | None) -> tuple[str, ...]:
    there = {"visual": visual, "audio": audio}
    modalities = tuple(name for name in config.modalities if there[name] is not None)
    if not modalities:
        cause = f"no clip has {' or '.join(config.modalities)} features"
        raise UsageError("train", "features", cause, "Extract them first.")
    return modalities


def _outputs(labels: Labels, fusion: Mapping[str, Any]) -> tuple[str, ...]:
    outputs = tuple(fusion.get("outputs", labels.names))
    unknown = [name for name in outputs if name not in labels.names]
    if unknown:
        raise UsageError("train", f"outputs {', '.join(unknown)}", "not among the labels",
                         f"Labelled: {', '.join(labels.names)}.")  # fmt: skip
    return outputs


def _model_config(
    fusion: Mapping[str, Any], inputs: Inputs, outputs: tuple[str, ...], window: int
) -> FusionConfig:
    decided = {
        "visual_dim": inputs.visual_dim,
        "audio_dim": inputs.audio_dim,
        "outputs": outputs,
        "window": window,
    }
    known = {field.name for field in dataclasses.fields(FusionConfig)} - decided.keys()
    unknown = sorted(fusion.keys() - known - {"outputs"})
    if unknown:
        raise UsageError("train", ", ".join(unknown), "no such setting of the model",
                         f"Settings: {', '.join(sorted(known))}.")  # fmt: skip
    try:
        return FusionConfig(**{**fusion, **decided})
    except (TypeError, ValueError) as error:
        raise UsageError("train", "model settings", str(error)) from error


def _check_labelled(side: str, clips: Sequence[LabelledClip], outputs: Sequence[str]) -> None:
    for k, name in enumerate(outputs):
        if all(np.isnan(clip.labels[:, k]).all() for clip in clips):
            raise UsageError("train", name, f"no {side} clip has a labelled frame",
                             "Choose another --val, or leave the dimension out.")  # fmt: skip


@contextlib.contextmanager
def _reproducible(config: TrainConfig) -> Iterator[None]:
    """Seeded, on a fixed number of threads; the caller's generator and threads come back."""
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            yield
    finally:
        torch.set_num_threads(threads)
