"""Named sets of settings for model and training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from grjca.errors import UsageError


@dataclass(frozen=True)
class Preset:
    """Values that differ from the defaults of ``FusionConfig`` and of ``TrainConfig``."""

    model: Mapping[str, Any]
    train: Mapping[str, Any]


PRESETS: dict[str, Preset] = {
    # For sets of tens of clips on a CPU: narrow, any length, a rate that suits few steps, and
    # never far below the line that such sets often are.
    "small": Preset(
        model={
            "visual_channels": (64, 64),
            "audio_channels": (64, 64),
            "head_hidden": 64,
            "attention_dropout": 0.3,
            "modality_dropout": 0.1,
            "linear": "ridge",
        },
        train={"lr": 1e-3, "epochs": 40, "warmup_epochs": 2, "stop_after": 15},
    ),
    # The paper's widths, dense time-mix and recipe (arXiv 2503.12261); meant for a GPU.
    "paper": Preset(model={"time_mix": "dense"}, train={}),
}


def preset(name: str) -> Preset:
    """A preset by name.

    Raises:
        UsageError: There is no such preset; the message lists those there are.
    """
    try:
        return PRESETS[name]
    except KeyError:
        known = ", ".join(PRESETS)
        raise UsageError("options", name, "no such preset", f"Known: {known}.") from None
