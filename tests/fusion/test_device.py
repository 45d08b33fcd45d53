"""Device, precision and compilation; what needs a GPU is checked where there is one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_features import QUICK, SMALL, make_toy

from grjca.errors import UsageError
from grjca.fusion import fitting
from grjca.fusion.checkpoint import load_checkpoint
from grjca.fusion.config import FusionConfig
from grjca.fusion.device import Machine, choose_machine
from grjca.fusion.gates import TemperedGate
from grjca.fusion.loss import ccc_loss
from grjca.fusion.masked import MaskedBatchNorm1d
from grjca.fusion.model import FusionModel
from grjca.fusion.train_config import TrainConfig
from grjca.fusion.trainer import TrainResult, train

CPU = TrainConfig(device="cpu")
CPU_MACHINE = Machine(torch.device("cpu"))
AMP = Machine(torch.device("cpu"), amp=True)
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
    with AMP.precision():
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


def test_a_gpus_kernels_are_those_that_add_in_one_order() -> None:
    cudnn, cuda = torch.backends.cudnn, torch.backends.cuda

    def flags() -> tuple[bool, ...]:
        return (
            cudnn.enabled, cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32,
            cuda.math_sdp_enabled(), cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(),
            cuda.cudnn_sdp_enabled(),
        )  # fmt: skip

    before = flags()
    with Machine(torch.device("cuda")).exact():
        assert flags() == (True, True, False, before[3], True, False, False, False)
    assert flags() == before
    with CPU_MACHINE.exact():
        assert flags() == before


def test_a_gate_chooses_in_full_precision_whatever_is_around_it() -> None:
    torch.manual_seed(0)
    gate, states = TemperedGate(16, 3, 0.1), [torch.randn(2, 30, 16) for _ in range(3)]
    _, full = gate(states[-1], states)
    with AMP.precision():
        _, mixed = gate(states[-1], states)
    assert torch.equal(full, mixed)


def test_batch_statistics_are_taken_in_full_precision() -> None:
    x, frames = torch.randn(3, 1361, 8).bfloat16() + 3, torch.rand(3, 1361) > 0.01
    full, mixed = MaskedBatchNorm1d(8), MaskedBatchNorm1d(8)
    expected = full(x.float(), frames)
    with AMP.precision():
        assert torch.equal(mixed(x, frames), expected)
    assert torch.equal(mixed.running_mean, full.running_mean)
    assert torch.equal(mixed.running_var, full.running_var)


KINDS: list[dict[str, Any]] = [
    {"fusion": "concat", "temporal": "none"}, {"fusion": "ca"}, {"fusion": "jca"},
    {"fusion": "rjca", "time_mix": "dense"}, {"fusion": "grjca", "linear": "ridge"},
    {"fusion": "hgrjca", "head": "separate"},
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["fusion"])
def test_a_training_in_mixed_precision_is_near_one_in_full(
    tmp_path: Path, kind: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The path a GPU takes, on the CPU's bfloat16.
    dtypes = []

    def loss(prediction: torch.Tensor, *more: Any) -> torch.Tensor:
        dtypes.append((prediction.dtype, torch.is_autocast_enabled("cpu")))
        return ccc_loss(prediction, *more)

    monkeypatch.setattr(fitting, "ccc_loss", loss)
    rows = [fit(tmp_path / str(m.amp), kind, m, epochs=2).rows for m in (CPU_MACHINE, AMP)]
    full, mixed = ([row["train_loss"] for row in part] for part in rows)
    assert full != mixed
    np.testing.assert_allclose(mixed, full, atol=0.05)
    assert set(dtypes) == {(torch.float32, False)}
    weights = load_checkpoint(tmp_path / "True").model.state_dict().values()
    assert all(w.dtype in (torch.float32, torch.int64) for w in weights)


def test_a_training_in_mixed_precision_goes_on(tmp_path: Path) -> None:
    kind = {"fusion": "grjca", "modality_dropout": 0.3}
    whole = fit(tmp_path / "a", kind, AMP, epochs=4, save_seconds=0)
    for epochs in (2, 4):
        parts = fit(tmp_path / "b", kind, AMP, epochs=epochs, save_seconds=0, resume=True)
    assert [r["val_ccc"] for r in parts.rows] == [r["val_ccc"] for r in whole.rows]


@pytest.mark.slow
def test_a_compiled_training_is_the_same_training(tmp_path: Path) -> None:
    # All but the last step, the making of kernels. Dropout may draw other numbers, and gradients
    # that are nothing but rounding (a bias before a normalisation) become Adam's full steps.
    kind = {"fusion": "grjca", "linear": "ridge", "attention_dropout": 0.0}
    compiled = Machine(torch.device("cpu"), compile=True, backend="aot_eager")
    rows = [fit(tmp_path / str(m.compile), kind, m, epochs=2).rows for m in (CPU_MACHINE, compiled)]
    plain, other = ([(row["train_loss"], row["val_ccc"]) for row in part] for part in rows)
    np.testing.assert_allclose(other, plain, atol=5e-3)
    torch.compiler.reset()


def fit(
    out: Path,
    model: dict[str, Any] | None = None,
    machine: Machine | None = None,
    *,
    resume: bool = False,
    **changed: Any,
) -> TrainResult:
    toy, config = make_toy(4, 2), replace(QUICK, **{"epochs": 3, **changed})
    fusion = {**SMALL, **(model or {})}
    return train(
        toy.source, toy.labels, toy.split, fusion, config, out, progress=False, resume=resume,
        machine=machine,
    )  # fmt: skip


@pytest.mark.gpu
@needs_cuda
def test_a_gpu_gives_nearly_what_the_cpu_gives_and_the_same_twice(tmp_path: Path) -> None:
    rows = [fit(tmp_path / str(i), device=d).rows for i, d in enumerate(("cpu", "cuda", "cuda"))]
    first, one, two = ([row["train_loss"] for row in part] for part in rows)
    assert one == two
    # Dropout draws other numbers there; the first steps are close all the same.
    np.testing.assert_allclose(first, one, atol=0.2)


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("option", ["amp", "compile"])
def test_a_gpu_trains_with_mixed_precision_and_compiled(tmp_path: Path, option: str) -> None:
    plain = fit(tmp_path / "plain", device="cuda").rows[-1]["train_loss"]
    other = fit(tmp_path / "other", device="cuda", **{option: True}).rows[-1]["train_loss"]
    assert other == pytest.approx(plain, abs=0.2)
    assert (tmp_path / "other" / "model.safetensors").exists()


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["fusion"])
def test_a_gpu_run_goes_on(tmp_path: Path, kind: dict[str, Any]) -> None:
    # Both kinds of dropout draw on the GPU.
    asked = {"device": "cuda", "save_seconds": 0}
    model = {**kind, "modality_dropout": 0.3, "temporal_dropout": 0.1}
    whole = fit(tmp_path / "a", model, epochs=4, **asked)
    for epochs in (2, 4):
        parts = fit(tmp_path / "b", model, epochs=epochs, resume=True, **asked)
    assert [r["val_ccc"] for r in parts.rows] == [r["val_ccc"] for r in whole.rows]
