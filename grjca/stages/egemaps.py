"""Audio embedding ``egemaps``: 88 acoustic functionals by openSMILE.

The extended Geneva minimalistic acoustic parameter set, version v02 (Eyben et al., "The Geneva
Minimalistic Acoustic Parameter Set (GeMAPS) for voice research and affective computing", IEEE
Transactions on Affective Computing 7(2), 2016): statistics of pitch, loudness, voice quality,
spectrum and formants over a window.

It needs the package ``opensmile``, whose licence (audEERING Research License Agreement) allows
non-commercial use only; it is not a part of this package.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from grjca.errors import GrjcaError, UsageError
from grjca.stages.sound_windows import HOP, SoundWindow, WindowEmbedder
from grjca.stages.types import AUDIO_RATE
from grjca.stages.weights import sha256

SUGGESTED_HOP = 0.1
"""Seconds between two windows that keep openSMILE affordable; see ``stages.hopped``. A window
costs 16 ms, so one for each of 25 rows a second takes nearly half of real time."""

LICENCE = "Its licence allows non-commercial use only."

_SHORTEST, _LONGEST = 0.2, 30.0
_LOUDEST = 32767 / 32768


@dataclass(frozen=True)
class EgemapsConfig:
    """How sound is embedded.

    Attributes:
        window: Seconds of sound under one row, centred on its time.
    """

    window: float = 1.0

    def __post_init__(self) -> None:
        if not _SHORTEST <= self.window <= _LONGEST:
            raise ValueError(
                f"window {self.window:g} s: wanted {_SHORTEST:g} to {_LONGEST:g}; the slowest of "
                "the functionals' frames are 60 ms long"
            )


class Egemaps(WindowEmbedder):
    """eGeMAPSv02 functionals of the sound around each row, in openSMILE's own order and units.

    Every window goes through openSMILE on its own, as a file of that length would. Numbers of a
    window without voice are openSMILE's (0 for pitch and formants, -201 for the formants' levels).

    Args:
        config: The window.

    Raises:
        UsageError: The package opensmile is not installed or cannot be loaded.
    """

    name: ClassVar[str] = "egemaps"
    Config: ClassVar[type[Any]] = EgemapsConfig
    summary: ClassVar[str] = (
        "eGeMAPSv02 functionals over 1 s (package opensmile, non-commercial licence)"
    )
    suggested_hop: ClassVar[float] = SUGGESTED_HOP

    def __init__(self, config: EgemapsConfig | None = None) -> None:
        self._config = config or EgemapsConfig()
        length = round(self._config.window * AUDIO_RATE)
        self._window = SoundWindow(length, length // 2)
        opensmile = _opensmile()
        self._smile = opensmile.Smile(
            feature_set=opensmile.FeatureSet.eGeMAPSv02,
            feature_level=opensmile.FeatureLevel.Functionals,
        )
        self._weights = _definition(Path(self._smile.config_path))

    @property
    def config(self) -> EgemapsConfig:
        """The window."""
        return self._config

    @property
    def weights(self) -> str:
        """SHA-256 over openSMILE's files that define the functionals, its version aside."""
        return self._weights

    @property
    def dim(self) -> int:
        """Numbers per row."""
        return 88

    @property
    def window(self) -> SoundWindow:
        """The stretch around a row."""
        return self._window

    @property
    def feature_names(self) -> list[str]:
        """Names of the 88 numbers, openSMILE's."""
        return list(self._smile.feature_names)

    def _rows(self, samples: NDArray[np.float32], first: NDArray[np.int64]) -> NDArray[np.float32]:
        # The package multiplies by 32768 and casts to 16-bit integers: +1.0 would become -32768.
        safe = np.clip(samples, -1.0, _LOUDEST)
        rows = np.empty((len(first), self.dim), dtype=np.float32)
        for row, begin in zip(rows, first * HOP, strict=True):
            window = safe[begin : begin + self._window.length]
            row[:] = self._smile(window, AUDIO_RATE).reshape(self.dim)
        if not np.isfinite(rows).all():
            unhappy = self.feature_names[int(np.argmin(np.isfinite(rows).all(axis=0)))]
            cause = f"openSMILE gave no finite number for {unhappy}"
            raise GrjcaError("audio", self.name, cause, "Choose another audio embedder.")
        return rows


def _opensmile() -> Any:
    remedy = (
        f"Install it with: pip install 'grjca[egemaps]'. {LICENCE} Or choose the audio embedder "
        "logmel, which needs no package."
    )
    if importlib.util.find_spec("opensmile") is None:
        cause = "the package opensmile is not installed"
        raise UsageError("weights", "audio embedder egemaps", cause, remedy)
    try:
        return importlib.import_module("opensmile")
    except (ImportError, OSError) as error:
        cause = f"the package opensmile cannot be loaded: {error}"
        raise UsageError("weights", "audio embedder egemaps", cause, remedy) from error


def _definition(config: Path) -> str:
    """SHA-256 over a feature set's file followed by those it includes, in their order."""
    data = config.read_bytes()
    names = re.findall(rb"^\\\{([^\\{}]+)\}", data, re.MULTILINE)
    parts = [sha256(data), *(_definition(config.parent / name.decode()) for name in names)]
    return sha256("".join(parts).encode())
