"""What an extraction is made of, and the components built from it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from grjca.cache.keys import IMPORTED, Recipe
from grjca.errors import GrjcaError, UsageError
from grjca.pipeline.source import FACES
from grjca.stages import catalog
from grjca.stages.hopped import Hopped
from grjca.stages.people import Choice, tracking_identity
from grjca.stages.types import AUDIO_RATE, SOUND_ONLY_RATE

MAX_RATE = 1000.0
"""Most rows per second that can be asked for."""


@dataclass(frozen=True)
class ExtractConfig:
    """Which components extract, and the values of their own settings.

    Attributes:
        detector: Name of the face detector.
        visual: Name of the visual embedder.
        audio: Name of the audio embedder.
        settings: For ``detector``, ``visual`` and ``audio``, values for fields of the
            component's own ``Config``; what is left out keeps its default.
        fps: Rows per second; None for one row per decoded frame (and 25 for sound alone).
        faces: Whose face is followed: ``main``, ``left``, ``right``, or ``all`` for a file per
            person; see ``stages.people.choose``.
        keep_crops: Store the face crops too, so that another embedder of the same crops need not
            decode again.
        audio_hop: Seconds between the moments that sound is embedded at, rows in between being
            interpolated; 0 for one embedding per row; None for the hop that the embedder
            suggests, which only slow ones do.

    Raises:
        UsageError: A value makes no sense.
    """

    detector: str = "retinaface"
    visual: str = "fer"
    audio: str = "speech+logmel"
    settings: Mapping[catalog.Kind, Mapping[str, Any]] = field(default_factory=dict)
    fps: float | None = None
    faces: Choice = "main"
    keep_crops: bool = False
    audio_hop: float | None = None

    def __post_init__(self) -> None:
        odd = set(self.settings) - set(catalog.CATALOG)
        if odd:
            kinds = f"Known: {', '.join(catalog.CATALOG)}."
            raise UsageError("options", "settings", f"no such component kind: {sorted(odd)}", kinds)
        if self.fps is not None and not 0 < self.fps <= MAX_RATE:
            raise UsageError(
                "options",
                "fps",
                f"{self.fps} is no number of rows a second",
                f"Give a number above 0, at most {MAX_RATE:g}.",
            )
        if self.faces not in FACES:
            known = f"Known: {', '.join(FACES)}."
            raise UsageError("options", "faces", f"no such choice: {self.faces}", known)
        if self.audio_hop is not None and not 0 <= self.audio_hop < math.inf:
            raise UsageError(
                "options",
                "audio_hop",
                f"{self.audio_hop} s is no hop",
                "Give seconds, or 0 for every row.",
            )


@dataclass(frozen=True)
class Components:
    """Detector and embedders, loaded, and the configuration they were loaded for."""

    config: ExtractConfig
    detector: catalog.Detector
    visual: catalog.VisualEmbedder
    audio: catalog.AudioEmbedder

    @property
    def fps(self) -> float | None:
        """Rows per second; None for one row per decoded frame."""
        return self.config.fps

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
        built = {
            kind: catalog.build(kind, name, dict(config.settings.get(kind, {})))
            for kind, name in names.items()
        }
        hop = config.audio_hop
        if hop is None:
            hop = getattr(built["audio"], "suggested_hop", 0.0)
        if hop > 0:
            try:
                built["audio"] = Hopped(built["audio"], hop)
            except ValueError as error:
                raise UsageError(
                    "options", config.audio, str(error), "Correct --audio-hop, or leave it out."
                ) from error
        return cls(config, **built)

    def recipe(self, ffmpeg: str) -> Recipe:
        """The identity of every stage.

        Args:
            ffmpeg: Version of the decoder, which decides the very pixels and samples.
        """
        return Recipe(
            video={
                "ffmpeg": ffmpeg,
                "frames": {"fps": self.fps} if self.fps else "native",
                "sound_only_rate": self.fps or SOUND_ONLY_RATE,
            },
            sound={"ffmpeg": ffmpeg, "rate": AUDIO_RATE, "channels": "mean"},
            faces={
                "detector": catalog.identity(self.detector),
                "tracking": tracking_identity(),
                "choice": self.config.faces,
            },
            visual={
                **catalog.identity(self.visual),
                "template": self.visual.template,
                "crop_size": self.visual.crop_size,
            },
            audio=self._audio_identity(),
            keep_crops=self.config.keep_crops,
        )

    def _audio_identity(self) -> dict[str, Any]:
        hop = {"hop": self.audio.hop} if isinstance(self.audio, Hopped) else {}
        return {**catalog.identity(self.audio), **hop}


def config_from_recipe(
    recipe: Mapping[str, Any], files: Mapping[catalog.Kind, str] | None = None
) -> ExtractConfig:
    """The configuration that a store's or a checkpoint's recorded recipe was made with.

    Args:
        recipe: The recipe, as recorded.
        files: Weights' files by kind of component; they are not part of what is recorded.

    Raises:
        GrjcaError: Features were imported, or one modality is missing: there is nothing to
            extract them with.
    """
    for kind in ("visual", "audio"):
        if IMPORTED in recipe.get(kind, {}):
            raise GrjcaError(
                "predict", f"{kind}/{recipe[kind]['name']}",
                "the model was trained on imported features, which are not extracted from videos",
                "Import the new clips' features and use grjca.fusion.predictor.predict_stored.",
            )  # fmt: skip
        if kind not in recipe:
            raise GrjcaError(
                "predict", f"{kind} features", "the store the model was trained on had none",
                "Train on a store with both, extracted from videos.",
            )  # fmt: skip
    frames = recipe["video"]["frames"]
    stages: dict[catalog.Kind, Mapping[str, Any]] = {
        "detector": recipe["faces"]["detector"],
        "visual": recipe["visual"],
        "audio": recipe["audio"],
    }
    return ExtractConfig(
        detector=stages["detector"]["name"],
        visual=stages["visual"]["name"],
        audio=stages["audio"]["name"],
        settings={
            kind: {**stage["config"], **({"file": files[kind]} if files and kind in files else {})}
            for kind, stage in stages.items()
        },
        fps=frames["fps"] if isinstance(frames, dict) else None,
        audio_hop=recipe["audio"].get("hop", 0.0),
    )


def check_same_weights(components: Components, recipe: Mapping[str, Any], source: object) -> None:
    """Refuse to extract for a model with other weights than it was trained on.

    Args:
        components: What would extract now.
        recipe: What extracted the features the model was trained on.
        source: The checkpoint, for the message.

    Raises:
        GrjcaError: A component's weights differ; the message names both digests.
    """
    here = dataclasses.asdict(components.recipe(ffmpeg=""))
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
