from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from grjca.errors import GrjcaError, UsageError
from grjca.stages.catalog import identity
from grjca.stages.onnx import reads_other_files
from grjca.stages.onnx_description import EXAMPLE, read_description
from grjca.stages.onnx_visual import OnnxVisual, OnnxVisualConfig

onnx = pytest.importorskip("onnx")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

SIDE = 8

PLAIN = {
    "size": SIDE,
    "colour": "rgb",
    "scale": 255,
    "mean": 127.5,
    "std": 127.5,
    "template": "face64",
}

MATRIX = np.random.default_rng(0).standard_normal((3 * SIDE * SIDE, 5)).astype(np.float32)


def model(
    shape: tuple[Any, ...] = ("N", 3, SIDE, SIDE),
    kind: int = 1,
    matrix: NDArray[Any] = MATRIX,
    nodes: list[Any] | None = None,
    outputs: tuple[str, ...] = ("embedding",),
    extra: tuple[Any, ...] = (),
) -> Any:
    """Pixels, flattened in the order of the input, times a matrix."""
    own = [
        helper.make_node("Flatten", ["pixels"], ["rows"], axis=1),
        helper.make_node("MatMul", ["rows", "matrix"], ["embedding"]),
    ]
    graph = helper.make_graph(
        own if nodes is None else nodes,
        "test",
        [helper.make_tensor_value_info("pixels", kind, shape)],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        [numpy_helper.from_array(matrix, "matrix"), *extra],
    )
    found = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    found.ir_version = 8
    return found


def write(folder: Path, made: Any, about: Mapping[str, Any] | None, name: str = "net") -> str:
    data = made if isinstance(made, bytes) else made.SerializeToString()
    (folder / f"{name}.onnx").write_bytes(data)
    if about is not None:
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(dict(about)))
    return str(folder / f"{name}.onnx")


def opened(folder: Path, made: Any, about: Mapping[str, Any] | None, **values: Any) -> OnnxVisual:
    return OnnxVisual(OnnxVisualConfig(file=write(folder, made, about), **values))


