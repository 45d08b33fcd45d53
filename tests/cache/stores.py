"""Small stores written with the real writer, for tests of what reads them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from grjca.cache.claims import claim
from grjca.cache.keys import Recipe, SourceId
from grjca.cache.writer import ClipWriter

RECIPE = Recipe(
    video={"ffmpeg": "7", "frames": "native"},
    sound={"ffmpeg": "7", "rate": 16000},
    faces={"detector": {"name": "retinaface", "config": {}, "weights": "aa"}},
    visual={
        "name": "fer",
        "config": {"views": 9},
        "weights": "bb",
        "template": "face64",
        "crop_size": 64,
    },
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
    about: dict[str, str] | None = None,
    people: int | None = None,
) -> None:
    """Write a clip of random features in two pieces; every third row has no face."""
    keys = recipe.groups(source.sha256)
    wanted = groups or frozenset(keys)
    columns = random_columns(rows, recipe, seed)
    held = claim(root, clip.rpartition("@")[0] if people else clip)
    assert held is not None
    with held, ClipWriter(root, clip, source, keys, held) as writer:
        for group in sorted(wanted):
            for part in (slice(0, rows // 2), slice(rows // 2, rows)):
                writer.append(group, {name: data[part] for name, data in columns[group].items()})
        if commit:
            writer.commit({"container": "test"}, about=about, people=people)


def random_columns(rows: int, recipe: Recipe, seed: int) -> dict[str, dict[str, Any]]:
    """Random numbers for every group; no face in every third row, an interpolated one in some."""
    rng = np.random.default_rng(seed)
    number = np.arange(rows)
    valid = number % 3 != 2
    interpolated = number % 6 == 4

    def masked(shape: tuple[int, ...], where: np.ndarray) -> np.ndarray:
        values = rng.normal(size=(rows, *shape)).astype(np.float32)
        values[~where] = np.nan
        return values

    side = recipe.visual["crop_size"]
    return {
        "frames": {"time": number / 25},
        "faces": {
            "box": masked((4,), valid),
            "landmarks": masked((5, 2), valid),
            "score": masked((), valid & ~interpolated),
            "valid": valid,
            "interpolated": interpolated,
            "track": np.where(valid, 0, -1).astype(np.int32),
        },
        recipe.visual_group: {"features": masked((4,), valid), "valid": valid},
        recipe.audio_group: {
            "features": masked((3,), np.ones(rows, bool)),
            "valid": np.ones(rows, bool),
        },
        recipe.crops_group: {
            "crops": rng.integers(0, 256, (rows, side, side, 3), np.uint8),
            "valid": valid,
        },
    }


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
