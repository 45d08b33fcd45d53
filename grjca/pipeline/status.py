"""What of a store is done, failed, missing or in hand, from its files alone."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from grjca.cache.claims import sightings
from grjca.cache.index import StoreIndex
from grjca.cache.layout import person_clip
from grjca.cache.owners import STALE, Sighting
from grjca.cache.store import FeatureStore
from grjca.errors import GrjcaError
from grjca.pipeline.merging import read_reports, told_by


@dataclass(frozen=True)
class Failure:
    """A clip that could not be extracted, or whose file is damaged, and why in one line."""

    clip: str
    message: str


@dataclass(frozen=True)
class InHand:
    """A clip that a run has claimed.

    Attributes:
        clip: The clip.
        owner: Who: ``process 4711 on node7``.
        silent: Seconds since the last sign of life; a living run gives one every few seconds.
        alive: Whether the run still works on it; otherwise the next run takes it over.
    """

    clip: str
    owner: str
    silent: float
    alive: bool


@dataclass(frozen=True)
class Status:
    """What of a store is done.

    Attributes:
        clips: Files of clips in the store; a person each, where every person has a file.
        rows: Rows in all of them.
        hours: Hours in all of them; None where it was not asked for.
        lacking: By group, for example ``visual/fer``, the clips in the store that lack it.
        failed: Clips that the latest report about them says failed, and damaged files.
        missing: Clips that were asked for and are neither in the store, nor failed, nor in hand;
            None where it was not said what there should be.
        in_hand: Clips that a run has claimed.
        parts: How many parts the latest run divided the clips into; None where it did not.
        unfinished: Those that have not ended.
        interrupted: The latest run was stopped before its end.
    """

    clips: int
    rows: int
    hours: float | None
    lacking: Mapping[str, Sequence[str]]
    failed: Sequence[Failure]
    missing: Sequence[str] | None
    in_hand: Sequence[InHand]
    parts: int | None = None
    unfinished: Sequence[int] = field(default=())
    interrupted: bool = False

    @property
    def complete(self) -> bool:
        """Whether nothing failed, and all that is known to be wanted is there."""
        return not (self.failed or self.missing or self.in_hand or self.interrupted)


def status_of(
    root: str | Path, wanted: Collection[str] | None = None, *, hours: bool = False
) -> Status:
    """What of a store is done; the store may be written meanwhile.

    Args:
        root: The store's folder.
        wanted: The clips that should be there; None where that is not known. Failures of other
            clips then do not count.
        hours: Add up the clips' lengths, for which every file is opened.

    Raises:
        GrjcaError: No such store, or a damaged report.
    """
    store = FeatureStore(root)
    told = told_by(read_reports(store.root), store.root)
    failed = {
        name: str((clip.get("error") or {}).get("message", "failed"))
        for name, clip in told.clips.items()
        if clip["status"] == "failed" and (wanted is None or name in wanted)
    }
    index = StoreIndex(store)
    groups: dict[str, set[str]] = {}
    rows, seconds = 0, 0.0
    known: set[str] = set()
    if store.packed is not None:
        failed |= {error.source: str(error) for error in store.packed.errors()}
    for name in store.clips() if store.packed is None else store.packed.readable():
        try:
            own = _held(store, index, name)
            seconds += _seconds(store, name) if hours and own else 0.0
        except GrjcaError as error:
            failed[name] = str(error)
            continue
        if own is None:
            # Removed since it was listed.
            continue
        known.add(name)
        rows += own[0]
        for group in own[1]:
            groups.setdefault(group, set()).add(name)
    # Only a memory, that spares the next one the opening of files; a store may be read-only.
    with contextlib.suppress(GrjcaError):
        index.save()
    in_hand = _in_hand(store.root)
    missing = None
    if wanted is not None:
        spoken_for = {*known, *failed, *(claim.clip for claim in in_hand)}
        missing = sorted(
            name
            for name in wanted
            if name not in spoken_for and person_clip(name, 1) not in spoken_for
        )
    return Status(
        clips=len(known),
        rows=rows,
        hours=seconds / 3600 if hours else None,
        lacking={group: sorted(known - having) for group, having in sorted(groups.items())},
        failed=[Failure(name, message) for name, message in sorted(failed.items())],
        missing=missing,
        in_hand=in_hand,
        parts=told.of,
        unfinished=told.unfinished,
        interrupted=told.interrupted,
    )


def _held(store: FeatureStore, index: StoreIndex, clip: str) -> tuple[int, Collection[str]] | None:
    """Rows and groups of a clip; None if it is gone."""
    if store.packed is None:
        entry = index.lookup(clip)
        return None if entry is None else (entry.rows, entry.digests)
    with store.open(clip) as file:
        rows = int(file.attrs["rows"])
    return rows, store.digests(clip)


def _seconds(store: FeatureStore, clip: str) -> float:
    """Length of a clip: its rows at their average rate."""
    with store.open(clip) as file:
        rows, rate = int(file.attrs["rows"]), float(file.attrs["fps"])
    return 0.0 if math.isnan(rate) else rows / rate


def _in_hand(root: Path) -> list[InHand]:
    now = time.time()
    found = [
        InHand(
            seen.owner.clip if seen.owner else "(unknown)",
            str(seen.owner) if seen.owner else "(unknown)",
            max(0.0, now - seen.touched),
            not _stale(seen, now),
        )
        for seen in sightings(root)
        if seen.path.suffix == ".json"
    ]
    return sorted(found, key=lambda claim: claim.clip)


def _stale(seen: Sighting, now: float) -> bool:
    try:
        return seen.stale()
    except OSError:
        # The disk is too full to ask it for its own time.
        return now - seen.touched > STALE
