"""VGGish against the formulas in NumPy: sound in, embedding out, with random weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from sound_makers import cut, sound_of, voice

from grjca.errors import UsageError
from grjca.pipeline.sound import embed_sound
from grjca.stages import catalog
from grjca.stages import vggish as module
from grjca.stages.sound_windows import sound_valid
from grjca.stages.spectrogram import LogMelConfig
from grjca.stages.types import AUDIO_RATE
from grjca.stages.vggish import PATCH_FRAMES, Vggish, VggishConfig, VggishNet

KEYS: dict[str, list[int]] = json.loads(
    (Path(__file__).parent / "data" / "vggish_keys.json").read_text()
)
SAMPLES = voice(2.5) + 0.05 * voice(2.5, seed=1)[::-1]
CLIP = sound_of(SAMPLES, pad=AUDIO_RATE)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Weights that keep the signal's size through the layers, of 16 bits to halve the file."""
    generator = torch.Generator().manual_seed(0)
    made = {}
    for key, shape in KEYS.items():
        inputs = int(np.prod(shape[1:])) if len(shape) > 1 else 100
        made[key] = (torch.randn(shape, generator=generator) * (2 / inputs) ** 0.5).half()
    return made


@pytest.fixture(scope="module")
def weights(
    tmp_path_factory: pytest.TempPathFactory, state: dict[str, torch.Tensor]
) -> Iterator[Path]:
    file = tmp_path_factory.mktemp("vggish") / "weights.pth"
    torch.save(state, file)
    yield file
    file.unlink()


@pytest.fixture(scope="module")
def embedder(weights: Path) -> Vggish:
    return Vggish(VggishConfig(file=str(weights)))


@pytest.fixture(scope="module")
def centred(weights: Path) -> Vggish:
    return Vggish(VggishConfig(file=str(weights), align="centre", batch=3))


