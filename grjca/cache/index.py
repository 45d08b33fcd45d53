"""What is in a store, remembered in one file, so that planning need not open every clip.

The index is only a memory: an entry counts while the clip's file still has the size and time of
change it had when the entry was made; otherwise the clip's file is opened and the entry made
anew. Deleting the index costs time and nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from grjca.cache.keys import SourceId
from grjca.cache.layout import HOUSE, SUFFIX, check_identity, clip_path, whole_clip
from grjca.cache.store import FeatureStore
from grjca.errors import GrjcaError
from grjca.files import written_in_one_step

NAME = "index.jsonl"

_SHORT = 59
"""Characters of a name that no file system finds too long, whatever they are in UTF-8."""

_NAME_FIRST = '{"clip": '
_decode = json.JSONDecoder().raw_decode


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One clip: its file's size and time of change, its source, its groups' digests, its rows."""

    size: int
    mtime_ns: int
    source: SourceId
    digests: dict[str, str]
    rows: int


class StoreIndex:
    """Looks clips up, in memory where that is still true, in their files otherwise.

    What is remembered stays text until it is asked for, about 600 bytes a clip.

    Args:
        store: The store; its index file is read once, if there is one.
        clips: The clips that will be asked for, of whom nothing else is kept in memory; people
            of a clip count with it. None for all.

    Attributes:
        store: The same.
    """

    def __init__(self, store: FeatureStore, clips: Collection[str] | None = None) -> None:
        self.store = store
        self._root = str(store.root)
        self._path = store.root / HOUSE / NAME
        self._new: dict[str, IndexEntry | None] = {}
        self._lines = {
            clip: line
            for clip, line in _lines(self._path)
            if clips is None or clip in clips or whole_clip(clip) in clips
        }

    def lookup(self, clip: str) -> IndexEntry | None:
        """What the store holds of a clip, None when it holds nothing.

        Raises:
            GrjcaError: The clip's file is damaged or of a newer schema.
        """
        known = self._known(clip)
        try:
            stat = os.stat(self._file(clip))
        except (FileNotFoundError, NotADirectoryError):
            if known is not None:
                self._new[clip] = None
            return None
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
        self._new[clip] = entry
        return entry

    def confirm_source(self, clip: str, source: SourceId) -> None:
        """Remember a source that was touched but whose content proved to be the same.

        Raises:
            KeyError: The index knows nothing of the clip.
        """
        entry = self._known(clip)
        if entry is None:
            raise KeyError(clip)
        self._new[clip] = replace(entry, source=source)

    def save(self) -> None:
        """Write the index in one step, with what other runs have added or removed meanwhile.

        Nothing is written where nothing was learnt.
        """
        if not self._new:
            return
        learnt = {
            clip: _line(clip, entry) for clip, entry in self._new.items() if entry is not None
        }
        with written_in_one_step(self._path) as temporary, temporary.open("w") as stream:
            there = set()
            for clip, line in _lines(self._path):
                there.add(clip)
                if clip not in self._new:
                    stream.write(line + "\n")
            for clip, line in learnt.items():
                # What others took out of the index may have been removed from the store with a
                # purpose.
                if clip in there or os.path.isfile(self._file(clip)):
                    stream.write(line + "\n")
        for clip in self._new:
            self._lines.pop(clip, None)
        self._lines.update(learnt)
        self._new.clear()

    def _known(self, clip: str) -> IndexEntry | None:
        if clip in self._new:
            return self._new[clip]
        line = self._lines.get(clip)
        return _entry(line) if line is not None else None

    def _file(self, clip: str) -> str:
        # As clip_path, which is slow where a hundred thousand clips are looked up.
        if len(clip.rpartition("/")[2]) > _SHORT:
            return str(clip_path(self.store.root, clip))
        return f"{self._root}/{check_identity(clip)}{SUFFIX}"


def forget_entries(root: Path, clips: Collection[str]) -> None:
    """Take clips out of a store's index, if it has one.

    Raises:
        GrjcaError: The index cannot be written.
    """
    path = root / HOUSE / NAME
    if path.is_file():
        with written_in_one_step(path) as temporary, temporary.open("w") as stream:
            stream.writelines(f"{line}\n" for clip, line in _lines(path) if clip not in clips)


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    """Each clip of an index file with its line; of a clip named twice, both."""
    try:
        stream = path.open(errors="replace", newline="\n")
    except FileNotFoundError:
        return
    with stream:
        for line in map(str.rstrip, stream):
            clip = _clip_of(line)
            if clip is not None:
                yield clip, line


def _clip_of(line: str) -> str | None:
    """The clip that a line tells of; None for a line of another program or a torn one."""
    if not line.startswith(_NAME_FIRST) or not line.endswith("}"):
        return None
    try:
        clip, _ = _decode(line, len(_NAME_FIRST))
    except ValueError:
        return None
    return clip if isinstance(clip, str) else None


def _line(clip: str, entry: IndexEntry) -> str:
    return json.dumps({"clip": clip, **asdict(entry)})


def _entry(line: str) -> IndexEntry | None:
    """What a line tells; None where it is of another release or torn: the clip's file knows it."""
    try:
        values = json.loads(line)
        del values["clip"]
        return IndexEntry(source=SourceId(**values.pop("source")), **values)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
