"""The file under a clip being written, which keeps a full disk from confusing HDF5."""

from __future__ import annotations

from pathlib import Path


class Spool:
    """A new file for h5py's file-object driver that remembers its first failed write.

    After a failed write the HDF5 library can neither flush nor close its file, and says so again
    and again while the process ends. Here the failure is kept for the writer, who asks after
    every append, and what HDF5 still writes into the doomed file is dropped.

    Args:
        path: The file to make.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._raw = path.open("w+b", buffering=0)
        self._failure: OSError | None = None

    def check(self) -> None:
        """Raise the failure of an earlier write.

        Raises:
            OSError: For example ``ENOSPC``, no space left on device.
        """
        if self._failure is not None:
            raise self._failure

    def write(self, data: memoryview) -> int:
        """Write all of ``data``, or remember why not."""
        done = 0
        while done < len(data) and self._failure is None:
            try:
                done += self._raw.write(data[done:])
            except OSError as error:
                self._failure = error
        return len(data)

    def read(self, size: int = -1) -> bytes:
        """Read up to ``size`` bytes; by this method h5py knows a file object."""
        return self._raw.read(size)

    def readinto(self, buffer: memoryview) -> int:
        """Fill ``buffer`` from the current position."""
        return self._raw.readinto(buffer)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position."""
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        """The current position in bytes."""
        return self._raw.tell()

    def truncate(self, size: int) -> int:
        """Cut or extend the file."""
        try:
            return self._raw.truncate(size)
        except OSError as error:
            self._failure = self._failure or error
            return size

    def flush(self) -> None:
        """Nothing is held back; syncing to the disk is the writer's business."""

    def close(self) -> None:
        """Close the file."""
        self._raw.close()
