"""How kernels are launched: sizes of tiles, the precision of products, and the device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

PROGRAMS = 128
"""Fewer programs than this leave multiprocessors of a large GPU idle."""

TERM_BYTES = 64
"""Bytes of the terms that a product adds at a time: with twice as many, gradients in float32 spill
registers at compute capability 8.0."""

ROW_ELEMENTS = 2048
"""Elements of a tile of rows: with twice as many, the gate's gradient spills registers."""


def power_of_two(n: int) -> int:
    """The smallest power of two that is not below n."""
    return 1 << (n - 1).bit_length()


def tiles(rows: int, columns: int, others: int, dtype: torch.dtype) -> tuple[int, int, int, int]:
    """How a product is cut.

    Args:
        rows: Of one result.
        columns: Of one result.
        others: Results side by side.
        dtype: Of the factors.

    Returns:
        Rows and columns of a tile, the terms that are added at a time, and tiles per result.
    """
    for side in (64, 32):
        count = -(-rows // side) * -(-columns // side)
        if count * others >= PROGRAMS:
            break
    return side, side, TERM_BYTES // dtype.itemsize, count


def row_tiles(rows: int, width: int) -> tuple[int, int, tuple[int, int]]:
    """Rows and columns of a tile for passes over rows, and the tiles along each."""
    columns = min(max(power_of_two(width), 4), 256)
    height = ROW_ELEMENTS // columns
    return height, columns, (-(-rows // height), -(-width // columns))


def product_precision(dtype: torch.dtype) -> str:
    """What Triton is told about products of float32.

    Where PyTorch may use TF32 so do the kernels; where it may not, three products in TF32 make up
    for the digits that one loses.
    """
    if dtype != torch.float32:
        return "ieee"
    return "tf32x3" if torch.get_float32_matmul_precision() == "highest" else "tf32"


@contextlib.contextmanager
def launching(device: torch.device) -> Iterator[None]:
    """On this device, and each operation in the precision of its arguments.

    Triton launches on the current device, wherever the arguments are.
    """
    current = torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext()
    with current, torch.autocast(device.type, enabled=False):
        yield
