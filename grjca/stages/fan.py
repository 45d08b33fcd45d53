"""Landmarks of a face in a box: the network FAN of the package face-alignment.

Bulat and Tzimiropoulos, "How far are we from solving the 2D & 3D Face Alignment problem?", ICCV
2017. The network and the cutting of its input are the package's; what comes after is written here
because the package keeps whole pixels only.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from grjca.stages.weights import load_strictly, read_state

MODULES = 4

FIVE_OF_68 = (range(36, 42), range(42, 48), (30,), (48,), (54,))
"""Points of the 68 (the order of the iBUG 300-W set) whose means are the five landmarks."""

HEATMAP = 64
"""Side of FAN's output in pixels; its input is four times as large."""

REFERENCE, SCALE_UNIT, RAISED = 195, 200, 0.12
"""How the crop lies on a box: 200/195 times the sum of its sides wide, 12% of its height up."""

FACES_AT_ONCE = 8


class Fan:
    """FAN with four hourglasses, for 68 points that follow the visible outline (2DFAN-4).

    Args:
        path: The file of weights.
        device: Where to run.
        flip: Whether points are found on the mean over a crop and its mirror image.

    Raises:
        UsageError: The file cannot be read, or holds other weights.
    """

    def __init__(self, path: Path, device: torch.device, flip: bool) -> None:
        from face_alignment.models import FAN

        state = read_state(path, "FAN")
        self.sha256 = state.sha256
        self._device = device
        self._flip = flip
        self.network: nn.Module = FAN(MODULES)
        load_strictly(self.network, state.tensors, path, "FAN")
        self.network.to(device).eval().requires_grad_(False)

    @torch.inference_mode()
    def landmarks(self, frame: NDArray[np.uint8], box: NDArray[np.float64]) -> NDArray[np.float64]:
        """The points of the face in each box, to fractions of a pixel.

        Args:
            frame: (H, W, 3) uint8, RGB.
            box: (K, 4) left, top, right, bottom in pixels; each must meet the frame.

        Returns:
            (K, 68, 2) pixels; the first pixel spans 0 to 1.
        """
        from face_alignment.utils import crop, flip

        sides = box[:, 2:] - box[:, :2]
        centre = (box[:, :2] + box[:, 2:]) / 2 - (0, RAISED) * sides
        scale = sides.sum(axis=1) / REFERENCE
        points = np.empty((len(box), 68, 2))
        for start in range(0, len(box), FACES_AT_ONCE):
            part = slice(start, start + FACES_AT_ONCE)
            cut = [crop(frame, *at) for at in zip(centre[part], scale[part], strict=True)]
            faces = torch.from_numpy(np.stack(cut)).permute(0, 3, 1, 2).to(self._device) / 255
            heatmaps: Tensor = self.network(faces)[-1]
            if self._flip:
                heatmaps = heatmaps + flip(self.network(flip(faces))[-1], is_label=True)
            places = peaks(heatmaps.cpu().numpy()) / HEATMAP - 0.5
            points[part] = centre[part, None] + SCALE_UNIT * scale[part, None, None] * places
        return points


def five_of(points: NDArray[np.float64]) -> NDArray[np.float32]:
    """The five landmarks of ``Detections`` from 68 points: (K, 68, 2) to (K, 5, 2)."""
    means = [points[:, list(rows)].mean(axis=1) for rows in FIVE_OF_68]
    return np.stack(means, axis=1).astype(np.float32)


def peaks(heatmaps: NDArray[np.float32]) -> NDArray[np.float64]:
    """Where heatmaps are highest, moved a quarter pixel towards the higher neighbour.

    The rule is that of stacked hourglass networks (Newell et al., ECCV 2016), as in the package,
    but for its rounding to whole pixels of the frame.

    Args:
        heatmaps: (K, P, S, S) float32.

    Returns:
        (K, P, 2) x and y; the first pixel spans 0 to 1.
    """
    k, p, height, width = heatmaps.shape
    y, x = np.divmod(heatmaps.reshape(k, p, -1).argmax(axis=2), width)
    places = np.stack((x, y), axis=2) + 0.5
    inner = (x > 0) & (x < width - 1) & (y > 0) & (y < height - 1)
    rows, columns = np.nonzero(inner)
    x, y = x[inner], y[inner]
    across = heatmaps[rows, columns, y, x + 1] - heatmaps[rows, columns, y, x - 1]
    down = heatmaps[rows, columns, y + 1, x] - heatmaps[rows, columns, y - 1, x]
    places[inner] += 0.25 * np.sign(np.stack((across, down), axis=1))
    return places
