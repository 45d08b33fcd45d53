import csv
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from toy_features import AUDIO_DIM, VISUAL_DIM, ToySource, largest_file, make_clip

from grjca.cache.records import ClipFeatures
from grjca.errors import GrjcaError, UsageError
from grjca.fusion.checkpoint import Checkpoint
from grjca.fusion.config import FusionConfig
from grjca.fusion.data import Inputs
from grjca.fusion.model import FusionModel
from grjca.fusion.predictor import Prediction, average, predict_clip, predict_stored
from grjca.fusion.writers import WRITERS, write_csv, write_json, write_parquet


def checkpoint(rate: float = 25.0, **fusion: Any) -> Checkpoint:
    torch.manual_seed(3)
    config = FusionConfig(
        **{
            "visual_dim": VISUAL_DIM,
            "audio_dim": AUDIO_DIM,
            "visual_channels": (8,),
            "audio_channels": (8,),
            "head_hidden": 8,
            "window": 40,
            "temperature": 1.0,
            **fusion,
        }
    )
    model = FusionModel(config).eval()
    model.set_standardisation(
        np.full(config.visual_dim, 20.0),
        np.ones(config.visual_dim),
        np.full(config.audio_dim, -4.0),
        np.ones(config.audio_dim),
    )
    inputs = Inputs(config.visual_dim, config.audio_dim)
    return Checkpoint(model, inputs, rate, 40, 25, {}, "fer", "logmel", "", {})


def clip(rows: int, fps: float = 25.0) -> ClipFeatures:
    return make_clip("lab/a.mp4", np.arange(rows) / fps, 7)[0]


def alone(model: Checkpoint, features: ClipFeatures, start: int, stop: int) -> Any:
    """One window through the bare model, without padding."""
    assert features.visual is not None
    assert features.audio is not None
    part = [
        torch.from_numpy(array[None, start:stop])
        for array in (
            features.visual, features.audio, features.visual_valid, features.audio_valid,
        )
    ]  # fmt: skip
    with torch.no_grad():
        return model.model(*part, torch.ones_like(part[2]))


