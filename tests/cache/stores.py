"""Small stores written with the real writer, for tests of what reads them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np

from grjca.cache.keys import Recipe, SourceId
from grjca.cache.writer import ClipWriter

RECIPE = Recipe(
    video={"ffmpeg": "7", "frames": "native"},
    sound={"ffmpeg": "7", "rate": 16000},
    faces={"detector": {"name": "retinaface", "config": {}, "weights": "aa"}},
    visual={"name": "fer", "config": {"views": 9}, "weights": "bb"},
    audio={"name": "logmel", "config": {}, "weights": None},
)
SOURCE = SourceId(size=5, mtime_ns=7, sha256="00" * 32)


def with_visual(name: str) -> Recipe:
    return dataclasses.replace(RECIPE, visual={**RECIPE.visual, "name": name})


def write_clip(
    root: Path,
    clip: str,
    rows: int = 10,
    *,
    recipe: Recipe = RECIPE,
    source: SourceId = SOURCE,
    groups: frozenset[str] | None = None,
    commit: bool = True,
    seed: int = 0,
) -> None:
    """Write a clip of random features in two pieces; every third row has no face."""
    rng = np.random.default_rng(seed)
    wanted = groups or frozenset(recipe.group_configs())
    valid = np.arange(rows) % 3 != 2
    visual = rng.normal(size=(rows, 4)).astype(np.float32)
    visual[~valid] = np.nan
    columns = {
        "frames": {"time": np.arange(rows) / 25},
        "faces": {
            "box": np.where(valid[:, None], 1.0, np.nan).astype(np.float32).repeat(4, 1),
            "landmarks": np.full((rows, 5, 2), np.nan, np.float32),
            "score": np.where(valid, 1, np.nan).astype(np.float32),
            "valid": valid,
            "track": np.where(valid, 0, -1).astype(np.int32),
        },
        recipe.visual_group: {"features": visual, "valid": valid},
        recipe.audio_group: {
            "features": rng.normal(size=(rows, 3)).astype(np.float32),
            "valid": np.ones(rows, bool),
        },
    }
    with ClipWriter(root, clip, source, recipe) as writer:
        for group in sorted(wanted):
            for part in (slice(0, rows // 2), slice(rows // 2, rows)):
                writer.append(group, {name: data[part] for name, data in columns[group].items()})
        if commit:
            writer.commit({"container": "test"})


def arrays(store: Path) -> dict[str, bytes]:
    """Every array of every clip in a store, as bytes."""
    found: dict[str, bytes] = {}
    for path in sorted(store.rglob("*.h5")):
        with h5py.File(path) as file:
            names: list[str] = []
            file.visit(names.append)
            for name in names:
                if isinstance(file[name], h5py.Dataset):
                    found[f"{path.name}/{name}"] = file[name][:].tobytes()
    return found
