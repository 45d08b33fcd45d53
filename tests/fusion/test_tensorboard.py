"""Curves for TensorBoard, read back with TensorBoard's own reader."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_features import QUICK, SMALL, make_toy

from grjca.errors import UsageError
from grjca.fusion.trainer import TrainResult, train


def fit(out: Path, epochs: int, **more: Any) -> TrainResult:
    toy, config = make_toy(3, 1), replace(QUICK, epochs=epochs)
    return train(
        toy.source, toy.labels, toy.split, SMALL, config, out, tensorboard=True, progress=False,
        **more,
    )  # fmt: skip


@pytest.mark.slow
def test_every_epoch_is_there_once_also_after_going_on(tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    fit(tmp_path / "run", 2)
    result = fit(tmp_path / "run", 3, resume=True)
    events = accumulators.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    for name in ("train_loss", "val_ccc", "val_ccc_valence", "lr"):
        written = [(event.step, event.value) for event in events.Scalars(name)]
        wanted = [(row["epoch"], pytest.approx(row[name], rel=1e-6)) for row in result.rows]
        assert written == wanted


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(UsageError, match=r"--tensorboard: train: .*pip install 'grjca\[tensor"):
        fit(tmp_path / "run", 1)
    assert not (tmp_path / "run").exists()
