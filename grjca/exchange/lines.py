"""One line of a manifest on its way into a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grjca.cache.claims import Claim, claim, owner_of
from grjca.cache.keys import GroupKey, SourceId, digest
from grjca.cache.writer import ClipWriter
from grjca.errors import GrjcaError
from grjca.exchange.alignment import Align, agree
from grjca.exchange.identity import frames_key, group_key
from grjca.exchange.manifest import ImportLine, Kind, Side
from grjca.exchange.refs import ArrayRef
from grjca.exchange.sides import ReadSide, at_rows, beyond, checked_times, read_side, rows_of_line
from grjca.exchange.stored import StoredClip


@dataclass(frozen=True)
class ImportOptions:
    """How the files of a manifest are read.

    Attributes:
        align: How a modality is brought to rows that are not its own; None for the nearest, and
            then only where it has times of its own.
        zeros_are_missing: A row of nothing but zeros is not valid.
        overwrite: Replace what the store holds under a name, if it is something else.
    """

    align: Align | None = None
    zeros_are_missing: bool = False
    overwrite: bool = False

    def settings(self, columns: tuple[str, ...] | None) -> dict[str, Any]:
        """What features of one kind must have in common to be trained on together."""
        zeros = "missing" if self.zeros_are_missing else "kept"
        return {"align": self.align or "nearest", "zeros": zeros, "columns": columns}


@dataclass(frozen=True)
class Written:
    """What was written of a line: the modalities, and what to look at."""

    sides: tuple[ReadSide, ...]
    warnings: tuple[str, ...]


class LineImport:
    """Imports one line of a manifest.

    Args:
        line: The line.
        root: The store's folder.
        options: How its files are read.

    Raises:
        GrjcaError: A file cannot be read.
    """

    def __init__(self, line: ImportLine, root: Path, options: ImportOptions) -> None:
        self._line = line
        self._root = root
        self._options = options
        self._contents = self._hash()

    def run(self) -> Written | None:
        """Write what the store lacks of the line; None where it lacks nothing.

        Raises:
            GrjcaError: A file cannot be read, does not fit the clip, or differs from what the
                store holds; or the store cannot be written.
        """
        line, stored = self._line, StoredClip.of(self._root, self._line.clip)
        if not self._lacking(stored) and stored and self._knows(stored):
            return None
        name = stored.claim if stored else line.clip
        held = claim(self._root, name)
        if held is None:
            raise GrjcaError(
                "store", line.clip, f"{owner_of(self._root, name)} is writing this clip",
                "Import again when it has finished.",
            )  # fmt: skip
        with held:
            # What was seen before may have been changed by who had the claim.
            stored = StoredClip.of(self._root, line.clip)
            todo = self._lacking(stored)
            read = self._read() if todo else {}
            time = self._rows(read, stored)
            if stored is not None and time is stored.time:
                return self._write(held, todo, read, stored)
            return self._write(held, line.sides, read, self._fresh(time))

    def _write(
        self, held: Claim, todo: Sequence[Side], read: Mapping[Kind, ReadSide], into: StoredClip
    ) -> Written:
        """Write modalities into a clip; rows that the store does not hold are written too."""
        frames = GroupKey(into.configs["frames"], into.digests["frames"])
        keys = {"frames": frames} | {
            side.group: group_key(
                side.group, frames.digest, self._options.settings(read[side.kind].columns),
                self._contents[side.kind],
            )
            for side in todo
        }  # fmt: skip
        warnings: list[str] = []
        with ClipWriter(self._root, self._line.clip, into.source, keys, held) as writer:
            if into.is_new:
                writer.append("frames", {"time": into.time})
            for side in todo:
                found = read[side.kind]
                values, valid = at_rows(found, into.time, self._line, self._options.align)
                writer.append(side.group, {"features": values, "valid": valid})
                warnings += filter(None, [beyond(found, into.time)])
            writer.commit(into.media, about=self._line.about)
        return Written(tuple(read[side.kind] for side in todo), tuple(warnings))

    def _fresh(self, time: NDArray[np.float64]) -> StoredClip:
        source = self._source(*self._line.files())
        frames = frames_key(time, source.sha256)
        return StoredClip(
            time, {"frames": frames.config}, {"frames": frames.digest}, source, media={}, about={},
            claim=self._line.clip, is_new=True,
        )  # fmt: skip

    def _lacking(self, stored: StoredClip | None) -> list[Side]:
        """The modalities to write: new ones, and other ones if that was asked for."""
        held = stored.configs if stored else {}
        lacking = [
            side
            for side in self._line.sides
            if held.get(side.group, {}).get("content") != self._contents[side.kind]
        ]
        known = [side.group for side in lacking if side.group in held]
        if known and not self._options.overwrite:
            raise GrjcaError(
                "import", self._line.clip, f"the store holds other features as {known[0]}",
                "To replace them, use --overwrite; to keep both, give these another name.",
            )  # fmt: skip
        return lacking

    def _knows(self, stored: StoredClip) -> bool:
        return all(stored.about.get(name) == text for name, text in self._line.about.items())

    def _read(self) -> dict[Kind, ReadSide]:
        line, zeros_are_missing = self._line, self._options.zeros_are_missing
        return {
            side.kind: read_side(side, line.fps, zeros_are_missing=zeros_are_missing)
            for side in line.sides
        }

    def _rows(
        self, read: Mapping[Kind, ReadSide], stored: StoredClip | None
    ) -> NDArray[np.float64]:
        """The clip's rows: those the store holds, unless there are none or all is replaced."""
        if stored is not None:
            groups = {side.group for side in self._line.sides}
            others = stored.configs.keys() - groups - {"frames"}
            if not read or others or not (self._options.overwrite and stored.is_imported):
                return stored.time
        times = checked_times(self._line.time) if self._line.time is not None else None
        rows = rows_of_line(self._line, read, times)
        if stored is not None and (rows is None or agree(rows, stored.time)):
            return stored.time
        if rows is None:
            raise GrjcaError(
                "import", self._line.clip, "no times: when is each row?",
                "Give fps, or time (a file of seconds), or extract the clip from its video first.",
            )  # fmt: skip
        return rows

    def _hash(self) -> dict[Kind, str]:
        """For each modality a digest of its files and of all that the line says of its rows."""
        line, options = self._line, self._options
        hashes = {path: self._source(path).sha256 for path in set(line.files())}

        def told(ref: ArrayRef | None) -> list[str] | None:
            return None if ref is None else [hashes[ref.path], ref.key]

        return {
            side.kind: digest(
                {
                    "features": told(side.features),
                    "valid": told(side.valid),
                    "time": told(side.time) or side.fps,
                    "rows": told(line.time) or line.fps,
                    "settings": options.settings(None),
                }
            )
            for side in line.sides
        }

    def _source(self, *paths: Path) -> SourceId:
        try:
            return SourceId.of(*paths)
        except FileNotFoundError as error:
            raise GrjcaError("read", error.filename, "no such file", f"See {self._line.where}."
                             ) from error  # fmt: skip
        except OSError as error:
            cause = error.strerror or str(error)
            raise GrjcaError("read", error.filename, cause, f"See {self._line.where}.") from error
