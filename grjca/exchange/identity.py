"""Keys of imported groups: what decides them, and the digests that follow from it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grjca.cache.keys import IMPORTED, GroupKey, group_digest


def frames_key(time: NDArray[np.float64], source_sha256: str) -> GroupKey:
    """The key of rows that no video gave.

    Args:
        time: (T,) seconds.
        source_sha256: Content of the files that the clip was first imported from.
    """
    content = hashlib.sha256(np.ascontiguousarray(time, "<f8").tobytes()).hexdigest()
    config = {"frames": IMPORTED, "content": content}
    return GroupKey(config, group_digest("frames", config, source_sha256))


def group_key(path: str, frames_digest: str, settings: Mapping[str, Any], content: str) -> GroupKey:
    """The key of imported features.

    Args:
        path: Path of the group, for example ``visual/openface``.
        frames_digest: The digest of the clip's rows.
        settings: How the files were read; features of other settings are not trained on together.
        content: Digest of the files and of all that the manifest says about them.
    """
    name = path.partition("/")[2]
    config = {"name": name, IMPORTED: dict(settings), "content": content}
    return GroupKey(config, group_digest(path, config, frames_digest))
