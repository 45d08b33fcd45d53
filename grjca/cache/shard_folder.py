"""All shards of a packed store in the hands of one run: which are begun, rewritten and removed."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path

from grjca.cache.claims import CLAIM_OF_SHARDS, Claim, claim, owner_of
from grjca.cache.layout import DamagedError
from grjca.cache.shard_index import Shard, list_shards, save_shards
from grjca.cache.shard_writer import ShardWriter
from grjca.cache.shards import FIRST, shard_name
from grjca.cache.writer import remove_leftovers
from grjca.errors import GrjcaError
from grjca.files import cannot_write, sync


class ShardFolder:
    """The shards of a packed store, to be changed.

    Whatever is done, each clip can be read at any instant: new shards get their names in one
    step, and what they replace is removed afterwards.

    Args:
        root: The store's folder.
        claim: The right to write into it.

    Attributes:
        root: The same.
        places: The shard of each clip.
        damaged: Why shards cannot be read; those are left as they are.

    Raises:
        GrjcaError: A shard is of a newer schema, or the folder cannot be read or written.
    """

    def __init__(self, root: Path, claim: Claim) -> None:
        self.root = root
        self.damaged: list[GrjcaError] = []
        self._claim = claim
        self._shards: dict[str, Shard] = {}
        self._numbers = [-1]
        for shard in list_shards(root):
            self._numbers.append(shard.number)
            if shard.error is None:
                self._shards[shard.name] = shard
            elif isinstance(shard.error, DamagedError):
                self.damaged.append(shard.error)
            else:
                raise shard.error
        self.places = {clip: name for name, shard in self._shards.items() for clip in shard.clips}
        if FIRST not in self._shards and not (root / FIRST).exists():
            with self.writer(FIRST) as writer:
                self.commit(writer)

    @property
    def shards(self) -> list[Shard]:
        """The shards that can be read, by number."""
        return sorted(self._shards.values(), key=lambda shard: shard.number)

    @property
    def last(self) -> int:
        """The highest number of any shard, also of one that cannot be read."""
        return max(self._numbers)

    def shard(self, name: str) -> Shard:
        """A shard by its name."""
        return self._shards[name]

    def writer(self, name: str | None = None) -> ShardWriter:
        """A writer of the shard of that name, or of a new one after all others."""
        if name is None:
            self._numbers.append(max(self._numbers) + 1)
            name = shard_name(self._numbers[-1])
        return ShardWriter(self.root, name, self._claim)

    def commit(self, writer: ShardWriter) -> None:
        """Put a written shard in its place, and remove those of which nothing counts any more.

        Raises:
            GrjcaError: As ``ShardWriter.commit``.
        """
        shard = writer.commit()
        before = {self.places[clip] for clip in shard.clips if clip in self.places}
        self._shards[shard.name] = shard
        self.places.update(dict.fromkeys(shard.clips, shard.name))
        for name in before - {shard.name, FIRST}:
            if not self.living(self._shards[name]):
                self._unlink(name)

    def remove(self, clips: Collection[str], among: Collection[str] | None = None) -> None:
        """Write the shards anew that hold such clips, or copies that do not count any more.

        Args:
            clips: Clips to remove, every copy of them.
            among: Names of the shards to look at; None for all.

        Raises:
            GrjcaError: A shard is damaged; the disk is full.
        """
        for shard in self.shards:
            if among is not None and shard.name not in among:
                continue
            staying = [clip for clip in self.living(shard) if clip not in clips]
            if len(staying) == len(shard.clips):
                continue
            if staying or shard.name == FIRST:
                self.rewrite(shard, staying)
            else:
                self._unlink(shard.name)
            for clip in shard.clips:
                if clip in clips and self.places.get(clip) == shard.name:
                    del self.places[clip]

    def rewrite(
        self, shard: Shard, clips: Collection[str], keep: Collection[str] | None = None
    ) -> None:
        """Write a shard anew with only these of its clips, and of them only the groups to keep.

        Raises:
            GrjcaError: It is damaged; the disk is full.
        """
        with self.writer(shard.name) as writer:
            writer.carry(shard, clips, keep)
            self.commit(writer)

    def save(self) -> None:
        """Write the index.

        Raises:
            GrjcaError: It cannot be written.
        """
        save_shards(self.root, self.shards)

    def living(self, shard: Shard) -> list[str]:
        """The clips of a shard whose copy there is the one that counts."""
        return [clip for clip in shard.clips if self.places.get(clip) == shard.name]

    def _unlink(self, name: str) -> None:
        self._claim.confirm()
        try:
            (self.root / name).unlink(missing_ok=True)
            sync(self.root)
        except OSError as error:
            raise cannot_write(self.root / name, error) from error
        del self._shards[name]


@contextlib.contextmanager
def shard_folder(root: Path, stage: str) -> Iterator[ShardFolder]:
    """A packed store for one run alone to change; the index is written at the end.

    What stopped runs left there is removed first.

    Args:
        root: The store's folder; made if it is not there.
        stage: What is done, for messages.

    Raises:
        GrjcaError: Another run has it in hand, or it cannot be read or written.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(root, error) from error
    held = claim(root, CLAIM_OF_SHARDS)
    if held is None:
        raise GrjcaError(
            stage, root, f"in the hands of {owner_of(root, CLAIM_OF_SHARDS)}",
            f"Run {stage} again when that run has ended.",
        )  # fmt: skip
    with held:
        remove_leftovers(root)
        folder = ShardFolder(root, held)
        try:
            yield folder
        finally:
            folder.save()
