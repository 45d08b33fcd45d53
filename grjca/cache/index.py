"""What is in a store, remembered in one file, so that planning need not open every clip.

The index is only a memory: an entry counts while the clip's file still has the size and time of
change it had when the entry was made; otherwise the clip's file is opened and the entry made
anew. Deleting the index costs time and nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from grjca.cache.keys import SourceId
from grjca.cache.layout import HOUSE, clip_path
from grjca.cache.store import FeatureStore
from grjca.errors import GrjcaError
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

    Attributes:
        store: The same.
    """

    def __init__(self, store: FeatureStore) -> None:
        self.store = store
        self._touched: set[str] = set()
        self._path = store.root / HOUSE / NAME
        self._entries = _load(self._path)

    def lookup(self, clip: str) -> IndexEntry | None:
        """What the store holds of a clip, None when it holds nothing.

        Raises:
            GrjcaError: The clip's file is damaged or of a newer schema.
        """
        self._touched.add(clip)
        try:
            stat = clip_path(self.store.root, clip).stat()
        except FileNotFoundError:
            self._entries.pop(clip, None)
            return None
        known = self._entries.get(clip)
        if known and (known.size, known.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
            return known
        try:
            with self.store.open(clip) as file:
                rows = int(file.attrs["rows"])
            source, digests = self.store.source(clip), self.store.digests(clip)
        except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
            raise GrjcaError(
                "store", clip, f"damaged file ({error})", "Delete it and run extract again."
            ) from error
        entry = IndexEntry(stat.st_size, stat.st_mtime_ns, source, digests, rows)
        self._entries[clip] = entry
        return entry

    def confirm_source(self, clip: str, source: SourceId) -> None:
        """Remember a source that was touched but whose content proved to be the same."""
        entry = self._entries[clip]
        self._entries[clip] = IndexEntry(
            entry.size, entry.mtime_ns, source, entry.digests, entry.rows
        )

    def save(self) -> None:
        """Write the index in one step, with what other runs have added or removed meanwhile."""
        entries = _load(self._path)
        for clip in self._touched:
            entry = self._entries.get(clip)
            # What others took out of the index may have been removed from the store with a purpose.
            gone = clip not in entries and not clip_path(self.store.root, clip).is_file()
            if entry is None or gone:
                entries.pop(clip, None)
            else:
                entries[clip] = entry
        _write(self._path, entries)


def forget_entries(root: Path, clips: Collection[str]) -> None:
    """Take clips out of a store's index, if it has one.

    Raises:
        GrjcaError: The index cannot be written.
    """
    path = root / HOUSE / NAME
    if path.is_file():
        entries = _load(path)
        _write(path, {clip: entry for clip, entry in entries.items() if clip not in clips})


def _write(path: Path, entries: Mapping[str, IndexEntry]) -> None:
    with written_in_one_step(path) as temporary, temporary.open("w") as stream:
        for clip, entry in entries.items():
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
