"""The epochs of a training: steps, validation, what is kept, and going on after a kill."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from grjca.errors import GrjcaError
from grjca.fusion.dataset import LabelledClip
from grjca.fusion.device import Machine
from grjca.fusion.kernels.choice import set_core
from grjca.fusion.loss import ccc_loss
from grjca.fusion.model import FusionModel
from grjca.fusion.resume import TrainState
from grjca.fusion.run_folder import RunFolder
from grjca.fusion.schedule import Schedule, Verdict
from grjca.fusion.train_config import TrainConfig
from grjca.fusion.validation import validate
from grjca.fusion.window_set import LabelledBatch, WindowSet, pool

Log = Callable[[Mapping[str, float]], None]
"""Takes in an epoch's row as soon as there is one."""


class Fitting:
    """A model being fitted; all of it that changes is in its state.

    Args:
        model: The model, on the CPU, with its first weights.
        data: The training windows.
        val_clips: The validation clips.
        config: How to train.
        machine: Where and how to compute.
        run: Takes in checkpoints, epochs and states.
        clip_level: The labels are those of whole clips.
        score_start: The first weights may be the best.

    Attributes:
        logs: Take in each new epoch's row.
    """

    def __init__(
        self,
        model: FusionModel,
        data: WindowSet,
        val_clips: Sequence[LabelledClip],
        config: TrainConfig,
        machine: Machine,
        run: RunFolder,
        *,
        clip_level: bool = False,
        score_start: bool = False,
    ) -> None:
        self.model = model.to(machine.device)
        set_core(self.model, machine.attention)
        self.rows: list[dict[str, float]] = []
        self.best_ccc: dict[str, float] = {}
        self.schedule = Schedule(config.schedule())
        self._forward = machine.compiled(self.model)
        self._data = data
        self._val_clips = val_clips
        self._config = config
        self._machine = machine
        self._run = run
        self._clip_level = clip_level
        self._score_start = score_start
        self.logs: list[Log] = []
        self._order = torch.Generator().manual_seed(config.seed)
        self._best: dict[str, Tensor] = {}
        self._epoch = 1
        self._stopped = False
        self._numbers: Tensor | None = None
        self._losses: list[float] = []
        self._began = time.perf_counter()
        self._forget_moments()
        self._saved = self._ended = time.perf_counter()

    def fit(self, progress: bool) -> None:
        """Train to the end, from wherever the state is.

        A start that knows something already is the first candidate, as epoch 0.

        Raises:
            GrjcaError: A loss or a prediction that is not finite, damaged features, or a folder
                that cannot be written.
        """
        epochs = self._config.epochs
        bar = tqdm(
            total=epochs, initial=self._epoch - 1, desc="train", unit="epoch", disable=not progress
        )
        if self._score_start and self.schedule.best_score == -math.inf:
            self._consider(0, *self._validate())
        with bar:
            while not self._stopped and self._epoch <= epochs:
                row = self._run_epoch()
                best = self.schedule.best_score
                bar.set_postfix(
                    loss=f"{row['train_loss']:.3f}", ccc=f"{row['val_ccc']:.3f}", best=f"{best:.3f}"
                )
                bar.update()

    def state(self) -> TrainState:
        """All that changes, for :meth:`restore`; not a copy."""
        moments = self._optimiser.state_dict()["state"]
        return TrainState(
            epoch=self._epoch,
            step=len(self._losses),
            spent=time.perf_counter() - self._began,
            stopped=self._stopped,
            losses=self._losses,
            numbers=self._numbers,
            weights=self.model.state_dict(),
            adam=moments,
            generators={**self._machine.generators(), "order": self._order.get_state()},
            schedule=self.schedule.state(),
            best=self._best,
            best_ccc=self.best_ccc,
            rows=self.rows,
        )

    def restore(self, state: TrainState) -> None:
        """Go on from a state.

        Raises:
            GrjcaError: It does not fit the model.
        """
        try:
            self.model.load_state_dict(dict(state.weights))
            groups = self._optimiser.state_dict()["param_groups"]
            self._optimiser.load_state_dict({"state": dict(state.adam), "param_groups": groups})
            self.schedule.restore(state.schedule)
            self._order.set_state(state.generators["order"])
            self._machine.restore_generators(dict(state.generators))
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            cause = f"damaged: {type(error).__name__}: {error}"
            raise GrjcaError("state", self._run.folder, cause, "Say --overwrite.") from error
        device = self._machine.device
        self._best = {name: tensor.to(device) for name, tensor in state.best.items()}
        self.best_ccc = dict(state.best_ccc)
        self.rows = list(state.rows)
        self._epoch = state.epoch
        self._stopped = state.stopped
        self._numbers = state.numbers
        self._losses = list(state.losses)
        self._began = time.perf_counter() - state.spent

    def _run_epoch(self) -> dict[str, float]:
        epoch, rate = self._epoch, self.schedule.rate(self._epoch)
        self._steps(rate)
        reached, score = self._validate()
        row = {"epoch": epoch, "lr": rate, "train_loss": float(np.mean(self._losses))}
        row |= {f"val_ccc_{name}": value for name, value in reached.items()}
        row |= {"val_ccc": score, "seconds": round(time.perf_counter() - self._began, 3)}
        verdict = self._consider(epoch, reached, score)
        self.rows.append(row)
        self._run.append(row)
        for log in self.logs:
            log(row)
        last = {name: x.clone() for name, x in self.model.state_dict().items()}
        if verdict is Verdict.LOWER and self._config.reload_best:
            self.model.load_state_dict(self._best)
            # Adam's moments belong to the path that is given up.
            self._forget_moments()
        self._stopped = verdict is Verdict.STOP
        self._epoch += 1
        self._begin_epoch()
        over = self._stopped or self._epoch > self._config.epochs
        if over or time.perf_counter() - self._ended >= self._config.save_seconds:
            self._save()
            self._run.keep_last(last, epoch, reached)
            self._ended = self._saved
        return row

    def _validate(self) -> tuple[dict[str, float], float]:
        reached = validate(self.model, self._val_clips, self._config, self._clip_level)
        return reached, float(np.mean([-1.0 if math.isnan(c) else c for c in reached.values()]))

    def _consider(self, epoch: int, reached: dict[str, float], score: float) -> Verdict:
        """Keep the weights if they are the best so far."""
        verdict = self.schedule.record(epoch, score)
        if verdict is Verdict.IMPROVED:
            self.best_ccc = reached
            self._best = {name: x.clone() for name, x in self.model.state_dict().items()}
            self._run.keep(self._best, epoch, reached)
        return verdict

    def _steps(self, rate: float) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        if self._numbers is None:
            self._numbers = torch.randperm(len(self._data), generator=self._order)
        size, done = self._config.batch, len(self._losses)
        self.model.train()
        for batch in self._data.batches(self._numbers.tolist(), size, done, self._machine.device):
            self._losses.append(self._step(batch))
            if time.perf_counter() - self._saved >= self._config.save_seconds:
                self._save()

    def _step(self, batch: LabelledBatch) -> float:
        with self._machine.precision():
            prediction = self._forward(*batch.inputs.arguments).prediction
        prediction = prediction.float()
        if self._clip_level:
            prediction = pool(prediction, batch.inputs)
        loss = ccc_loss(prediction, batch.target, batch.mask, self._config.ccc_over)
        self._optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        # Only now: reading the number makes the CPU wait for a GPU.
        value = float(loss.detach())
        if not math.isfinite(value):
            raise GrjcaError(
                "train", f"epoch {self._epoch}, step {len(self._losses) + 1}",
                f"the loss is {value}",
                "Lower the learning rate; what was reached before is kept.",
            )  # fmt: skip
        return value

    def _begin_epoch(self) -> None:
        self._numbers = None
        self._losses = []
        self._began = time.perf_counter()

    def _forget_moments(self) -> None:
        config = self._config
        # Fused: parameter by parameter in Python it would cost as much as a small backward pass.
        self._optimiser = torch.optim.Adam(
            self.model.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True
        )

    def _save(self) -> None:
        self._run.save(self.state())
        self._saved = time.perf_counter()
