"""Everything that decides the shape and behaviour of a fusion model, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

FUSIONS = ("concat", "ca", "jca", "rjca", "grjca", "hgrjca")
"""Concatenation; cross-attention; joint cross-attention once, recursively, recursively with a gate
per modality, recursively with a gate at every iteration and one across their outputs."""

OUTPUTS = ("valence", "arousal")
TEMPORAL = ("tcn", "none")
TIME_MIXES = ("none", "dense")
HEADS = ("joint", "separate")
LINEAR = ("none", "ridge")


@dataclass(frozen=True)
class FusionConfig:
    """Configuration of a ``FusionModel``; the defaults are the paper's (arXiv 2503.12261).

    Lists are taken where tuples are declared, so that ``FusionConfig(**json.loads(text))`` gives
    back what ``dataclasses.asdict`` and JSON made of one.

    Attributes:
        visual_dim: Numbers per visual embedding.
        audio_dim: Numbers per audio embedding.
        fusion: One of ``FUSIONS``.
        outputs: What is predicted, in this order: one or both of ``OUTPUTS``.
        temporal: ``tcn`` for the causal convolutions, ``none`` for one linear layer per frame
            whose width is the last of the channels.
        visual_channels: Width of each block of the visual encoder.
        audio_channels: Width of each block of the audio encoder.
        kernel: Taps of each convolution.
        temporal_dropout: Share dropped after each convolution in training.
        iterations: L, how often ``rjca``, ``grjca`` and ``hgrjca`` attend; ``ca`` and ``jca``
            attend once whatever it says.
        temperature: tau of the softmax in the gates and in ``ca``.
        attention_dropout: Share dropped from the correlations (but for ``ca``, which has a
            softmax there) and from the attended features.
        time_mix: ``none`` (any length) or ``dense`` (a window x window matrix along time), for the
            joint attention.
        window: Frames per window: the length a dense time-mix is tied to, and the reference
            length that the correlations are scaled to without one.
        head: ``joint`` for one model with all outputs, ``separate`` for a model of its own, from
            the encoders on, for each of them.
        head_hidden: Width of the head's hidden layer.
        modality_dropout: Probability, per clip and modality in training, that the modality is
            treated as missing; never both at once.
        linear: ``ridge`` for a linear path from a row's embeddings past encoders and fusion to the
            prediction, which training starts as ridge regression (``grjca.fusion.linear``);
            ``none`` is the paper's.

    Raises:
        ValueError: A value is out of its range; the message names it.
    """

    visual_dim: int
    audio_dim: int
    fusion: str = "grjca"
    outputs: tuple[str, ...] = OUTPUTS
    temporal: str = "tcn"
    visual_channels: tuple[int, ...] = (512, 512, 256, 256)
    audio_channels: tuple[int, ...] = (128, 128, 128, 128)
    kernel: int = 5
    temporal_dropout: float = 0.1
    iterations: int = 2
    temperature: float = 0.1
    attention_dropout: float = 0.6
    time_mix: str = "none"
    window: int = 300
    head: str = "joint"
    head_hidden: int = 256
    modality_dropout: float = 0.0
    linear: str = "none"

    def __post_init__(self) -> None:
        for name in ("outputs", "visual_channels", "audio_channels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, known in (
            ("fusion", FUSIONS),
            ("temporal", TEMPORAL),
            ("time_mix", TIME_MIXES),
            ("head", HEADS),
            ("linear", LINEAR),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {known}, got {getattr(self, name)!r}")
        unique = set(self.outputs)
        if not unique or not unique <= set(OUTPUTS) or len(unique) != len(self.outputs):
            raise ValueError(f"outputs must be one or both of {OUTPUTS}, got {self.outputs}")
        for name in ("visual_dim", "audio_dim", "kernel", "iterations", "window", "head_hidden"):
            _check_counts(name, (getattr(self, name),))
        for name in ("visual_channels", "audio_channels"):
            _check_counts(name, getattr(self, name))
        for name in ("temporal_dropout", "attention_dropout", "modality_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if not 0.0 < self.temperature < float("inf"):
            raise ValueError(f"temperature must be positive and finite, got {self.temperature}")

    @property
    def visual_width(self) -> int:
        """d_v, numbers per frame that the visual encoder gives."""
        return self.visual_channels[-1]

    @property
    def audio_width(self) -> int:
        """d_a, numbers per frame that the audio encoder gives."""
        return self.audio_channels[-1]


def _check_counts(name: str, values: tuple[int, ...]) -> None:
    if not values or any(not isinstance(v, int) or isinstance(v, bool) or v < 1 for v in values):
        raise ValueError(f"{name} must be whole and at least 1, got {values}")
