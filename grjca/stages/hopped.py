"""An audio embedder asked at a lower rate, and interpolated in time to the rows.

Windows of neighbouring rows overlap almost wholly (0.775 s of sound, 0.04 s apart), and so do
their embeddings. Asked every ``hop`` seconds only, an embedder does a fraction of the work.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from grjca.stages.catalog import AudioEmbedder
from grjca.stages.sound_windows import check_time, sound_valid
from grjca.stages.types import AudioSegment


class Hopped:
    """Embeds at the clip's times ``k * hop``, k any integer, and interpolates linearly between.

    The grid starts at the clip's time 0 and is negative before it, so a row's numbers depend on
    its time and the sound around it, not on how the clip is fed.

    A grid time at which there is no sound to speak of (``sound_valid`` on the embedder's own
    context) takes no part: the row is the other neighbour's embedding, not a mixture with that of
    silence. Where neither neighbour has sound, both count as the embedder gives them; the caller's
    mask tells such rows.

    Name, config and weights are the inner embedder's; ``hop`` belongs to the identity beside them.

    Args:
        embedder: What embeds at the grid's times.
        hop: Seconds from one grid time to the next.

    Raises:
        ValueError: ``hop`` is not positive, or so long that the sound between two grid times
            would enter no row.
    """

    Config: ClassVar[type[Any]] = object
    """Not built from a config; it wraps an embedder that is."""

    summary: ClassVar[str] = "an audio embedder asked at a lower rate and interpolated"

    def __init__(self, embedder: AudioEmbedder, hop: float) -> None:
        longest = sum(embedder.context)
        if not 0 < hop <= longest:
            raise ValueError(
                f"audio hop {hop:g} s: wanted more than 0 and at most {longest:.3f}, the seconds "
                f"of sound that {embedder.name} looks at"
            )
        self._embedder = embedder
        self._hop = float(hop)

    @property
    def name(self) -> str:
        """The inner embedder's name."""
        return self._embedder.name

    @property
    def config(self) -> Any:
        """The inner embedder's config."""
        return self._embedder.config

    @property
    def weights(self) -> str | None:
        """The inner embedder's weights."""
        return self._embedder.weights

    @property
    def hop(self) -> float:
        """Seconds from one grid time to the next."""
        return self._hop

    @property
    def dim(self) -> int:
        """Numbers per row."""
        return self._embedder.dim

    @property
    def context(self) -> tuple[float, float]:
        """Seconds of sound needed before and after a row's time: the embedder's and a hop."""
        before, after = self._embedder.context
        return before + self._hop, after + self._hop

    def embed(self, sound: AudioSegment, time: NDArray[np.float64]) -> NDArray[np.float32]:
        """One row per time, between the embeddings of the two grid times around it.

        Args:
            sound: The sound; zeros where the stream has none.
            time: (M,) float64 seconds.

        Returns:
            (M, dim) float32.

        Raises:
            ValueError: ``sound`` does not cover a row's context, or a time is not finite.
        """
        check_time(time)
        if not len(time):
            return np.empty((0, self.dim), dtype=np.float32)
        place = time / self._hop
        below = np.floor(place)
        share = place - below
        grid, inverse = np.unique(np.concatenate([below, below + 1]), return_inverse=True)
        sides = inverse.reshape(2, len(time))
        moments = grid * self._hop
        heard = sound_valid(sound, moments, self._embedder.context)[sides]
        weight = np.stack([1 - share, share])
        weight = np.where(heard[0] != heard[1], heard, weight).astype(np.float32)
        features = self._embedder.embed(sound, moments)
        rows: NDArray[np.float32] = (weight[..., None] * features[sides]).sum(axis=0)
        return rows
