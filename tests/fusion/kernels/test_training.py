"""Layers and whole trainings on the kernels against PyTorch's operations."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toy_features import QUICK, SMALL, make_toy

from grjca.errors import UsageError
from grjca.fusion.attention import JointCrossAttention
from grjca.fusion.config import FusionConfig
from grjca.fusion.device import Machine, choose_machine
from grjca.fusion.gates import fixed_gates
from grjca.fusion.kernels.choice import set_core
from grjca.fusion.model import FusionModel
from grjca.fusion.train_config import TrainConfig
from grjca.fusion.trainer import TrainResult, train

CPU = torch.device("cpu")
PLAIN, KERNELS = Machine(CPU), Machine(CPU, attention="triton")
KINDS: list[dict[str, Any]] = [
    {"fusion": "grjca", "linear": "ridge"}, {"fusion": "jca"},
    {"fusion": "hgrjca", "time_mix": "dense"},
]  # fmt: skip


# Few steps, since the interpreter takes a second for each. The rate is small because Adam turns
# the sign of a gradient that is 0 but for rounding into a step.
FEW = replace(QUICK, epochs=2, batch=2, window=30, hop=30, lr=1e-3, warmup_epochs=0)


def fit(out: Path, machine: Machine, model: dict[str, Any], **changed: Any) -> TrainResult:
    toy, config = make_toy(2, 1, rows=30), replace(FEW, **changed)
    fusion = {**SMALL, "attention_dropout": 0.0, **model}
    return train(
        toy.source, toy.labels, toy.split, fusion, config, out, progress=False,
        resume=config.save_seconds == 0, machine=machine,
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind["fusion"])
def test_a_training_on_the_kernels_is_the_same_training(
    tmp_path: Path, kind: dict[str, Any]
) -> None:
    rows = [fit(tmp_path / m.attention, m, kind).rows for m in (PLAIN, KERNELS)]
    for name, tolerance in (("train_loss", 1e-4), ("val_ccc", 1e-3)):
        plain, other = ([row[name] for row in part] for part in rows)
        np.testing.assert_allclose(other, plain, atol=tolerance, rtol=0)


def test_the_kernels_are_used_and_gradients_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = FusionModel(FusionConfig(6, 4, **{**SMALL, "attention_dropout": 0.0}))
    visual, audio = torch.randn(2, 9, 6), torch.randn(2, 9, 4)
    frames = torch.arange(9) < torch.tensor([[9], [4]])
    found = []
    for core in ("torch", "triton"):
        set_core(model, core)
        if core == "triton":
            monkeypatch.setattr(JointCrossAttention, "_attend", None)
            monkeypatch.setattr("grjca.fusion.attention.joint_attention", None)
            monkeypatch.setattr("grjca.fusion.gates.tempered_gate", None)
        model.zero_grad()
        output = model(visual, audio, frames, frames, frames)
        (output.prediction.sum() + output.gates["visual"][..., 0].sum()).backward()
        found.append([output.prediction, *(p.grad for p in model.parameters())])
    for plain, other in zip(*found, strict=True):
        torch.testing.assert_close(other, plain, atol=2e-5, rtol=2e-4)


@pytest.mark.parametrize("dense", [False, True])
def test_a_layer_in_evaluation_on_windows_with_padding(dense: bool) -> None:
    torch.manual_seed(0)
    layer = JointCrossAttention(6, 4, 9, dense, 0.6).eval()
    frames = torch.arange(9) < torch.tensor([[9], [4]])
    visual, audio = (torch.randn(2, 9, d) * frames[..., None] for d in (6, 4))
    plain = layer(visual, audio, frames)
    set_core(layer, "triton")
    for a, b in zip(layer(visual, audio, frames), plain, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_mixed_precision_is_near_full_precision() -> None:
    # float16 stands in for bfloat16, which the interpreter cannot multiply.
    torch.manual_seed(0)
    model = FusionModel(FusionConfig(6, 4, **SMALL)).eval()
    set_core(model, "triton")
    visual, audio = torch.randn(2, 9, 6), torch.randn(2, 9, 4)
    there = torch.ones(2, 9, dtype=torch.bool)
    full = model(visual, audio, there, there, there).prediction
    with torch.autocast("cpu", torch.float16):
        mixed = model(visual, audio, there, there, there).prediction
    mixed.float().sum().backward()
    assert not torch.equal(full, mixed.float())
    torch.testing.assert_close(mixed.float(), full, atol=0.02, rtol=0)
    assert all(p.grad is None or p.grad.dtype == torch.float32 for p in model.parameters())


def test_dropout_of_a_training_goes_on_where_it_was(tmp_path: Path) -> None:
    kind = {"fusion": "jca", "attention_dropout": 0.6}
    whole = fit(tmp_path / "a", KERNELS, kind, epochs=2, save_seconds=0)
    for epochs in (1, 2):
        parts = fit(tmp_path / "b", KERNELS, kind, epochs=epochs, save_seconds=0)
    assert [r["val_ccc"] for r in parts.rows] == [r["val_ccc"] for r in whole.rows]
    assert [r["train_loss"] for r in parts.rows] == [r["train_loss"] for r in whole.rows]
    with pytest.raises(UsageError, match=r"attention.*triton.*torch"):
        fit(tmp_path / "b", PLAIN, kind, epochs=3, save_seconds=0)


def test_a_compiled_training_on_the_kernels(tmp_path: Path) -> None:
    compiled = Machine(CPU, compile=True, backend="aot_eager", attention="triton")
    kind = {"fusion": "grjca", "temporal": "none", "iterations": 1}
    rows = [fit(tmp_path / str(m.compile), m, kind, epochs=1).rows for m in (KERNELS, compiled)]
    plain, other = (part[0]["train_loss"] for part in rows)
    assert other == pytest.approx(plain, abs=1e-5)
    torch.compiler.reset()


def test_weights_and_checkpoints_know_nothing_of_it(tmp_path: Path) -> None:
    model = FusionModel(FusionConfig(6, 4, **SMALL))
    names = list(model.state_dict())
    set_core(model, "triton")
    assert list(model.state_dict()) == names
    machine = choose_machine(TrainConfig(device="cpu", attention="triton"))
    result = fit(tmp_path, machine, {}, epochs=1)
    assert result.notes[-1] == "attention core: Triton kernels"
    assert "attention: triton" in (tmp_path / "config.yaml").read_text()


def test_a_fixed_gate_is_fixed() -> None:
    torch.manual_seed(0)
    model = FusionModel(FusionConfig(6, 4, **SMALL)).eval()
    set_core(model, "triton")
    there = torch.ones(1, 5, dtype=torch.bool)
    held = torch.tensor([1.0, 0.0, 0.0])
    with fixed_gates(model.gates(), {"visual": held}):
        gates = model(torch.randn(1, 5, 6), torch.randn(1, 5, 4), there, there, there).gates
    assert torch.equal(gates["visual"], held.expand(1, 5, 3))
