"""Annotations of the clips of a report, on the rows of their predictions."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError
from grjca.fusion.metrics import ccc
from grjca.fusion.tables import PredictionTable
from grjca.labels.matching import ClipNames, shown
from grjca.labels.readers import read_labels
from grjca.labels.records import ClipLabels
from grjca.labels.rows import Align, labels_for_rows


class LabelFinder:
    """The annotations of each clip that has some.

    Args:
        path: The annotations.
        clips: The clips' identities.
        align: What to do about labels that do not match the frames.
        delay: Seconds by which the annotations lag behind the clip.

    Raises:
        GrjcaError: They cannot be read, a name means several clips, or none of the clips is
            labelled.
    """

    def __init__(self, path: Path, clips: Iterable[str], align: Align, delay: float) -> None:
        labels = read_labels(path)
        self.names, self.align, self.delay = labels.names, align, delay
        self._own: dict[str, ClipLabels] = {}
        known = ClipNames(clips)
        for name, own in labels.clips.items():
            found = known.find(name)
            if len(found) > 1:
                raise GrjcaError("labels", name, f"the name means several clips: {shown(found)}",
                                 "Write more of the path, or its extension.")  # fmt: skip
            if found:
                self._own[found[0]] = own
        if not self._own:
            raise GrjcaError("labels", path, f"none of {len(labels.clips)} labelled clips is "
                             f"among the predictions: {shown(list(labels.clips))}",
                             "Names are clips' paths.")  # fmt: skip

    def rows(
        self, clip: str, table: PredictionTable, index: NDArray[np.int64] | None
    ) -> NDArray[np.float64] | None:
        """(T, K) labels in the columns of a clip's predictions, NaN where not labelled.

        Args:
            clip: The clip's identity.
            table: Its predictions.
            index: (T,) the source's frame of each row, where the store has another rate.

        Returns:
            None where the clip has no labels, or none of what is predicted.

        Raises:
            GrjcaError: Labels that do not match the frames.
        """
        own = self._own.get(clip)
        if own is None or not set(self.names) & set(table.names):
            return None
        there = labels_for_rows(own, table.time, index=index, align=self.align, delay=self.delay)
        labels = np.full(table.values.shape, np.nan)
        for k, name in enumerate(table.names):
            if name in self.names:
                labels[:, k] = there[:, self.names.index(name)]
        return labels


def scores(table: PredictionTable, labels: NDArray[np.float64]) -> dict[str, float]:
    """CCC by dimension over the rows that are labelled and predicted; NaN where undefined."""
    counted = np.isfinite(labels) & np.isfinite(table.values)
    return {
        name: ccc(table.values[:, k], labels[:, k], counted[:, k])
        for k, name in enumerate(table.names)
    }
