from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from grjca.errors import UsageError
from grjca.stages import fer
from grjca.stages.catalog import build, component_class, identity
from grjca.stages.faces import align
from grjca.stages.fer import Fer, FerConfig
from grjca.stages.hog import Hog, HogConfig
from grjca.stages.retinaface import RetinaFace

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def embedder() -> Fer:
    found = build("visual", "fer")
    assert isinstance(found, Fer)
    return found


@pytest.fixture(scope="module")
def detector() -> RetinaFace:
    return RetinaFace()


@pytest.fixture(scope="module")
def landmarks(detector: RetinaFace) -> NDArray[np.float32]:
    (found,) = detector.detect(np.asarray(skimage.data.astronaut(), dtype=np.uint8)[None])
    return found.landmarks[0]


def crops_at(points: NDArray[np.float32], shifts: list[tuple[float, float]]) -> NDArray[np.uint8]:
    """The astronaut's face, aligned as if its landmarks had been found elsewhere."""
    frame = np.asarray(skimage.data.astronaut(), dtype=np.uint8)
    return np.stack([align(frame, points + np.float32(shift), "face64", 64) for shift in shifts])


@pytest.fixture(scope="module")
def crops(landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    return np.concatenate((crops_at(landmarks, [(0, 0), (4, 0), (0, -6)]), noise))


@pytest.mark.parametrize("name", ["fer", "hog"])
def test_rows_are_independent_and_repeatable(name: str, crops: NDArray[np.uint8]) -> None:
    component = build("visual", name)
    together = component.embed(crops)
    assert together.shape == (len(crops), component.dim)
    assert together.dtype == np.float32
    assert np.isfinite(together).all()
    np.testing.assert_array_equal(together, component.embed(crops))
    np.testing.assert_array_equal(together, build("visual", name).embed(crops))
    alone = np.concatenate([component.embed(crop[None]) for crop in crops])
    scale = np.abs(together).max()
    np.testing.assert_allclose(together, alone, atol=1e-5 * scale)
    backwards = component.embed(np.ascontiguousarray(crops[::-1]))[::-1]
    np.testing.assert_allclose(together, backwards, atol=1e-5 * scale)
    assert component.embed(crops[:0]).shape == (0, component.dim)
    assert np.linalg.norm(together[0] - together[4]) > 0.1 * np.linalg.norm(together[0])


@pytest.mark.parametrize("name", ["fer", "hog"])
def test_refuses_crops_of_another_kind(name: str) -> None:
    with pytest.raises(ValueError, match="crops"):
        build("visual", name).embed(np.zeros((2, 48, 48, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="crops"):
        build("visual", name).embed(np.zeros((2, 64, 64, 3), dtype=np.float32))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("fer", {"views": 2}),
        ("fer", {"batch": 0}),
        ("hog", {"orientations": 0}),
        ("hog", {"pixels_per_cell": 7}),
        ("hog", {"cells_per_block": 9}),
    ],
)
def test_refuses_values_out_of_range(name: str, values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(values))):
        component_class("visual", name).Config(**values)


def test_they_say_what_decides_their_output(embedder: Fer) -> None:
    assert identity(embedder) == {
        "name": "fer",
        "config": {"views": 9, "batch": 8},
        "weights": fer.WEIGHTS_SHA256,
    }
    assert identity(Hog())["weights"] is None


def test_the_batch_size_does_not_matter(embedder: Fer, crops: NDArray[np.uint8]) -> None:
    other = Fer(FerConfig(batch=3)).embed(crops)
    np.testing.assert_allclose(embedder.embed(crops), other, atol=1e-5 * other.max())


def test_the_network_agrees_with_a_computation_in_numpy(embedder: Fer) -> None:
    # As they are in the package: the embedder has put the batch norms into the convolutions.
    state = {k: v.double().numpy() for k, v in fer.packaged_state().items()}
    faces = np.random.default_rng(0).uniform(-1, 1, (2, 1, 48, 48))
    maps = faces
    for layer, stride in (("conv_1", 1), ("conv_2", 2), ("conv_3", 2), ("conv_4", 2)):
        padded = np.pad(maps, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
        windows = sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::stride, ::stride]
        kernel = state[f"{layer}.1.weight"]
        maps = np.einsum("nchwij,ocij->nohw", windows, kernel, optimize=True)
        maps += state[f"{layer}.1.bias"][:, None, None]
        mean, var = state[f"{layer}.2.running_mean"], state[f"{layer}.2.running_var"]
        gain = state[f"{layer}.2.weight"] / np.sqrt(var + 1e-5)
        maps = (maps - mean[:, None, None]) * gain[:, None, None]
        maps = np.maximum(maps + state[f"{layer}.2.bias"][:, None, None], 0)
    linear = maps.reshape(2, -1) @ state["linear.0.weight"].T + state["linear.0.bias"]
    wanted = np.maximum(linear, 0)
    with torch.inference_mode():
        ours = embedder.network(torch.from_numpy(faces).float().to(embedder.device)).cpu().numpy()
    assert np.linalg.norm(ours - wanted) < 1e-4 * np.linalg.norm(wanted)


