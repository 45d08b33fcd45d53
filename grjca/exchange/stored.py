"""What a store holds of a clip that something is imported into."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from grjca.cache.keys import IMPORTED, SourceId
from grjca.cache.layout import ABOUT, claimed_as, clip_path, open_clip
from grjca.errors import GrjcaError
from grjca.exchange.manifest import KINDS


@dataclass(frozen=True)
class StoredClip:
    """What the store holds of a clip.

    Attributes:
        time: (T,) float64, the times of its rows in seconds.
        configs: What ``frames`` and the features are made by, by the groups' paths.
        digests: Their digests.
        source: What the clip's rows were made from.
        media: What probing told about it.
        about: What is known of the clip, by the names in ``layout.ABOUT``.
        claim: The name under which the clip is claimed.
        is_new: The store does not hold it yet.
    """

    time: NDArray[np.float64]
    configs: dict[str, dict[str, Any]]
    digests: dict[str, str]
    source: SourceId
    media: dict[str, Any]
    about: dict[str, str]
    claim: str
    is_new: bool = False

    @classmethod
    def of(cls, root: Path, clip: str) -> StoredClip | None:
        """Look a clip up; None when the store has none of this name.

        Raises:
            GrjcaError: The clip's file is damaged or of a newer schema.
        """
        path = clip_path(root, clip)
        if not path.is_file():
            return None
        with open_clip(path) as file:
            try:
                return cls._read(file, clip)
            except (OSError, KeyError) as error:
                raise GrjcaError("store", clip, f"damaged file ({error})",
                                 "Delete it and make it again.") from error  # fmt: skip

    @classmethod
    def _read(cls, file: h5py.File, clip: str) -> StoredClip:
        groups = [f"{kind}/{name}" for kind in KINDS for name in file.get(kind, {})]
        return cls(
            time=file["frames/time"][:],
            configs={path: json.loads(file[path].attrs["config"]) for path in ["frames", *groups]},
            digests={path: str(file[path].attrs["digest"]) for path in ["frames", *groups]},
            source=SourceId(**json.loads(file.attrs["source"])),
            media=json.loads(file.attrs["media"]),
            about={name: str(file.attrs[name]) for name in ABOUT if name in file.attrs},
            claim=claimed_as(clip, file),
        )

    @property
    def is_imported(self) -> bool:
        """Whether the clip's rows were given by an import, and not by a video."""
        return self.configs["frames"].get("frames") == IMPORTED
