"""A voice-like sound by source and filter: a buzzing glottis, breath, formants of changing vowels.

After the source-filter model of speech production (G. Fant, Acoustic Theory of Speech Production,
1960). It babbles syllables and says nothing; pitch, loudness, rate, tilt, formants and breath
follow the valence and arousal that it is given.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from demo.curves import Span, Split, Trait, presence

RATE = 16_000
"""Samples per second."""

NOISES = ("street", "silence")
"""Ways the voice is lost: drowned in noise, or a microphone that is off."""

NOISE_RAMP = 0.02
"""Seconds that losing the voice and getting it back take."""

CONTROL_RATE = 100
"""Values per second of the curves that steer the voice."""

FRAME, HOP = 512, 128
"""Samples of the filter's analysis window and its step."""

VOWELS = np.array(
    [[730, 1090, 2440], [530, 1840, 2480], [390, 1990, 2550], [570, 840, 2410], [440, 1020, 2240]],
    dtype=np.float64,
)
"""Hz of the first three formants of five vowels: Peterson and Barney, JASA 24, 1952, table II."""

BANDWIDTHS = np.array([120.0, 160.0, 240.0])
"""Hz of the formants' widths."""

SMILE_DB = 9.0
"""dB by which full valence lifts the smile's band."""

TRAITS: dict[str, Trait] = {
    "pitch": Trait(((95.0, 130.0), (165.0, 205.0)), ((135.0, 160.0), (208.0, 230.0))),
    "formants": Trait(((0.90, 0.97), (1.06, 1.14)), ((0.99, 1.04), (1.15, 1.19))),
    "vibrato_rate": Trait(((4.0, 4.8), (5.6, 6.4)), ((4.9, 5.5), (6.5, 7.0))),
    "vibrato_depth": Trait(((0.05, 0.15), (0.30, 0.45)), ((0.17, 0.28), (0.46, 0.55))),
    "tilt": Trait(((-3.0, -1.0), (1.0, 3.0)), ((-0.8, 0.8), (3.1, 4.0))),
    "level": Trait(((-3.0, -1.0), (1.0, 3.0)), ((-0.8, 0.8), (-4.0, -3.1))),
    "pace": Trait(((0.88, 0.96), (1.04, 1.12)), ((0.97, 1.03), (1.13, 1.18))),
}
"""Intervals of a persona's voice: pitch in Hz; scale of the formants; vibrato in Hz and in
semitones; tilt in dB at 2 kHz; level in dB; scale of the syllable rate."""


@dataclass(frozen=True)
class VoiceStyle:
    """A persona's voice and microphone; units as in ``TRAITS``."""

    pitch: float
    formants: float
    vibrato_rate: float
    vibrato_depth: float
    tilt: float
    level: float
    pace: float

    @classmethod
    def draw(cls, rng: np.random.Generator, split: Split) -> VoiceStyle:
        """A persona of the training or of the unseen clips."""
        return cls(**{f.name: TRAITS[f.name].draw(rng, split) for f in fields(cls)})


@dataclass(frozen=True)
class Syllables:
    """The syllables of a clip on the control grid, 100 values per second.

    Attributes:
        number: (n,) int64, which syllable is being spoken.
        place: (n,) float64 in [0, 1), how far it has come.
        opening: (n,) float64 in [0, 1], how far it opens the mouth.
        valence: (n,) float64 in [-1, 1], as the voice shows it.
        arousal: (n,) float64 in [-1, 1], as the voice shows it.
    """

    number: NDArray[np.int64]
    place: NDArray[np.float64]
    opening: NDArray[np.float64]
    valence: NDArray[np.float64]
    arousal: NDArray[np.float64]


def speak(
    style: VoiceStyle, valence: NDArray[np.float64], arousal: NDArray[np.float64], fps: float
) -> Syllables:
    """Lay out the syllables: 2.4 to 6 a second as arousal rises.

    Args:
        style: The persona's voice.
        valence: (T,) float64 in [-1, 1], one value per video frame.
        arousal: (T,) float64 in [-1, 1], one value per video frame.
        fps: Frames per second.
    """
    control = np.arange(round(len(arousal) / fps * CONTROL_RATE)) / CONTROL_RATE
    frames = np.arange(len(arousal)) / fps
    pleasure = np.interp(control, frames, valence)
    excitement = np.interp(control, frames, arousal)
    beats = np.cumsum(style.pace * 3.8 * 1.58**excitement) / CONTROL_RATE
    number, place = np.floor(beats).astype(np.int64), beats % 1.0
    return Syllables(number, place, np.sin(np.pi * place) ** 2, pleasure, excitement)


