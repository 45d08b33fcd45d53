"""The state of a training in the middle of it, on disk, so that a killed run can go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from grjca.errors import GrjcaError, UsageError
from grjca.files import written_in_one_step
from grjca.fusion.recipe import differences
from grjca.fusion.tensor_file import FileKind, Step, read_tensors, write_tensors

FREE = ("epochs", "save_seconds", "memory_limit")
"""Fields of ``TrainConfig`` that may change from one part of a run to the next: the curve does
not depend on them, or only on where it ends."""

_KIND = FileKind(
    "state", "grjca.state", 1, "Remove the file and start again with --overwrite; the best weights "
    "so far are in model.safetensors beside it.",
)  # fmt: skip
_SHOWN = 3


@dataclass(frozen=True)
class TrainState:
    """All that changes in a training, between two steps.

    Attributes:
        epoch: The epoch that is going on or about to begin, from 1.
        step: Steps of it that are done.
        spent: Seconds spent on it.
        stopped: The schedule has ended the training.
        losses: Loss of each step of the epoch.
        numbers: (N,) int64, the order of windows in the epoch; None before it began.
        weights: The model's state.
        adam: The optimiser's moments by parameter.
        generators: States of random generators by name, as torch gives them.
        schedule: What ``Schedule.state`` gave.
        best: The best weights so far; empty before the first epoch's end.
        best_ccc: Validation CCC of these, by dimension.
        rows: A row per finished epoch, as in ``metrics.csv``.
    """

    epoch: int
    step: int
    spent: float
    stopped: bool
    losses: list[float]
    numbers: Tensor | None
    weights: Mapping[str, Tensor]
    adam: Mapping[int, Mapping[str, Tensor]]
    generators: Mapping[str, Tensor]
    schedule: Mapping[str, float]
    best: Mapping[str, Tensor]
    best_ccc: dict[str, float]
    rows: list[dict[str, float]]


def save_state(
    path: Path, state: TrainState, run: Mapping[str, Any], step: Step = written_in_one_step
) -> None:
    """Write a state in one step.

    Args:
        path: The file.
        state: The state.
        run: What decides the run, as JSON-able values; ``load_state`` holds it against its own.
        step: How the file takes its name.

    Raises:
        GrjcaError: The file cannot be written.
    """
    tensors = {f"weights/{name}": tensor for name, tensor in state.weights.items()}
    tensors |= {f"best/{name}": tensor for name, tensor in state.best.items()}
    tensors |= {f"generators/{name}": tensor for name, tensor in state.generators.items()}
    for number, moments in state.adam.items():
        tensors |= {f"adam/{number}/{name}": tensor for name, tensor in moments.items()}
    if state.numbers is not None:
        tensors["numbers"] = state.numbers
    document = {
        "run": run,
        "epoch": state.epoch,
        "step": state.step,
        "spent": state.spent,
        "stopped": state.stopped,
        "losses": state.losses,
        "schedule": state.schedule,
        "best_ccc": state.best_ccc,
        "rows": state.rows,
    }
    write_tensors(path, _KIND, document, tensors, step)


def load_state(path: Path, run: Mapping[str, Any]) -> TrainState:
    """Read a state; no code in the file is run.

    Args:
        path: The file.
        run: What decides the run that wants to go on.

    Raises:
        UsageError: The state is that of a run with other settings, clips or features; the message
            says what differs.
        GrjcaError: A file of another kind, of a newer version, or damaged.
    """
    document, tensors = read_tensors(path, _KIND)
    try:
        other = [what for what in differences(document["run"], run, "") if not _free(what)]
        if other:
            shown = "; ".join(what.lstrip(".") for what in other[:_SHOWN])
            more = f" and {len(other) - _SHOWN} more" if len(other) > _SHOWN else ""
            raise UsageError(
                "resume", path, f"that run differs (then, now): {shown}{more}",
                "Give it what it was started with, or choose another --out.",
            )  # fmt: skip
        adam: dict[int, dict[str, Tensor]] = {}
        for key, tensor in _under(tensors, "adam").items():
            number, name = key.split("/")
            adam.setdefault(int(number), {})[name] = tensor
        return TrainState(
            epoch=int(document["epoch"]),
            step=int(document["step"]),
            spent=float(document["spent"]),
            stopped=bool(document["stopped"]),
            losses=list(document["losses"]),
            numbers=tensors.get("numbers"),
            weights=_under(tensors, "weights"),
            adam=adam,
            generators=_under(tensors, "generators"),
            schedule=dict(document["schedule"]),
            best=_under(tensors, "best"),
            best_ccc=dict(document["best_ccc"]),
            rows=list(document["rows"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        cause = f"damaged: {type(error).__name__}: {error}"
        raise GrjcaError("state", path, cause, _KIND.remedy) from error


def _free(difference: str) -> bool:
    return difference.startswith(tuple(f".train.{name}:" for name in FREE))


def _under(tensors: Mapping[str, Tensor], group: str) -> dict[str, Tensor]:
    start = f"{group}/"
    return {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}
