"""Which clips are trained and which validated on, from what a configuration says."""

from __future__ import annotations

from grjca.cache.store import FeatureStore
from grjca.fusion.data_config import DataConfig
from grjca.labels.folds import folds
from grjca.labels.partitions import by_partition, partition_of
from grjca.labels.records import Labels
from grjca.labels.splits import Split, split
from grjca.labels.subjects import subject_of

SHARE = 0.2
"""Share of the clips that is validated on where nothing says otherwise."""


def choose_split(store: FeatureStore, labels: Labels, config: DataConfig, seed: int) -> Split:
    """Split the labelled clips, whole subjects on either side.

    Folds count first, then the share or the names of validation clips, then partitions that the
    annotations or the store name, if those have a training and a validation side; else a share
    of 0.2. Clips of the partition ``test`` are on neither side.

    Args:
        store: Knows subjects, partitions and rows.
        labels: Annotations matched to the store's clips.
        config: What is asked for.
        seed: Of the draws.

    Raises:
        UsageError: A side or a fold without a clip.
        GrjcaError: A named clip is not there, or a partition has a name that is not known.
    """
    subjects = subjects_of(store, labels)
    parts = {
        clip: partition_of(clip, labels, store.about(clip).get("partition"))
        for clip in labels.clips
    }
    # What is kept for testing is seen neither in training nor in choosing the best epoch.
    clips = sorted(clip for clip in labels.clips if parts[clip] != "test")
    if config.folds is not None and config.fold is not None:
        rows = {clip: len(store.read(clip, None, None)) for clip in clips}
        return folds(clips, subjects, config.folds, rows=rows, seed=seed)[config.fold - 1]
    if config.val is not None:
        return split(clips, subjects, config.val, seed)
    if {"train", "val"} <= set(parts.values()):
        return by_partition(sorted(labels.clips), parts, subjects)
    return split(clips, subjects, SHARE, seed)


def subjects_of(store: FeatureStore, labels: Labels) -> dict[str, str | None]:
    """Who is seen in each labelled clip, as far as annotations, store or names tell."""
    return {
        clip: subject_of(clip, labels, store.about(clip).get("subject"))
        for clip in sorted(labels.clips)
    }