def plain_patch(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """(15600,) samples to the (96, 64) log-mel of the published parameters, in float64."""
    assert len(samples) == 15_600
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = np.stack([samples[k * 160 : k * 160 + 400] for k in range(96)]).astype(np.float64)
    magnitude = np.abs(np.fft.rfft(frames * hann, 512))

    def mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1127.0 * np.log(1 + hertz / 700.0)

    edges = np.linspace(mel(np.array(125.0)), mel(np.array(7500.0)), 66)
    bins = mel(np.arange(257) * 16_000 / 512)
    bank = np.zeros((257, 64))
    for band in range(64):
        low, mid, high = edges[band : band + 3]
        up, down = (bins - low) / (mid - low), (high - bins) / (high - mid)
        bank[:, band] = np.maximum(0, np.minimum(up, down))
    bank[0] = 0
    return np.asarray(np.log(magnitude @ bank + 0.01))


def plain_forward(
    patch: NDArray[np.float64], state: dict[str, torch.Tensor]
) -> NDArray[np.float64]:
    """One (96, 64) patch to (128,), from the layers' definitions in float64."""
    value = {key: tensor.double().numpy() for key, tensor in state.items()}
    maps = patch[None]
    for layer, pooled in [(0, 1), (3, 1), (6, 0), (8, 1), (11, 0), (13, 1)]:
        weight, bias = value[f"features.{layer}.weight"], value[f"features.{layer}.bias"]
        padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
        stack = np.stack(
            [
                padded[:, i : i + maps.shape[1], j : j + maps.shape[2]]
                for i in range(3)
                for j in range(3)
            ],
            axis=1,
        )
        kernel = weight.reshape(len(weight), weight.shape[1], 9)
        maps = np.maximum(0, np.tensordot(kernel, stack, axes=2) + bias[:, None, None])
        if pooled:
            channels, height, width = maps.shape
            maps = maps.reshape(channels, height // 2, 2, width // 2, 2).max(axis=(2, 4))
    assert maps.shape == (512, 6, 4)
    x = np.array([maps[c, t, m] for t in range(6) for m in range(4) for c in range(512)])
    for layer in (0, 2, 4):
        x = value[f"embeddings.{layer}.weight"] @ x + value[f"embeddings.{layer}.bias"]
        if layer != 4:
            x = np.maximum(0, x)
    return np.asarray(x)


def test_the_network_has_torchvggishs_keys_and_shapes() -> None:
    with torch.device("meta"):
        network = VggishNet()
    assert {key: list(value.shape) for key, value in network.state_dict().items()} == KEYS


@pytest.mark.parametrize("align", ["start", "centre"])
def test_a_row_is_the_plain_computation_on_its_patch(
    embedder: Vggish, centred: Vggish, state: dict[str, torch.Tensor], align: str
) -> None:
    which = {"start": embedder, "centre": centred}[align]
    times = np.array([0.0, 0.5166, 1.2])
    got = which.embed(CLIP, times)
    assert got.shape == (3, 128)
    assert got.dtype == np.float32
    for time, row in zip(times, got, strict=True):
        # MODEL: rows round(100 t) on of the log-mel; or as many hops before as are half a patch.
        frame = round(100 * time) if align == "start" else int(np.floor(100 * time - 48.75 + 0.5))
        patch = plain_patch(cut(CLIP, 160 * frame, 160 * frame + 15_600).samples)
        expected = plain_forward(patch, state)
        assert np.abs(expected).max() > 0.5
        assert (expected < 0).any()
        np.testing.assert_allclose(row, expected, atol=2e-4)
    assert np.abs(got[0] - got[1]).max() > 0.1


def test_says_what_it_is(embedder: Vggish, centred: Vggish, weights: Path) -> None:
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (embedder.name, embedder.dim, embedder.weights) == ("vggish", 128, digest)
    identity = catalog.identity(embedder)
    assert identity["config"] == {"align": "start", "batch": 16}
    assert identity["weights"] == digest
    assert catalog.identity(centred)["config"]["align"] == "centre"
    margin = 81.5 / AUDIO_RATE
    assert embedder.context == pytest.approx((margin, 0.975 + margin))
    assert centred.context == pytest.approx((0.4875 + margin, 0.4875 + margin))
    assert embedder.embed(CLIP, np.empty(0)).shape == (0, 128)


@pytest.mark.parametrize("at", [1, 5, 9])
def test_pieces_with_just_the_context_give_the_whole(
    embedder: Vggish, centred: Vggish, at: int
) -> None:
    times = np.cumsum([0.02, 0.04, 0.04, 0.033, 0.2, 0.007, 0.1, 0.04, 0.3, 0.05])
    for which in (embedder, centred):
        whole = which.embed(CLIP, times)
        for part in (slice(0, at), slice(at, None)):
            begin = int(np.floor((times[part][0] - which.context[0]) * AUDIO_RATE))
            end = int(np.ceil((times[part][-1] + which.context[1]) * AUDIO_RATE))
            piece = which.embed(cut(CLIP, begin, end), times[part])
            np.testing.assert_allclose(piece, whole[part], atol=1e-4)
        with pytest.raises(ValueError, match="sound covers"):
            which.embed(cut(CLIP, 0, 8000), times)


def test_mel_is_computed_once_for_all_rows(
    embedder: Vggish, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []
    original = module.log_mel

    def spy(samples: NDArray[np.float32], config: LogMelConfig) -> NDArray[np.float32]:
        lengths.append(len(samples))
        return original(samples, config)

    monkeypatch.setattr(module, "log_mel", spy)
    embedder.embed(CLIP, np.arange(20) / 25)
    assert lengths == [round(0.76 * AUDIO_RATE) + 15_600]


def test_the_end_of_the_sound_is_masked_where_half_the_patch_lies_beyond(embedder: Vggish) -> None:
    tail = cut(CLIP, CLIP.start, round(2.5 * AUDIO_RATE))
    times = np.arange(1.6, 2.5, 0.1)
    features, valid = zip(*embed_sound(iter([tail]), embedder, times), strict=True)
    rows, known = np.concatenate(features), np.concatenate(valid)
    assert known.tolist() == [bool(t < 2.5 - 0.4875 + 0.005) for t in times]
    assert np.isfinite(rows[known]).all()
    assert np.isnan(rows[~known]).all()
    np.testing.assert_array_equal(known, sound_valid(CLIP, times, embedder.context))


@pytest.mark.parametrize("name", ["with-pca.safetensors", "prefixed.pth"])
def test_the_files_that_are_in_use_load(
    state: dict[str, torch.Tensor], tmp_path: Path, name: str
) -> None:
    file = tmp_path / name
    if name.startswith("with-pca"):
        pca = {"pproc.pca_matrix": torch.eye(128), "pproc.pca_means": torch.zeros(128, 1)}
        save_file(state | pca, file)
    else:
        torch.save({f"backbone.{key}": value for key, value in state.items()}, file)
    loaded = Vggish(VggishConfig(file=str(file)))
    file.unlink()
    for key, value in loaded.network.state_dict().items():
        torch.testing.assert_close(value, state[key].float(), rtol=0, atol=0)


def without_storage() -> dict[str, torch.Tensor]:
    """All keys and shapes, in a file of a few kB."""
    return {key: torch.zeros(1).expand(shape) for key, shape in KEYS.items()}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"embeddings.4.bias": None}, "embeddings.4.bias"),
        ({"embeddings.5.bias": torch.zeros(128)}, "embeddings.5.bias"),
        ({"pproc.something": torch.zeros(1)}, "pproc.something"),
        ({"features.0.weight": torch.zeros(64, 3, 3, 3)}, "features.0.weight"),
        ({"features.0.bias": torch.full((64,), torch.nan)}, "features.0.bias"),
        (dict.fromkeys(KEYS), "missing"),
    ],
)
def test_other_weights_are_refused(
    tmp_path: Path, change: dict[str, torch.Tensor | None], said: str
) -> None:
    file = tmp_path / "other.pth"
    state = without_storage() | change
    torch.save({key: value for key, value in state.items() if value is not None}, file)
    with pytest.raises(UsageError) as caught:
        Vggish(VggishConfig(file=str(file)))
    line = str(caught.value)
    assert said in line
    assert str(file) in line
    assert "\n" not in line


def test_no_weights_names_the_file_and_the_option() -> None:
    with pytest.raises(UsageError) as caught:
        Vggish()
    for word in ("vggish", "--audio-weights FILE", "torchvggish", "logmel"):
        assert word in str(caught.value)
    with pytest.raises(UsageError, match="nowhere"):
        Vggish(VggishConfig(file="nowhere.pth"))


@pytest.mark.parametrize("wrong", [{"align": "end"}, {"batch": 0}])
def test_refuses_settings_that_mean_nothing(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        VggishConfig(**wrong)  # type: ignore[arg-type]


def test_a_patch_is_what_the_paper_says() -> None:
    assert pytest.approx(0.96) == PATCH_FRAMES * 0.01
