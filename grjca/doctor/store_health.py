"""A light look at a store: what is in it and what was left behind; no clip is read whole."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from grjca.cache.layout import HOUSE
from grjca.cache.leftovers import strays
from grjca.cache.store import FeatureStore
from grjca.doctor.findings import Finding
from grjca.errors import GrjcaError

SECTION = "store"

_OPENED = 3
_REMEDIES = {
    "temporary": "Remove them with: grjca gc.",
    "claim": "The next run takes those clips over; or remove them with: grjca gc.",
    "empty": "Remove them with: grjca gc.",
    "foreign": "Keep other files elsewhere.",
}
_WORDS = {
    "temporary": "left-over files", "claim": "stale claims", "empty": "empty folders",
    "foreign": "foreign files",
}  # fmt: skip


def health(root: Path) -> Iterator[Finding]:
    """How many clips, whether the first of them open, and what lies about."""
    try:
        store = FeatureStore(root)
        clips = store.clips()
        yield Finding(SECTION, "clips", "ok", f"{len(clips)} in {root}")
        for clip in itertools.islice(clips, _OPENED):
            store.summary(clip)
        if clips:
            opened = f"the first {min(len(clips), _OPENED)} open"
            yield Finding(SECTION, "content", "ok", f"{opened}; all are checked by: grjca verify")
        yield from _remains(root)
    except GrjcaError as error:
        remedy = f"See all that is damaged with: grjca verify. {error.remedy}"
        yield Finding(SECTION, "content", "problem", str(error), remedy if error.remedy else "")


def _remains(root: Path) -> Iterator[Finding]:
    found = Counter(stray.kind for stray in strays(root))
    for kind, word in _WORDS.items():
        count = found[kind]  # type: ignore[index]
        if count:
            yield Finding(SECTION, word, "problem", str(count), _REMEDIES[kind])
        else:
            yield Finding(SECTION, word, "ok", "none")
    reports = root / HOUSE / "last-run.json"
    if reports.is_file():
        yield Finding(SECTION, "last run", "ok", f"its report is {reports}")
