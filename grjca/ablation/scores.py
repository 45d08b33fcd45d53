"""What a trial reached, as it lies in the trial's folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from grjca.ablation.plan import Trial
from grjca.errors import GrjcaError, UsageError
from grjca.evaluation.gates import GateUse
from grjca.files import written_in_one_step
from grjca.fusion.run_files import without_nan

FORMAT = "grjca.ablation.trial"
VERSION = 2
"""Version 1 does not say of which features it is."""
SCORE = "score.json"


@dataclass(frozen=True)
class TrialScore:
    """What a trial reached on the clips it was tested on.

    Attributes:
        trial: Which one; of an ensemble, its first seed.
        ccc: By dimension; NaN where undefined.
        mean_gates: The same with every gate held at its mean; empty without gates.
        gates: How each gate was used.
        best_epoch: The epoch whose weights were tested; 0 where there was no training.
        epochs: How many were trained.
        seconds: What the training took.
    """

    trial: Trial
    ccc: Mapping[str, float]
    mean_gates: Mapping[str, float]
    gates: Mapping[str, GateUse]
    best_epoch: int = 0
    epochs: int = 0
    seconds: float = 0.0

    @property
    def mean(self) -> float:
        """The mean over the dimensions, NaN when one is undefined."""
        return float(np.mean(list(self.ccc.values())))

    @property
    def mean_of_mean_gates(self) -> float:
        """The mean over the dimensions with gates held at their means; NaN without gates."""
        return float(np.mean(list(self.mean_gates.values()))) if self.mean_gates else float("nan")


def read_score(path: Path, plan: str | None = None, features: str | None = None) -> TrialScore:
    """Read a trial's score.

    Args:
        path: The file.
        plan: The digest it must have been made by; None for any.
        features: The digest of the features it must have been made from; None for any.

    Raises:
        UsageError: It was made by another plan, or from other features.
        GrjcaError: It is damaged.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        score = TrialScore(
            Trial(**read["trial"]),
            _numbers(read["ccc"]),
            _numbers(read["mean_gates"]),
            {
                name: GateUse(**{**use, "mean": tuple(use["mean"]),
                                 "deviation": tuple(use["deviation"])})
                for name, use in read["gates"].items()
            },
            read["best_epoch"], read["epochs"], read["seconds"],
        )  # fmt: skip
    except OSError as error:
        raise GrjcaError(
            "ablate",
            path,
            f"cannot read it ({error})",
            "Check its permissions, or delete it: the trial is tested again.",
        ) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        cause = f"damaged: {type(error).__name__}: {error}"
        raise GrjcaError("ablate", path, cause, "Delete it: the trial is tested again.") from error
    if read["format"] != FORMAT or read["version"] not in (1, VERSION):
        cause = f"{read['format']} version {read['version']}"
        raise GrjcaError("ablate", path, cause, "Choose another --out.")
    if plan is not None and read["plan"] != plan:
        raise _other(path, "made with other settings, clips or labels")
    if features is not None and read.get("features", features) != features:
        raise _other(path, "made from features that the store no longer holds")
    return score


def _other(path: Path, cause: str) -> UsageError:
    remedy = "Choose another --out, or do such trials again with --overwrite."
    return UsageError("ablate", path, cause, remedy)


def _numbers(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float("nan") if value is None else value for name, value in values.items()}


def write_score(path: Path, score: TrialScore, plan: str, features: str) -> None:
    """Write a trial's score in one step.

    Args:
        path: The file.
        score: What the trial reached.
        plan: The digest of all that decides it but the features.
        features: The digest of the features.

    Raises:
        GrjcaError: The file cannot be written.
    """
    about = {"format": FORMAT, "version": VERSION, "plan": plan, "features": features}
    document = without_nan({**about, **dataclasses.asdict(score)})
    with written_in_one_step(path) as temporary:
        text = json.dumps(document, allow_nan=False, indent=1)
        temporary.write_text(text + "\n", encoding="utf-8")
