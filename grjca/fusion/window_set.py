"""The windows of labelled clips, in padded batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from grjca.fusion.data import Batch, collate, pad
from grjca.fusion.dataset import LabelledClip
from grjca.fusion.prefetch import ahead
from grjca.fusion.windows import windows


@dataclass(frozen=True)
class LabelledBatch:
    """Windows with their labels.

    Attributes:
        inputs: The windows.
        target: (B, T, K) float32, or (B, 1, K) where the labels are those of whole clips.
        mask: Of the same shape, bool: what is labelled.
    """

    inputs: Batch
    target: Tensor
    mask: Tensor

    def to(self, device: torch.device) -> LabelledBatch:
        """The batch on a device."""
        target, mask = (x.to(device, non_blocking=True) for x in (self.target, self.mask))
        return LabelledBatch(self.inputs.to(device), target, mask)

    def pinned(self) -> LabelledBatch:
        """The batch in memory that a GPU copies from by itself."""
        inputs = Batch(*(tensor.pin_memory() for tensor in self.inputs.arguments))
        return LabelledBatch(inputs, self.target.pin_memory(), self.mask.pin_memory())


class WindowSet:
    """The windows of clips that hold at least one labelled frame.

    Args:
        clips: The clips.
        window: Rows per window.
        hop: Rows between windows.
        clip_level: The labels are those of whole clips: one for each window of a clip.
        fixed: Every batch is ``window`` rows long; otherwise as long as its longest window.
    """

    def __init__(
        self,
        clips: Sequence[LabelledClip],
        window: int,
        hop: int,
        *,
        clip_level: bool = False,
        fixed: bool = True,
    ) -> None:
        self._window = window
        self._clip_level = clip_level
        self._fixed = fixed
        self._items = [
            (clip, start, stop)
            for clip in clips
            for start, stop in windows(len(clip.sequence), window, hop)
            if not np.isnan(clip.target[start:stop]).all()
        ]

    def __len__(self) -> int:
        return len(self._items)

    def batch(self, chosen: Sequence[int]) -> LabelledBatch:
        """Read windows by their numbers.

        Raises:
            GrjcaError: A row marked valid holds NaN or infinity.
        """
        items = [self._items[i] for i in chosen]
        read = [clip.sequence.window(start, stop) for clip, start, stop in items]
        length = self._window if self._fixed else max(map(len, read))
        inputs = collate(read, length)
        if self._clip_level:
            target = pad([clip.target[:1] for clip, _, _ in items], 1)
            mask = ~target.isnan()
        else:
            target = pad([clip.target[start:stop] for clip, start, stop in items], length)
            mask = ~target.isnan() & inputs.frames.unsqueeze(-1)
        return LabelledBatch(inputs, torch.nan_to_num(target, nan=0.0).float(), mask)

    def batches(
        self, numbers: Sequence[int], size: int, first: int, device: torch.device
    ) -> Iterator[LabelledBatch]:
        """Batches of windows on a device; the next is read while the caller works on one.

        Args:
            numbers: The windows' order.
            size: Windows per batch.
            first: The batch to begin with, from 0.
            device: Where the batches are wanted.

        Raises:
            GrjcaError: As :meth:`batch`.
        """

        def read(start: int) -> LabelledBatch:
            batch = self.batch(numbers[start : start + size])
            if device.type != "cuda":
                return batch
            # A thread pins for its own current device, and would wake the first GPU for another.
            with torch.cuda.device(device):
                return batch.pinned()

        starts = range(first * size, len(numbers), size)
        for batch in ahead(partial(read, start) for start in starts):
            yield batch.to(device)


def pool(prediction: Tensor, inputs: Batch) -> Tensor:
    """What a model says about whole windows: the mean over the rows that show or sound something.

    Args:
        prediction: (B, T, K) float.
        inputs: What was predicted from.

    Returns:
        (B, 1, K). A window without any valid row gets the mean over all its frames.
    """
    here = inputs.frames & (inputs.visual_valid | inputs.audio_valid)
    here = torch.where(here.any(1, keepdim=True), here, inputs.frames).unsqueeze(-1)
    total = prediction.masked_fill(~here, 0.0).sum(1, keepdim=True)
    return total / here.sum(1, keepdim=True).clamp(min=1)
