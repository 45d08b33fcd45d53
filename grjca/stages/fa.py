"""Detectors ``fa-sfd`` and ``fa-blazeface``: networks of the package face-alignment.

Both give boxes only. The five landmarks come from the package's landmark network FAN (Bulat and
Tzimiropoulos, "How far are we from solving the 2D & 3D Face Alignment problem?", ICCV 2017), so
each needs two files of weights. The package would download them; here they are given, or lie
where it would have put them, and are loaded without its own loading code.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from grjca.errors import UsageError
from grjca.stages.catalog import PLACE
from grjca.stages.fan import Fan, five_of
from grjca.stages.retinaface import reduced
from grjca.stages.types import Detections, check_array
from grjca.stages.weights import load_strictly, read_state, sha256

LANDMARKS_FILE = "2DFAN4-11f355bf06.pth.tar"
SFD_NMS = 0.3
SFD_LEAST = 64
"""Least side in pixels of SFD's input; six times it is halved."""

SMALLEST = 8
"""Boxes of a smaller mean side, in pixels, hold no face that could be aligned."""

LARGEST = 2
"""Boxes of a larger mean side, in longest sides of the frame, are none of a face in it."""


@dataclass(frozen=True)
class FaConfig:
    """Which weights, and how faces are searched.

    Attributes:
        file: The detector's weights; None for those in TORCH_HOME.
        landmarks_file: FAN's weights (2DFAN-4); None for those in TORCH_HOME.
        max_side: The longest side, in pixels, at which a frame is searched; larger frames are
            reduced for the search, smaller ones never enlarged.
        score: Least score in (0, 1) of a face.
        flip: Whether landmarks are the mean over a crop and its mirror image, as in the package;
            it doubles the time they take.
    """

    file: str | None = field(default=None, metadata=PLACE)
    landmarks_file: str | None = field(default=None, metadata=PLACE)
    max_side: int = 640
    score: float = 0.5
    flip: bool = True

    def __post_init__(self) -> None:
        if self.max_side < 32:
            raise ValueError(f"max_side must be at least 32 pixels, not {self.max_side}")
        if not 0 < self.score < 1:
            raise ValueError(f"score must lie between 0 and 1, not {self.score}")


class FaceAlignmentDetector(ABC):
    """What the detectors of face-alignment have in common: their files and FAN.

    It runs on the GPU where torch sees one when it is built, else on the CPU with the number of
    threads that torch is set to; that number is the process's, so it is left to the caller.

    Args:
        config: Which weights, and how to search.

    Raises:
        UsageError: The package is not installed, a file of weights is missing (the message says
            its name and its place), or holds other weights.
    """

    name: ClassVar[str]
    files: ClassVar[tuple[str, ...]]
    """Names under which the package keeps the detector's weights; any of them will do."""

    Config: ClassVar[type[FaConfig]] = FaConfig

    def __init__(self, config: FaConfig | None = None) -> None:
        self._config = config or FaConfig()
        if find_spec("face_alignment") is None:
            cause = "the package face-alignment is not installed"
            remedy = "Install it with: pip install 'grjca[face-alignment]'."
            raise UsageError("weights", self.name, cause, remedy)
        own, fan = self._located()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        state = read_state(own, self.name)
        self.network = self._built(state.tensors)
        load_strictly(self.network, state.tensors, own, self.name)
        self.network.to(self.device).eval().requires_grad_(False)
        self.fan = Fan(fan, self.device, self._config.flip)
        self._weights = sha256(f"{state.sha256} {self.fan.sha256}".encode())

    @property
    def config(self) -> FaConfig:
        """Which weights, and how this detector searches."""
        return self._config

    @property
    def weights(self) -> str:
        """SHA-256 of the line that holds the SHA-256 of the detector's file and of FAN's."""
        return self._weights

    def detect(self, frames: NDArray[np.uint8]) -> list[Detections]:
        """Find the faces of each frame, one frame at a time.

        Args:
            frames: (N, H, W, 3) uint8, RGB.

        Returns:
            One entry per frame, best score first; boxes clipped to the frame, landmarks not.

        Raises:
            ValueError: The frames have another shape or dtype.
        """
        check_array("frames", frames, (None, None, None, 3), "uint8")
        return [self._detect_one(frame) for frame in frames]

    @torch.inference_mode()
    def _detect_one(self, frame: NDArray[np.uint8]) -> Detections:
        height, width = frame.shape[:2]
        small = reduced(frame, self._config.max_side)
        scale = np.array((width / small.shape[1], height / small.shape[0]) * 2)
        found = self._boxes(small)
        box, score = found[:, :4] * scale, found[:, 4]
        with np.errstate(invalid="ignore"):
            side = (box[:, 2:] - box[:, :2]).mean(axis=1)
            middle = (box[:, :2] + box[:, 2:]) / 2
            inside = ((middle > 0) & (middle < (width, height))).all(axis=1)
            upright = (box[:, 2:] > box[:, :2]).all(axis=1)
            likely = upright & (side >= SMALLEST) & (side <= LARGEST * max(height, width))
        clipped = np.clip(box, 0, np.tile((width, height), 2))
        rows = np.flatnonzero(likely & inside & (score > self._config.score))
        rows = rows[np.argsort(-score[rows], kind="stable")]
        return Detections(
            clipped[rows].astype(np.float32),
            five_of(self.fan.landmarks(frame, box[rows])),
            np.clip(score[rows], 0, 1).astype(np.float32),
        )

    def _located(self) -> tuple[Path, Path]:
        """Where the detector's weights and FAN's lie.

        Raises:
            UsageError: One of them is nowhere.
        """
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        wanted = (
            (self._config.file, self.files),
            (self._config.landmarks_file, (LANDMARKS_FILE,)),
        )
        found: list[Path] = []
        missing: list[str] = []
        for given, names in wanted:
            places = [Path(given)] if given else [folder / name for name in names]
            there = [place for place in places if place.is_file()]
            found += there[:1]
            if not there:
                missing.append(given or " or ".join(names))
        if missing:
            remedy = (
                f"Put them into {folder} (TORCH_HOME/hub/checkpoints), or give the detector's with "
                "--detector-weights FILE; nothing is downloaded."
            )
            cause = f"weights are missing: {', '.join(missing)}"
            raise UsageError("weights", self.name, cause, remedy)
        return found[0], found[1]

    @abstractmethod
    def _built(self, tensors: Mapping[str, Tensor]) -> nn.Module:
        """The network, without weights, that a state dict is for."""

    @abstractmethod
    def _boxes(self, frame: NDArray[np.uint8]) -> NDArray[np.float64]:
        """(K, 5) left, top, right, bottom in the frame's pixels, and score; overlaps removed."""


