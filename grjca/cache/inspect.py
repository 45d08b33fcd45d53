"""What is in a store or in one clip's file, gathered for people and programs to read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from grjca.cache.layout import identity_of, open_clip
from grjca.cache.store import ClipSummary, FeatureStore
from grjca.errors import GrjcaError


def summaries(path: Path) -> tuple[list[ClipSummary], list[GrjcaError]]:
    """Summaries of all clips of a store, or of the one clip in a file.

    Args:
        path: A store's folder, or a clip's file in one.

    Returns:
        A summary per readable clip, and an error per file that is not.

    Raises:
        GrjcaError: ``path`` is a file that cannot be read as a clip.
    """
    if path.is_file():
        with open_clip(path) as file:
            return [FeatureStore.summarise(file)], []
    store = FeatureStore(path)
    clips: list[ClipSummary] = []
    errors = store.packed.errors() if store.packed is not None else []
    for name in _names(store):
        try:
            clips.append(store.summary(name()))
        except GrjcaError as error:
            errors.append(error)
    return clips, errors


def _names(store: FeatureStore) -> Iterator[Callable[[], str]]:
    """A clip's name each; asking for one may fail, where a file has to tell it."""
    if store.packed is not None:
        yield from (partial(str, clip) for clip in store.packed.readable())
    for path in store.files():
        yield partial(identity_of, store.root, path)
