"""Device, precision and compilation; what needs a GPU is checked where there is one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_features import QUICK, SMALL, make_toy

from grjca.errors import UsageError
from grjca.fusion.config import FusionConfig
from grjca.fusion.device import Machine, choose_machine
from grjca.fusion.model import FusionModel
from grjca.fusion.train_config import TrainConfig
from grjca.fusion.trainer import TrainResult, train

CPU = TrainConfig(device="cpu")
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")


@pytest.mark.parametrize("option", ["amp", "compile"])
def test_what_a_cpu_does_not_do(option: str) -> None:
    with pytest.raises(UsageError, match=rf"--{option}: train: for CUDA devices only"):
        choose_machine(replace(CPU, **{option: True}))


@without_cuda
def test_without_a_gpu() -> None:
    assert choose_machine(TrainConfig()).device == torch.device("cpu")
    for name in ("cuda", "cuda:1"):
        with pytest.raises(UsageError, match=rf"--device {name}: train: torch finds no CUDA"):
            choose_machine(TrainConfig(device=name))


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "CPU", "cpu:0", ""])
def test_unknown_devices(name: str) -> None:
    with pytest.raises(ValueError, match="device must be auto, cpu, cuda or cuda:N"):
        TrainConfig(device=name)


def test_mixed_precision_is_near_full_precision_and_trains() -> None:
    # The CPU's bfloat16 stands in for the GPU's.
    torch.manual_seed(0)
    model = FusionModel(FusionConfig(6, 4, **SMALL)).eval()
    rng = torch.Generator().manual_seed(1)
    visual, audio = (torch.randn(2, 20, d, generator=rng) for d in (6, 4))
    there = torch.ones(2, 20, dtype=torch.bool)
    full = model(visual, audio, there, there, there).prediction
    with Machine(torch.device("cpu"), amp=True).precision():
        mixed = model(visual, audio, there, there, there).prediction
    assert not torch.equal(full, mixed.float())
    torch.testing.assert_close(full, mixed.float(), atol=0.05, rtol=0)
    mixed.float().sum().backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in model.parameters())


def test_generators_and_threads_come_back() -> None:
    machine = Machine(torch.device("cpu"))
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    with machine.seeded(1, 1):
        first = torch.rand(3)
        kept = machine.generators()
        second = torch.rand(3)
        machine.restore_generators(kept)
        assert torch.equal(torch.rand(3), second)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    with machine.seeded(1, 1):
        assert torch.equal(torch.rand(3), first)


def fit(out: Path, **changed: Any) -> TrainResult:
    toy, config = make_toy(4, 2), replace(QUICK, epochs=3, **changed)
    return train(toy.source, toy.labels, toy.split, SMALL, config, out, progress=False)


@needs_cuda
def test_a_gpu_gives_nearly_what_the_cpu_gives_and_the_same_twice(tmp_path: Path) -> None:
    rows = [fit(tmp_path / str(i), device=d).rows for i, d in enumerate(("cpu", "cuda", "cuda"))]
    first, one, two = ([row["train_loss"] for row in part] for part in rows)
    assert one == two
    # Dropout draws other numbers there; the first steps are close all the same.
    np.testing.assert_allclose(first, one, atol=0.2)


@needs_cuda
@pytest.mark.parametrize("option", ["amp", "compile"])
def test_a_gpu_trains_with_mixed_precision_and_compiled(tmp_path: Path, option: str) -> None:
    plain = fit(tmp_path / "plain", device="cuda").rows[-1]["train_loss"]
    other = fit(tmp_path / "other", device="cuda", **{option: True}).rows[-1]["train_loss"]
    assert other == pytest.approx(plain, abs=0.2)
    assert (tmp_path / "other" / "model.safetensors").exists()


@needs_cuda
def test_a_gpu_run_goes_on(tmp_path: Path) -> None:
    toy = make_toy(4, 2)
    config = replace(QUICK, epochs=4, device="cuda", save_seconds=0)
    whole = train(toy.source, toy.labels, toy.split, SMALL, config, tmp_path / "a", progress=False)
    for epochs in (2, 4):
        parts = train(
            toy.source, toy.labels, toy.split, SMALL, replace(config, epochs=epochs),
            tmp_path / "b", resume=True, progress=False,
        )  # fmt: skip
    assert [r["val_ccc"] for r in parts.rows] == [r["val_ccc"] for r in whole.rows]