@pytest.mark.parametrize("rows", [1, 2, 39, 40, 41, 65, 333, 1000])
def test_overlapping_windows_are_averaged(rows: int) -> None:
    model, features = checkpoint(), clip(rows)
    values: list[list[NDArray[np.float32]]] = [[] for _ in range(rows)]
    gates: list[list[NDArray[np.float32]]] = [[] for _ in range(rows)]
    starts = {*range(0, rows - 39, 25), max(rows - 40, 0)}
    for start in sorted(starts):
        output = alone(model, features, start, start + 40)
        for i, row in enumerate(output.prediction[0].numpy()):
            values[start + i].append(row)
            gates[start + i].append(output.gates["audio"][0, i].numpy())
    prediction = predict_clip(model, features)
    np.testing.assert_allclose(
        prediction.values, [np.mean(row, axis=0) for row in values], atol=1e-5
    )
    np.testing.assert_allclose(
        prediction.gates["audio"], [np.mean(row, axis=0) for row in gates], atol=1e-5
    )
    np.testing.assert_allclose(prediction.gates["visual"].sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(prediction.time, features.time)
    np.testing.assert_array_equal(prediction.face_valid, features.visual_valid)
    np.testing.assert_array_equal(prediction.audio_valid, features.audio_valid)


def test_a_clip_at_twice_the_rate_is_seen_at_the_models_rate() -> None:
    model, features = checkpoint(), clip(201, 50.0)
    prediction = predict_clip(model, features)
    every_second = ClipFeatures(
        features.clip,
        features.time[::2],
        None if features.visual is None else features.visual[::2],
        features.visual_valid[::2],
        None if features.audio is None else features.audio[::2],
        features.audio_valid[::2],
    )
    slow = predict_clip(model, every_second)
    assert len(prediction) == 201
    np.testing.assert_allclose(prediction.values[::2], slow.values, atol=1e-5)
    between = (slow.values[1:] + slow.values[:-1]) / 2
    np.testing.assert_allclose(prediction.values[1::2], between, atol=1e-5)
    np.testing.assert_allclose(prediction.gates["visual"].sum(axis=1), 1, atol=1e-6)


def test_a_variable_rate_gives_every_frame_a_value() -> None:
    steps = np.random.default_rng(0).uniform(0.005, 0.2, size=150)
    features, _ = make_clip("a.mp4", np.cumsum(steps), 1)
    prediction = predict_clip(checkpoint(), features)
    assert prediction.values.shape == (150, 2)
    assert np.isfinite(prediction.values).all()


def test_a_clip_without_rows() -> None:
    prediction = predict_clip(checkpoint(), clip(0))
    assert prediction.values.shape == (0, 2)


def test_without_face_and_without_sound() -> None:
    features = clip(60)
    none = np.zeros(60, dtype=bool)
    bare = replace(features, visual=None, visual_valid=none, audio=None, audio_valid=none)
    masked = replace(features, visual_valid=none, audio_valid=none)
    one, other = predict_clip(checkpoint(), bare), predict_clip(checkpoint(), masked)
    np.testing.assert_array_equal(one.values, other.values)
    assert not one.face_valid.any()
    assert np.abs(one.values - predict_clip(checkpoint(), features).values).max() > 1e-3


def test_a_dense_time_mix_works_on_short_clips() -> None:
    prediction = predict_clip(checkpoint(time_mix="dense"), clip(7))
    assert prediction.values.shape == (7, 2)


def test_features_that_do_not_fit_name_both_dimensions() -> None:
    with pytest.raises(GrjcaError, match=r"lab/a\.mp4: features: 4 audio numbers .* takes 5"):
        predict_clip(checkpoint(audio_dim=5), clip(60))


def test_from_the_store_a_few_rows_at_a_time() -> None:
    features = clip(9000)
    source = ToySource({features.clip: features})
    stored = predict_stored(checkpoint(), source, features.clip)
    assert max(source.reads) <= 4096
    np.testing.assert_array_equal(stored.values, predict_clip(checkpoint(), features).values)
    np.testing.assert_array_equal(stored.face_valid, features.visual_valid)
    np.testing.assert_array_equal(stored.audio_valid, features.audio_valid)


def test_a_mean_of_models_is_the_mean_of_each_dimension() -> None:
    features = clip(60)
    both = predict_clip(checkpoint(), features)
    valence = replace(both, names=("valence",), values=both.values[:, :1] + 0.5)
    deaf = replace(valence, audio_valid=np.zeros(60, dtype=bool))
    mean = average([deaf, both])
    assert mean.names == ("valence", "arousal")
    np.testing.assert_allclose(mean.values[:, 0], both.values[:, 0] + 0.25)
    np.testing.assert_array_equal(mean.values[:, 1], both.values[:, 1])
    np.testing.assert_array_equal(mean.audio_valid, both.audio_valid)
    assert mean.gates == {}
    assert average([both]) is both


def test_a_mean_is_of_one_clip_and_its_rows() -> None:
    one = predict_clip(checkpoint(), clip(60))
    for other in (replace(one, clip="b.mp4"), predict_clip(checkpoint(), clip(61))):
        with pytest.raises(ValueError, match="other rows"):
            average([one, other])
    with pytest.raises(ValueError, match="no predictions"):
        average([])


def test_each_gate_of_a_hierarchy_has_its_columns(tmp_path: Path) -> None:
    made = predict_clip(checkpoint(fusion="hgrjca"), clip(5))
    write_csv(made, tmp_path / "a.csv")
    header = (tmp_path / "a.csv").read_text().splitlines()[0].split(",")
    assert header[6:13] == [
        "gate_visual_1_0", "gate_visual_1_1",
        "gate_visual_2_0", "gate_visual_2_1", "gate_visual_2_2",
        "gate_visual_across_0", "gate_visual_across_1",
    ]  # fmt: skip
    for gate in made.gates.values():
        np.testing.assert_allclose(gate.sum(axis=1), 1, atol=1e-6)


@pytest.fixture
def prediction() -> Prediction:
    return predict_clip(checkpoint(), clip(60))


HEADER = [
    "frame", "time", "valence", "arousal", "face_valid", "audio_valid",
    "gate_visual_0", "gate_visual_1", "gate_visual_2",
    "gate_audio_0", "gate_audio_1", "gate_audio_2",
]  # fmt: skip


def test_csv(prediction: Prediction, tmp_path: Path) -> None:
    path = tmp_path / "sub" / "a.mp4.csv"
    write_csv(prediction, path)
    with path.open() as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == HEADER
    assert len(rows) == 61
    assert rows[2][:2] == ["1", "0.040000"]
    table = np.array(rows[1:], dtype=np.float64)
    np.testing.assert_allclose(table[:, 2:4], prediction.values, atol=5.1e-7)
    np.testing.assert_array_equal(table[:, 4], prediction.face_valid)
    np.testing.assert_array_equal(table[:, 5], prediction.audio_valid)
    np.testing.assert_allclose(table[:, 9:], prediction.gates["audio"], atol=5.1e-7)
    assert [p.name for p in path.parent.iterdir()] == ["a.mp4.csv"]


def test_json(prediction: Prediction, tmp_path: Path) -> None:
    write_json(prediction, tmp_path / "a.json")
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["clip"] == "lab/a.mp4"
    assert list(document["columns"]) == HEADER
    np.testing.assert_array_equal(document["columns"]["arousal"], prediction.values[:, 1])
    assert document["columns"]["frame"] == list(range(60))


def test_parquet(prediction: Prediction, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_parquet(prediction, tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet")
    assert table.column_names == HEADER
    assert table.schema.metadata[b"clip"] == b"lab/a.mp4"
    np.testing.assert_array_equal(table["valence"].to_numpy(), prediction.values[:, 0])
    assert table["face_valid"].to_pylist() == prediction.face_valid.tolist()


def test_parquet_without_its_package(
    prediction: Prediction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=r"needs the package pyarrow .*grjca\[parquet\]"):
        write_parquet(prediction, tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []


def test_one_dimension_without_gates(tmp_path: Path) -> None:
    made = predict_clip(checkpoint(outputs=("arousal",), fusion="concat"), clip(5))
    write_csv(made, tmp_path / "a.csv")
    header = (tmp_path / "a.csv").read_text().splitlines()[0]
    assert header == "frame,time,arousal,face_valid,audio_valid"


def test_a_folder_that_cannot_be_made(prediction: Prediction, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(GrjcaError, match=r"a\.csv: write: cannot write it: "):
        write_csv(prediction, tmp_path / "file" / "a.csv")
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("table", ["csv", "json", "parquet"])
def test_a_full_disk_leaves_what_was_there(
    prediction: Prediction, tmp_path: Path, table: str
) -> None:
    path = tmp_path / f"a.{table}"
    path.write_text("kept")
    if table == "parquet":
        pytest.importorskip("pyarrow.parquet")
    with largest_file(1000), pytest.raises(GrjcaError, match="cannot write it"):
        WRITERS[table](prediction, path)
    assert path.read_text() == "kept"
    assert list(tmp_path.iterdir()) == [path]
