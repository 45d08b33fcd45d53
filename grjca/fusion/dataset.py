"""The labelled clips of a training, read from memory or from the store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from grjca.cache.records import ClipFeatures
from grjca.errors import UsageError
from grjca.fusion.data import (
    MODALITIES,
    ClipSequence,
    FeatureSource,
    Inputs,
    Window,
    take_rows,
)
from grjca.fusion.moments import Moments
from grjca.fusion.recipe import owned
from grjca.fusion.timeline import frame_rate, make_timeline
from grjca.labels.records import Labels
from grjca.labels.rows import Align, labels_for_rows
from grjca.labels.smoothing import moving_mean

BLOCK_ROWS = 4096
"""Rows read at once where a whole clip is gone through."""


@dataclass(frozen=True)
class LabelledClip:
    """A clip with its labels, on its own frames and on the model's rows.

    Attributes:
        sequence: The clip at the model's rate.
        labels: (T, K) float64 on the clip's frames, NaN where not labelled; a label of the whole
            clip stands in every row.
        target: (N, K) float64 on the model's rows: what the loss is taken to.
    """

    sequence: ClipSequence
    labels: NDArray[np.float64]
    target: NDArray[np.float64]


@dataclass(frozen=True)
class ClipSet:
    """The clips of a training and what was found out about them before it.

    Attributes:
        clips: By identity.
        inputs: Dimensions of the features.
        rate: The model's rows per second.
        in_memory: Whether the features are held in memory or read window by window.
        clip_level: Whether each clip has one label for the whole of it.
    """

    clips: Mapping[str, LabelledClip]
    inputs: Inputs
    rate: float
    in_memory: bool
    clip_level: bool


class ClipRows:
    """Reads a clip's rows, from memory once it has been read whole.

    Args:
        source: Where the features are.
        clip: The clip's identity.
        visual: The visual embedder.
        audio: The audio embedder.
    """

    def __init__(
        self, source: FeatureSource, clip: str, visual: str | None, audio: str | None
    ) -> None:
        self._source = source
        self.clip = clip
        self._names = owned(source, clip, visual, audio)
        self._whole: ClipFeatures | None = None

    def keep(self) -> None:
        """Read the whole clip and hold it."""
        self._whole = self._source.read(self.clip, *self._names)

    def time(self) -> NDArray[np.float64]:
        """(T,) the clip's frame times."""
        return self.frames()[0]

    def frames(self) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
        """(T,) the clip's frame times, and the source's frames where it was resampled."""
        bare = self._source.read(self.clip, None, None)
        return bare.time, bare.index

    def valid(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(T,) where a face was seen and where there is sound, read block by block."""
        rows = len(self.time())
        face, sound = np.zeros(rows, dtype=bool), np.zeros(rows, dtype=bool)
        for start in range(0, rows, BLOCK_ROWS):
            block = self(slice(start, start + BLOCK_ROWS))
            face[start : start + BLOCK_ROWS] = block.visual_valid
            sound[start : start + BLOCK_ROWS] = block.audio_valid
        return face, sound

    def __call__(self, rows: slice) -> ClipFeatures:
        """A range of the clip's rows."""
        if self._whole is not None:
            return take_rows(self._whole, rows)
        return self._source.read(self.clip, *self._names, rows)


def load_clips(
    source: FeatureSource,
    labels: Labels,
    train: Sequence[str],
    val: Sequence[str],
    *,
    visual: str | None,
    audio: str | None,
    outputs: Sequence[str],
    modalities: tuple[str, ...],
    rate: float | None,
    memory_limit: int,
    align: Align = "error",
    delay: float = 0.0,
    smoothing: float = 0.0,
) -> ClipSet:
    """Lay labels and time lines over the clips, and hold the features if they fit into memory.

    A modality that no clip has features of is taken as one number per row, always missing.

    Args:
        source: Where the features are.
        labels: Annotations by identity.
        train: Training clips, which decide the rate.
        val: Validation clips.
        visual: The visual embedder.
        audio: The audio embedder.
        outputs: The dimensions to learn.
        modalities: Those not withheld from the model.
        rate: The model's rows per second; None for the median of the training clips, or 1 where
            every clip has one row.
        memory_limit: Bytes that the features may take in memory.
        align: What to do about labels that do not match a clip's frames.
        delay: Seconds by which annotations come after what they are about.
        smoothing: Width in seconds of a moving mean over the training clips' targets; labelled
            frames alone enter it, and stay the only ones that are labelled.

    Raises:
        GrjcaError: Labels do not fit a clip's frames, or features are damaged.
        UsageError: No rate can be told.
    """
    names = [*train, *val]
    readers = {clip: ClipRows(source, clip, visual, audio) for clip in names}
    frames = {clip: reader.frames() for clip, reader in readers.items()}
    times = {clip: time for clip, (time, _) in frames.items()}
    inputs = Inputs(*_dimensions(readers), modalities)
    chosen = rate or _median_rate([times[clip] for clip in train], list(times.values()))
    columns = [labels.names.index(name) for name in outputs]
    width = 4 * (inputs.visual_dim + inputs.audio_dim)
    in_memory = sum(map(len, times.values())) * width <= memory_limit
    clips, learned = {}, set(train)
    for clip, reader in readers.items():
        if in_memory:
            reader.keep()
        time, index = frames[clip]
        timeline = make_timeline(time, chosen)
        rows = labels_for_rows(labels.clips[clip], time, index=index, align=align, delay=delay)
        rows = rows[:, columns]
        target = moving_mean(rows, time, smoothing) if clip in learned else rows
        clips[clip] = LabelledClip(
            ClipSequence(clip, reader, timeline, inputs), rows, timeline.at_model_rows(target)
        )
    return ClipSet(clips, inputs, chosen, in_memory, labels.clip_level)


def _dimensions(readers: Mapping[str, ClipRows]) -> tuple[int, int]:
    found: dict[str, int] = {}
    for reader in readers.values():
        first = reader(slice(0, 1))
        for name in MODALITIES:
            values = getattr(first, name)
            if values is not None:
                found.setdefault(name, values.shape[1])
        if len(found) == len(MODALITIES):
            break
    return found.get("visual", 1), found.get("audio", 1)


def _median_rate(
    times: Sequence[NDArray[np.float64]], everywhere: Sequence[NDArray[np.float64]]
) -> float:
    rates = [frame_rate(time) for time in times if len(time) > 1]
    if not rates and all(len(time) == 1 for time in everywhere):
        # One vector per clip: any rate takes each as it is.
        return 1.0
    if not rates:
        raise UsageError("train", "frame rate", "no training clip has two frames",
                         "Give the rate, or train on longer clips.")  # fmt: skip
    return float(np.median(rates))


def clip_moments(clips: Sequence[LabelledClip]) -> dict[str, Moments]:
    """Mean and deviation of the valid frames of clips, by modality, in one pass over them.

    Raises:
        GrjcaError: A row marked valid holds NaN or infinity, or dimensions differ.
    """
    inputs = clips[0].sequence.inputs
    moments = {"visual": Moments(inputs.visual_dim), "audio": Moments(inputs.audio_dim)}
    for clip in clips:
        for block in _blocks(clip):
            for name, moment in moments.items():
                moment.add(getattr(block, name)[getattr(block, f"{name}_valid")])
    return moments


def check_features(clips: Sequence[LabelledClip]) -> None:
    """Go through clips once, so that damage shows before hours of training and not after.

    Raises:
        GrjcaError: A row marked valid holds NaN or infinity, or dimensions differ.
    """
    for clip in clips:
        for _ in _blocks(clip):
            pass


def _blocks(clip: LabelledClip) -> Iterator[Window]:
    # On the clip's own frames: how the model's rate repeats them should not weigh them.
    sequence = replace(clip.sequence, timeline=replace(clip.sequence.timeline, index=None))
    rows = len(clip.labels)
    for start in range(0, rows, BLOCK_ROWS):
        yield sequence.window(start, min(start + BLOCK_ROWS, rows))
