"""The learning rate from epoch to epoch, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    """What follows from an epoch's score."""

    IMPROVED = "improved"
    WAIT = "wait"
    LOWER = "lower the rate"
    STOP = "stop"


@dataclass(frozen=True)
class ScheduleConfig:
    """Warm-up, plateau and stop.

    Attributes:
        lr: Learning rate after the warm-up.
        warmup_epochs: Epochs over which the rate rises in equal steps to ``lr``.
        plateau_patience: Epochs without improvement that are borne before the rate falls.
        plateau_factor: What the rate is multiplied by then.
        min_lr: A fall below this rate stops the training instead.
        stop_after: Epochs without improvement after which the training stops.
    """

    lr: float
    warmup_epochs: int
    plateau_patience: int
    plateau_factor: float
    min_lr: float
    stop_after: int


class Schedule:
    """Follows the validation score and decides.

    The warm-up is a linear ramp over the epochs; the paper's code restarts a ramp within each
    epoch (a sawtooth), which this does not. The rate never falls during the warm-up.

    Args:
        config: The schedule's numbers.
    """

    def __init__(self, config: ScheduleConfig) -> None:
        self._config = config
        self._rate = config.lr
        self._since = 0
        self.best_epoch = 0
        self.best_score = -math.inf

    def state(self) -> dict[str, float]:
        """All that :meth:`record` changes, as plain values."""
        return {
            "rate": self._rate,
            "since": self._since,
            "best_epoch": self.best_epoch,
            "best_score": self.best_score,
        }

    def restore(self, state: Mapping[str, float]) -> None:
        """Go on from what :meth:`state` gave.

        Raises:
            KeyError: A value is missing.
        """
        self._rate, self._since = float(state["rate"]), int(state["since"])
        self.best_epoch = int(state["best_epoch"])
        self.best_score = float(state["best_score"])

    def rate(self, epoch: int) -> float:
        """Learning rate of an epoch, counted from 1."""
        if epoch < self._config.warmup_epochs:
            return self._rate * epoch / self._config.warmup_epochs
        return self._rate

    def record(self, epoch: int, score: float) -> Verdict:
        """Take in an epoch's validation score and say what to do next."""
        if score > self.best_score:
            self.best_epoch, self.best_score = epoch, score
            return Verdict.IMPROVED
        config = self._config
        if epoch - self.best_epoch >= config.stop_after:
            return Verdict.STOP
        since = max(self._since, self.best_epoch, config.warmup_epochs)
        if epoch - since <= config.plateau_patience:
            return Verdict.WAIT
        if self._rate * config.plateau_factor < config.min_lr:
            return Verdict.STOP
        self._rate *= config.plateau_factor
        self._since = epoch
        return Verdict.LOWER
