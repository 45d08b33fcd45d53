"""eGeMAPS rows against openSMILE on files of the same sound, and against what sound they are of."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.io import wavfile
from sound_makers import cut, sound_of, voice

from grjca.errors import GrjcaError, UsageError
from grjca.pipeline.sound import embed_sound
from grjca.stages import catalog
from grjca.stages.egemaps import Egemaps, EgemapsConfig
from grjca.stages.types import AUDIO_RATE

CLIP = sound_of(voice(3.0), pad=AUDIO_RATE)


@pytest.fixture(scope="module")
def embedder() -> Egemaps:
    pytest.importorskip("opensmile", reason="openSMILE (non-commercial) is not installed")
    return Egemaps()


def pulses(hertz: float, level: float, seconds: float = 1.0) -> NDArray[np.float32]:
    t = np.arange(round(seconds * AUDIO_RATE)) / AUDIO_RATE
    wave = sum(np.cos(2 * np.pi * k * hertz * t) for k in range(1, 20)) / 19
    return np.asarray(level * wave, dtype=np.float32)


def one_row(embedder: Egemaps, samples: NDArray[np.float32]) -> dict[str, float]:
    (row,) = embedder.embed(sound_of(samples, pad=AUDIO_RATE), np.array([0.5]))
    return dict(zip(embedder.feature_names, row.tolist(), strict=True))


def test_says_what_it_is(embedder: Egemaps) -> None:
    assert (embedder.name, embedder.dim, len(embedder.feature_names)) == ("egemaps", 88, 88)
    assert len(set(embedder.feature_names)) == 88
    assert catalog.identity(embedder)["config"] == {"window": 1.0}
    assert len(embedder.weights) == 64
    assert Egemaps(EgemapsConfig(window=0.5)).weights == embedder.weights
    assert embedder.context == pytest.approx([0.5 + 81.5 / AUDIO_RATE] * 2)
    assert "non-commercial" in embedder.summary
    assert 0.04 < embedder.suggested_hop <= 0.2
    assert embedder.embed(CLIP, np.empty(0)).shape == (0, 88)


@pytest.mark.parametrize("window", [0.3, 1.0])
def test_a_row_is_what_opensmile_says_of_a_file_of_its_window(
    embedder: Egemaps, tmp_path: Path, window: float
) -> None:
    import opensmile

    which = embedder if window == 1.0 else Egemaps(EgemapsConfig(window=window))
    times = np.array([0.0, 0.734, 1.5])
    got = which.embed(CLIP, times)
    assert got.dtype == np.float32
    smile = opensmile.Smile(
        feature_set="eGeMAPSv02", feature_level=opensmile.FeatureLevel.Functionals
    )
    for time, row in zip(times, got, strict=True):
        begin = int(np.floor(100 * (time - window / 2) + 0.5)) * 160
        piece = cut(CLIP, begin, begin + round(window * AUDIO_RATE)).samples
        file = tmp_path / f"{time}.wav"
        wavfile.write(file, AUDIO_RATE, np.trunc(piece * 32768).astype(np.int16))
        expected = smile.process_file(str(file)).to_numpy()[0]
        np.testing.assert_allclose(row, expected, rtol=1e-5, atol=1e-5)
    assert np.abs(got[0] - got[2]).max() > 1


def test_pitch_and_loudness_are_those_of_the_sound(embedder: Egemaps) -> None:
    for hertz in (120.0, 220.0):
        said = one_row(embedder, pulses(hertz, 0.3))["F0semitoneFrom27.5Hz_sma3nz_amean"]
        assert said == pytest.approx(12 * np.log2(hertz / 27.5), abs=0.2)
    soft, loud = (one_row(embedder, pulses(150, level)) for level in (0.03, 0.3))
    assert loud["loudness_sma3_amean"] > 1.5 * soft["loudness_sma3_amean"]
    gain = loud["equivalentSoundLevel_dBp"] - soft["equivalentSoundLevel_dBp"]
    assert gain == pytest.approx(20, abs=0.3)


def test_full_scale_does_not_wrap_round(embedder: Egemaps) -> None:
    square = np.where(np.arange(AUDIO_RATE) % 100 < 50, 1.0, -1.0).astype(np.float32)
    clipped = np.minimum(square, np.float32(32767 / 32768))
    assert one_row(embedder, square) == one_row(embedder, clipped)
    assert one_row(embedder, 3 * square) == one_row(embedder, clipped)
    level = one_row(embedder, np.ones(AUDIO_RATE, np.float32))["equivalentSoundLevel_dBp"]
    assert level == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("kind", ["zeros", "click", "noise", "half", "dc", "faint"])
@pytest.mark.usefixtures("embedder")
def test_rows_are_finite_whatever_the_sound(kind: str) -> None:
    rng = np.random.default_rng(0)
    samples = {
        "zeros": np.zeros(AUDIO_RATE),
        "click": np.eye(1, AUDIO_RATE, 5000)[0],
        "noise": rng.uniform(-1, 1, AUDIO_RATE),
        "half": np.where(np.arange(AUDIO_RATE) < 8000, 0, rng.standard_normal(AUDIO_RATE)),
        "dc": np.full(AUDIO_RATE, 0.5),
        "faint": rng.uniform(-1, 1, AUDIO_RATE) / 32768,
    }[kind]
    for window in (0.2, 1.0):
        which = Egemaps(EgemapsConfig(window=window))
        (row,) = which.embed(sound_of(samples, pad=AUDIO_RATE), np.array([0.5]))
        assert np.isfinite(row).all()


def test_streamed_rows_are_those_of_the_whole(embedder: Egemaps) -> None:
    times = np.arange(0.1, 2.8, 0.3)
    stream = (cut(CLIP, k * 4000, (k + 1) * 4000) for k in range(12))
    features, valid = zip(*embed_sound(stream, embedder, times), strict=True)
    known = np.concatenate(valid)
    assert known.all()
    np.testing.assert_array_equal(np.concatenate(features), embedder.embed(CLIP, times))


def test_an_answer_that_is_no_number_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opensmile", reason="openSMILE (non-commercial) is not installed")
    broken = Egemaps()
    answer = np.zeros((1, 88, 1), np.float32)
    answer[0, 3] = np.nan
    smile = broken._smile
    monkeypatch.setattr(type(smile), "__call__", lambda *_: answer)
    with pytest.raises(GrjcaError) as caught:
        broken.embed(CLIP, np.array([1.0]))
    assert broken.feature_names[3] in str(caught.value)


def test_a_missing_package_is_named_with_its_licence_and_the_alternative(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError) as caught:
        Egemaps()
    for word in ("opensmile", "grjca[egemaps]", "non-commercial", "logmel"):
        assert word in str(caught.value)


def test_a_package_that_cannot_be_loaded_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> Any:
        raise OSError(f"lib{name}.so: cannot open shared object file")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(importlib, "import_module", fail)
    with pytest.raises(UsageError, match="cannot open shared object file"):
        Egemaps()


@pytest.mark.parametrize("window", [0.0, 0.1, 31.0, float("nan")])
def test_refuses_a_window_that_means_nothing(window: float) -> None:
    with pytest.raises(ValueError, match="window"):
        EgemapsConfig(window=window)
