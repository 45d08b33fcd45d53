"""What is compared: variants, seeds and folds, and who is trained, validated and tested on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from grjca.cache.store import FeatureStore
from grjca.errors import UsageError
from grjca.fusion.config import FUSIONS
from grjca.fusion.data import MODALITIES
from grjca.fusion.data_config import DataConfig
from grjca.fusion.sides import choose_split, subjects_of
from grjca.labels.folds import folds
from grjca.labels.records import Labels
from grjca.labels.splits import Split, make_split

RIDGE = "ridge"
VARIANTS = (*FUSIONS, *MODALITIES, RIDGE)
"""The fusions; one modality alone (``concat`` without the other); linear ridge regression."""

SEED = 3407


@dataclass(frozen=True)
class AblationConfig:
    """What is compared.

    Attributes:
        variants: Of ``VARIANTS``, the order of tables and plots.
        seeds: How many seeds, counted up from ``first_seed``.
        first_seed: The first of them.
        folds: Number of folds, at least 3: each is tested on once, the next one chooses the
            epoch, the others are trained on. None for one split, as ``train`` would choose it.
        reference: The variant that the others' differences are taken to.
        workers: Processes side by side, one thread each.

    Raises:
        ValueError: A value is out of its range; the message begins with its name.
    """

    variants: tuple[str, ...] = FUSIONS
    seeds: int = 5
    first_seed: int = SEED
    folds: int | None = None
    reference: str = "concat"
    workers: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "variants", tuple(self.variants))
        unknown = [name for name in self.variants if name not in VARIANTS]
        if unknown or not self.variants or len(set(self.variants)) < len(self.variants):
            raise ValueError(f"fusions must be some of {', '.join(VARIANTS)}, each once; "
                             f"got {', '.join(self.variants) or 'none'}")  # fmt: skip
        if self.reference not in self.variants:
            raise ValueError(f"reference {self.reference} is not among {', '.join(self.variants)}")
        for name in ("seeds", "workers"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.folds is not None and self.folds < 3:
            raise ValueError(f"folds must be at least 3 (to train on, to choose the epoch, to test "
                             f"on), got {self.folds}")  # fmt: skip


@dataclass(frozen=True, order=True)
class Trial:
    """One training and its test.

    Attributes:
        seed: Of weights, dropout and order.
        fold: The fold that is tested on, from 1; 0 where there are no folds.
        variant: One of ``VARIANTS``.
    """

    seed: int
    fold: int
    variant: str

    @property
    def folder(self) -> str:
        """Where its run lies below the ablation's folder."""
        return f"runs/{self.variant}/seed-{self.seed}/fold-{self.fold}"

    def model(self) -> dict[str, Any]:
        """What the variant says about the model."""
        return {"fusion": "concat" if self.variant in MODALITIES else self.variant}

    def train(self) -> dict[str, Any]:
        """What seed and variant say about the training."""
        alone = {"modalities": (self.variant,)} if self.variant in MODALITIES else {}
        return {"seed": self.seed, **alone}


def trials(config: AblationConfig) -> list[Trial]:
    """All trials; the variants of one seed and fold follow each other.

    An interrupted ablation then has whole sets to compare.
    """
    places = range(1, config.folds + 1) if config.folds else range(1)
    return [
        Trial(seed, fold, variant)
        for seed in range(config.first_seed, config.first_seed + config.seeds)
        for fold in places
        for variant in config.variants
    ]


def splits(
    store: FeatureStore, labels: Labels, data: DataConfig, count: int | None
) -> Mapping[int, Split]:
    """The splits by fold, the same for all seeds and variants.

    Args:
        store: Knows subjects, partitions and rows.
        labels: Annotations matched to the store's clips.
        data: How a single split is chosen.
        count: Number of folds, or None for a single split under 0.

    Raises:
        UsageError: A side or a fold without a clip.
    """
    if count is None:
        return {0: choose_split(store, labels, data, SEED)}
    clips = sorted(labels.clips)
    subjects = subjects_of(store, labels)
    rows = {clip: len(store.read(clip, None, None)) for clip in clips}
    parts = [fold.val for fold in folds(clips, subjects, count, rows=rows, seed=SEED)]
    return {number + 1: _rotated(parts, number, subjects) for number in range(count)}


def _rotated(
    parts: Sequence[tuple[str, ...]], number: int, subjects: Mapping[str, str | None]
) -> Split:
    test, val = parts[number], parts[(number + 1) % len(parts)]
    train = [clip for part in parts if part not in (test, val) for clip in part]
    if not train:
        raise UsageError(
            "split",
            f"fold {number + 1}",
            "no clip left to train on",
            "Ask for more --folds, or label more clips.",
        )
    return make_split(train, val, subjects, test)