def glottis(
    style: VoiceStyle, said: Syllables, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Buzz and breath at 16 kHz, both of about unit power.

    Pitch rises by up to seven semitones with arousal; within a syllable it rises when valence is
    positive and falls when it is negative.
    """
    glide = 3.5 * said.valence * (said.place - 0.5)
    accent = rng.normal(0.0, 0.7, int(said.number.max()) + 1)[said.number]
    semitones = 5.5 * said.arousal + glide + accent
    time = np.arange(len(said.place) * (RATE // CONTROL_RATE)) / RATE
    bend = np.interp(time, np.arange(len(semitones)) / CONTROL_RATE, semitones)
    bend += style.vibrato_depth * np.sin(2 * np.pi * style.vibrato_rate * time)
    phase = np.cumsum(style.pitch * 2.0 ** (bend / 12.0)) / RATE
    pulse = np.exp(3.0 * np.cos(2 * np.pi * phase)) + 0.4 * (phase % 1.0)
    buzz = signal.lfilter([1.0, -0.97], [1.0], pulse - pulse.mean())
    return buzz / buzz.std(), rng.standard_normal(len(buzz))


def vocal_tract(
    style: VoiceStyle, said: Syllables, rng: np.random.Generator, frequency: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Gain of the vocal tract: (bins, n) for ``frequency`` (bins,) in Hz and n control values.

    Each formant is a second-order resonance. Valence spreads the lips (higher first and second
    formant); arousal lifts the upper spectrum.
    """
    vowel = VOWELS[rng.integers(len(VOWELS), size=int(said.number.max()) + 1)][said.number]
    centre = vowel * style.formants * (1.0 + np.array([0.16, 0.20, 0.06]) * said.valence[:, None])
    smoother = np.hanning(9) / np.hanning(9).sum()
    gain = np.ones((len(frequency), len(said.place)))
    for f0, width in zip(centre.T, BANDWIDTHS, strict=True):
        smooth = np.convolve(np.pad(f0, 4, mode="edge"), smoother, mode="valid")
        ratio = frequency[:, None] / smooth
        gain /= np.sqrt((1.0 - ratio**2) ** 2 + (ratio * width / smooth) ** 2)
    octaves = np.log2(np.maximum(frequency, 60.0) / 500.0)[:, None]
    decibels = (-4.0 + 3.0 * said.arousal + style.tilt / 2.0) * octaves
    decibels += SMILE_DB * said.valence * smile_band(frequency / style.formants)[:, None]
    tilted: NDArray[np.float64] = gain * 10.0 ** (decibels / 20.0)
    return tilted


def smile_band(frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where a smile brightens a voice (about 2.8 kHz, 1) and where it thins it (350 Hz, -1)."""
    octave = np.log2(np.maximum(frequency, 60.0))
    bright = np.exp(-0.5 * ((octave - np.log2(2800.0)) / 0.35) ** 2)
    dull = np.exp(-0.5 * ((octave - np.log2(350.0)) / 0.35) ** 2)
    band: NDArray[np.float64] = bright - dull
    return band


def voice(
    style: VoiceStyle, said: Syllables, lost: list[Span], rng: np.random.Generator
) -> NDArray[np.float32]:
    """The sound of one clip.

    Args:
        style: The persona's voice.
        said: What ``speak`` laid out.
        lost: When there is no voice to hear; ``kind`` is one of ``NOISES``.
        rng: Source of randomness.

    Returns:
        (n,) float32 in [-1, 1] at 16 kHz.
    """
    buzz, breath = glottis(style, said, rng)
    transform = signal.ShortTimeFFT(signal.windows.hann(FRAME, sym=False), HOP, RATE)
    spectra = [transform.stft(source) for source in (buzz, breath)]
    at = transform.t(len(buzz))
    grid = np.arange(len(said.place)) / CONTROL_RATE
    nearest = np.clip(np.rint(at * CONTROL_RATE).astype(np.int64), 0, len(grid) - 1)
    airy = np.clip(0.30 - 0.28 * said.valence, 0.02, 0.6)[nearest]
    tract = vocal_tract(style, said, rng, transform.f)[:, nearest]
    mixed = (spectra[0] * (1.0 - airy) + 0.5 * spectra[1] * airy) * tract
    sound = transform.istft(mixed, k1=len(buzz)).real
    time = np.arange(len(sound)) / RATE
    loud = 10.0 ** ((6.0 * said.arousal + style.level) / 20.0) * (0.12 + 0.88 * said.opening)
    sound *= 0.055 * np.interp(time, grid, loud) / np.sqrt(np.mean(sound**2))
    for kind in NOISES:
        level = presence([span for span in lost if span.kind == kind], time, NOISE_RAMP)
        sound = sound * (1.0 - level) + (level * street(rng, len(sound)) if kind == "street" else 0)
    return np.asarray(np.clip(sound, -1.0, 1.0), np.float32)


def street(rng: np.random.Generator, samples: int) -> NDArray[np.float64]:
    """Noise that swells and fades like passing cars, of about a voice's loudness."""
    rumble = signal.lfilter([1.0], [1.0, -0.9], rng.standard_normal(samples))
    knots = rng.uniform(0.4, 1.0, max(2, samples // RATE + 2))
    swell = np.interp(np.arange(samples), np.arange(len(knots)) * RATE, knots)
    noise: NDArray[np.float64] = 0.07 * swell * rumble / rumble.std()
    return noise
