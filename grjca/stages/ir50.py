"""Visual embedding ``ir50``: the paper's backbone, from weights that the user gives.

IR-50 is the "improved residual" ResNet-50 of ArcFace (Deng et al., CVPR 2019). Two kinds of
weights are in use, told apart by the shape of the last layer. The network of the public ABAW3 and
RJCMA code, fine-tuned on FER+, sees 40x40 pixels of a 48x48 crop and halves the picture in three
of its four stages. Plain ArcFace weights see a whole 112x112 crop and halve it in all four.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from grjca.errors import UsageError
from grjca.stages.catalog import PLACE
from grjca.stages.types import check_array
from grjca.stages.weights import State, given_file, load_strictly, misfit, read_state

STAGES = ((64, 3), (128, 4), (256, 14), (512, 3))
"""Width and number of residual units of each stage."""

DIM = 512

CROP_OF_INPUT = {40: 48, 112: 112}
"""Side of the crops by the side of the network's input, both in pixels."""

STEM = "input_layer.0.weight"
LINEAR = "output_layer.3.weight"

OTHER_PARTS = (
    "logits.", "spatial.visual.logits.", "spatial.audio.", "temporal.", "bn.", "bn1.", "coattn.",
    "fusion.", "fuse.", "conv_c.", "encoderQ.", "encoderK.", "encoderV.", "ln.", "fc1.", "fc2.",
    "regressor.", "regressor1.", "regressor2.",
)  # fmt: skip
"""Parts beside the backbone in what the public ABAW3 and RJCMA code saves (their models' names).

The classifier of the backbone's pre-training, and the audio backbone, temporal networks, fusion
and regressor of a whole trained model.
"""

GIVE = (
    "Give a state dict of IR-50, as the ABAW3 or RJCMA code or an ArcFace training saves it, with "
    "--visual-weights FILE."
)


@dataclass(frozen=True)
class Ir50Config:
    """Which weights, and how crops are embedded.

    Attributes:
        file: The file of weights, ``.pth``, ``.pt`` or ``.safetensors``.
        batch: Crops that go through the network at a time.
    """

    file: str | None = field(default=None, metadata=PLACE)
    batch: int = 16

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, not {self.batch}")


class Subsample(nn.Module):
    """Every ``stride``-th pixel of every ``stride``-th row."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, maps: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, ceil(H / stride), ceil(W / stride))."""
        return maps[:, :, :: self.stride, :: self.stride]


class ResidualUnit(nn.Module):
    """Batch norm, convolution, PReLU, strided convolution and batch norm, beside a shortcut.

    Args:
        inputs: Channels that come in.
        outputs: Channels that go out.
        stride: Stride of the second convolution and of the shortcut.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer: nn.Module = Subsample(stride)
        if inputs != outputs:
            self.shortcut_layer = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.PReLU(outputs),
            nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, ceil(H / stride), ceil(W / stride))."""
        added: Tensor = self.res_layer(maps) + self.shortcut_layer(maps)
        return added


