"""How well a model does on whole clips in the middle of a training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from grjca.errors import GrjcaError
from grjca.fusion.data import collate
from grjca.fusion.dataset import LabelledClip
from grjca.fusion.metrics import ccc
from grjca.fusion.model import FusionModel
from grjca.fusion.train_config import TrainConfig
from grjca.fusion.windows import windows


def validate(
    model: FusionModel, clips: Sequence[LabelledClip], config: TrainConfig, clip_level: bool
) -> dict[str, float]:
    """CCC by dimension over all labelled frames of all clips at once, or over whole clips.

    Args:
        model: The model.
        clips: The clips.
        config: Window, hop and batch.
        clip_level: The labels are those of whole clips: one prediction and one label per clip.

    Raises:
        GrjcaError: A prediction is not finite, or a row marked valid holds NaN or infinity.
    """
    values, shown = predict_rows(model, clips, config.window, config.hop, config.batch)
    for clip, rows in zip(clips, values, strict=True):
        if not np.isfinite(rows).all():
            raise GrjcaError("train", clip.sequence.clip, "the model's prediction is not finite",
                             "Lower the learning rate.")  # fmt: skip
    if clip_level:
        predicted = np.stack([rows[here].mean(0) for rows, here in zip(values, shown, strict=True)])
        labels = np.stack([clip.labels[0] for clip in clips])
    else:
        back = [c.sequence.timeline.at_frames(v) for c, v in zip(clips, values, strict=True)]
        predicted = np.concatenate(back)
        labels = np.concatenate([clip.labels for clip in clips])
    return {
        name: ccc(predicted[:, k], labels[:, k], ~np.isnan(labels[:, k]))
        for k, name in enumerate(model.config.outputs)
    }


def predict_rows(
    model: FusionModel, clips: Sequence[LabelledClip], window: int, hop: int, batch: int
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.bool_]]]:
    """Predict clips at the model's rate, windows of several clips in one batch.

    What ``run_clip`` gives clip by clip, within rounding, but fast where clips are short.

    Args:
        model: The model; it runs in evaluation mode and is left in the mode it was in.
        clips: The clips.
        window: Rows per window.
        hop: Rows between windows.
        batch: Windows at once.

    Returns:
        By clip (N, K), the mean over the windows that cover a row; and (N,) bool, the rows that
        show or sound something, or all rows of a clip that has none.

    Raises:
        GrjcaError: A row marked valid holds NaN or infinity.
    """
    ranges = [
        (number, start, stop)
        for number, clip in enumerate(clips)
        for start, stop in windows(len(clip.sequence), window, hop)
    ]
    sums = [np.zeros((len(clip.sequence), len(model.config.outputs))) for clip in clips]
    count = [np.zeros((len(clip.sequence), 1)) for clip in clips]
    shown = [np.zeros(len(clip.sequence), dtype=bool) for clip in clips]
    device = next(model.parameters()).device
    fixed = model.config.time_mix == "dense"
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for first in range(0, len(ranges), batch):
            chunk = ranges[first : first + batch]
            read = [clips[number].sequence.window(start, stop) for number, start, stop in chunk]
            inputs = collate(read, window if fixed else max(map(len, read)))
            predicted = model(*inputs.to(device).arguments).prediction.double().cpu().numpy()
            for i, (number, start, stop) in enumerate(chunk):
                sums[number][start:stop] += predicted[i, : stop - start]
                count[number][start:stop] += 1
                shown[number][start:stop] = read[i].visual_valid | read[i].audio_valid
    model.train(was_training)
    for here in shown:
        here |= not here.any()
    return [total / n for total, n in zip(sums, count, strict=True)], shown
