"""A clip's sound, decoded and embedded in a thread while its pictures are searched."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError
from grjca.pipeline.ahead import Ahead
from grjca.pipeline.pictures import Media
from grjca.pipeline.row_times import RowTimes
from grjca.pipeline.sound import embed_sound
from grjca.stages.catalog import AudioEmbedder

Heard = tuple[NDArray[np.float32], NDArray[np.bool_]]


class EarlySound:
    """Embeds the sound under rows whose times are still coming.

    Use it as a context manager; leaving it ends the thread. What is embedded waits in a file until
    it is known into which clips of the store it goes.

    Args:
        media: The clip.
        embedder: What turns the sound around a row into numbers.
        log: An empty file for the embeddings, so that memory does not grow with the clip.

    Attributes:
        time: Where the rows' times are added as they come.
    """

    def __init__(self, media: Media, embedder: AudioEmbedder, log: IO[bytes]) -> None:
        self.time = RowTimes()
        self._media, self._embedder, self._log = media, embedder, log
        self._ahead = Ahead(self._embed(), self._halt)

    def __enter__(self) -> Self:
        self._ahead.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ahead.__exit__(kind, error, trace)

    def heard(self) -> Iterator[Heard]:
        """All rows' embeddings and whether they are valid, in pieces, as ``embed_sound`` gives.

        Raises:
            GrjcaError: The sound cannot be decoded.
        """
        self.time.end()
        (pieces,) = self._ahead
        self._log.seek(0)
        for rows in pieces:
            features = self._log.read(4 * rows * self._embedder.dim)
            valid = self._log.read(rows)
            yield (
                np.frombuffer(features, np.float32).reshape(rows, self._embedder.dim),
                np.frombuffer(valid, np.bool_),
            )

    def _embed(self) -> Iterator[list[int]]:
        """Write piece after piece to the file, then tell the number of rows of each."""
        pieces: list[int] = []
        with self._media.sound() as sound:
            for features, valid in embed_sound(sound or (), self._embedder, self.time):
                self._keep(features.tobytes() + valid.tobytes())
                pieces.append(len(valid))
        yield pieces

    def _keep(self, data: bytes) -> None:
        try:
            self._log.write(data)
        except OSError as error:
            raise GrjcaError(
                "audio", "temporary files", error.strerror or str(error),
                "Set TMPDIR to a folder with more space.",
            ) from error  # fmt: skip

    def _halt(self) -> None:
        self.time.abandon()
        self._media.halt_sound()
