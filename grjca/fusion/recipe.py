"""Which features a set of clips is trained on, and that all were made alike."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from grjca.errors import GrjcaError, UsageError
from grjca.fusion.data import MODALITIES, FeatureSource


def choose_embedders(
    source: FeatureSource, clips: Sequence[str], visual: str | None, audio: str | None
) -> tuple[str | None, str | None]:
    """The embedders to use: those asked for, else the only ones that all clips have.

    Args:
        source: Where the features are.
        clips: Identities of the clips.
        visual: A name, or None to let the clips decide.
        audio: A name, or None to let the clips decide.

    Returns:
        Names for visual and audio; None for a modality that no clip has.

    Raises:
        UsageError: There is a choice between several, or clips lack the embedder asked for.
    """
    have = {clip: source.embedders(clip) for clip in clips}
    chosen: list[str | None] = []
    for kind, wanted in zip(MODALITIES, (visual, audio), strict=True):
        owners = {clip: names[kind] for clip, names in have.items() if names.get(kind)}
        known = sorted(set().union(*owners.values()))
        if wanted is None:
            shared = sorted(set(known).intersection(*owners.values()))
            if len(shared) > 1 or (known and not shared):
                raise UsageError(
                    "features", f"--{kind}",
                    f"the clips have several embedders: {', '.join(known)}",
                    "Name one that all clips have.",
                )  # fmt: skip
            chosen.append(shared[0] if shared else None)
            continue
        lacking = [clip for clip, names in owners.items() if wanted not in names]
        if lacking or not owners:
            cause = f"no {kind} features called {wanted} in the store; there are: "
            raise UsageError("features", lacking[0] if lacking else f"--{kind}",
                             cause + (", ".join(known) or "none"),
                             f"Extract them with: grjca extract --{kind} {wanted}.")  # fmt: skip
        chosen.append(wanted)
    return chosen[0], chosen[1]


def owned(
    source: FeatureSource, clip: str, visual: str | None, audio: str | None
) -> tuple[str | None, str | None]:
    """The chosen embedders, less those of a modality that this clip has no features of at all."""
    have = source.embedders(clip)
    return visual if have.get("visual") else None, audio if have.get("audio") else None


def common_recipe(
    source: FeatureSource, clips: Iterable[str], visual: str | None, audio: str | None
) -> dict[str, Any]:
    """The recipe by which every clip's features were made.

    A clip without features of a modality is silent about how they are made.

    Args:
        source: Where the features are.
        clips: Identities of the clips.
        visual: The visual embedder.
        audio: The audio embedder.

    Raises:
        GrjcaError: Two clips were made differently; the message names both and what differs.
    """
    common: dict[str, Any] = {}
    said_by: dict[str, str] = {}
    for clip in clips:
        # Through JSON, since this is how a checkpoint keeps it: tuples become lists.
        recipe = json.loads(json.dumps(source.recipe(clip, *owned(source, clip, visual, audio))))
        for part, value in recipe.items():
            if value is None:
                continue
            known = common.setdefault(part, value)
            first = said_by.setdefault(part, clip)
            if known != value:
                what = "; ".join(differences(known, value, part))
                raise GrjcaError(
                    "features", clip, f"extracted otherwise than {first}: {what}",
                    "Extract all clips with one configuration.",
                )  # fmt: skip
    return common


def differences(one: Any, other: Any, name: str) -> Iterator[str]:
    """Where two recipes differ, as ``visual.config.views: 9, 1``."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from differences(one.get(key), other.get(key), f"{name}.{key}")
    elif one != other:
        yield f"{name}: {one}, {other}"
