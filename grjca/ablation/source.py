"""A feature store that is read once, though many trainings use it."""

from __future__ import annotations

from typing import Any

from grjca.cache.records import ClipFeatures
from grjca.cache.store import FeatureStore
from grjca.fusion.data import take_rows


class Remembered:
    """A feature source that keeps what it has read.

    Features are kept as long as they fit into the limit; what does not is read again each time.

    Args:
        source: The feature store.
        limit: Bytes of features to keep.
    """

    def __init__(self, source: FeatureStore, limit: int) -> None:
        self._source = source
        self._left = limit
        self._clips: list[str] | None = None
        self._embedders: dict[str, dict[str, list[str]]] = {}
        self._digests: dict[str, dict[str, str]] = {}
        self._recipes: dict[tuple[str, str | None, str | None], dict[str, Any]] = {}
        self._features: dict[tuple[str, str | None, str | None], ClipFeatures] = {}

    def clips(self) -> list[str]:
        """See ``FeatureSource``."""
        if self._clips is None:
            self._clips = self._source.clips()
        return list(self._clips)

    def read(
        self, clip: str, visual: str | None, audio: str | None, rows: slice = slice(None)
    ) -> ClipFeatures:
        """See ``FeatureSource``."""
        key = clip, visual, audio
        if key not in self._features:
            if self._left <= 0:
                return self._source.read(*key, rows)
            whole = self._source.read(*key)
            arrays = (whole.time, whole.visual, whole.audio)
            self._left -= sum(array.nbytes for array in arrays if array is not None)
            self._features[key] = whole
        return take_rows(self._features[key], rows)

    def embedders(self, clip: str) -> dict[str, list[str]]:
        """See ``FeatureSource``."""
        if clip not in self._embedders:
            self._embedders[clip] = self._source.embedders(clip)
        return self._embedders[clip]

    def recipe(self, clip: str, visual: str | None, audio: str | None) -> dict[str, Any]:
        """See ``FeatureSource``."""
        key = clip, visual, audio
        if key not in self._recipes:
            self._recipes[key] = self._source.recipe(*key)
        return self._recipes[key]

    def digests(self, clip: str) -> dict[str, str]:
        """See ``FeatureStore.digests``."""
        if clip not in self._digests:
            self._digests[clip] = self._source.digests(clip)
        return self._digests[clip]
