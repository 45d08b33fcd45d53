"""What is in a store, remembered in one file, so that planning need not open every clip.

The index is only a memory: an entry counts while the clip's file still has the size and time of
change it had when the entry was made; otherwise the clip's file is opened and the entry made
anew. Deleting the index costs time and nothing else.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from grjca.cache.keys import SourceId
from grjca.cache.layout import HOUSE, clip_path
from grjca.cache.store import FeatureStore
from grjca.files import written_in_one_step

NAME = "index.jsonl"


@dataclass(frozen=True)
class IndexEntry:
    """One clip: its file's size and time of change, its source, its groups' digests, its rows."""

    size: int
    mtime_ns: int
    source: SourceId
    digests: dict[str, str]
    rows: int


class StoreIndex:
    """Looks clips up, in memory where that is still true, in their files otherwise.

    Args:
        store: The store; its index file is read once, if there is one.
    """

    def __init__(self, store: FeatureStore) -> None:
        self._store = store
        self._path = store.root / HOUSE / NAME
        self._entries = _load(self._path)

    def lookup(self, clip: str) -> IndexEntry | None:
        """What the store holds of a clip, None when it holds nothing.

        Raises:
            GrjcaError: The clip's file is damaged or of a newer schema.
        """
        try:
            stat = clip_path(self._store.root, clip).stat()
        except FileNotFoundError:
            self._entries.pop(clip, None)
            return None
        known = self._entries.get(clip)
        if known and (known.size, known.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
            return known
        with self._store.open(clip) as file:
            rows = int(file.attrs["rows"])
        entry = IndexEntry(
            stat.st_size,
            stat.st_mtime_ns,
            self._store.source(clip),
            self._store.digests(clip),
            rows,
        )
        self._entries[clip] = entry
        return entry

    def confirm_source(self, clip: str, source: SourceId) -> None:
        """Remember a source that was touched but whose content proved to be the same."""
        entry = self._entries[clip]
        self._entries[clip] = IndexEntry(
            entry.size, entry.mtime_ns, source, entry.digests, entry.rows
        )

    def save(self) -> None:
        """Write the index in one step; the last of several runs wins, and no harm is done."""
        with written_in_one_step(self._path) as temporary, temporary.open("w") as stream:
            for clip, entry in self._entries.items():
                stream.write(json.dumps({"clip": clip, **asdict(entry)}) + "\n")


def _load(path: Path) -> dict[str, IndexEntry]:
    entries: dict[str, IndexEntry] = {}
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        return entries
    for line in lines:
        try:
            values = json.loads(line)
            clip, source = values.pop("clip"), SourceId(**values.pop("source"))
            entries[clip] = IndexEntry(source=source, **values)
        except (ValueError, TypeError, KeyError, AttributeError):
            # An index of another release or a torn line: what it said is found in the files.
            continue
    return entries
