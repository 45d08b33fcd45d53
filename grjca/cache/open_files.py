"""Files of a packed store that are held open, the least used of them closed."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py

from grjca.cache.array_table import ArrayTable, load_table
from grjca.cache.shards import handle_of, open_shard

MOST = 64
"""Shards held open at once: up to 4 MiB of metadata each, and a file handle."""


@dataclass
class OpenShard:
    """A shard, open, with the system's handle of it and its table of arrays, if it has one."""

    file: h5py.File
    handle: int
    table: ArrayTable | None
    users: int = 0

    @classmethod
    def of(cls, path: Path) -> OpenShard:
        """Open it.

        Raises:
            GrjcaError: It cannot be opened.
        """
        file = open_shard(path)
        return cls(file, handle_of(file), load_table(file))


class OpenShards:
    """Shards opened for reading, each once however many threads read from it.

    A forked child opens them anew: HDF5 files must not be read by both.

    Args:
        most: How many stay open when nobody reads from them.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._forget()

    def _forget(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._files: OrderedDict[Path, OpenShard] = OrderedDict()

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            self._forget()

    @contextlib.contextmanager
    def use(self, path: Path) -> Iterator[OpenShard]:
        """A shard, open; it is not closed before the block ends.

        Raises:
            GrjcaError: It cannot be opened.
        """
        self._check_process()
        with self._lock:
            held = self._files.get(path)
            if held is None:
                held = self._files[path] = OpenShard.of(path)
            self._files.move_to_end(path)
            held.users += 1
        try:
            yield held
        finally:
            with self._lock:
                held.users -= 1
                if self._files.get(path) is not held and not held.users:
                    held.file.close()
                if len(self._files) > self._most:
                    self._close_surplus()

    def drop(self, path: Path) -> None:
        """Open a shard anew next time: another file lies there by now."""
        self._check_process()
        with self._lock:
            held = self._files.pop(path, None)
            if held is not None and not held.users:
                held.file.close()

    def _close_surplus(self) -> None:
        for path in [path for path, held in self._files.items() if not held.users]:
            if len(self._files) <= self._most:
                return
            self._files.pop(path).file.close()
