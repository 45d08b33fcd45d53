"""Where forward and backward passes written by hand run, and the dropout they draw."""

from __future__ import annotations

import math

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

    16 random bits an element, four elements from one draw of PyTorch's default generator: a draw
    for each, as ``nn.Dropout`` makes on a CPU, takes a seventh of a training step. The share is
    therefore taken in steps of 1 / 65536.

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
    bits = torch.empty(-(-count // 4), dtype=torch.int64)
    bits.random_(torch.iinfo(torch.int64).min, None)
    drawn = bits.view(torch.int16)[:count].to(dtype)
    return drawn.ge_(dropped - _STEPS // 2).view(shape), _STEPS / (_STEPS - dropped)
