"""Arrays and JSON as they stand in a page: compact, and unable to break out of it."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

STEPS = 32_767
"""Steps from 0 to the limit in which numbers are kept: 0.00003 where the limit is 1."""

NOT_A_NUMBER = -32_768


def packed_floats(values: NDArray[Any]) -> str:
    """(T,) numbers as base64 of little-endian float32."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f4").tobytes()).decode("ascii")


def packed_steps(values: NDArray[Any], limit: float) -> str:
    """(T,) numbers in [-limit, limit] as base64 of little-endian int16; -32768 where not finite."""
    finite = np.isfinite(values)
    steps = np.rint(np.where(finite, values, 0.0) * (STEPS / limit)).clip(-STEPS, STEPS)
    whole = np.where(finite, steps, NOT_A_NUMBER).astype("<i2")
    return base64.b64encode(whole.tobytes()).decode("ascii")


def runs(mask: NDArray[np.bool_]) -> list[list[int]]:
    """Where a mask is true, as half-open ranges of rows ``[first, behind]``."""
    change = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    ranges: list[list[int]] = change.reshape(-1, 2).tolist()
    return ranges


def script_json(value: Any) -> str:
    """JSON that may stand in a ``<script>`` element, whatever texts it holds.

    Only ASCII is written, and ``<``, ``>`` and ``&`` as escapes: no text in it can end the element
    or begin a comment.

    Raises:
        ValueError: NaN or infinity, which JSON does not have.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
