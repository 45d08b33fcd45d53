"""How far annotations lag behind what they are about, chosen on training clips only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError, UsageError
from grjca.labels.folds import folds
from grjca.labels.splits import Split, groups_of

DELAYS = tuple(step / 2 for step in range(13))
"""Seconds that are tried unless others are asked for.

Annotators of emotion were found to lag by 2 to 6 s (Mariooryad and Busso 2015, "Correcting
time-continuous emotional labels by modeling the reaction lag of evaluators",
doi:10.1109/TAFFC.2014.2334294).
"""

Score = Callable[[float, Split], float]
"""How well labels can be told at a delay: trained on the split's ``train``, scored on ``val``."""


@dataclass(frozen=True)
class DelaySweep:
    """What was found at each delay.

    Attributes:
        delays: (D,) seconds, increasing.
        scores: (F, D) float64, a row per fold; higher is better, NaN where there is no score.
    """

    delays: tuple[float, ...]
    scores: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.scores.ndim != 2 or self.scores.shape[1] != len(self.delays):
            raise ValueError(f"scores of shape {self.scores.shape} for {len(self.delays)} delays")

    @property
    def mean(self) -> NDArray[np.float64]:
        """(D,) the score at each delay, over the folds that have one at every delay.

        Raises:
            GrjcaError: No fold has.
        """
        mean: NDArray[np.float64] = self._whole().mean(axis=0)
        return mean

    @property
    def best(self) -> float:
        """The delay of the best score; of equal ones the nearest to none.

        Raises:
            GrjcaError: No fold has a score at every delay.
        """
        return self.delays[self._best()]

    @property
    def notes(self) -> tuple[str, ...]:
        """What speaks against relying on the best delay; empty where nothing does.

        Raises:
            GrjcaError: No fold has a score at every delay.
        """
        notes = []
        if len(self.delays) > 1 and self._best() in (0, len(self.delays) - 1) and self.best:
            notes.append(
                f"the best delay, {self.best:g} s, is the last one tried: try further ones"
            )
        if self.best and 0 in self.delays:
            whole = self._whole()
            gain = whole[:, self._best()] - whole[:, self.delays.index(0)]
            error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.inf
            if gain.mean() <= error:
                notes.append(
                    f"a delay of {self.best:g} s scores {gain.mean():.3f} better than none, with a "
                    f"standard error over {len(gain)} folds of {error:.3f}: it may be chance"
                )
        return tuple(notes)

    def _best(self) -> int:
        mean = self.mean
        return min(np.flatnonzero(mean == mean.max()).tolist(), key=lambda i: abs(self.delays[i]))

    def _whole(self) -> NDArray[np.float64]:
        whole = self.scores[~np.isnan(self.scores).any(axis=1)]
        if not len(whole):
            raise GrjcaError(
                "labels", "delay sweep",
                f"none of {len(self.scores)} folds has a score at every delay "
                f"from {self.delays[0]:g} to {self.delays[-1]:g} s",
                "Labels must vary within clips, and clips be longer than the longest delay.",
            )  # fmt: skip
        return whole


def training_folds(
    split: Split, subjects: Mapping[str, str | None], count: int = 5, seed: int = 3407
) -> tuple[Split, ...]:
    """Folds of a split's training clips, so that a choice made on them has seen no other clip.

    Args:
        split: The split of a training.
        subjects: Subject of each clip; None where not known.
        count: Number of folds; as many as there are subjects, if they are fewer.
        seed: Decides the folds.

    Raises:
        UsageError: The training clips are of one subject.
    """
    groups = len(groups_of(split.train, subjects))
    return folds(split.train, subjects, min(count, max(groups, 2)), seed=seed)


def sweep_delay(delays: Sequence[float], splits: Sequence[Split], score: Score) -> DelaySweep:
    """Score every delay on every split.

    Args:
        delays: Seconds to try.
        splits: For example :func:`training_folds`.
        score: Higher is better; NaN where there is none.

    Raises:
        UsageError: No delay, or one that is not a finite number.
    """
    tried = checked_delays(delays)
    scores = [[score(delay, split) for delay in tried] for split in splits]
    return DelaySweep(tried, np.array(scores, dtype=np.float64).reshape(len(splits), len(tried)))


def checked_delays(delays: Sequence[float]) -> tuple[float, ...]:
    """Delays in increasing order, each once.

    Raises:
        UsageError: No delay, or one that is not a finite number.
    """
    if not len(delays) or not np.isfinite(delays).all():
        raise UsageError("labels", f"delays {list(delays)}", "not numbers of seconds",
                         "For example 0, 0.5, 1.")  # fmt: skip
    return tuple(sorted({float(delay) for delay in delays}))
