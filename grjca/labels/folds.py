"""Folds for cross-validation, rolled over clips, with all clips of a subject in one fold."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from grjca.errors import UsageError
from grjca.labels.splits import Split, announced, groups_of, make_split


def folds(
    clips: Sequence[str],
    subjects: Mapping[str, str | None],
    count: int,
    *,
    rows: Mapping[str, int] | None = None,
    seed: int = 3407,
) -> tuple[Split, ...]:
    """Splits of which each validates on another fold and trains on the others.

    Every clip is validated on once. Subjects (and videos of which no subject is known) are kept
    whole. They are dealt out from those with most rows to those with fewest, each to the fold
    that has the fewest rows yet: the largest fold exceeds the mean by no more than the rows of
    one subject.

    Args:
        clips: Identities of all labelled clips.
        subjects: Subject of each clip; None where not known.
        count: Number of folds, at least 2; the paper has six.
        rows: Rows of each clip; None to balance the folds by clips.
        seed: Decides which subjects of similar size go where, and the folds' order.

    Returns:
        The splits, ``count`` of them.

    Raises:
        UsageError: Fewer than two folds, or fewer subjects than folds.
    """
    groups = groups_of(clips, subjects)
    if count < 2:
        cause = "one to validate on and one to train on are needed"
        raise UsageError("split", f"{count} folds", cause, "The paper has 6.")
    if len(groups) < count:
        raise UsageError(
            "split", f"{count} folds",
            f"{len(set(clips))} clips of {len(groups)} subjects leave "
            f"{count - len(groups)} folds without a clip",
            f"Ask for at most {len(groups)} folds." if len(groups) > 1 else "Label more clips.",
        )  # fmt: skip
    size = {
        group: sum(1 if rows is None else rows[clip] for clip in members)
        for group, members in groups.items()
    }
    filled = [(0, 0)] * count
    dealt: list[list[str]] = [[] for _ in range(count)]
    for group in _order(size, count, seed):
        # The number of clips decides among equals, so that clips without rows are dealt out too.
        fold = min(range(count), key=filled.__getitem__)
        dealt[fold].extend(groups[group])
        held, members = filled[fold]
        filled[fold] = held + size[group], members + len(groups[group])
    everything = set(clips)
    made = tuple(make_split(everything - set(chosen), chosen, subjects) for chosen in dealt)
    announced(made[0])
    return made


def _order(size: Mapping[str, int], count: int, seed: int) -> list[str]:
    """Groups from large to small, shuffled within stretches of as many as there are folds."""
    draw = random.Random(seed)  # noqa: S311 - a draw of clips, not a secret
    order = sorted(size)
    # Before the sort, so that groups of one size are in random order over all stretches.
    draw.shuffle(order)
    order.sort(key=lambda group: -size[group])
    result = []
    for start in range(0, len(order), count):
        stretch = order[start : start + count]
        draw.shuffle(stretch)
        result.extend(stretch)
    return result
