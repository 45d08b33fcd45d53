"""The partition that a data set or a store puts a clip into, as a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grjca.errors import GrjcaError
from grjca.labels.matching import shown
from grjca.labels.records import PARTITIONS, Labels
from grjca.labels.splits import Split, announced, make_split

_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "devel": "val",
    "development": "val",
    "test": "test",
}


def partition_of(
    clip: str, labels: Labels | None = None, recorded: str | None = None
) -> str | None:
    """The partition of a clip.

    The annotations' own partition counts first, then what the store records.

    Args:
        clip: The clip's identity.
        labels: Annotations matched to identities, if there are any.
        recorded: What the store records of the clip, from a manifest: ``train``, ``val``,
            ``test``, or another usual word for one of them.

    Returns:
        ``train``, ``val`` or ``test``; None when nothing tells.

    Raises:
        GrjcaError: The store's word is none of these.
    """
    annotated = labels.clips.get(clip) if labels else None
    if annotated is not None and annotated.partition is not None:
        return annotated.partition
    if recorded is None:
        return None
    known = _WORDS.get(recorded.strip().lower())
    if known is None:
        raise GrjcaError("split", clip, f"the store's partition is '{recorded}'",
                         f"Known: {', '.join(PARTITIONS)}.")  # fmt: skip
    return known


def by_partition(
    clips: Sequence[str],
    partitions: Mapping[str, str | None],
    subjects: Mapping[str, str | None],
) -> Split:
    """The split that partitions make: training, validation and test clips as they say.

    Clips without a partition take no part, which is warned of and noted, as is a subject in two
    partitions.

    Args:
        clips: Identities of all labelled clips.
        partitions: Partition of each; None where not known.
        subjects: Subject of each; None where not known.

    Raises:
        UsageError: No clip to train on, or none to validate on.
    """
    sides = {side: [clip for clip in clips if partitions.get(clip) == side] for side in PARTITIONS}
    left_out = sorted(clip for clip in set(clips) if partitions.get(clip) is None)
    notes = (
        f"{len(left_out)} of {len(set(clips))} clips have no partition and take no part "
        f"({shown(left_out)})",
    )
    return announced(
        make_split(sides["train"], sides["val"], subjects, sides["test"], notes if left_out else ())
    )
