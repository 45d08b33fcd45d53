"""Checkpoints of small models that were never trained: quick, but real all the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from toy_features import AUDIO_DIM, VISUAL_DIM

from grjca.fusion.checkpoint import Checkpoint
from grjca.fusion.config import FusionConfig
from grjca.fusion.data import Inputs
from grjca.fusion.model import FusionModel


def make_run(
    train: Sequence[str] = (),
    val: Sequence[str] = (),
    *,
    seed: int = 3,
    meta: dict[str, Any] | None = None,
    **fusion: Any,
) -> Checkpoint:
    """A checkpoint of a small untrained model that says it was trained on some clips."""
    torch.manual_seed(seed)
    config = FusionConfig(
        **{
            "visual_dim": VISUAL_DIM,
            "audio_dim": AUDIO_DIM,
            "visual_channels": (8,),
            "audio_channels": (8,),
            "head_hidden": 8,
            "window": 40,
            "temperature": 1.0,
            **fusion,
        }
    )
    model = FusionModel(config).eval()
    model.set_standardisation(
        np.full(config.visual_dim, 20.0),
        np.full(config.visual_dim, 2.0),
        np.full(config.audio_dim, -4.0),
        np.full(config.audio_dim, 0.1),
    )
    split = {"train": list(train), "val": list(val), "grouped": True, "notes": []}
    return Checkpoint(
        model,
        Inputs(config.visual_dim, config.audio_dim),
        rate=25.0,
        window=40,
        hop=25,
        recipe={},
        visual="fer",
        audio="logmel",
        mapping="as they are",
        meta={"split": split, **(meta or {})},
    )
