"""Splits of whole clips into training and validation, grouped by subject."""

from __future__ import annotations

import itertools
import logging
import random
from collections.abc import Collection, Mapping, Sequence
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
        grouped: Every clip's subject is known and none stands on two sides.
        notes: What a reader of the results should know about the split.
        test: Identities of clips kept for a test, sorted; neither trained nor validated on.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    grouped: bool
    notes: tuple[str, ...] = ()
    test: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for one, other in itertools.combinations((self.train, self.val, self.test), 2):
            if both := set(one) & set(other):
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
    return announced(make_split(set(clips) - chosen, chosen, subjects))


def make_split(
    train: Collection[str],
    val: Collection[str],
    subjects: Mapping[str, str | None],
    test: Collection[str] = (),
    notes: Sequence[str] = (),
) -> Split:
    """A split of clips chosen elsewhere, with notes on its subjects.

    Args:
        train: Identities of the training clips.
        val: Identities of the validation clips.
        subjects: Subject of each clip; None where not known.
        test: Identities of the test clips.
        notes: What else there is to say about the split.

    Raises:
        UsageError: No clip to train on, or none to validate on.
    """
    about_subjects = _notes((train, val, test), subjects)
    return Split(
        tuple(sorted(train)),
        tuple(sorted(val)),
        grouped=not about_subjects,
        notes=(*notes, *about_subjects),
        test=tuple(sorted(test)),
    )


def announced(made: Split) -> Split:
    """The same split, after a warning of each of its notes."""
    for note in made.notes:
        logger.warning("split: %s", note)
    return made


def groups_of(
    clips: Sequence[str], subjects: Mapping[str, str | None]
) -> dict[str, tuple[str, ...]]:
    """Clips that must stay together, sorted: those of one subject, else of one video.

    ``video5_left.mp4`` stands with ``video5.mp4`` even where no subject is known.
    """
    groups: dict[str, list[str]] = {}
    for clip in sorted(set(clips)):
        groups.setdefault(_group(clip, subjects), []).append(clip)
    return {group: tuple(groups[group]) for group in sorted(groups)}


def _draw(
    clips: Sequence[str], subjects: Mapping[str, str | None], share: float, seed: int
) -> set[str]:
    if not 0 < share < 1:
        raise UsageError("split", f"validation share {share:g}", "not between 0 and 1",
                         "For example 0.2; or name the clips.")  # fmt: skip
    groups = groups_of(clips, subjects)
    if len(groups) < 2:
        many = len(set(clips)) > 1
        known = (
            f"all {len(clips)} clips belong to one subject" if many
            else "there is one clip" if clips
            else "there are no clips"
        )  # fmt: skip
        raise GrjcaError("split", f"validation share {share:g}", f"{known}: a side would be empty",
                         "Name the validation clips to split within a subject." if many else
                         "Label more clips.")  # fmt: skip
    order = list(groups)
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


def _notes(sides: Sequence[Collection[str]], subjects: Mapping[str, str | None]) -> tuple[str, ...]:
    notes = []
    clips = sorted(itertools.chain.from_iterable(sides))
    unknown = [clip for clip in clips if not subjects.get(clip)]
    if unknown:
        notes.append(
            f"the subject of {len(unknown)} of {len(clips)} clips is not known "
            f"({shown(unknown)}): each counts as a subject of its own"
        )
    groups = [{_group(clip, subjects) for clip in side} for side in sides]
    both = {group for one, other in itertools.combinations(groups, 2) for group in one & other}
    if both:
        notes.append(
            f"on both sides of the split: {shown(sorted(both))}; "
            "validation then tells little about other people"
        )
    return tuple(notes)
