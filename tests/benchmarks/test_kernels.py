"""The GPU's benchmark: what it counts, when its goal is reached, and that it needs a GPU."""

import pytest
import torch
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.kernels import Case, Peaks, Times, row


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_says_so() -> None:
    result = CliRunner().invoke(main, ["kernels"])
    assert result.exit_code == 2
    assert result.output == "kernels: torch finds no CUDA device, nothing was measured\n"


def test_operations_and_bytes() -> None:
    case = Case(1, 1, "tf32", visual=2, audio=1, iterations=1)
    assert case.operations == 6 * (4 * 9 + 4 + 1)
    # States: read, written; read with a gradient, written. The gate: two and one; three and two.
    assert case.bytes == 4 * 3 * (2 + 3 + 3 + 5) + 3 * 4 * (3 * 9 + 4 + 1)
    assert Peaks(246.0, 1e9).seconds(case) == pytest.approx(1.0)
    assert Peaks(1e9, case.bytes / 3).seconds(case) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("kernels", "alone", "memory", "reached"),
    [
        (5.0, 9.0, 50, True),  # twice as fast as compiled
        (9.0, 4.9, 50, True),  # compiled as well
        (9.0, 9.0, 50, False),
        (5.0, 5.0, 51, False),  # too much memory
    ],
)
def test_the_goal(kernels: float, alone: float, memory: float, reached: bool) -> None:
    case = Case(1, 1, "tf32")
    times = {
        "eager": Times(20.0, 100), "compile": Times(10.0, 90), "triton": Times(kernels, memory),
        "triton, compile": Times(alone, memory),
    }  # fmt: skip
    assert row(case, Peaks(case.operations, 1e30), times)["reached"] is reached
    assert row(case, Peaks(case.operations / 5.5, 1e30), times)["reached"] is (memory <= 50)
