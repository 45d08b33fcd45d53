"""Where forward and backward passes written by hand run, and the dropout they draw."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

_STEPS = 2**16


def by_hand(x: Tensor) -> bool:
    """Whether the passes written by hand take this tensor: on a CPU, in full precision.

    Mixed precision and ``torch.compile`` need operations that they can choose the precision of
    and put together by themselves.
    """
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
    )


def keep_mask(shape: torch.Size, dropout: float, dtype: torch.dtype) -> tuple[Tensor, float]:
    """Draw what dropout keeps.

    16 random bits an element from NumPy's SFC64, which PyTorch's default generator seeds: a draw
    for each element, as ``nn.Dropout`` makes on a CPU, takes a sixth of a training step. The share
    is therefore taken in steps of 1 / 65536.

    Args:
        shape: Of what is dropped from.
        dropout: Share dropped, in (0, 1).
        dtype: Of the mask, float32 or float64.

    Returns:
        1 where kept and 0 where dropped, and the factor that makes up for what is dropped: 1 over
        the share that is kept on average.
    """
    count = math.prod(shape)
    dropped = min(round(dropout * _STEPS), _STEPS - 1)
    seed = int(torch.randint(torch.iinfo(torch.int64).max, ()))
    bits = np.random.SFC64(seed).random_raw(-(-count // 4)).view(np.int16)
    drawn = torch.from_numpy(bits)[:count].to(dtype)
    return drawn.ge_(dropped - _STEPS // 2).view(shape), _STEPS / (_STEPS - dropped)
