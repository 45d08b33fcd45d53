"""Running a model over whole clips, overlapping windows averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from grjca.fusion.data import Batch, ClipSequence, Window, collate
from grjca.fusion.model import FusionModel
from grjca.fusion.prefetch import ahead
from grjca.fusion.windows import windows


@dataclass(frozen=True)
class RowOutput:
    """What a model says about a clip, on its own rows.

    Attributes:
        values: (N, K) float64, in the order of the model's outputs.
        shown: (N,) bool, the rows that show or sound something; all, where none does.
        gates: (N, n) float64 by the gate's name, as in ``FusionOutput.gates``; empty for a fusion
            without gates.
    """

    values: NDArray[np.float64]
    shown: NDArray[np.bool_]
    gates: dict[str, NDArray[np.float64]] = field(default_factory=dict)


def predict_rows(
    model: FusionModel,
    sequences: Sequence[ClipSequence],
    window: int,
    hop: int,
    batch: int = 12,
    *,
    gates: bool = True,
) -> list[RowOutput]:
    """Predict clips at the model's rate, windows of several clips in one batch.

    Each row gets the mean over the windows that cover it. Features are read a batch of windows at
    a time, the next while the model works on one.

    Args:
        model: The model, on whatever device; it runs in evaluation mode and is left in the mode it
            was in.
        sequences: The clips at the model's rate.
        window: Rows per window.
        hop: Rows between windows.
        batch: Windows at once.
        gates: Whether the gates' weights are wanted.

    Returns:
        By clip, in their order.

    Raises:
        GrjcaError: The features do not fit the model or hold NaN where they are valid.
    """
    config = model.config
    found = [
        RowOutput(np.zeros((len(own), len(config.outputs))), np.zeros(len(own), dtype=bool))
        for own in sequences
    ]
    count = [np.zeros((len(own), 1)) for own in sequences]
    ranges = [
        (number, start, stop)
        for number, own in enumerate(sequences)
        for start, stop in windows(len(own), window, hop)
    ]
    device = next(model.parameters()).device

    def read_windows(chunk: list[tuple[int, int, int]]) -> tuple[list[Window], Batch]:
        read = [sequences[number].window(start, stop) for number, start, stop in chunk]
        # A dense time-mix takes whole windows only.
        length = window if config.time_mix == "dense" else max(map(len, read))
        return read, collate(read, length)

    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            chunks = [ranges[i : i + batch] for i in range(0, len(ranges), batch)]
            made = ahead(partial(read_windows, chunk) for chunk in chunks)
            for chunk, (read, inputs) in zip(chunks, made, strict=True):
                output = model(*inputs.to(device).arguments)
                predicted = output.prediction.double().cpu().numpy()
                weights = {n: g.double().cpu().numpy() for n, g in output.gates.items() if gates}
                for i, (number, start, stop) in enumerate(chunk):
                    own, here, size = found[number], slice(start, stop), stop - start
                    own.values[here] += predicted[i, :size]
                    own.shown[here] = read[i].visual_valid | read[i].audio_valid
                    count[number][here] += 1
                    for name, weight in weights.items():
                        total = own.gates.setdefault(
                            name, np.zeros((len(count[number]), weight.shape[2]))
                        )
                        total[here] += weight[i, :size]
    finally:
        model.train(was_training)
    for own, n in zip(found, count, strict=True):
        for total in (own.values, *own.gates.values()):
            total /= n
        own.shown[:] |= not own.shown.any()
    return found
