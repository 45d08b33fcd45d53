from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import skimage.data
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from grjca.errors import UsageError
from grjca.stages.catalog import identity
from grjca.stages.ir50 import (
    Ir50,
    Ir50Config,
    Ir50Flip,
    Ir50Net,
    Ir50Shift,
    backbone_of,
    input_side,
)
from grjca.stages.weights import State, load_strictly, read_state

KEYS = Path(__file__).parent / "data" / "ir50_keys.txt"

Arrays = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def shapes(side: int) -> dict[str, tuple[int, ...]]:
    """The committed keys and shapes; those of 112 pixels differ in the last layer alone."""
    lines = (line.split() for line in KEYS.read_text().splitlines())
    found = {key: tuple(map(int, shape.split("x"))) for key, shape in lines}
    if side == 112:
        found["output_layer.3.weight"] = (512, 512 * 7 * 7)
    return found


def random_weights(side: int) -> Arrays:
    """Weights under which signals keep their size, with statistics that are not 0 and 1."""
    rng = np.random.default_rng(side)
    values: Arrays = {}
    for key, shape in shapes(side).items():
        if key.endswith("running_var"):
            value = rng.uniform(0.5, 2, shape)
        elif key.endswith(("running_mean", "bias")):
            value = rng.normal(0, 0.2, shape)
        elif len(shape) == 1:
            value = rng.uniform(0.1, 0.6, shape)
        else:
            value = rng.standard_normal(shape, np.float32) * (2 / np.prod(shape[1:])) ** 0.5
        values[key] = value.astype(np.float32)
    return values


def tensors(values: Arrays, prefix: str = "") -> dict[str, torch.Tensor]:
    return {prefix + key: torch.from_numpy(value) for key, value in values.items()}


@pytest.fixture(scope="module")
def weights() -> Arrays:
    return random_weights(40)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, weights: Arrays) -> Path:
    """``abaw.pth`` as the ABAW3 and RJCMA code saves it, ``arcface.safetensors`` plain at 112."""
    place = tmp_path_factory.mktemp("weights")
    head = {"logits.weight": torch.zeros(8, 512), "logits.bias": torch.zeros(8)}
    counter = {"backbone.input_layer.1.num_batches_tracked": torch.tensor(7)}
    torch.save({**tensors(weights, "backbone."), **counter, **head}, place / "abaw.pth")
    safetensors.torch.save_file(tensors(random_weights(112)), place / "arcface.safetensors")
    return place


@pytest.fixture(scope="module")
def embedder(folder: Path) -> Ir50:
    return Ir50(Ir50Config(file=str(folder / "abaw.pth"), batch=3))


@pytest.fixture(scope="module")
def arcface(folder: Path) -> Ir50:
    return Ir50(Ir50Config(file=str(folder / "arcface.safetensors")))


def crops_of(side: int, count: int = 5) -> NDArray[np.uint8]:
    picture = np.asarray(skimage.data.astronaut(), dtype=np.uint8)
    return np.stack([picture[40 + i : 40 + i + side, 160:][:, :side] for i in range(count)])


