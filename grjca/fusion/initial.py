"""Starting from another run's weights, for fine-tuning."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from grjca.errors import GrjcaError
from grjca.fusion.checkpoint import Checkpoint
from grjca.fusion.data import MODALITIES
from grjca.fusion.model import FusionModel
from grjca.fusion.moments import Moments
from grjca.fusion.settings import DECIDED, Given

_SHOWN = 3


def settings_of(checkpoint: Checkpoint) -> Given:
    """The settings that a checkpoint's weights are tied to: those a fine-tuning starts from."""
    model = {name: value for name, value in vars(checkpoint.fusion).items() if name not in DECIDED}
    train = {"window": checkpoint.window, "hop": checkpoint.hop, "rate": checkpoint.rate}
    data = {"visual": checkpoint.visual, "audio": checkpoint.audio}
    return Given(model, train, {name: value for name, value in data.items() if value is not None})


def check_same_embedders(checkpoint: Checkpoint, recipe: Mapping[str, Any]) -> None:
    """Refuse features that other embedders, or embedders of other weights, have made.

    Args:
        checkpoint: What is started from.
        recipe: How the training clips' features were made.

    Raises:
        GrjcaError: They differ; the message says in what.
    """
    for modality in MODALITIES:
        then, now = checkpoint.recipe.get(modality), recipe.get(modality)
        if not then or not now:
            continue
        for key in ("name", "weights"):
            if then.get(key) != now.get(key):
                raise GrjcaError(
                    "init", f"{modality} features",
                    f"made by {key} {now.get(key)}, the checkpoint's by {then.get(key)}",
                    "Extract the clips with the checkpoint's embedders.",
                )  # fmt: skip


def start_from(model: FusionModel, checkpoint: Checkpoint) -> None:
    """Give a model a checkpoint's weights, and what inputs are standardised with.

    Every tensor must be there in the same shape: a model of which a part stays random would be
    taken for a fine-tuned one.

    Args:
        model: The model; changed.
        checkpoint: What is started from.

    Raises:
        GrjcaError: Another model or features of other dimensions; the message names tensors.
    """
    have, want = checkpoint.model.state_dict(), model.state_dict()
    misfits = [
        f"{name} {_shape(have, name)}, wanted {_shape(want, name)}"
        for name in sorted(have.keys() | want.keys())
        if _shape(have, name) != _shape(want, name)
    ]
    if misfits:
        more = f" and {len(misfits) - _SHOWN} more" if len(misfits) > _SHOWN else ""
        raise GrjcaError(
            "init", "the checkpoint",
            f"its weights do not fit: {'; '.join(misfits[:_SHOWN])}{more}",
            "Use its model settings and its embedders; leave out what asks for others.",
        )  # fmt: skip
    if checkpoint.outputs != model.config.outputs:
        raise GrjcaError(
            "init", "the checkpoint",
            f"it predicts {' and '.join(checkpoint.outputs)}, "
            f"wanted {' and '.join(model.config.outputs)}",
            "Use its outputs.",
        )  # fmt: skip
    model.load_state_dict(have)


def standardise(
    model: FusionModel, moments: Mapping[str, Moments], checkpoint: Checkpoint | None
) -> None:
    """Set what inputs are standardised with: the training clips' statistics.

    A checkpoint's own are kept, since its weights know inputs on that scale and a few clips of
    few people have statistics of their own; not so for a modality it never saw.

    Args:
        model: The model; changed.
        moments: Of the training clips, by modality.
        checkpoint: What was started from, if anything.
    """
    part = next(iter(model.models().values()), model)
    values: list[Any] = []
    for name in MODALITIES:
        seen = checkpoint is not None and (
            getattr(checkpoint, name) is not None and name in checkpoint.inputs.modalities
        )
        own = getattr(part, name).input
        fresh = moments[name]
        values += [own.mean, own.std] if seen else [fresh.mean, fresh.deviation()]
    model.set_standardisation(*values)


def digest(checkpoint: Checkpoint) -> str:
    """SHA-256 of a checkpoint's weights, so that a run can say what it started from."""
    sha = hashlib.sha256()
    for name, tensor in sorted(checkpoint.model.state_dict().items()):
        sha.update(name.encode())
        sha.update(tensor.cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()


def _shape(tensors: Mapping[str, Any], name: str) -> str:
    return str(tuple(tensors[name].shape)) if name in tensors else "missing"
