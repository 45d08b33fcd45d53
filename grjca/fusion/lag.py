"""How far the annotations of a set lag behind, found on its training clips alone."""

from __future__ import annotations

import numpy as np

from grjca.cache.store import FeatureStore
from grjca.fusion.data_config import DataConfig
from grjca.fusion.recipe import choose_embedders
from grjca.fusion.sides import subjects_of
from grjca.labels.delay import DELAYS, DelaySweep, training_folds
from grjca.labels.records import Labels
from grjca.labels.ridge_delay import Observed, sweep_by_ridge
from grjca.labels.splits import Split


def find_label_delay(
    store: FeatureStore, labels: Labels, split: Split, config: DataConfig
) -> DelaySweep:
    """Sweep the delay by ridge regression on folds of the training clips.

    Rows that lack a modality which the set has are left out of the sweep.

    Args:
        store: The features.
        labels: Annotations matched to the store's clips.
        split: Only its training side is looked at.
        config: Which embedders, and what to do about labels that do not match.

    Raises:
        UsageError: Labels of whole clips, or a choice between several embedders.
        GrjcaError: Labels that do not match a clip's frames, or nothing to tell a delay by.
    """
    visual, audio = choose_embedders(store, split.train, config.visual, config.audio)

    def observe(clip: str) -> Observed:
        have = store.embedders(clip)
        read = store.read(
            clip,
            visual if visual in have["visual"] else None,
            audio if audio in have["audio"] else None,
        )
        parts = [part for part in (read.visual, read.audio) if part is not None]
        return Observed(np.concatenate(parts, axis=1), read.time, read.index)

    inner = training_folds(split, subjects_of(store, labels))
    return sweep_by_ridge(DELAYS, inner, labels, observe, align=config.align)
