"""Running a model over a whole clip, overlapping windows averaged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from grjca.fusion.data import ClipSequence, collate
from grjca.fusion.model import FusionModel
from grjca.fusion.windows import windows


@dataclass(frozen=True)
class ClipOutput:
    """What a model says about every frame of a clip.

    Attributes:
        values: (T, K) float64, in the order of the model's outputs.
        gates: (T, n) float64 by the gate's name, as in ``FusionOutput.gates``; empty for a fusion
            without gates.
    """

    values: NDArray[np.float64]
    gates: dict[str, NDArray[np.float64]]


def run_clip(
    model: FusionModel, sequence: ClipSequence, window: int, hop: int, batch: int = 12
) -> ClipOutput:
    """Predict a clip.

    Each of the model's rows gets the mean over the windows that cover it; the rows are then
    interpolated at the clip's own frame times. Features are read a batch of windows at a time.

    Args:
        model: The model, on whatever device; it runs in evaluation mode and is left in the mode it
            was in.
        sequence: The clip at the model's rate.
        window: Rows per window.
        hop: Rows between windows.
        batch: Windows at once.

    Raises:
        GrjcaError: The features do not fit the model or hold NaN where they are valid.
    """
    rows = len(sequence)
    ranges = windows(rows, window, hop)
    config = model.config
    count = np.zeros((rows, 1))
    values = np.zeros((rows, len(config.outputs)))
    gates: dict[str, NDArray[np.float64]] = {}
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for first in range(0, len(ranges), batch):
            chunk = ranges[first : first + batch]
            inputs = collate([sequence.window(*range_) for range_ in chunk], window)
            output = model(*inputs.to(device).arguments)
            predicted = output.prediction.double().cpu().numpy()
            weights = {name: gate.double().cpu().numpy() for name, gate in output.gates.items()}
            for name, weight in weights.items():
                gates.setdefault(name, np.zeros((rows, weight.shape[2])))
            for i, (start, stop) in enumerate(chunk):
                count[start:stop] += 1
                values[start:stop] += predicted[i, : stop - start]
                for name, weight in weights.items():
                    gates[name][start:stop] += weight[i, : stop - start]
    model.train(was_training)
    back = sequence.timeline.at_frames
    return ClipOutput(back(values / count), {n: back(gate / count) for n, gate in gates.items()})
