"""Audio embedding ``vggish``: VGGish as the paper uses it, with weights the user gives.

Hershey et al., "CNN architectures for large-scale audio classification", ICASSP 2017; sizes and
parameters are those of the published release (AudioSet, ``vggish_params``). The embedding is the
last linear layer's answer: without the ReLU behind it, without the PCA, quantisation and
L2 normalisation of the release's post-processing.

The state dict is torchvggish's, for example ``vggish-10086976.pth`` of its release 0.1.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from grjca.stages.catalog import PLACE
from grjca.stages.sound_windows import HOP, MEL_WINDOW, SoundWindow, WindowEmbedder, windows_of
from grjca.stages.spectrogram import LogMelConfig, log_mel
from grjca.stages.weights import State, given_file, load_strictly, read_state

Align = Literal["start", "centre"]

PATCH_FRAMES = 96
"""Mel frames of one patch, 0.96 s of frames and 0.975 s of samples."""

FRONT_END = LogMelConfig(
    window=MEL_WINDOW, hop=HOP, fft=512, bands=64, low=125.0, high=7500.0, offset=0.01
)
"""The published parameters: log(mel magnitude + 0.01), HTK mel, periodic Hann, not centred."""

DROPPED = ("pproc.pca_matrix", "pproc.pca_means")
"""Keys of the release's post-processing, which torchvggish saves beside the network's."""

PREFIX = "backbone."
"""What the ABAW3 code, which the paper's builds on, puts before every key."""

GIVE = (
    "Give torchvggish's state dict (vggish-10086976.pth, or the same as .safetensors) with "
    "--audio-weights FILE. Or choose the audio embedder logmel, which needs no weights."
)


@dataclass(frozen=True)
class VggishConfig:
    """How sound is embedded.

    Attributes:
        file: torchvggish's state dict, .pth or .safetensors; where it lies is not part of the
            embedder's identity, its SHA-256 is.
        align: ``start``: the patch begins at the row's time, as the paper's code cuts it;
            ``centre``: the row's time is the patch's middle.
        batch: Patches that go through the network at a time.
    """

    file: str | None = field(default=None, metadata=PLACE)
    align: Align = "start"
    batch: int = 16

    def __post_init__(self) -> None:
        if self.align not in get_args(Align):
            raise ValueError(f"align must be start or centre, not {self.align}")
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, not {self.batch}")


class VggishNet(nn.Module):
    """The network; parts are named and numbered as in torchvggish's state dict."""

    def __init__(self) -> None:
        super().__init__()
        groups = ((1, 64), (64, 128), (128, 256, 256), (256, 512, 512))
        self.features = nn.Sequential(*(layer for widths in groups for layer in _group(widths)))
        self.embeddings = nn.Sequential(
            nn.Linear(6 * 4 * 512, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, 128),
        )

    def forward(self, patches: Tensor) -> Tensor:
        """(N, 96, 64) float32 log-mel patches, time before mel, to (N, 128)."""
        maps: Tensor = self.features(patches[:, None])
        # The linear layers were trained on TensorFlow's order: time, mel, channel.
        embedding: Tensor = self.embeddings(maps.permute(0, 2, 3, 1).flatten(1))
        return embedding


class Vggish(WindowEmbedder):
    """Embeds the 0.96 s log-mel patch of each row with VGGish.

    Beyond the ends of the sound, and in its gaps, the patch sees zero samples. The paper's code
    repeats the last sample for a second instead; here such rows keep their mask, and a row with
    more than half of its patch outside the sound is not valid (``sound_valid``).

    It runs on the GPU where torch sees one when it is built, else on the CPU with the number of
    threads that torch is set to; that number is the process's, so it is left to the caller.

    Args:
        config: File of weights, alignment and batch.

    Raises:
        UsageError: No file was given, it cannot be read, or it is not VGGish's state dict.
    """

    name: ClassVar[str] = "vggish"
    Config: ClassVar[type[Any]] = VggishConfig
    summary: ClassVar[str] = "VGGish, 0.96 s from the frame on; give weights: --audio-weights FILE"

    def __init__(self, config: VggishConfig | None = None) -> None:
        self._config = config or VggishConfig()
        state = read_state(given_file(self._config.file, self.name, GIVE), self.name)
        self._weights = state.sha256
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        # Seventy million random numbers, all to be replaced at once, would take as long as the
        # file takes to read.
        with torch.device("meta"):
            network = VggishNet()
        self.network = network.to_empty(device="cpu")
        load_strictly(self.network, network_tensors(state), state.path, self.name)
        self.network.to(self.device).to(memory_format=torch.channels_last)
        self.network.eval().requires_grad_(False)

    @property
    def config(self) -> VggishConfig:
        """File of weights, alignment and batch."""
        return self._config

    @property
    def weights(self) -> str:
        """SHA-256 of the file of weights."""
        return self._weights

    @property
    def dim(self) -> int:
        """Numbers per row."""
        return 128

    @property
    def window(self) -> SoundWindow:
        """The 0.975 s under one patch, from the row's time on or around it."""
        return SoundWindow.of_mel_frames(PATCH_FRAMES, centred=self._config.align == "centre")

    @torch.inference_mode()
    def _rows(self, samples: NDArray[np.float32], first: NDArray[np.int64]) -> NDArray[np.float32]:
        rows = np.empty((len(first), self.dim), dtype=np.float32)
        patches = windows_of(log_mel(samples, FRONT_END), PATCH_FRAMES)
        for i in range(0, len(first), self._config.batch):
            batch = np.ascontiguousarray(
                patches[first[i : i + self._config.batch]].transpose(0, 2, 1)
            )
            answer = self.network(torch.from_numpy(batch).to(self.device))
            rows[i : i + len(batch)] = answer.cpu().numpy()
        return rows


def network_tensors(state: State) -> dict[str, Tensor]:
    """The network's tensors by its own keys: without the prefix and the post-processing."""
    prefixed = all(key.startswith(PREFIX) for key in state.tensors)
    named = {
        key.removeprefix(PREFIX) if prefixed else key: value for key, value in state.tensors.items()
    }
    return {key: value for key, value in named.items() if key not in DROPPED}


def _group(widths: tuple[int, ...]) -> list[nn.Module]:
    """3x3 convolutions with ReLUs, then 2x2 max pooling."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Conv2d(inputs, outputs, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
    return [*layers, nn.MaxPool2d(kernel_size=2, stride=2)]
