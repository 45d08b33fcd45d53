"""The kernels on a real GPU, at the paper's widths: ``make test-gpu``."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from kernel_reference import (
    JointCase,
    assert_near_in_norm,
    gate_reference,
    gradients,
    joint_case,
    joint_reference,
)
from torch import Tensor
from toy_features import QUICK, SMALL, make_toy

from grjca.fusion.config import FusionConfig
from grjca.fusion.kernels.choice import choose, set_core
from grjca.fusion.model import FusionModel
from grjca.fusion.presets import preset
from grjca.fusion.trainer import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

WIDTHS = (256, 128)
SHAPES = [((1,), 1), ((300, 171, 0), 300), ((1000,), 1003), ((3000,), 3000)]
# Of results and of gradients. Measured on a CPU, PyTorch's own float32 is 3e-8 and 7e-7 from
# float64 at these widths, its bfloat16 2e-3 and 6e-2.
PRECISIONS = {"highest": (1e-5, 1e-3), "high": (2e-3, 5e-2), "bfloat16": (1e-2, 0.2)}


@pytest.fixture(params=list(PRECISIONS))
def precision(request: pytest.FixtureRequest) -> Iterator[str]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if request.param == "high" else "highest")
    yield request.param
    torch.set_float32_matmul_precision(before)


def attend(case: JointCase, dropout: float = 0.0) -> tuple[Tensor, ...]:
    from grjca.fusion.kernels.joint import joint_attention

    seed = torch.tensor([99], device="cuda") if dropout else None
    return joint_attention(
        case.visual, case.audio, case.keys, case.frames, case.scale, seed, dropout, case.weights
    )


def cases(made: JointCase, precision: str) -> tuple[JointCase, JointCase]:
    weights = torch.bfloat16 if precision == "bfloat16" else torch.float32
    return made.cast(torch.float32, weights), made.cast(torch.float64, torch.float64)


@pytest.mark.parametrize(("lengths", "total"), SHAPES)
@pytest.mark.parametrize("mixed", [False, True])
def test_joint_attention_against_float64(
    lengths: tuple[int, ...], total: int, mixed: bool, precision: str
) -> None:
    made = joint_case(lengths, total, WIDTHS, mixed=mixed, device="cuda")
    mine, exact = cases(made, precision)
    tolerance, of_gradients = PRECISIONS[precision]
    out, wanted = attend(mine)[:2], joint_reference(exact)
    assert_near_in_norm(out, wanted, tolerance, "result")
    assert_near_in_norm(
        gradients(out, mine.outer, mine.leaves()),
        gradients(wanted, exact.outer, exact.leaves()), of_gradients, "gradient",
    )  # fmt: skip


def test_what_is_dropped_is_dropped_in_the_backward_pass_too(precision: str) -> None:
    made = joint_case((300, 200), 300, WIDTHS, device="cuda")
    mine, exact = cases(made, precision)
    visual, audio, correlation, _, *through = attend(mine, 0.6)
    assert (correlation != 0).float().mean().item() == pytest.approx(0.4, abs=0.01)
    wanted = joint_reference(exact, 0.6, (correlation != 0, *through))
    tolerance, of_gradients = PRECISIONS[precision]
    assert_near_in_norm((visual, audio), wanted, 2 * tolerance, "result")
    assert_near_in_norm(
        gradients((visual, audio), mine.outer, mine.leaves()),
        gradients(wanted, exact.outer, exact.leaves()), 2 * of_gradients, "gradient",
    )  # fmt: skip


def test_the_same_bits_each_time() -> None:
    made = joint_case((300, 200), 300, WIDTHS, device="cuda").cast(torch.float32, torch.float32)
    runs = []
    for _ in range(2):
        out = attend(made, 0.6)
        runs.append([*out, *gradients(out[:2], made.outer, made.leaves())])
    assert all(torch.equal(a, b) for a, b in zip(*runs, strict=True))


@pytest.mark.parametrize("shape", [(1, 1, 128), (12, 300, 256), (3, 1001, 100)])
@pytest.mark.parametrize("count", [2, 3, 6])
def test_the_gate_against_float64(shape: tuple[int, int, int], count: int) -> None:
    from grjca.fusion.kernels.gate import gate

    torch.manual_seed(0)
    given = [torch.randn(count, shape[-1]) / shape[-1] ** 0.5, torch.randn(count)]
    given += [torch.randn(shape) for _ in range(count + 1)]
    mine = [x.cuda().requires_grad_() for x in given]
    exact = [x.cuda().double().requires_grad_() for x in given]
    out = gate(mine[2], mine[3:], mine[0], mine[1], 0.1)
    wanted = gate_reference(exact[2], exact[3:], exact[0], exact[1], 0.1)
    assert_near_in_norm(out, wanted, 5e-5, "result")
    outer = [torch.randn_like(x) for x in out]
    assert_near_in_norm(
        gradients(out, outer, mine),
        gradients(wanted, [o.double() for o in outer], exact), 5e-4, "gradient",
    )  # fmt: skip


@pytest.mark.parametrize("amp", [False, True])
def test_a_compiled_model_is_the_model(amp: bool) -> None:
    torch.manual_seed(0)
    chosen = {**preset("paper").model, "attention_dropout": 0.0, "temporal_dropout": 0.0}
    model = FusionModel(FusionConfig(64, 32, window=300, **chosen)).cuda().train()
    inputs = [torch.randn(2, 300, width, device="cuda") for width in (64, 32)]
    there = torch.ones(2, 300, dtype=torch.bool, device="cuda")
    found = []
    for core, compiled in (("torch", False), ("triton", False), ("triton", True)):
        set_core(model, core)
        forward = torch.compile(model) if compiled else model
        model.zero_grad()
        with torch.autocast("cuda", torch.bfloat16, enabled=amp):
            prediction = forward(*inputs, there, there, there).prediction
        prediction.float().sum().backward()
        found.append(prediction.float())
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], atol=0.05 if amp else 2e-4, rtol=0)


def test_a_training_on_the_kernels_is_near_the_same_training(tmp_path: Path) -> None:
    assert choose("auto", torch.device("cuda"))[0] == "triton"
    rows = []
    for core in ("torch", "triton", "auto"):
        toy = make_toy(4, 2)
        config = replace(QUICK, epochs=2, device="cuda", attention=core)
        result = train(
            toy.source, toy.labels, toy.split, {**SMALL, "attention_dropout": 0.0}, config,
            tmp_path / core, progress=False,
        )  # fmt: skip
        rows.append([row["train_loss"] for row in result.rows])
    np.testing.assert_allclose(rows[1], rows[0], atol=5e-3)
    assert rows[1] == rows[2]
