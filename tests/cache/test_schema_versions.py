"""Every schema that was ever released stays readable: one file of each is kept (contract C11).

``data/schema-1.hdf5`` is the clip ``lab/monday/a.mp4`` as release 0.1 wrote it, of made-up
numbers: :func:`columns` says which. A file of a released schema is never written again.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from grjca.cache import FeatureStore
from grjca.cache.index import StoreIndex
from grjca.cache.keys import Recipe, SourceId
from grjca.cache.layout import VERSION
from grjca.cache.verify import verify

DATA = Path(__file__).parent / "data"
CLIP = "lab/monday/a.mp4"
ROWS = 6
VALID = np.array([1, 1, 0, 1, 1, 0], bool)
INTERPOLATED = np.array([0, 0, 0, 0, 1, 0], bool)
ABOUT = {"subject": "S01", "session": "2", "partition": "train", "camera": "left"}
SOURCE = SourceId(size=1234, mtime_ns=5678, sha256="ab" * 32)
RECIPE = Recipe(
    video={"ffmpeg": "7.0", "frames": {"fps": 12.5}, "sound_only_rate": 12.5},
    sound={"ffmpeg": "7.0", "rate": 16000, "channels": "mean"},
    faces={"detector": {"name": "retinaface", "config": {}, "weights": "cd"}, "choice": "main"},
    visual={
        "name": "fer",
        "config": {"views": 9},
        "weights": "ef",
        "template": "face64",
        "crop_size": 4,
    },
    audio={"name": "logmel", "config": {}, "weights": None},
    keep_crops=True,
)


def ramp(shape: tuple[int, ...], step: float, where: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Row i holds i, i + step, i + 2 step, ...; NaN where not valid."""
    inner = step * np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)
    rows = np.arange(ROWS, dtype=np.float32).reshape(-1, *[1] * len(shape)) + inner
    rows[~where] = np.nan
    return rows.astype(np.float32)


def columns() -> dict[str, NDArray[np.generic]]:
    """Every dataset of the file."""
    all_rows = np.ones(ROWS, bool)
    crops = np.arange(ROWS * 48, dtype=np.uint16).reshape(ROWS, 4, 4, 3) % 251
    return {
        "frames/time": np.arange(ROWS) * 0.08,
        "frames/index": np.arange(ROWS, dtype=np.int64) * 2,
        "faces/box": ramp((4,), 0.5, VALID),
        "faces/landmarks": ramp((5, 2), 0.25, VALID),
        "faces/score": ramp((), 0.0, VALID & ~INTERPOLATED),
        "faces/valid": VALID,
        "faces/interpolated": INTERPOLATED,
        "faces/track": np.where(VALID, 0, -1).astype(np.int32),
        "crops/face64-4/crops": crops.astype(np.uint8),
        "crops/face64-4/valid": VALID,
        "visual/fer/features": ramp((3,), 0.125, VALID),
        "visual/fer/valid": VALID,
        "audio/logmel/features": ramp((2,), 0.75, all_rows),
        "audio/logmel/valid": all_rows,
    }


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """A store with the kept file of schema 1."""
    path = tmp_path / f"{CLIP}.h5"
    path.parent.mkdir(parents=True)
    shutil.copy(DATA / "schema-1.hdf5", path)
    return FeatureStore(tmp_path)


def test_a_file_of_every_version_is_kept() -> None:
    kept = sorted(path.name for path in DATA.glob("schema-*.hdf5"))
    assert kept == [f"schema-{version}.hdf5" for version in range(1, VERSION + 1)]


def test_plain_h5py_finds_every_number() -> None:
    with h5py.File(DATA / "schema-1.hdf5") as file:
        assert (file.attrs["schema"], file.attrs["version"]) == ("grjca.clip", 1)
        assert (file.attrs["clip"], file.attrs["rows"]) == (CLIP, ROWS)
        assert file.attrs["fps"] == pytest.approx(12.5)
        names: list[str] = []
        file.visititems(lambda n, node: names.append(n) if hasattr(node, "shape") else None)
        assert set(names) == set(columns())
        for name, values in columns().items():
            assert file[name].dtype == values.dtype
            np.testing.assert_array_equal(file[name][:], values, err_msg=name)


def test_the_reader_gives_them_back(store: FeatureStore) -> None:
    assert store.clips() == [CLIP]
    clip = store.read(CLIP, visual="fer", audio="logmel")
    expected = columns()
    np.testing.assert_array_equal(clip.time, expected["frames/time"])
    np.testing.assert_array_equal(clip.visual, expected["visual/fer/features"])
    np.testing.assert_array_equal(clip.visual_valid, VALID)
    np.testing.assert_array_equal(clip.audio, expected["audio/logmel/features"])
    assert clip.audio_valid.all()
    assert store.about(CLIP) == ABOUT
    assert store.source(CLIP) == SOURCE
    assert store.summary(CLIP).rows == ROWS


def test_its_identities_are_read_back(store: FeatureStore) -> None:
    """A later release may find the features outdated, but never fails to say what made them."""
    recipe = store.recipe(CLIP, "fer", "logmel")
    assert recipe["visual"] == json.loads(json.dumps(RECIPE.visual))
    assert recipe["faces"]["detector"] == RECIPE.faces["detector"]
    entry = StoreIndex(store).lookup(CLIP)
    assert entry is not None
    assert set(entry.digests) == set(RECIPE.groups(SOURCE.sha256))


def test_verify_reads_it_whole(store: FeatureStore) -> None:
    assert [finding for finding in verify(store.root) if finding.kind != "stale"] == []


def test_the_written_source_is_what_the_test_says() -> None:
    with h5py.File(DATA / "schema-1.hdf5") as file:
        assert json.loads(file.attrs["source"]) == dataclasses.asdict(SOURCE)
