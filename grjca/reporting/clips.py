"""One clip's page: its table, with the video, the labels and the faces that belong to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grjca.cache.store import FeatureStore
from grjca.errors import GrjcaError
from grjca.evaluation.sums import clip_sums, metrics
from grjca.fusion.tables import PredictionTable, read_table
from grjca.report.html import ClipPage, Face
from grjca.reporting.faces import faces_of, frame_index, rows_of
from grjca.reporting.labels import LabelFinder, scores
from grjca.reporting.media import MediaFinder, Played


class ClipReports:
    """Joins what belongs to a clip, and keeps account of all clips.

    Args:
        folder: Where the main page will lie.
        media: Finds videos.
        labels: Finds annotations; None for none.
        store: Where faces come from, and which frame of the source a row is; None for neither.
        faces: Whether faces are shown.

    Attributes:
        failed: What went wrong, clip by clip.
        notes: What was left out.
    """

    def __init__(
        self,
        folder: Path,
        media: MediaFinder,
        labels: LabelFinder | None,
        store: FeatureStore | None,
        *,
        faces: bool = True,
    ) -> None:
        self.folder = folder
        self.failed: list[GrjcaError] = []
        self.notes: list[str] = []
        self._media, self._labels, self._store = media, labels, store
        self._faces = faces
        self._sums: dict[str, NDArray[np.float64]] = {}

    def note(self, text: str) -> None:
        """Keep a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    def page(self, clip: str, table_file: Path, folder: Path) -> ClipPage:
        """All that a clip's page shows.

        Args:
            clip: The clip's identity.
            table_file: Its predictions.
            folder: Where the page will lie.

        Raises:
            GrjcaError: The table or the labels cannot be used.
        """
        table = read_table(table_file)
        played = self._media.find(clip)
        media = None
        if played is not None:
            media, notes = self._media.media(played, folder)
            for text in notes:
                self.note(f"{clip}: {text}")
        faces, index = self._stored(clip, len(table.time), played)
        labels = self._labels.rows(clip, table, index) if self._labels else None
        if labels is not None:
            self._count(table, labels)
        delay = self._labels.delay if self._labels else 0.0
        return ClipPage(
            clip=clip,
            time=table.time,
            values=table.values,
            names=table.names,
            face_valid=table.face_valid,
            audio_valid=table.audio_valid,
            gates=table.gates,
            labels=labels,
            ccc=scores(table, labels) if labels is not None else {},
            faces=faces,
            media=media,
            note=f"Labels are shown {delay:g} s earlier than they were given."
            if labels is not None and delay
            else "",
        )

    def overall(self) -> dict[str, float]:
        """CCC by dimension over all labelled frames so far; empty without labels."""
        return {name: float(metrics(sums)["ccc"]) for name, sums in self._sums.items()}

    def _count(self, table: PredictionTable, labels: NDArray[np.float64]) -> None:
        both = np.where(np.isfinite(table.values), labels, np.nan)
        for name, own in zip(table.names, clip_sums(table.values, both), strict=True):
            self._sums[name] = self._sums.get(name, 0.0) + own

    def _stored(
        self, clip: str, rows: int, played: Played | None
    ) -> tuple[tuple[Face, ...], NDArray[np.int64] | None]:
        if self._store is None:
            return (), None
        try:
            with self._store.open(clip) as file:
                if rows_of(file) != rows:
                    self.note(f"{clip}: no faces, the store has {rows_of(file)} rows and the "
                              f"predictions {rows}")  # fmt: skip
                    return (), None
                pictures = faces_of(file, played) if self._faces else ()
                return pictures, frame_index(file)
        except GrjcaError as error:
            # A report without these pictures is still worth having, and says so.
            self.note(f"no faces: {error}")
            return (), None