def conv(maps: NDArray[Any], kernel: NDArray[Any], stride: int) -> NDArray[Any]:
    pad = kernel.shape[2] // 2
    padded = np.pad(maps, ((0, 0), (pad, pad), (pad, pad)))
    windows = sliding_window_view(padded, kernel.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
    c, h, w = windows.shape[:3]
    columns = windows.transpose(0, 3, 4, 1, 2).reshape(-1, h * w)
    assert c == kernel.shape[1]
    return (kernel.reshape(len(kernel), -1) @ columns).reshape(-1, h, w)


def norm(maps: NDArray[Any], state: dict[str, NDArray[Any]], name: str) -> NDArray[Any]:
    gain = state[f"{name}.weight"] / np.sqrt(state[f"{name}.running_var"] + 1e-5)
    shift = state[f"{name}.bias"] - state[f"{name}.running_mean"] * gain
    extra = (1,) * (maps.ndim - 1)
    return maps * gain.reshape(-1, *extra) + shift.reshape(-1, *extra)


def prelu(maps: NDArray[Any], slope: NDArray[Any]) -> NDArray[Any]:
    return np.where(maps > 0, maps, maps * slope[:, None, None])


def body(face: NDArray[Any], weights: Arrays, first_stride: int) -> NDArray[Any]:
    """Stem and residual units in NumPy and float64: (3, S, S) to (512, s, s)."""
    state = {key: value.astype(np.float64) for key, value in weights.items()}
    maps = conv(face.astype(np.float64), state["input_layer.0.weight"], 1)
    maps = prelu(norm(maps, state, "input_layer.1"), state["input_layer.2.weight"])
    strided = {0: first_stride, 3: 2, 7: 2, 21: 2}
    for unit in range(24):
        stride, at = strided.get(unit, 1), f"body.{unit}"
        shortcut = maps[:, ::stride, ::stride]
        if unit in (3, 7, 21):
            shortcut = conv(maps, state[f"{at}.shortcut_layer.0.weight"], stride)
            shortcut = norm(shortcut, state, f"{at}.shortcut_layer.1")
        inner = norm(maps, state, f"{at}.res_layer.0")
        inner = conv(inner, state[f"{at}.res_layer.1.weight"], 1)
        inner = prelu(inner, state[f"{at}.res_layer.2.weight"])
        inner = conv(inner, state[f"{at}.res_layer.3.weight"], stride)
        maps = norm(inner, state, f"{at}.res_layer.4") + shortcut
    return maps


@pytest.mark.slow
def test_agrees_with_a_computation_in_numpy(embedder: Ir50, weights: Arrays) -> None:
    crop = crops_of(48, 1)
    face = crop[0, 4:44, 4:44].transpose(2, 0, 1) / 127.5 - 1
    state = {key: value.astype(np.float64) for key, value in weights.items()}
    flat = norm(body(face, weights, 1), state, "output_layer.0").ravel()
    linear = state["output_layer.3.weight"] @ flat + state["output_layer.3.bias"]
    wanted = norm(linear, state, "output_layer.4")
    wanted /= np.linalg.norm(wanted)
    assert np.abs(wanted).max() < 0.5, "the reference should not hang on one number"
    np.testing.assert_allclose(embedder.embed(crop)[0], wanted, atol=1e-4 * np.abs(wanted).max())


def test_plain_arcface_halves_the_picture_in_every_stage(arcface: Ir50) -> None:
    weights = {key: value.numpy() for key, value in arcface.network.cpu().state_dict().items()}
    face = np.random.default_rng(0).uniform(-1, 1, (3, 32, 32))
    wanted = body(face, weights, 2)
    assert wanted.shape == (512, 2, 2)
    network = arcface.network
    with torch.inference_mode():
        ours = network.body(network.input_layer(torch.from_numpy(face).float()[None]))[0].numpy()
    network.to(arcface.device)
    np.testing.assert_allclose(ours, wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("side", [40, 112])
def test_keys_and_shapes_are_those_of_the_public_code(side: int) -> None:
    state = Ir50Net(side).state_dict()
    ours = {k: tuple(v.shape) for k, v in state.items() if not k.endswith("num_batches_tracked")}
    assert ours == shapes(side)


def test_they_say_what_they_are(embedder: Ir50, arcface: Ir50, folder: Path) -> None:
    digest = hashlib.sha256((folder / "abaw.pth").read_bytes()).hexdigest()
    assert identity(embedder) == {"name": "ir50", "config": {"batch": 3}, "weights": digest}
    assert (embedder.crop_size, embedder.dim, embedder.appearance) == (48, 512, False)
    assert (arcface.crop_size, arcface.dim, arcface.appearance) == (112, 512, True)
    assert embedder.template == arcface.template == "arcface112"


def test_rows_are_unit_vectors_that_do_not_depend_on_their_neighbours(embedder: Ir50) -> None:
    crops = crops_of(48)
    together = embedder.embed(crops)
    assert together.shape == (5, 512)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(together, embedder.embed(crops))
    alone = np.concatenate([embedder.embed(crop[None]) for crop in crops])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert embedder.embed(crops[:0]).shape == (0, 512)
    for odd in (crops.astype(np.float32), crops_of(112)):
        with pytest.raises(ValueError, match="crops"):
            embedder.embed(odd)


def test_112_pixels_are_seen_whole(arcface: Ir50) -> None:
    crops = crops_of(112, 1)
    row = arcface.embed(crops)
    assert np.linalg.norm(row) == pytest.approx(1, abs=1e-5)
    other = crops.copy()
    other[0, 0, 0] = 255 - other[0, 0, 0]
    assert np.abs(arcface.embed(other) - row).max() > 0


def test_views_show_their_part_of_the_crop(embedder: Ir50) -> None:
    crops = crops_of(48, 1)
    flipped, shifted = (cls(embedder.config) for cls in (Ir50Flip, Ir50Shift))
    mirrored = np.ascontiguousarray(crops[:, :, ::-1])
    np.testing.assert_allclose(flipped.embed(mirrored), embedder.embed(crops), atol=1e-6)
    assert np.abs(flipped.embed(crops) - embedder.embed(crops)).max() > 1e-3
    # Moved by the same amount the other way, the middle shows what the shifted view showed.
    moved = np.roll(crops, (2, -2), axis=(1, 2))
    np.testing.assert_allclose(shifted.embed(crops), embedder.embed(moved), atol=1e-6)
    border = crops.copy()
    border[:, :2], border[:, :, :6], border[:, 42:], border[:, :, 46:] = 0, 0, 0, 0
    np.testing.assert_array_equal(shifted.embed(border), shifted.embed(crops))
    assert {identity(one)["name"] for one in (flipped, shifted)} == {"ir50-flip", "ir50-shift"}


def test_a_view_of_whole_crops_cannot_shift(folder: Path) -> None:
    with pytest.raises(UsageError, match="whole crop of 112"):
        Ir50Shift(Ir50Config(file=str(folder / "arcface.safetensors")))


@pytest.mark.parametrize("prefix", ["", "module.", "module.backbone.", "spatial.visual.backbone."])
def test_prefixes_and_parts_of_the_public_code_are_known(prefix: str, weights: Arrays) -> None:
    start = "module." if prefix.startswith("module.") else ""
    extra = [start + "logits.weight"]
    if prefix.startswith("spatial"):
        extra = ["spatial.visual.logits.weight", "spatial.audio.backbone.features.0.weight"]
        extra += ["temporal.video.network.0.bias", "regressor2.weight"]
    state = {**tensors(weights, prefix), **dict.fromkeys(extra, torch.zeros(1))}
    found = backbone_of(State(Path("a.pth"), state, ""))
    assert list(found) == list(weights)
    assert all(np.array_equal(found[key].numpy(), weights[key]) for key in weights)


def test_a_state_dict_may_lie_under_its_name(tmp_path: Path) -> None:
    torch.save({"epoch": 3, "state_dict": {"a.b": torch.arange(3)}}, tmp_path / "a.pth")
    assert read_state(tmp_path / "a.pth", "ir50").tensors["a.b"].tolist() == [0, 1, 2]


def test_what_does_not_fit_is_named(weights: Arrays, tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    network = Ir50Net(40)

    def refused(state: dict[str, torch.Tensor]) -> str:
        with pytest.raises(UsageError) as error:
            load_strictly(network, backbone_of(State(path, state, "")), path, "ir50")
        message = str(error.value)
        assert message.startswith(f"{path}: weights: not the weights of ir50: ")
        assert "\n" not in message
        return message

    good = tensors(weights, "backbone.")
    gone = ("backbone.body.3.res_layer.1.weight", "backbone.body.5.res_layer.2.weight")
    fewer = {key: value for key, value in good.items() if key not in gone}
    assert "2 keys are missing (body.3.res_layer.1.weight, body.5" in refused(fewer)
    squeezed = {"backbone.body.0.res_layer.5.fc1.weight": torch.zeros(4, 64, 1, 1)}
    assert "1 keys are not known (body.0.res_layer.5.fc1.weight)" in refused(good | squeezed)
    assert "unknown parts such as head.weight" in refused(good | {"head.weight": torch.zeros(3)})
    grey = {"backbone.input_layer.0.weight": torch.zeros(64, 1, 3, 3)}
    assert "has the shape (64, 1, 3, 3), wanted (64, 3, 3, 3)" in refused(good | grey)
    broken = {"backbone.output_layer.3.bias": torch.full((512,), torch.nan)}
    assert "output_layer.3.bias holds numbers that are not finite" in refused(good | broken)
    assert "0 keys end in input_layer.0.weight" in refused({"conv1.weight": torch.zeros(3)})
    wide = {"output_layer.3.weight": torch.zeros(512, 512 * 4 * 4)}
    with pytest.raises(UsageError, match="is 512x8192, wanted 512x12800 or 512x25088"):
        input_side(State(path, wide, ""), wide)


@pytest.mark.parametrize("odd", [[torch.zeros(3)], {"epoch": 3}, {3: torch.zeros(3)}, None])
def test_what_is_no_state_dict_is_said(odd: Any, tmp_path: Path) -> None:
    torch.save(odd, tmp_path / "a.pth")
    with pytest.raises(UsageError, match=r"a\.pth: weights: it holds something else than tensors"):
        Ir50(Ir50Config(file=str(tmp_path / "a.pth")))


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_files_that_are_not_weights_run_nothing(tmp_path: Path, folder: Path) -> None:
    made = tmp_path / "made"
    whole = (folder / "abaw.pth").read_bytes()
    files = {
        "code.pth": pickle.dumps({"backbone.input_layer.0.weight": Payload(made)}, protocol=2),
        "empty.pth": b"",
        "noise.pth": np.random.default_rng(0).bytes(4000),
        "half.pth": whole[: len(whole) // 2],
        "empty.safetensors": b"",
        "noise.safetensors": np.random.default_rng(0).bytes(4000),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UsageError, match=f"{name}: weights: "):
            Ir50(Ir50Config(file=str(tmp_path / name)))
    assert not made.exists()
    torch.save({"a": Payload(made)}, tmp_path / "zip.pth")
    with pytest.raises(UsageError, match="no file of tensors alone") as error:
        Ir50(Ir50Config(file=str(tmp_path / "zip.pth")))
    assert "weights_only" not in str(error.value)
    assert not made.exists()


def test_without_a_file_it_says_which_one_and_how(tmp_path: Path) -> None:
    for cls in (Ir50, Ir50Flip, Ir50Shift):
        with pytest.raises(UsageError, match=r"ABAW3.*--visual-weights FILE"):
            cls()
    with pytest.raises(UsageError, match=r"there is no file .*gone.pth.*--visual-weights FILE"):
        Ir50(Ir50Config(file=str(tmp_path / "gone.pth")))
    with pytest.raises(ValueError, match="batch"):
        Ir50Config(batch=0)
