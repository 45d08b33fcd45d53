"""Checkpoints of every released format load, and predict what they predicted then."""

import json
from pathlib import Path

import numpy as np
import pytest
import released

from grjca.errors import GrjcaError
from grjca.fusion.checkpoint import CHECKPOINT, load_checkpoint
from grjca.fusion.predictor import predict_clip
from grjca.fusion.tensor_file import read_tensors, write_tensors

FILES = sorted(released.DATA.glob("checkpoint-*.safetensors"))


def test_there_is_one_of_each_version() -> None:
    versions = [f"checkpoint-{n}.safetensors" for n in range(1, CHECKPOINT.version + 1)]
    assert [path.name for path in FILES] == versions


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_predicts_what_it_did(file: Path) -> None:
    expected = json.loads(file.with_suffix(".json").read_text())
    checkpoint = load_checkpoint(file)
    assert (checkpoint.visual, checkpoint.audio) == ("fer", "logmel")
    assert checkpoint.recipe["visual"] == {"name": "fer", "config": {"views": 9}}
    assert checkpoint.meta["split"]["val"] == ["lab/c03.mp4"]
    found = predict_clip(checkpoint, released.clip())
    np.testing.assert_allclose(found.values, expected["values"], atol=1e-4)
    assert np.ptp(found.values, axis=0).min() > 0.3
    assert found.gates.keys() == expected["gates"].keys()
    for name, weights in found.gates.items():
        np.testing.assert_allclose(weights, expected["gates"][name], atol=1e-3)


def test_a_newer_one_is_refused_in_one_line(tmp_path: Path) -> None:
    document, tensors = read_tensors(FILES[-1], CHECKPOINT)
    newer = CHECKPOINT.version + 1
    write_tensors(tmp_path / "new.safetensors", CHECKPOINT, {**document, "version": newer}, tensors)
    with pytest.raises(GrjcaError) as caught:
        load_checkpoint(tmp_path / "new.safetensors")
    assert str(caught.value) == (
        f"{tmp_path / 'new.safetensors'}: checkpoint: checkpoint version {newer}, this program "
        f"reads up to {CHECKPOINT.version}. Update grjca."
    )
