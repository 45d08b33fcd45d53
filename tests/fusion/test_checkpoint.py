import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from toy_features import largest_file

from grjca.errors import GrjcaError
from grjca.fusion.checkpoint import load_checkpoint, save_checkpoint
from grjca.fusion.config import FusionConfig
from grjca.fusion.model import FusionModel

CONFIG = FusionConfig(
    visual_dim=6, audio_dim=4, visual_channels=(8,), audio_channels=(8,), head_hidden=8, window=20
)
META: dict[str, Any] = {
    "rate": 25.0,
    "window": 20,
    "hop": 10,
    "modalities": ["visual", "audio"],
    "recipe": {"visual": {"name": "fer"}},
    "visual": "fer",
    "audio": None,
    "mapping": "as they are",
    "val_ccc": {"valence": float("nan"), "arousal": 0.5},
}


def saved(tmp_path: Path, **changed: Any) -> tuple[Path, FusionModel]:
    torch.manual_seed(0)
    model = FusionModel(CONFIG)
    path = tmp_path / "model.safetensors"
    save_checkpoint(path, CONFIG, model.state_dict(), {**META, **changed})
    return path, model


def test_there_and_back(tmp_path: Path) -> None:
    path, model = saved(tmp_path)
    for where in (path, tmp_path):
        checkpoint = load_checkpoint(where)
        assert checkpoint.fusion == CONFIG
        assert checkpoint.outputs == ("valence", "arousal")
        assert (checkpoint.rate, checkpoint.window, checkpoint.hop) == (25.0, 20, 10)
        assert checkpoint.inputs.modalities == ("visual", "audio")
        assert (checkpoint.visual, checkpoint.audio) == ("fer", None)
        assert checkpoint.recipe == META["recipe"]
        assert checkpoint.meta["val_ccc"] == {"valence": None, "arousal": 0.5}
        assert not checkpoint.model.training
        state = checkpoint.model.state_dict()
        assert state.keys() == model.state_dict().keys()
        for name, tensor in model.state_dict().items():
            assert torch.equal(state[name], tensor)
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_it_is_a_plain_safetensors_file_with_json_inside(tmp_path: Path) -> None:
    path, model = saved(tmp_path)
    assert load_file(path).keys() == model.state_dict().keys()
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    document = json.loads(header["__metadata__"]["grjca"])
    assert (document["format"], document["version"]) == ("grjca.checkpoint", 1)
    assert document["fusion"]["visual_channels"] == [8]


def refused(path: Path, cause: str) -> None:
    with pytest.raises(GrjcaError, match=cause) as caught:
        load_checkpoint(path)
    assert caught.value.stage == "checkpoint"
    assert "\n" not in str(caught.value)


def test_nothing_there(tmp_path: Path) -> None:
    refused(tmp_path / "none", "no such file or folder")
    refused(tmp_path, r"holds no model\.safetensors")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_is_refused_without_being_run(tmp_path: Path, zipped: bool) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    path = tmp_path / "model.pth"
    torch.save({"a": Bomb()}, path, _use_new_zipfile_serialization=zipped)
    refused(path, r"a pickle of torch\.save")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("mark", [b"\x80", b"PK"])
def test_a_header_whose_length_looks_like_a_pickle(tmp_path: Path, mark: bytes) -> None:
    saved(tmp_path, note="")
    path = tmp_path / "model.safetensors"
    length = int.from_bytes(path.read_bytes()[:8], "little")
    wanted = int.from_bytes(mark, "little")
    saved(tmp_path, note="x" * ((wanted - length) % 256 ** len(mark)))
    assert path.read_bytes().startswith(mark)
    assert load_checkpoint(path).rate == 25.0


def test_other_files(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(3)}, path)
    refused(path, "not a checkpoint written by .grjca train.")
    save_file({"a": torch.zeros(3)}, path, metadata={"grjca": "[1]"})
    refused(path, "not a checkpoint written by .grjca train.")
    save_file({"a": torch.zeros(3)}, path, metadata={"grjca": "{"})
    refused(path, "not a readable safetensors file")
    path.write_text("valence,arousal\n")
    refused(path, "not a readable safetensors file")
    path.write_bytes(b"")
    refused(path, "not a readable safetensors file")


@pytest.mark.parametrize("kept", [7, 100, 0.5, 0.99])
def test_a_truncated_file(tmp_path: Path, kept: float) -> None:
    path, _ = saved(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept if kept > 1 else kept * len(content))])
    refused(path, "not a readable safetensors file")


def test_a_newer_version(tmp_path: Path) -> None:
    path, _ = saved(tmp_path, version=2)
    refused(path, "checkpoint version 2, this program reads up to 1. Update grjca")


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"rate": "fast"}, "damaged: ValueError"),
        ({"modalities": ["text"]}, "damaged: ValueError: modalities"),
        ({"fusion": {"visual_dim": 6}}, "damaged: TypeError"),
        ({"fusion": {"visual_dim": 7, "audio_dim": 4}}, "damaged: RuntimeError"),
        ({"fusion": None}, "damaged: TypeError"),
    ],
)
def test_a_damaged_document(tmp_path: Path, changed: dict[str, Any], cause: str) -> None:
    path, _ = saved(tmp_path, **changed)
    refused(path, cause)


def test_a_key_that_is_missing(tmp_path: Path) -> None:
    model = FusionModel(CONFIG)
    meta = {key: value for key, value in META.items() if key != "recipe"}
    save_checkpoint(tmp_path / "model.safetensors", CONFIG, model.state_dict(), meta)
    refused(tmp_path, "damaged: KeyError: 'recipe'")


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    path, model = saved(tmp_path)
    before = path.read_bytes()
    with largest_file(2000), pytest.raises(GrjcaError, match="cannot write it"):
        save_checkpoint(path, CONFIG, model.state_dict(), META)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]
