from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from grjca.stages.spectrogram import LogMelConfig, log_mel, mel_bank

RNG = np.random.default_rng(0)
SOUND = (0.3 * RNG.standard_normal(16_000)).astype(np.float32)


def plain_log_mel(samples: NDArray[np.float32], config: LogMelConfig) -> NDArray[np.float64]:
    """Frame by frame and band by band in float64, from the formulas."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.window) / config.window)
    edges_mel = np.linspace(
        1127 * np.log(1 + config.low / 700), 1127 * np.log(1 + config.high / 700), config.bands + 2
    )
    bins_mel = [
        1127 * np.log(1 + k * 16_000 / config.fft / 700) for k in range(config.fft // 2 + 1)
    ]
    rows = []
    for begin in range(0, len(samples) - config.window + 1, config.hop):
        frame = samples[begin : begin + config.window].astype(np.float64) * window
        magnitude = np.abs(np.fft.rfft(frame, config.fft))
        row = []
        for band in range(config.bands):
            low, mid, high = edges_mel[band : band + 3]
            total = 0.0
            for k, at in enumerate(bins_mel):
                if k and low < at < high:
                    total += magnitude[k] * min(
                        (at - low) / (mid - low), (high - at) / (high - mid)
                    )
            row.append(np.log(total + config.offset))
        rows.append(row)
    return np.array(rows)


@pytest.mark.parametrize(
    "config",
    [LogMelConfig(), LogMelConfig(window=320, hop=100, fft=1024, bands=20, low=0.0, high=8000.0)],
)
def test_agrees_with_a_plain_computation(config: LogMelConfig) -> None:
    samples = SOUND[:4000]
    expected = plain_log_mel(samples, config)
    got = log_mel(samples, config)
    assert got.shape == expected.shape
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_defaults_are_vggish_front_end() -> None:
    # 0.96 s patches of 96 rows come from 0.975 s of sound.
    assert log_mel(SOUND[: 96 * 160 + 240]).shape == (96, 64)
    bank = mel_bank(LogMelConfig())
    assert bank.shape == (257, 64)
    assert not bank[0].any()
    hertz = np.arange(257) * 31.25
    assert not bank[(hertz <= 125) | (hertz >= 7500)].any()


@pytest.mark.parametrize("hertz", [440.0, 1000.0, 5000.0])
def test_a_tone_is_loudest_in_the_band_around_it(hertz: float) -> None:
    tone = np.sin(2 * np.pi * hertz * np.arange(8000) / 16_000).astype(np.float32)
    edges = np.linspace(1127 * np.log1p(125 / 700), 1127 * np.log1p(7500 / 700), 66)
    nearest = int(np.abs(edges[1:-1] - 1127 * np.log1p(hertz / 700)).argmin())
    assert abs(int(log_mel(tone).mean(axis=0).argmax()) - nearest) <= 1


@settings(max_examples=60, deadline=None)
@given(first=st.integers(0, 60), length=st.integers(0, 6000))
def test_a_piece_on_the_grid_gives_the_rows_of_the_whole(first: int, length: int) -> None:
    whole = log_mel(SOUND)
    piece = log_mel(SOUND[first * 160 : first * 160 + length])
    assert len(piece) <= len(whole) - first
    np.testing.assert_allclose(piece, whole[first : first + len(piece)], atol=1e-5)


def test_blocks_join_seamlessly() -> None:
    long = np.tile(SOUND, 45)
    whole = log_mel(long)
    assert len(whole) == (len(long) - 400) // 160 + 1 > 4096
    np.testing.assert_allclose(whole[4000:4200], log_mel(long[4000 * 160 :])[:200], atol=1e-5)


@pytest.mark.parametrize(("n", "frames"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2)])
def test_number_of_frames(n: int, frames: int) -> None:
    assert log_mel(SOUND[:n]).shape == (frames, 64)


def test_silence_is_the_offset() -> None:
    np.testing.assert_allclose(log_mel(np.zeros(800, np.float32)), np.log(0.01), rtol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": 600},
        {"window": 1},
        {"window": 401},
        {"hop": 0},
        {"bands": 0},
        {"low": -1.0},
        {"high": 9000.0},
        {"low": 7500.0},
        {"offset": 0.0},
        {"offset": float("nan")},
        {"bands": 200},
    ],
)
def test_refuses_settings_that_mean_nothing(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="log-mel"):
        LogMelConfig(**wrong)


def test_refuses_other_samples() -> None:
    with pytest.raises(ValueError, match="samples"):
        log_mel(np.zeros(800))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="samples"):
        log_mel(np.zeros((2, 800), np.float32))
