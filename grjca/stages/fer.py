"""Visual embedding ``fer``: the hidden layer of a small expression classifier.

The weights are those of the package facial-emotion-recognition 0.3.4: a network of four
convolutions for 48x48 grey faces with seven answers. Only the file is taken from there; the
network is written here from the shapes in it.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from grjca.errors import UsageError
from grjca.stages.types import check_array
from grjca.stages.weights import packaged_file, sha256

DISTRIBUTION = "facial-emotion-recognition"
WEIGHTS_FILE = "facial_emotion_recognition/model/model.pkl"
WEIGHTS_SHA256 = "d2789940007ee6175130fefd3ed9a523a1afa4475fbdafbf64f2948db6c29537"

INSTEAD = "Or choose the visual embedder hog, which needs no weights."

INPUT_SIDE = 48
CROP_SIDE = 64

VIEW = 0.875
"""Part of the crop's side that the middle view shows; the rest is room for the others."""

SHIFTS = (-0.04, 0.0, 0.04)
SCALES = (0.95, 1.0, 1.05)
"""Shifts of the nine views, in sides of the middle view, and their sizes against it."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey value (ITU-R BT.601)."""


@dataclass(frozen=True)
class FerConfig:
    """How crops are embedded.

    Attributes:
        views: 9 for the mean over slightly shifted and scaled views of a crop, 1 for the middle
            one alone, which is nine times as fast and moves twice as much when the crop shifts.
        batch: Crops that go through the network at a time; on a CPU more than a few outgrow the
            processor's cache and are slower.
    """

    views: int = 9
    batch: int = 8

    def __post_init__(self) -> None:
        if self.views not in (1, 9):
            raise ValueError(f"views must be 1 or 9, not {self.views}")
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, not {self.batch}")


class FerNet(nn.Module):
    """The classifier up to its hidden layer; parts are named as in the file of weights."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_1 = convolution(1, 32, stride=1)
        self.conv_2 = convolution(32, 64, stride=2)
        self.conv_3 = convolution(64, 128, stride=2)
        self.conv_4 = convolution(128, 256, stride=2)
        # The last layer, to the seven answers, is not part of the embedding; it is kept so that
        # the weights load strictly and the tests can ask what the network recognises.
        self.linear = nn.Sequential(nn.Linear(9216, 256), nn.ReLU(), nn.Linear(256, 7))

    def forward(self, faces: Tensor) -> Tensor:
        """(N, 1, 48, 48) float32 grey faces in [-1, 1] to (N, 256), after the ReLU."""
        maps: Tensor = self.conv_4(self.conv_3(self.conv_2(self.conv_1(faces))))
        hidden: Tensor = self.linear[1](self.linear[0](maps.flatten(1)))
        return hidden


class Fer:
    """Embeds face crops with an expression classifier's hidden layer.

    It runs on the GPU where torch sees one when it is built, else on the CPU with the number of
    threads that torch is set to; that number is the process's, so it is left to the caller.

    Args:
        config: How to embed.

    Raises:
        UsageError: The package that carries the weights is missing, or its file is another one.
    """

    name: ClassVar[str] = "fer"
    Config: ClassVar[type[FerConfig]] = FerConfig
    summary: ClassVar[str] = "hidden layer of a small facial-expression CNN, 256 numbers"
    dim: ClassVar[int] = 256
    crop_size: ClassVar[int] = CROP_SIDE
    template: ClassVar[str] = "face64"
    appearance: ClassVar[bool] = False

    def __init__(self, config: FerConfig | None = None) -> None:
        self._config = config or FerConfig()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = FerNet()
        self.network.load_state_dict(packaged_state())
        self.network.eval().requires_grad_(False)
        net = self.network
        for part in (net.conv_1, net.conv_2, net.conv_3, net.conv_4):
            _fold(part)
        # Channels last is the layout in which the convolutions are fastest on a CPU.
        self.network.to(self.device).to(memory_format=torch.channels_last)
        self._across, self._down = (
            torch.from_numpy(axis).to(self.device) for axis in view_axes(self._config.views)
        )

    @property
    def config(self) -> FerConfig:
        """How this embedder embeds."""
        return self._config

    @property
    def weights(self) -> str:
        """SHA-256 of the file of weights."""
        return WEIGHTS_SHA256

    @torch.inference_mode()
    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed crops, each on its own.

        Args:
            crops: (N, 64, 64, 3) uint8, RGB, aligned to ``face64``.

        Returns:
            (N, 256) float32, not negative.

        Raises:
            ValueError: The crops have another shape or dtype.
        """
        check_array("crops", crops, (None, CROP_SIDE, CROP_SIDE, 3), "uint8")
        out = np.empty((len(crops), self.dim), dtype=np.float32)
        for start in range(0, len(crops), self._config.batch):
            piece = torch.from_numpy(crops[start : start + self._config.batch]).to(self.device)
            # One crop alone would go another way through the libraries and differ in the last
            # digits; so it is taken twice, and no crop's numbers depend on its neighbours.
            pair = piece.expand(2, -1, -1, -1) if len(piece) == 1 else piece
            hidden = self.network(self.views(pair).flatten(0, 1)[:, None])
            mean = hidden.unflatten(0, (len(pair), self._config.views)).mean(dim=1)
            out[start : start + len(piece)] = mean[: len(piece)].cpu().numpy()
        return out

    def views(self, crops: Tensor) -> Tensor:
        """(N, 64, 64, 3) uint8 crops to (N, views, 48, 48) float32 grey views in [-1, 1]."""
        grey = crops.to(torch.float32) @ torch.tensor(LUMA, device=crops.device)
        scaled = (grey / 255 - 0.5) / 0.5
        return torch.einsum("vih,nhw,vjw->nvij", self._down, scaled, self._across)


