"""The geometry of faces: boxes, and crops aligned to a template.

Positions are continuous: the first pixel of a row spans 0 to 1 and has its centre at 0.5, in
frames as in crops. A crop therefore shows the same part of a face at every size.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from grjca.stages.types import check_array

ARCFACE = (
    np.array(
        (
            (38.2946, 51.6963),
            (73.5318, 51.5014),
            (56.0252, 71.7366),
            (41.5493, 92.3655),
            (70.7299, 92.2041),
        )
    )
    / 112
)
"""Reference points of ArcFace's 112x112 crops (Deng et al., CVPR 2019), in units of the crop.

The values are those of the authors' public code, insightface, ``face_align.py``.
"""

FACE64_CENTRE = np.array((0.5, 0.49))
FACE64_ZOOM = 0.98
"""Where in ``face64`` the middle of an ArcFace crop lies, and a face's size against that there.

The whole face with a margin, forehead and chin included: eyes 31% of the side apart and 45% down,
mouth 81% down. A sweep over place and size chose it: with the middle 87.5% of such a crop the
network of ``fer`` recognises the most clips whose expression is known.
"""

TEMPLATES: Final = MappingProxyType(
    {
        "face64": FACE64_CENTRE + FACE64_ZOOM * (ARCFACE - 0.5),
        "arcface112": ARCFACE,
    }
)
"""Where the five landmarks of an aligned face lie, (5, 2) in units of the crop's side."""

MAX_OVERSAMPLING = 4
"""Samples along each side of a crop's pixel at most."""


def similarity(source: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.float64]:
    """The rotation, scale and shift that best maps points to points, without mirroring.

    The least-squares solution in closed form; as complex numbers, with m the means, it is
    w = a (z - m_z) + m_w, where a = sum conj(z - m_z) (w - m_w) / sum |z - m_z|^2.

    Args:
        source: (P, 2) points.
        target: (P, 2) points.

    Returns:
        (2, 3) float64 matrix that maps columns (x, y, 1).

    Raises:
        ValueError: The source points coincide, or are not finite.
    """
    z = source[:, 0].astype(np.float64) + 1j * source[:, 1]
    w = target[:, 0].astype(np.float64) + 1j * target[:, 1]
    centred = z - z.mean()
    spread = float(np.sum(np.abs(centred) ** 2))
    if not (np.isfinite(spread) and spread > 0):
        raise ValueError("landmarks that coincide or are not finite fix no alignment")
    a = np.vdot(centred, w - w.mean()) / spread
    b = w.mean() - a * z.mean()
    return np.array(((a.real, -a.imag, b.real), (a.imag, a.real, b.imag)))


def align(
    frame: NDArray[np.uint8], landmarks: NDArray[np.float32], template: str, size: int
) -> NDArray[np.uint8]:
    """Cut out a face so that its landmarks come to lie on a template.

    Each pixel of the crop is the mean of up to 4x4 bilinear samples spread over its area, so
    that a face much larger than the crop does not alias. Beyond the frame the nearest pixel is
    repeated, since a black border would be an edge that an embedder takes for part of the face.

    Args:
        frame: (H, W, 3) uint8.
        landmarks: (5, 2) pixels of the frame, in the order of ``Detections``.
        template: A name in ``TEMPLATES``.
        size: Side of the crop in pixels.

    Returns:
        (size, size, 3) uint8.

    Raises:
        ValueError: No such template, arrays of another shape, or landmarks that coincide.
    """
    check_array("frame", frame, (None, None, 3), "uint8")
    check_array("landmarks", landmarks, (5, 2), "float32")
    matrix = similarity(landmarks, points_of(template) * size)
    step = 1 / np.hypot(matrix[0, 0], matrix[1, 0])
    fine = int(np.clip(np.ceil(step), 1, MAX_OVERSAMPLING))
    matrix *= fine
    # OpenCV counts pixel centres from 0, positions here put the first centre at 0.5.
    matrix[:, 2] += matrix[:, :2].sum(axis=1) / 2 - 0.5
    side = (size * fine, size * fine)
    warped = cv2.warpAffine(
        frame, matrix, side, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    if fine > 1:
        warped = cv2.resize(warped, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(warped, dtype=np.uint8)


def points_of(template: str) -> NDArray[np.float64]:
    """A template's five points, in units of the crop's side.

    Raises:
        ValueError: There is no template of that name.
    """
    if template not in TEMPLATES:
        raise ValueError(f"no template {template}; known: {', '.join(TEMPLATES)}")
    return TEMPLATES[template]


def area(box: NDArray[np.float32]) -> NDArray[np.float32]:
    """Areas of (..., 4) boxes; 0 where one is empty."""
    sides = np.maximum(box[..., 2:] - box[..., :2], 0)
    return np.asarray(sides[..., 0] * sides[..., 1], dtype=np.float32)


def overlap(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    """Intersection over union of (..., 4) boxes with others; 0 where both are empty.

    The two broadcast: ``overlap(a[:, None], b)`` compares each box of a with each of b.
    """
    corners = (np.maximum(box[..., :2], others[..., :2]), np.minimum(box[..., 2:], others[..., 2:]))
    shared = area(np.concatenate(corners, axis=-1))
    union = area(box) + area(others) - shared
    ratio = np.zeros_like(shared)
    np.divide(shared, union, out=ratio, where=union > 0)
    return ratio
