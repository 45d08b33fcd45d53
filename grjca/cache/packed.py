"""Reading a packed store: clips by name, and ranges of their rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import h5py
from h5py import h5g

from grjca.cache.layout import DamagedError, check_identity
from grjca.cache.open_files import OpenShards
from grjca.cache.packed_rows import read_rows
from grjca.cache.records import ClipFeatures
from grjca.cache.shard_index import Shard, in_order, list_shards, stamps
from grjca.cache.shards import AGAIN, NoShardError, place_of
from grjca.errors import GrjcaError

_ODD = (OSError, RuntimeError, KeyError, ValueError)


class PackedClips:
    """The clips of a packed store.

    What is known of them is read when first needed, and again when shards have changed.

    Args:
        root: The store's folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._open = OpenShards()
        self._stamps: list[tuple[str, int, int]] | None = None
        self._shards: list[Shard] = []
        self._places: dict[str, Path] = {}
        self._names: list[str] = []

    def _refresh(self) -> None:
        now = stamps(self._root)
        if now == self._stamps:
            return
        before = set(self._stamps or ())
        for name, *_ in before - set(now):
            self._open.drop(self._root / name)
        shards = list_shards(self._root)
        paths = {shard.name: self._root / shard.name for shard in shards}
        places = {clip: paths[shard.name] for shard in shards for clip in shard.clips}
        self._shards, self._places, self._names = shards, places, in_order(places)
        self._stamps = now

    def names(self) -> list[str]:
        """The identities of all clips, in order.

        Raises:
            GrjcaError: A shard cannot be read and nothing is known of what is in it.
        """
        self._refresh()
        for error in self.errors():
            raise error
        return list(self._names)

    def readable(self) -> list[str]:
        """The identities of the clips of which a shard is known, whatever became of others."""
        self._refresh()
        return list(self._names)

    def errors(self) -> list[GrjcaError]:
        """Why shards cannot be read of which nothing else is known."""
        self._refresh()
        return [shard.error for shard in self._shards if shard.error and not shard.clips]

    @contextlib.contextmanager
    def open(self, clip: str) -> Iterator[h5py.Group]:
        """A clip's group, open for reading until the block ends.

        Raises:
            GrjcaError: No such clip, or its shard is damaged or of a newer schema.
        """
        name = place_of(check_identity(clip))
        if self._stamps is None:
            self._refresh()
        with contextlib.ExitStack() as stack:
            node = self._find(clip, name, stack)
            if node is None:
                # The shard may have been written anew since it was looked at.
                stack.close()
                self._stamps = None
                self._refresh()
                node = self._find(clip, name, stack)
            if node is None:
                if clip in self._places:
                    raise self.damaged(clip, "its group is not in the shard")
                raise GrjcaError("store", clip, "no such clip in the store",
                                 "Extract it and pack again.")  # fmt: skip
            yield node

    def _find(self, clip: str, name: str, stack: contextlib.ExitStack) -> h5py.Group | None:
        shard = self._places.get(clip)
        if shard is None:
            return None
        try:
            file = stack.enter_context(self._open.use(shard)).file
        except NoShardError:
            return None
        try:
            path = name.encode()
            return h5py.Group(h5g.open(file.id, path)) if path in file.id else None
        except _ODD as error:
            raise self.damaged(clip, error) from error

    def damaged(self, clip: str, cause: object) -> DamagedError:
        """The error of a clip that cannot be read; it names the shard."""
        place = self._places.get(clip)
        shard = place.name if place is not None else "its shard"
        return DamagedError("store", clip, f"damaged in {shard} ({cause})", AGAIN)

    def read(
        self, clip: str, visual: str | None, audio: str | None, rows: slice
    ) -> ClipFeatures | None:
        """A range of a clip's rows; None where it lacks an embedder.

        Raises:
            GrjcaError: No such clip, or it is damaged.
        """
        found = self._read_at_once(clip, visual, audio, rows)
        if found is not None:
            return found
        with self.open(clip) as node:
            try:
                return read_rows(node.id, clip, visual, audio, rows)
            except _ODD as error:
                raise self.damaged(clip, error) from error

    def _read_at_once(
        self, clip: str, visual: str | None, audio: str | None, rows: slice
    ) -> ClipFeatures | None:
        """As :meth:`read`; also None where HDF5 has to be asked."""
        if self._stamps is None:
            self._refresh()
        place = self._places.get(clip)
        if place is None:
            return None
        try:
            with self._open.use(place) as shard:
                if shard.table is None:
                    return None
                return shard.table.read(shard.handle, clip, visual, audio, rows)
        except NoShardError:
            return None
        except (OSError, ValueError) as error:
            raise self.damaged(clip, error) from error
