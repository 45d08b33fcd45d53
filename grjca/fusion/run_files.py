"""What lies in a RUN folder and how its documents are kept, for readers without torch too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MODEL = "model.safetensors"
"""The checkpoint with the best weights."""

LAST = "last.safetensors"
"""The checkpoint with the weights of the last epoch that was saved."""

STATE = "state.safetensors"
"""All that ``--resume`` needs."""

METRICS = "metrics.csv"
CONFIG = "config.yaml"


def without_nan(value: Any) -> Any:
    """A value as JSON and YAML keep it: lists for tuples, None for NaN and infinity."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