def crops(count: int = 5, side: int = SIDE) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("colour", ["rgb", "bgr", "grey"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("scale", [1, 255])
def test_agrees_with_a_computation_in_numpy(
    tmp_path: Path, colour: str, layout: str, scale: int
) -> None:
    channels = 1 if colour == "grey" else 3
    mean = [0.2, 0.4, 0.6][:channels] if scale == 1 else [10, 20, 30][:channels]
    std = [0.5, 0.25, 0.125][:channels] if scale == 1 else [60, 50, 40][:channels]
    shape = (channels, SIDE, SIDE) if layout == "nchw" else (SIDE, SIDE, channels)
    about = {**PLAIN, "colour": colour, "layout": layout, "scale": scale, "mean": mean, "std": std}
    matrix = MATRIX[: channels * SIDE * SIDE]
    embedder = opened(tmp_path, model(("N", *shape), matrix=matrix), about, batch=2)
    faces = crops()
    wanted = []
    for face in faces.astype(np.float64):
        planes = {"r": face[..., 0], "g": face[..., 1], "b": face[..., 2]}
        planes["y"] = 0.299 * planes["r"] + 0.587 * planes["g"] + 0.114 * planes["b"]
        named = [planes[c] for c in {"grey": "y"}.get(colour, colour)]
        ready = [(p * scale / 255 - m) / s for p, m, s in zip(named, mean, std, strict=True)]
        stacked = np.stack(ready, axis=0 if layout == "nchw" else -1)
        wanted.append(stacked.ravel() @ matrix)
    rows = embedder.embed(faces)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("fixed", [1, 4])
def test_a_fixed_batch_gives_what_an_open_one_gives(tmp_path: Path, fixed: int) -> None:
    wanted = opened(tmp_path, model(), PLAIN).embed(crops())
    embedder = opened(tmp_path, model((fixed, 3, SIDE, SIDE)), PLAIN, batch=3)
    np.testing.assert_allclose(embedder.embed(crops()), wanted, rtol=1e-5)
    assert embedder.embed(crops(0)).shape == (0, 5)


def test_rows_can_be_normalised(tmp_path: Path) -> None:
    plain = opened(tmp_path, model(), PLAIN).embed(crops())
    rows = opened(tmp_path, model(), {**PLAIN, "normalise": True}).embed(crops())
    np.testing.assert_allclose(
        rows, plain / np.linalg.norm(plain, axis=1, keepdims=True), rtol=1e-5
    )


def test_half_precision_is_taken(tmp_path: Path) -> None:
    about = {**PLAIN, "scale": 1, "mean": 0.5, "std": 0.5}
    wanted = opened(tmp_path, model(), about).embed(crops())
    half = opened(tmp_path, model(kind=10, matrix=MATRIX.astype(np.float16)), about)
    np.testing.assert_allclose(half.embed(crops()), wanted, atol=0.02 * np.abs(wanted).max())


def test_identity_is_the_description_and_the_model_not_the_place(tmp_path: Path) -> None:
    texts = {"licence": "MIT", "source": "made here"}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    a = opened(tmp_path / "a", model(), {**PLAIN, "appearance": True})
    b = opened(tmp_path / "b", model(), {**PLAIN, "appearance": True, **texts})
    assert identity(a) == identity(b)
    assert a.appearance
    assert identity(a)["weights"] == hashlib.sha256(model().SerializeToString()).hexdigest()
    assert identity(a)["name"] == "onnx:net"
    assert "file" not in identity(a)["config"]
    for changed in ({"mean": 127.0}, {"template": "arcface112"}, {"colour": "bgr"}):
        other = opened(tmp_path / "b", model(), {**PLAIN, "appearance": True, **changed})
        assert identity(other)["config"] != identity(a)["config"]


def test_what_a_store_records_builds_it_again_without_the_yaml(tmp_path: Path) -> None:
    about = {**PLAIN, "mean": [1, 2, 3], "normalise": True}
    first = opened(tmp_path, model(), about)
    recorded = yaml.safe_load(yaml.safe_dump(_plain(identity(first)["config"])))
    (tmp_path / "net.yaml").unlink()
    again = OnnxVisual(OnnxVisualConfig(file=str(tmp_path / "net.onnx"), **recorded))
    assert identity(again) == identity(first)
    np.testing.assert_array_equal(again.embed(crops()), first.embed(crops()))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return list(value) if isinstance(value, tuple) else value


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("enet_b0_8", "onnx:enet_b0_8"),
        ("face net (v2)", "onnx:face_net_v2_"),
        ("gesicht-größe.v1", "onnx:gesicht-größe.v1"),
        ("x" * 200, "onnx:" + "x" * 80),
    ],
)
def test_names_are_safe_for_a_store(tmp_path: Path, stem: str, name: str) -> None:
    import h5py

    file = write(tmp_path, model(), PLAIN, stem)
    assert OnnxVisual(OnnxVisualConfig(file=file)).name == name
    with h5py.File(tmp_path / "a.h5", "w") as store:
        store.create_group(f"visual/{name}")
        assert list(store["visual"]) == [name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": None}, "it does not say: size"),
        ({"size": 8.5}, "size must be a whole number"),
        ({"size": 2}, "size must be a whole number, 8 to 1024"),
        ({"colour": "RGB"}, "colour must be rgb or bgr or grey, not 'RGB'"),
        ({"scale": 2}, "scale must be 1 or 255"),
        ({"scale": True}, "scale must be 1 or 255, not True"),
        ({"mean": "0.5"}, "mean must be a number or a list of them, not '0.5'"),
        ({"mean": [0.5, 0.5]}, "mean has 2 numbers for 3 channels"),
        ({"mean": float("nan")}, "mean must be a number"),
        ({"mean": 10**400}, "mean must be a number"),
        ({"std": 0}, "std must be positive"),
        ({"std": [1, 1, -1]}, "std must be positive"),
        ({"template": "face"}, "template must be face64 or arcface112"),
        ({"layout": "chw"}, "layout must be nchw or nhwc"),
        ({"normalise": "yes"}, "normalise must be true or false"),
        ({"appearance": 1}, "appearance must be true or false"),
        ({"output": 3}, "output must be text"),
        ({"licence": 3}, "licence must be text"),
        ({"color": "rgb"}, "unknown key color (known: size, colour"),
    ],
)
def test_each_mistake_in_the_yaml_is_said_in_a_line(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    about = {key: value for key, value in {**PLAIN, **change}.items() if value is not None}
    with pytest.raises(UsageError) as refused:
        opened(tmp_path, model(), about)
    line = str(refused.value)
    assert line.startswith(f"{tmp_path / 'net.yaml'}: visual: ")
    assert message in line
    assert "\n" not in line
    assert EXAMPLE in line


@pytest.mark.parametrize(
    "text", [b"size: [", b"- 1\n", b"", b"\xff\xfe\x00", b"a: !!python/name:os"]
)
def test_what_is_no_description_is_said(tmp_path: Path, text: bytes) -> None:
    file = write(tmp_path, model(), None)
    (tmp_path / "net.yaml").write_bytes(text)
    with pytest.raises(UsageError, match=r"net\.yaml: visual: "):
        OnnxVisual(OnnxVisualConfig(file=file))


def test_a_missing_yaml_is_answered_with_one_to_start_from(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        opened(tmp_path, model(), None)
    line = str(refused.value)
    assert "there is no net.yaml beside it" in line
    (tmp_path / "net.yaml").write_text(line[line.index("{") :])
    assert read_description(tmp_path / "net.onnx").size == 112


def test_without_a_model_it_says_how_to_give_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--visual onnx:FILE"):
        OnnxVisual()
    with pytest.raises(UsageError, match=r"there is no file .*gone.onnx"):
        OnnxVisual(OnnxVisualConfig(file=str(tmp_path / "gone.onnx")))


def test_a_model_that_is_not_what_its_yaml_says_is_refused(tmp_path: Path) -> None:
    def refused(made: Any, **change: Any) -> str:
        with pytest.raises(UsageError) as error:
            opened(tmp_path, made, {**PLAIN, **change})
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "takes tensor(float) ['N', 3, 8, 8], its YAML says floats (N, 3, 16, 16)" in refused(
        model(), size=16
    )
    assert "its YAML says floats (N, 8, 8, 3)" in refused(model(), layout="nhwc")
    assert "its YAML says floats (N, 1, 8, 8)" in refused(model(), colour="grey")
    assert "takes tensor(uint8)" in refused(
        model(kind=2, nodes=[helper.make_node("Identity", ["pixels"], ["embedding"])])
    )
    maps = model(nodes=[helper.make_node("Identity", ["pixels"], ["embedding"])])
    assert "output embedding of 1 crops is float32 (1, 3, 8, 8), wanted floats (N, D)" in refused(
        maps
    )
    two = model(
        nodes=[
            helper.make_node("Flatten", ["pixels"], ["rows"], axis=1),
            helper.make_node("MatMul", ["rows", "matrix"], ["embedding"]),
        ],
        outputs=("embedding", "rows"),
    )
    assert "there are 2 outputs. Say in its YAML which output to take: embedding, rows" in refused(
        two
    )
    assert "there is no output logits" in refused(two, output="logits")
    assert opened(tmp_path, two, {**PLAIN, "output": "rows"}).dim == 3 * SIDE * SIDE
    assert "onnxruntime can run" in refused(
        model(nodes=[helper.make_node("NoSuchThing", ["pixels"], ["embedding"])])
    )
    assert "no ONNX model" in refused(b"\xff" * 100)
    refused(b"")
    refused(b"MZ some other program")


def test_numbers_that_are_not_finite_are_no_features(tmp_path: Path) -> None:
    logs = [
        helper.make_node("Log", ["pixels"], ["logs"]),
        helper.make_node("Flatten", ["logs"], ["embedding"], axis=1),
    ]
    embedder = opened(tmp_path, model(nodes=logs), {**PLAIN, "mean": 0, "std": 1})
    assert np.isfinite(embedder.embed(np.maximum(crops(), 1))).all()
    with pytest.raises(GrjcaError, match="not finite"):
        embedder.embed(np.zeros_like(crops()))
    embedder = opened(tmp_path, model(), {**PLAIN, "mean": 0, "normalise": True})
    with pytest.raises(GrjcaError, match="not finite"):
        embedder.embed(np.zeros_like(crops()))
    with pytest.raises(ValueError, match="crops"):
        embedder.embed(crops(side=9))


def outside(location: str = "secret.bin") -> Any:
    tensor = onnx.TensorProto(name="secret", dims=MATRIX.shape, data_type=1)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return tensor


def nested(tensor: Any) -> Any:
    """A model in whose conditional's branch a constant holds the tensor."""
    constant = helper.make_node("Constant", [], ["chosen"], value=tensor)
    value = helper.make_tensor_value_info("chosen", 1, MATRIX.shape)
    branch = helper.make_graph([constant], "branch", [], [value])
    yes = numpy_helper.from_array(np.array(True), "yes")
    nodes = [
        helper.make_node("If", ["yes"], ["taken"], then_branch=branch, else_branch=branch),
        helper.make_node("Flatten", ["pixels"], ["rows"], axis=1),
        helper.make_node("MatMul", ["rows", "taken"], ["embedding"]),
    ]
    return model(nodes=nodes, extra=(yes,))


def in_a_function(tensor: Any) -> Any:
    constant = helper.make_node("Constant", [], ["y"], value=tensor)
    opset = [helper.make_opsetid("", 17)]
    made = model()
    made.functions.append(helper.make_function("own", "f", [], ["y"], [constant], opset))
    return made


def test_a_model_reads_no_other_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "secret.bin").write_bytes(MATRIX.tobytes())
    monkeypatch.chdir(tmp_path)
    uses = [
        helper.make_node("Flatten", ["pixels"], ["rows"], axis=1),
        helper.make_node("MatMul", ["rows", "secret"], ["embedding"]),
    ]
    inside = numpy_helper.from_array(MATRIX, "secret")
    sparse = onnx.SparseTensorProto(dims=[4], values=outside())
    in_sparse = model()
    in_sparse.graph.sparse_initializer.append(sparse)
    for made in (
        model(nodes=uses, extra=(outside(),)),
        model(nodes=uses, extra=(outside(str(tmp_path / "secret.bin")),)),
        nested(outside()),
        in_a_function(outside()),
        in_sparse,
    ):
        assert reads_other_files(made.SerializeToString())
        with pytest.raises(UsageError, match=r"another file, which is not read.*external_data"):
            opened(tmp_path, made, PLAIN)
    for made in (model(nodes=uses, extra=(inside,)), nested(inside), in_a_function(inside)):
        assert not reads_other_files(made.SerializeToString())
    # A tensor's own name is no reason to refuse it.
    named = model(
        nodes=[helper.make_node("Flatten", ["pixels"], ["location"], axis=1)], outputs=("location",)
    )
    assert opened(tmp_path, named, PLAIN).dim == 3 * SIDE * SIDE


@given(st.binary(max_size=60), st.integers(0, 10**6))
def test_any_bytes_are_refused_or_read_without_a_crash(data: bytes, place: int) -> None:
    whole = bytearray(nested(outside()).SerializeToString())
    at = place % len(whole)
    for candidate in (data, bytes(whole[:at]), bytes(whole[:at]) + data + bytes(whole[at:])):
        with contextlib.suppress(ValueError):
            reads_other_files(candidate)
