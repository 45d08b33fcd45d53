"""What an extraction is made of, and the components built from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from grjca.cache.keys import Recipe
from grjca.errors import GrjcaError, UsageError
from grjca.stages import catalog
from grjca.stages.types import AUDIO_RATE, SOUND_ONLY_RATE


@dataclass(frozen=True)
class ExtractConfig:
    """Which components extract, and the values of their own settings.

    Attributes:
        detector: Name of the face detector.
        visual: Name of the visual embedder.
        audio: Name of the audio embedder.
        settings: For ``detector``, ``visual`` and ``audio``, values for fields of the
            component's own ``Config``; what is left out keeps its default.
    """

    detector: str = "retinaface"
    visual: str = "fer"
    audio: str = "speech+logmel"
    settings: Mapping[catalog.Kind, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        odd = set(self.settings) - set(catalog.CATALOG)
        if odd:
            raise UsageError("options", "settings", f"no such component kind: {sorted(odd)}")


@dataclass(frozen=True)
class Components:
    """Detector and embedders, loaded."""

    detector: catalog.Detector
    visual: catalog.VisualEmbedder
    audio: catalog.AudioEmbedder

    @classmethod
    def load(cls, config: ExtractConfig) -> Components:
        """Build all components of a configuration.

        Raises:
            UsageError: A name or setting is unknown, or weights are missing.
        """
        names: dict[catalog.Kind, str] = {
            "detector": config.detector,
            "visual": config.visual,
            "audio": config.audio,
        }
        return cls(
            **{
                kind: catalog.build(kind, name, dict(config.settings.get(kind, {})))
                for kind, name in names.items()
            }
        )

    def recipe(self, ffmpeg: str) -> Recipe:
        """The identity of every stage.

        Args:
            ffmpeg: Version of the decoder, which decides the very pixels and samples.
        """
        return Recipe(
            video={"ffmpeg": ffmpeg, "frames": "native", "sound_only_rate": SOUND_ONLY_RATE},
            sound={"ffmpeg": ffmpeg, "rate": AUDIO_RATE, "channels": "mean"},
            faces={"detector": catalog.identity(self.detector), "choice": "main"},
            visual={
                **catalog.identity(self.visual),
                "template": self.visual.template,
                "crop_size": self.visual.crop_size,
            },
            audio=catalog.identity(self.audio),
        )


def config_from_recipe(recipe: Mapping[str, Any]) -> ExtractConfig:
    """The configuration that a store's or a checkpoint's recorded recipe was made with."""
    stages: dict[catalog.Kind, Mapping[str, Any]] = {
        "detector": recipe["faces"]["detector"],
        "visual": recipe["visual"],
        "audio": recipe["audio"],
    }
    return ExtractConfig(
        detector=stages["detector"]["name"],
        visual=stages["visual"]["name"],
        audio=stages["audio"]["name"],
        settings={kind: stage["config"] for kind, stage in stages.items()},
    )


def check_same_weights(config: ExtractConfig, recipe: Mapping[str, Any], source: object) -> None:
    """Refuse to extract for a model with other weights than it was trained on.

    Args:
        config: What would extract now.
        recipe: What extracted the features the model was trained on.
        source: The checkpoint, for the message.

    Raises:
        GrjcaError: A component's weights differ; the message names both digests.
        UsageError: Weights are missing here.
    """
    here = dataclasses.asdict(Components.load(config).recipe(ffmpeg=""))
    for stage, recorded in (
        ("detector", recipe["faces"]["detector"]),
        ("visual", recipe["visual"]),
        ("audio", recipe["audio"]),
    ):
        found = here["faces"]["detector"] if stage == "detector" else here[stage]
        if found["weights"] != recorded["weights"]:
            raise GrjcaError(
                stage, source,
                f"the model was trained on features of {recorded['name']} with weights "
                f"{recorded['weights']}, here are weights {found['weights']}",
                "Install the package or give the file with the recorded weights.",
            )  # fmt: skip
