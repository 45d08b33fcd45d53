"""The stress sweep: what is left of the CCC when features are missing, noisy, late or patchy."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from grjca.cache.records import ClipFeatures
from grjca.evaluation.perturbations import with_late_sound, with_noise, without, without_faces
from grjca.evaluation.sums import RESAMPLES, Estimate, interval, metrics, resampled
from grjca.fusion.data import MODALITIES
from grjca.fusion.moments import Moments

Kind = Literal["intact", "no sound", "no picture", "picture noise", "sound noise", "late sound",
               "faces missing"]  # fmt: skip

Deviations = dict[str, NDArray[np.float64]]
"""(D,) standard deviation of the features by modality; a modality nobody has is absent."""


@dataclass(frozen=True)
class Condition:
    """One way of spoiling the features.

    Attributes:
        kind: What is done.
        level: How much of it: noise in standard deviations of the features, lateness in seconds,
            faces as a share of the clip; 0 where there is no how much.
    """

    kind: Kind
    level: float = 0.0


@dataclass(frozen=True)
class StressConfig:
    """What the sweep goes through.

    Attributes:
        noise: Levels for each modality, in standard deviations of the features.
        lag: Seconds by which the sound comes late, and early.
        faces: Shares of each clip without a face.
        burst: Seconds that a face is missing at once.
        seed: Decides noise and bursts.

    Raises:
        ValueError: A value is out of its range; the message names it.
    """

    noise: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0)
    lag: tuple[float, ...] = (0.1, 0.2, 0.5, 1.0, 2.0)
    faces: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75)
    burst: float = 1.0
    seed: int = 3407

    def __post_init__(self) -> None:
        for name in ("noise", "lag"):
            if not all(0 < level < math.inf for level in getattr(self, name)):
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")
        if not all(0 < share <= 1 for share in self.faces):
            raise ValueError(f"faces must be shares in (0, 1], got {self.faces}")
        if not 0 < self.burst < math.inf:
            raise ValueError(f"burst must be positive and finite, got {self.burst}")

    def conditions(self) -> list[Condition]:
        """All conditions, the features as they are first."""
        lags = [-seconds for seconds in reversed(self.lag)] + list(self.lag)
        return [
            Condition("intact"),
            Condition("no sound"),
            Condition("no picture"),
            *(Condition("picture noise", level) for level in self.noise),
            *(Condition("sound noise", level) for level in self.noise),
            *(Condition("late sound", seconds) for seconds in lags),
            *(Condition("faces missing", share) for share in self.faces),
        ]


@dataclass(frozen=True)
class StressRow:
    """What a condition leaves.

    Attributes:
        condition: What was done.
        ccc: By dimension, over all frames at once, with its interval over clips.
        change: CCC less that of the intact features, by dimension; its interval is taken clip by
            clip, so it is much narrower than that of either.
    """

    condition: Condition
    ccc: dict[str, Estimate]
    change: dict[str, Estimate]


def perturbation(
    condition: Condition, config: StressConfig, deviations: Deviations
) -> Callable[[ClipFeatures], ClipFeatures]:
    """The function that does to a clip what a condition says.

    What it draws depends on the seed and on the clip's name alone, so that a clip is spoiled in
    the same places whichever clips are beside it and whatever the level.
    """

    def change(features: ClipFeatures) -> ClipFeatures:
        rng = np.random.default_rng([config.seed, zlib.crc32(features.clip.encode())])
        match condition.kind:
            case "intact":
                return features
            case "no sound":
                return without(features, "audio")
            case "no picture":
                return without(features, "visual")
            case "picture noise":
                unit = deviations.get("visual", np.zeros(1))
                return with_noise(features, "visual", unit, condition.level, rng)
            case "sound noise":
                unit = deviations.get("audio", np.zeros(1))
                return with_noise(features, "audio", unit, condition.level, rng)
            case "late sound":
                return with_late_sound(features, condition.level)
            case "faces missing":
                return without_faces(features, condition.level, config.burst, rng)

    return change


class FeatureSpread:
    """Collects the standard deviation of clips' features over their valid rows.

    As the model's own standardisation takes it: a dimension that hardly varies has the median
    deviation of the others.
    """

    def __init__(self) -> None:
        self._moments: dict[str, Moments] = {}

    def add(self, features: ClipFeatures) -> None:
        """Take in a clip."""
        for name in MODALITIES:
            values: NDArray[np.float32] | None = getattr(features, name)
            if values is not None:
                moments = self._moments.setdefault(name, Moments(values.shape[1]))
                moments.add(values[getattr(features, f"{name}_valid")])

    def deviations(self) -> Deviations:
        """(D,) by modality."""
        return {name: moments.deviation() for name, moments in self._moments.items()}


def stress_rows(
    conditions: Sequence[Condition],
    sums: NDArray[np.float64],
    names: Sequence[str],
    seed: int,
    resamples: int = RESAMPLES,
) -> list[StressRow]:
    """The table of a sweep.

    Args:
        conditions: Q conditions, the first the intact features.
        sums: (Q, C, K, 6) of every condition and clip, see ``sums.clip_sums``.
        names: K names of the dimensions.
        seed: Decides the resamples.
        resamples: How many.
    """
    values = metrics(sums.sum(axis=1))["ccc"]
    many = sums.shape[1] > 1
    drawn = [resampled(own, seed, resamples)["ccc"] if many else np.full((1, len(names)), np.nan)
             for own in sums]  # fmt: skip
    rows = []
    for q, condition in enumerate(conditions):
        ccc, change = {}, {}
        for k, name in enumerate(names):
            ccc[name] = _estimate(values[q, k], drawn[q][:, k])
            change[name] = _estimate(values[q, k] - values[0, k], drawn[q][:, k] - drawn[0][:, k])
        rows.append(StressRow(condition, ccc, change))
    return rows


def _estimate(value: float, drawn: NDArray[np.float64]) -> Estimate:
    if math.isnan(value):
        return Estimate(math.nan)
    return Estimate(float(value), *interval(drawn))