def test_views_show_the_places_they_should(embedder: Fer) -> None:
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None, None] * 4, (64, 64, 3))
    across_and_down = np.stack((ramp.transpose(1, 0, 2), ramp))
    with torch.inference_mode():
        views = embedder.views(torch.from_numpy(across_and_down).to(embedder.device))
    # Undo the scaling of grey values; pixel k of the crop has the value 4 k and its centre there.
    place = (views.cpu().numpy() + 1) / 2 * 255 / 4 + 0.5
    ends = place[0, :, 24, :]
    width = (ends[:, -1] - ends[:, 0]) * 48 / 47
    middle = (ends[:, -1] + ends[:, 0]) / 2
    np.testing.assert_allclose(width[4] / 64, 0.875, atol=0.005)
    np.testing.assert_allclose(middle[4], 32, atol=0.05)
    np.testing.assert_allclose(np.sort(width / width[4]), np.repeat((0.95, 1, 1.05), 3), atol=0.006)
    shifts = np.repeat((-0.04, 0, 0.04), 3) * 56
    np.testing.assert_allclose(np.sort(middle - 32), shifts, atol=0.1)
    down = place[1, :, :, 24]
    np.testing.assert_allclose((down[:, -1] + down[:, 0]).mean() / 2, 32, atol=0.05)
    assert len({tuple(np.round((a, b), 1)) for a, b in zip(middle, down[:, 24], strict=True)}) == 9


def test_grey_is_what_opencv_takes_for_grey(crops: NDArray[np.uint8]) -> None:
    single = Fer(FerConfig(views=1))
    grey = np.stack([cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in crops])
    with torch.inference_mode():
        coloured = single.views(torch.from_numpy(crops).to(single.device))
        plain = single.views(
            torch.from_numpy(np.repeat(grey[..., None], 3, axis=3)).to(single.device)
        )
    assert (coloured - plain).abs().max() < 1.01 / 127.5


def test_nine_views_move_less_than_one_when_the_face_shifts(
    embedder: Fer, landmarks: NDArray[np.float32]
) -> None:
    away = 0.03 * np.linalg.norm(landmarks[0] - landmarks[1]) / 0.31
    shifted = crops_at(landmarks, [(0, 0), (away, 0), (-away, 0), (0, away), (0, -away)])

    def movement(component: Fer) -> float:
        rows = component.embed(shifted)
        moved = np.linalg.norm(rows[1:] - rows[0], axis=1)
        return float(moved.mean() / np.linalg.norm(rows[0]))

    assert movement(embedder) < 0.7 * movement(Fer(FerConfig(views=1)))


def test_a_missing_package_is_named_and_so_is_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    with pytest.raises(UsageError, match=r"facial-emotion-recognition.*hog"):
        build("visual", "fer")
    assert build("visual", "hog").dim == 1568


def test_other_weights_are_refused_with_both_digests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "model.pkl"
    other.write_bytes(b"something else")
    monkeypatch.setattr(fer, "packaged_file", lambda *_: other)
    with pytest.raises(UsageError) as refused:
        Fer()
    assert fer.sha256(b"something else") in str(refused.value)
    assert fer.WEIGHTS_SHA256 in str(refused.value)


@pytest.mark.parametrize(
    ("config", "dim"),
    [(HogConfig(), 7 * 7 * 4 * 8), (HogConfig(9, 16, 2), 3 * 3 * 4 * 9), (HogConfig(8, 8, 1), 512)],
)
def test_hog_has_the_numbers_it_says(config: HogConfig, dim: int, crops: NDArray[np.uint8]) -> None:
    embedder = Hog(config)
    assert embedder.dim == dim
    assert embedder.embed(crops).shape == (len(crops), dim)


def test_hog_tells_directions_apart_and_forgets_the_light(crops: NDArray[np.uint8]) -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, ::8] = 255
    upright, lying = Hog(HogConfig(2)).embed(np.stack((stripes, stripes.transpose(1, 0, 2))))
    bins = upright.reshape(-1, 2).sum(axis=0), lying.reshape(-1, 2).sum(axis=0)
    assert bins[0].argmax() != bins[1].argmax()

    dim = (crops[:1] * 0.6 + 30).astype(np.uint8)
    bright, dark = Hog().embed(np.concatenate((crops[:1], dim)))
    assert np.linalg.norm(bright - dark) < 0.1 * np.linalg.norm(bright)
    assert (Hog().embed(np.full((1, 64, 64, 3), 9, dtype=np.uint8)) == 0).all()


@pytest.mark.parametrize(
    ("name", "emotion"),
    [
        ("av/01-01-01-01-01-01-01.mp4", "neutral"),
        ("av/M030_level_3_angry_016.mp4", "angry"),
        ("av/W036_level_3_happy_007.mp4", "happy"),
        ("video_only/eamm_mead_happy.mp4", "happy"),
        ("video_only/styletalk_furious_talk1_clip1.mp4", "angry"),
        ("video_only/styletalk_happyenglish_clip1.mp4", "happy"),
        ("video_only/styletalk_sad_emotion_clip1.mp4", "sad"),
        ("video_only/styletalk_vscodehappy_clip1.mp4", "happy"),
    ],
)
def test_the_template_suits_the_network(
    embedder: Fer, detector: RetinaFace, media: Path, name: str, emotion: str
) -> None:
    clip = cv2.VideoCapture(str(media / name))
    frames = []
    for row in range(76):
        ok, frame = clip.read()
        if ok and row % 5 == 0:
            frames.append(np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8))
    faces = detector.detect(np.stack(frames))
    crops = np.stack(
        [align(f, d.landmarks[0], "face64", 64) for f, d in zip(frames, faces, strict=True)]
    )
    with torch.inference_mode():
        hidden = torch.from_numpy(embedder.embed(crops)).to(embedder.device)
        answer = embedder.network.linear[2](hidden).sigmoid().mean(dim=0)
    assert EMOTIONS[int(answer.argmax())] == emotion
