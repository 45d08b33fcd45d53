"""Which clips are trained on, and the annotations' delay found on them alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stores import RECIPE, SOURCE, write_clip

from grjca.cache.claims import claim
from grjca.cache.store import FeatureStore
from grjca.cache.writer import ClipWriter
from grjca.errors import UsageError
from grjca.fusion.data_config import DataConfig
from grjca.fusion.lag import find_label_delay
from grjca.fusion.sides import choose_split
from grjca.labels.matching import match
from grjca.labels.readers import read_labels
from grjca.labels.records import Labels
from grjca.labels.splits import Split

RATE = 25


def labels_of(folder: Path, values: dict[str, np.ndarray]) -> Labels:
    lines = ["clip,frame,valence"]
    for clip, rows in values.items():
        lines += [f"{clip},{i},{value:.4f}" for i, value in enumerate(rows)]
    (folder / "labels.csv").write_text("\n".join(lines))
    return match(read_labels(folder / "labels.csv"), list(values)).labels


@pytest.fixture
def parted(tmp_path: Path) -> tuple[FeatureStore, Labels]:
    parts = ["train", "train", "train", "val", "test", "test"]
    for number, part in enumerate(parts):
        about = {"partition": part, "subject": f"s{number}"}
        write_clip(tmp_path / "store", f"c{number}.mp4", 20, about=about)
    labels = labels_of(tmp_path, {f"c{n}.mp4": np.linspace(-1, 1, 20) for n in range(6)})
    return FeatureStore(tmp_path / "store"), labels


@pytest.mark.parametrize("config", [DataConfig(), DataConfig(val=0.3), DataConfig(folds=4, fold=2)])
def test_clips_kept_for_testing_are_on_neither_side(
    parted: tuple[FeatureStore, Labels], config: DataConfig
) -> None:
    split = choose_split(*parted, config, seed=1)
    assert {*split.train, *split.val} == {f"c{n}.mp4" for n in range(4)}
    assert split.train
    assert split.val


def test_the_partition_decides_where_nothing_else_is_said(
    parted: tuple[FeatureStore, Labels],
) -> None:
    split = choose_split(*parted, DataConfig(), seed=1)
    assert (split.val, split.test) == (("c3.mp4",), ("c4.mp4", "c5.mp4"))


def test_a_known_delay_is_found_on_the_training_clips(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    late = round(1.5 * RATE)
    values = {}
    for number in range(6):
        walk = np.convolve(rng.normal(size=700), np.hanning(25), "same") / 10
        values[f"c{number}.mp4"] = np.clip(walk[late : late + 600], -1, 1)
        seen = np.stack([walk[late : late + 600], rng.normal(size=600)], 1).astype(np.float32)
        if number < 5:
            values[f"c{number}.mp4"] = np.clip(walk[:600], -1, 1)
        keys = RECIPE.groups(SOURCE.sha256)
        with (
            claim(tmp_path, f"c{number}.mp4") as held,  # type: ignore[union-attr]
            ClipWriter(tmp_path, f"c{number}.mp4", SOURCE, keys, held) as writer,
        ):
            writer.append("frames", {"time": np.arange(600) / RATE})
            columns = {"features": seen, "valid": np.ones(600, bool)}
            writer.append(RECIPE.visual_group, columns)
            writer.commit({"container": "test"})
    labels = labels_of(tmp_path, values)
    store = FeatureStore(tmp_path)
    # The validation clip is not late at all: it must not be looked at.
    split = Split(tuple(f"c{n}.mp4" for n in range(5)), ("c5.mp4",), True)
    assert find_label_delay(store, labels, split, DataConfig()).best == 1.5
    with pytest.raises(UsageError):
        find_label_delay(store, labels, Split(("c0.mp4",), ("c5.mp4",), True), DataConfig())
