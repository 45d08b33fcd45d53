"""Which clips are scored, and which of several runs answer for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from grjca.errors import UsageError
from grjca.fusion.checkpoint import Checkpoint
from grjca.labels.matching import shown
from grjca.labels.records import Labels

Partition = Literal["val", "train", "test", "all"]
PARTITIONS: tuple[Partition, ...] = ("val", "train", "test", "all")


@dataclass(frozen=True)
class Panel:
    """The clips of a partition.

    Attributes:
        clips: By clip the numbers of the checkpoints whose mean is its prediction.
        notes: What a reader of the scores should know about the choice.
    """

    clips: Mapping[str, tuple[int, ...]]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Sides:
    train: frozenset[str]
    val: frozenset[str]
    test: frozenset[str]


def choose(checkpoints: Sequence[Checkpoint], labels: Labels, partition: Partition) -> Panel:
    """The labelled clips of a partition.

    ``val`` are the clips that a run validated on, each answered for by the runs that did: of
    seeds on one split that is all of them, of folds the one that did not train on the clip.
    ``train`` likewise. ``test`` are clips that no run has trained or validated on: those kept for
    it when the clips were split, else those that the annotations call test, else all; ``all`` are
    all that are labelled. Every run answers for those.

    Args:
        checkpoints: The runs, at least one.
        labels: Annotations by the store's identities.
        partition: One of ``PARTITIONS``.

    Raises:
        UsageError: No clip is left, or a run does not record its split.
    """
    sides = [_sides(checkpoint, partition) for checkpoint in checkpoints]
    everyone = tuple(range(len(checkpoints)))
    if partition in ("val", "train"):
        return _side(partition, [getattr(side, partition) for side in sides], labels)
    trained = frozenset().union(*(side.train for side in sides))
    seen = trained.union(*(side.val for side in sides))
    if partition == "test":
        kept = frozenset().union(*(side.test for side in sides)) & set(labels.clips)
        named = {clip for clip, own in labels.clips.items() if own.partition == "test"}
        clips = sorted((kept or named or set(labels.clips)) - seen)
        if not clips:
            cause = "every labelled clip was trained or validated on"
            raise UsageError("evaluate", "partition test", cause,
                             "Label other clips, or choose another partition.")  # fmt: skip
        return Panel(dict.fromkeys(clips, everyone), ())
    both = sorted(trained & set(labels.clips))
    notes = (f"{len(both)} of {len(labels.clips)} clips were trained on",) if both else ()
    return Panel(dict.fromkeys(sorted(labels.clips), everyone), notes)


def _side(partition: str, wanted: Sequence[frozenset[str]], labels: Labels) -> Panel:
    clips = {
        clip: tuple(i for i, own in enumerate(wanted) if clip in own)
        for clip in sorted(frozenset().union(*wanted))
    }
    missing = [clip for clip in clips if clip not in labels.clips]
    word = {"val": "validation", "train": "training"}[partition]
    if len(missing) == len(clips):
        raise UsageError(
            "evaluate", f"partition {partition}",
            f"none of the run's {len(clips)} {word} clips is labelled here: {shown(missing)}",
            "Give the store and the labels it was trained with, or say --partition all.",
        )  # fmt: skip
    notes = []
    if missing:
        notes.append(f"{len(missing)} of {len(clips)} {word} clips are not labelled here: "
                     f"{shown(missing)}")  # fmt: skip
    if partition == "val":
        notes.append("each run's best epoch was chosen on these clips")
    else:
        notes.append("these clips were trained on")
    return Panel({clip: runs for clip, runs in clips.items() if clip not in missing}, tuple(notes))


def _sides(checkpoint: Checkpoint, partition: str) -> _Sides:
    split = checkpoint.meta.get("split")
    if split is None and partition != "all":
        raise UsageError("evaluate", f"partition {partition}", "the checkpoint records no split",
                         "Say --partition all.")  # fmt: skip
    split = split or {}
    return _Sides(*(frozenset(split.get(side, ())) for side in ("train", "val", "test")))