class FaSfd(FaceAlignmentDetector):
    """S3FD (Zhang et al., ICCV 2017), a VGG-16: accurate on small faces, slow on a CPU."""

    name: ClassVar[str] = "fa-sfd"
    summary: ClassVar[str] = "S3FD and FAN of face-alignment; weights from you, slow on a CPU"
    files: ClassVar[tuple[str, ...]] = ("s3fd-619a316812.pth",)

    def _built(self, tensors: Mapping[str, Tensor]) -> nn.Module:  # noqa: ARG002
        from face_alignment.detection.sfd.net_s3fd import s3fd

        network: nn.Module = s3fd()
        return network

    def _boxes(self, frame: NDArray[np.uint8]) -> NDArray[np.float64]:
        from face_alignment.detection.sfd.bbox import nms
        from face_alignment.detection.sfd.detect import detect

        before = torch.backends.cudnn.benchmark
        try:
            found = detect(self.network, enlarged(frame, SFD_LEAST, SFD_LEAST), str(self.device))[0]
        finally:
            # The package's function leaves it switched on for the whole process.
            torch.backends.cudnn.benchmark = before
        boxes = np.asarray(found, dtype=np.float64).reshape(-1, 5)
        return np.asarray(boxes[nms(boxes, SFD_NMS)])


class FaBlazeFace(FaceAlignmentDetector):
    """BlazeFace (Bazarevsky et al., 2019), front or back camera by the weights: fast.

    The package looks at the middle square of a frame only; here the frame is extended to a square
    first, so that faces at its sides are found too.
    """

    name: ClassVar[str] = "fa-blazeface"
    summary: ClassVar[str] = "BlazeFace and FAN of face-alignment; weights from you"
    files: ClassVar[tuple[str, ...]] = ("blazefaceback.pth", "blazeface.pth")

    def _built(self, tensors: Mapping[str, Tensor]) -> nn.Module:
        from face_alignment.detection.blazeface.net_blazeface import BlazeFace

        network = BlazeFace(back_model=any(key.startswith("final.") for key in tensors))
        network.load_anchors_from_npy(blazeface_anchors(), self.device)
        network.min_score_thresh = self._config.score
        built: nn.Module = network
        return built

    def _boxes(self, frame: NDArray[np.uint8]) -> NDArray[np.float64]:
        network: Any = self.network
        side, size = max(frame.shape[:2]), 256 if network.back_model else 128
        square = cv2.resize(enlarged(frame, side, side), (size, size), interpolation=cv2.INTER_AREA)
        picture = torch.from_numpy(square).permute(2, 0, 1)[None].to(self.device)
        offsets, logits = network(picture / 127.5 - 1)
        (found,) = network._tensors_to_detections(offsets, logits, network.anchors)
        # The package's suppression never ends on a box that does not overlap itself.
        real = (found[:, 2:4] > found[:, :2]).all(dim=1) & found.isfinite().all(dim=1)
        faces = network._weighted_non_max_suppression(found[real])
        rows = torch.stack(faces) if faces else torch.zeros((0, 17))
        top, left, bottom, right = (rows[:, :4].T * side).double().numpy()
        return np.stack((left, top, right, bottom, rows[:, 16].double().numpy()), axis=1)


def blazeface_anchors() -> NDArray[np.float32]:
    """The 896 anchors of BlazeFace: centres of the cells, sides of the whole picture.

    Two per cell of a 16x16 grid and six per cell of an 8x8 one, row by row, for the front and the
    back camera's network alike (MediaPipe's ``SsdAnchorsCalculator`` with fixed anchor sizes).

    Returns:
        (896, 4) float32: centre x, centre y, width and height in units of the picture.
    """
    parts = []
    for cells, repeats in ((16, 2), (8, 6)):
        y, x = np.meshgrid(*((np.arange(cells) + 0.5) / cells,) * 2, indexing="ij")
        centres = np.stack((x, y), axis=-1).reshape(-1, 2)
        parts.append(np.repeat(centres, repeats, axis=0))
    centres = np.concatenate(parts)
    return np.concatenate((centres, np.ones_like(centres)), axis=1).astype(np.float32)


def enlarged(frame: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """The frame with black below and to the right of it, where it is smaller than that."""
    down, right = max(height - frame.shape[0], 0), max(width - frame.shape[1], 0)
    return np.asarray(
        cv2.copyMakeBorder(frame, 0, down, 0, right, cv2.BORDER_CONSTANT), dtype=np.uint8
    )