def convolution(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """A 3x3 convolution with a mirrored border, batch norm and ReLU."""
    return nn.Sequential(
        nn.ReflectionPad2d(1),
        nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def _fold(part: nn.Sequential) -> None:
    """Put the batch norm of a convolution into its weights: the same function, one pass less."""
    conv, norm = part[1], part[2]
    if not (isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)):
        raise TypeError("no convolution followed by its batch norm")
    part[1] = fuse_conv_bn_eval(conv, norm)
    part[2] = nn.Identity()


def packaged_state() -> dict[str, Tensor]:
    """The network's weights from the installed package, unpickling tensors only.

    Raises:
        UsageError: The package is missing, or the file's SHA-256 is not the one known.
    """
    path = packaged_file(DISTRIBUTION, WEIGHTS_FILE, Fer.name, INSTEAD)
    data = path.read_bytes()
    found = sha256(data)
    if found != WEIGHTS_SHA256:
        cause = f"{WEIGHTS_FILE} has SHA-256 {found}, not {WEIGHTS_SHA256}"
        raise UsageError("weights", Fer.name, cause, f"Install {DISTRIBUTION}==0.3.4.")
    loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return cast(dict[str, Tensor], loaded["network"])


def view_axes(views: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Resampling of a crop's columns and rows to each view, as matrices.

    The nine views stand on a 3x3 grid of shifts; their sizes form a Latin square over it, so
    that neither a mean shift nor a mean change of size is left.

    Args:
        views: 1 or 9.

    Returns:
        Two (views, 48, 64) float32: for the columns and for the rows.
    """
    if views == 1:
        middle = resampling(0.0, 1.0)[None]
        return middle, middle
    grid = [(i, j) for i in range(3) for j in range(3)]
    across = [resampling(SHIFTS[i], SCALES[(i + j + 2) % 3]) for i, j in grid]
    down = [resampling(SHIFTS[j], SCALES[(i + j + 2) % 3]) for i, j in grid]
    return np.stack(across), np.stack(down)


def resampling(shift: float, scale: float) -> NDArray[np.float32]:
    """Weights of a crop's pixels in each pixel of a view, along one axis; rows sum to 1.

    A triangle as wide as the step between two samples on either side: linear interpolation that
    leaves out no pixel.

    Args:
        shift: Shift of the view, in sides of the middle view.
        scale: Size of the view against the middle one.

    Returns:
        (48, 64) float32.
    """
    step = VIEW * scale * CROP_SIDE / INPUT_SIDE
    middle = (0.5 + VIEW * shift) * CROP_SIDE
    at = middle + step * (np.arange(INPUT_SIDE) + 0.5 - INPUT_SIDE / 2)
    distance = np.abs(np.arange(CROP_SIDE) + 0.5 - at[:, None])
    weight = np.maximum(1 - distance / max(step, 1.0), 0)
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), dtype=np.float32)
