"""The features of a store as a checkpoint takes them."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator

import torch

from grjca.cache.records import ClipFeatures
from grjca.errors import GrjcaError, UsageError
from grjca.fusion.checkpoint import Checkpoint
from grjca.fusion.data import MODALITIES, FeatureSource
from grjca.fusion.recipe import common_recipe, differences, owned
from grjca.labels.matching import shown


def read_for(checkpoint: Checkpoint, source: FeatureSource, clip: str) -> ClipFeatures:
    """The features of a clip that a checkpoint takes."""
    return source.read(clip, *owned(source, clip, checkpoint.visual, checkpoint.audio))


def check_features(checkpoint: Checkpoint, source: FeatureSource, clips: Collection[str]) -> None:
    """Refuse clips whose features a checkpoint was not made for.

    Args:
        checkpoint: A trained model.
        source: The feature store.
        clips: Identities of the clips.

    Raises:
        UsageError: A clip lacks the embedder, or no clip has anything that the model takes.
        GrjcaError: The features were made otherwise than those the model was trained on.
    """
    wanted = {"visual": checkpoint.visual, "audio": checkpoint.audio}
    used = [m for m in MODALITIES if wanted[m] is not None and m in checkpoint.inputs.modalities]
    have = {clip: source.embedders(clip) for clip in clips}
    for kind in used:
        lacking = [
            c for c, names in have.items() if names[kind] and wanted[kind] not in names[kind]
        ]
        if lacking:
            name = wanted[kind]
            cause = f"no {kind} features called {name} in {shown(lacking)}"
            raise UsageError("features", f"{len(lacking)} of {len(have)} clips", cause,
                             f"Extract them with: grjca extract --{kind} {name}.")  # fmt: skip
    if not any(names[kind] for names in have.values() for kind in used):
        cause = f"no clip has {' or '.join(used)} features"
        raise UsageError("features", f"{len(have)} clips", cause, "Extract them first.")
    found = common_recipe(source, clips, checkpoint.visual, checkpoint.audio)
    for part, value in found.items():
        trained = checkpoint.recipe.get(part)
        if trained is not None and trained != value:
            what = "; ".join(differences(trained, value, part))
            raise GrjcaError(
                "features", f"{len(have)} clips",
                f"extracted otherwise than what the model was trained on: {what}",
                "Extract them with the configuration of the training.",
            )  # fmt: skip


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One CPU thread for torch, for a while, so that scores do not depend on the machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