class Ir50Net(nn.Module):
    """IR-50 up to its embedding; parts are named as in files of weights.

    Args:
        side: Side of the input in pixels, 40 or 112. At 40 the first stage does not subsample.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        strides = (1 if side == 40 else 2, 2, 2, 2)
        last = side // int(np.prod(strides))
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64)
        )
        units, inputs = [], 64
        for (width, depth), stride in zip(STAGES, strides, strict=True):
            for unit in range(depth):
                units.append(ResidualUnit(inputs, width, stride if unit == 0 else 1))
                inputs = width
        self.body = nn.Sequential(*units)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(512),
            nn.Dropout(0.4),
            nn.Flatten(),
            nn.Linear(512 * last**2, DIM),
            nn.BatchNorm1d(DIM),
        )

    def forward(self, faces: Tensor) -> Tensor:
        """(N, 3, side, side) float32 RGB faces in [-1, 1] to (N, 512) of length 1."""
        maps = self.output_layer(self.body(self.input_layer(faces)))
        return nn.functional.normalize(maps, dim=1)


class Ir50:
    """Embeds face crops with IR-50: 512 numbers of length 1.

    It runs on the GPU where torch sees one when it is built, else on the CPU with the number of
    threads that torch is set to; that number is the process's, so it is left to the caller.

    Args:
        config: Which weights, and how to embed.

    Raises:
        UsageError: No weights were given, or the file does not hold those of an IR-50; or they
            see whole crops and the view is a shifted one.
    """

    name: ClassVar[str] = "ir50"
    Config: ClassVar[type[Ir50Config]] = Ir50Config
    summary: ClassVar[str] = "IR-50, the paper's backbone, 512 numbers; weights: --visual-weights"
    dim: ClassVar[int] = DIM
    template: ClassVar[str] = "arcface112"

    mirrored: ClassVar[bool] = False
    """Whether the network sees the crop mirrored left to right."""

    shift: ClassVar[tuple[int, int]] = (0, 0)
    """Pixels by which the view lies below, and to the right of, the middle of the crop."""

    def __init__(self, config: Ir50Config | None = None) -> None:
        self._config = config or Ir50Config()
        state = read_state(given_file(self._config.file, self.name, GIVE), self.name)
        tensors = backbone_of(state)
        self._side = input_side(state, tensors)
        if any(self.shift) and self.crop_size == self._side:
            cause = f"these weights see the whole crop of {self._side} pixels, which cannot shift"
            raise UsageError("weights", self.name, cause, "Choose ir50 or ir50-flip.")
        self._weights = state.sha256
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network = Ir50Net(self._side)
        load_strictly(self.network, tensors, state.path, self.name)
        # Channels last is the layout in which the convolutions are fastest on a CPU.
        self.network.to(self.device).to(memory_format=torch.channels_last)
        self.network.eval().requires_grad_(False)

    @property
    def config(self) -> Ir50Config:
        """Which weights, and how this embedder embeds."""
        return self._config

    @property
    def weights(self) -> str:
        """SHA-256 of the file of weights."""
        return self._weights

    @property
    def crop_size(self) -> int:
        """Side of the crops in pixels: 48, or 112 for plain ArcFace weights."""
        return CROP_OF_INPUT[self._side]

    @property
    def appearance(self) -> bool:
        """Whether embeddings tell people apart: those of plain ArcFace weights were trained to."""
        return self._side == 112

    @torch.inference_mode()
    def embed(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed crops, each on its own.

        Args:
            crops: (N, S, S, 3) uint8, RGB, aligned to ``arcface112``; S is ``crop_size``.

        Returns:
            (N, 512) float32, rows of length 1.

        Raises:
            ValueError: The crops have another shape or dtype.
        """
        check_array("crops", crops, (None, self.crop_size, self.crop_size, 3), "uint8")
        out = np.empty((len(crops), DIM), dtype=np.float32)
        for start in range(0, len(crops), self._config.batch):
            piece = torch.from_numpy(crops[start : start + self._config.batch]).to(self.device)
            out[start : start + len(piece)] = self.network(self.view(piece)).cpu().numpy()
        return out

    def view(self, crops: Tensor) -> Tensor:
        """(N, S, S, 3) uint8 crops to (N, 3, side, side) float32, RGB in [-1, 1]."""
        margin = (self.crop_size - self._side) // 2
        top, left = margin + self.shift[0], margin + self.shift[1]
        seen = crops[:, top : top + self._side, left : left + self._side].permute(0, 3, 1, 2)
        scaled = (seen.to(torch.float32) / 255 - 0.5) / 0.5
        return scaled.flip(3) if self.mirrored else scaled


class Ir50Flip(Ir50):
    """``ir50`` of the mirrored crop: a second view, for training."""

    name: ClassVar[str] = "ir50-flip"
    summary: ClassVar[str] = "ir50 of the mirrored crop, a second view for training"
    mirrored: ClassVar[bool] = True


class Ir50Shift(Ir50):
    """``ir50`` of the crop seen 2 pixels further up and right: a third view, for training.

    The authors train on 40x40 crops at random places of the 48x48 ones, up to 4 pixels from the
    middle in each direction; 2 is the middle of that range.
    """

    name: ClassVar[str] = "ir50-shift"
    summary: ClassVar[str] = "ir50 of a shifted crop, a third view for training"
    shift: ClassVar[tuple[int, int]] = (-2, 2)


def backbone_of(state: State) -> dict[str, Tensor]:
    """The backbone's tensors by the network's own keys, whatever prefix they were saved under.

    Raises:
        UsageError: There is no backbone, several, or parts that nobody knows.
    """
    found = [key for key in state.tensors if key.endswith(STEM)]
    if len(found) != 1:
        cause = f"{len(found)} keys end in {STEM}, wanted 1"
        raise misfit(state.path, Ir50.name, cause)
    prefix = found[0].removesuffix(STEM)
    backbone = {
        key.removeprefix(prefix): value
        for key, value in state.tensors.items()
        if key.startswith(prefix) and not _is_other(key)
    }
    odd = [key for key in state.tensors if not key.startswith(prefix) and not _is_other(key)]
    if odd:
        cause = f"beside the backbone {prefix}* there are unknown parts such as {odd[0]}"
        raise misfit(state.path, Ir50.name, cause)
    return backbone


def input_side(state: State, tensors: Mapping[str, Tensor]) -> int:
    """Side of the picture that the weights were made for, by the shape of the last layer.

    Raises:
        UsageError: It is not a layer of 512x5x5 or 512x7x7 inputs.
    """
    shape = tuple(tensors[LINEAR].shape) if LINEAR in tensors else None
    sides = {(DIM, 512 * 5**2): 40, (DIM, 512 * 7**2): 112}
    if shape not in sides:
        wanted = " or ".join(f"{outputs}x{inputs}" for outputs, inputs in sides)
        found = "missing" if shape is None else "x".join(map(str, shape))
        raise misfit(state.path, Ir50.name, f"{LINEAR} is {found}, wanted {wanted}")
    return sides[shape]


def _is_other(key: str) -> bool:
    return key.removeprefix("module.").startswith(OTHER_PARTS)
