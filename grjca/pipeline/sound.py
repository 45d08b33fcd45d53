"""A clip's sound, streamed past the rows of its frames."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from grjca.pipeline.row_times import RowTimes
from grjca.stages.catalog import AudioEmbedder
from grjca.stages.sound_windows import sound_valid
from grjca.stages.types import AUDIO_RATE, AudioSegment

ROWS_AT_ONCE = 256
SILENCE = 10 * AUDIO_RATE


def embed_sound(
    sound: Iterable[AudioSegment], embedder: AudioEmbedder, time: NDArray[np.float64] | RowTimes
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """Embeddings for every row, while only the stretch around the current rows is kept.

    Args:
        sound: Contiguous segments in order, from the beginning; may be empty or end early.
        embedder: What turns the sound around a row into numbers.
        time: (T,) float64 seconds, increasing; or what they are added to as they come, which
            changes nothing but when the work is done.

    Yields:
        Pieces of (features (n, D) float32, valid (n,) bool), in all T rows; rows that are not
        valid hold NaN.
    """
    coming = time if isinstance(time, RowTimes) else RowTimes(time)
    time = coming.beyond(-math.inf)
    if not len(time):
        return
    before, after = embedder.context
    first = math.floor((time[0] - before) * AUDIO_RATE)
    held = AudioSegment(np.zeros(0, np.float32), np.zeros(0, bool), first)
    done = 0
    for piece in itertools.chain(_from(sound, first), _endless_silence()):
        held = _join(held, piece)
        latest = held.stop / AUDIO_RATE - after
        time = coming.beyond(latest)
        ready = int(np.searchsorted(time, latest, side="right"))
        while done < ready:
            rows = time[done : min(ready, done + ROWS_AT_ONCE)]
            around = _cut(held, rows[0] - before, rows[-1] + after)
            features = embedder.embed(around, rows)
            valid = sound_valid(around, rows, embedder.context)
            features[~valid] = np.nan
            yield features, valid
            done += len(rows)
        if done == len(time):
            return
        held = _cut(held, time[done] - before, math.inf)


def _from(sound: Iterable[AudioSegment], first: int) -> Iterator[AudioSegment]:
    """The same sound on a line that begins at ``first``: padded, or cut, at its head."""
    for piece in sound:
        if piece.start > first:
            yield _silence(piece.start - first, first)
            first = piece.start
        if piece.stop > first:
            skip = first - piece.start
            yield AudioSegment(piece.samples[skip:], piece.present[skip:], first)
            first = piece.stop


def _endless_silence() -> Iterator[AudioSegment]:
    # In steps, so that an hour of picture after the sound's end costs no hour of zeros at once.
    while True:
        yield _silence(SILENCE, 0)


def _silence(length: int, start: int) -> AudioSegment:
    return AudioSegment(np.zeros(length, np.float32), np.zeros(length, bool), start)


def _join(held: AudioSegment, piece: AudioSegment) -> AudioSegment:
    return AudioSegment(
        np.concatenate([held.samples, piece.samples]),
        np.concatenate([held.present, piece.present]),
        held.start,
    )


def _cut(held: AudioSegment, begin: float, end: float) -> AudioSegment:
    """From ``begin`` to ``end`` seconds, or as much of it as is held."""
    low = max(math.floor(begin * AUDIO_RATE) - held.start, 0)
    high = len(held) if end == math.inf else math.ceil(end * AUDIO_RATE) - held.start
    return AudioSegment(held.samples[low:high], held.present[low:high], held.start + low)
