"""Splits of whole clips into training and validation, grouped by subject."""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from grjca.errors import GrjcaError, UsageError
from grjca.labels.matching import find_clips, shown, without_extension
from grjca.labels.subjects import video_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Whole clips on either side.

    Attributes:
        train: Identities of the training clips, sorted.
        val: Identities of the validation clips, sorted.
        grouped: Every clip's subject is known and none stands on both sides.
        notes: What a reader of the results should know about the split.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    grouped: bool
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        both = set(self.train) & set(self.val)
        if both:
            raise ValueError(f"clips on both sides: {shown(sorted(both))}")
        for side, clips in (("training", self.train), ("validation", self.val)):
            if not clips:
                raise UsageError("split", side, "no clip on this side",
                                 "Choose another --val, or label more clips.")  # fmt: skip


def split(
    clips: Sequence[str],
    subjects: Mapping[str, str | None],
    val: float | Sequence[str],
    seed: int = 3407,
) -> Split:
    """Split clips into training and validation.

    A share is reached with whole groups, a group being all clips of one subject: groups are
    taken in random order, each only if it brings the number of validation clips nearer to the
    share (at least one group is taken). A clip whose subject is not known is a group of its
    own. Clips named one by one are taken as they are; a subject that then stands on both sides
    is warned of and noted.

    Args:
        clips: Identities of all labelled clips.
        subjects: Subject of each clip; None where not known.
        val: Share of the clips for validation, in (0, 1), or the names of the validation clips.
        seed: Decides the order of the groups.

    Raises:
        UsageError: The share is outside (0, 1), or a side would be empty.
        GrjcaError: A named clip is not there, or the name means several.
    """
    if isinstance(val, float | int):
        chosen = _draw(clips, subjects, float(val), seed)
    else:
        chosen = set(find_clips(list(dict.fromkeys(val)), clips, "split").values())
    train = tuple(sorted(set(clips) - chosen))
    notes = _notes(train, sorted(chosen), subjects)
    for note in notes:
        logger.warning("split: %s", note)
    return Split(train, tuple(sorted(chosen)), grouped=not notes, notes=notes)


def _draw(
    clips: Sequence[str], subjects: Mapping[str, str | None], share: float, seed: int
) -> set[str]:
    if not 0 < share < 1:
        raise UsageError("split", f"validation share {share:g}", "not between 0 and 1",
                         "For example 0.2; or name the clips.")  # fmt: skip
    groups: dict[str, list[str]] = {}
    for clip in sorted(set(clips)):
        groups.setdefault(_group(clip, subjects), []).append(clip)
    if len(groups) < 2:
        known = f"all {len(clips)} clips belong to one subject" if clips else "there are no clips"
        raise GrjcaError("split", f"validation share {share:g}", f"{known}: a side would be empty",
                         "Name the validation clips to split within a subject.")  # fmt: skip
    order = sorted(groups)
    random.Random(seed).shuffle(order)  # noqa: S311 - a draw of clips, not a secret
    target = share * len(set(clips))
    chosen: set[str] = set()
    for group in order:
        if abs(len(chosen) + len(groups[group]) - target) < abs(len(chosen) - target):
            chosen.update(groups[group])
    smallest = min((groups[group] for group in order), key=len)
    return chosen or set(smallest)


def _group(clip: str, subjects: Mapping[str, str | None]) -> str:
    # Without a subject the video's own name: then video5 stays with video5_left.
    return subjects.get(clip) or video_of(without_extension(clip))


def _notes(
    train: Sequence[str], val: Sequence[str], subjects: Mapping[str, str | None]
) -> tuple[str, ...]:
    notes = []
    unknown = [clip for clip in (*train, *val) if not subjects.get(clip)]
    if unknown:
        notes.append(
            f"the subject of {len(unknown)} of {len(train) + len(val)} clips is not known "
            f"({shown(unknown)}): each counts as a subject of its own"
        )
    both = {_group(c, subjects) for c in train} & {_group(c, subjects) for c in val}
    if both:
        notes.append(
            f"on both sides of the split: {shown(sorted(both))}; "
            "validation then tells little about other people"
        )
    return tuple(notes)
