"""The GPU's benchmark at toy size on the CPU, under the interpreter."""

import pytest
import torch

from benchmarks import kernels
from benchmarks.kernels import Case, run
from grjca.errors import GrjcaError

CPU = torch.device("cpu")
TOY = Case(2, 5, "float32", visual=6, audio=4, iterations=1)


def test_it_builds_checks_and_times() -> None:
    figures = run([TOY], 1, CPU, backend="aot_eager")
    (row,) = figures.rows
    assert all(float(str(row[f"{way} ms"])) > 0 for way in ("eager", "compile", "triton"))
    assert "float32" in figures.as_text()
    torch.compiler.reset()


def test_wrong_gradients_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    right = kernels._pass

    def wrong(case: Case, device: torch.device, core: str, *more: object) -> object:
        once = right(case, device, core, *more)  # type: ignore[arg-type]
        return (lambda: [2 * g for g in once()]) if core == "triton" else once

    monkeypatch.setattr(kernels, "_pass", wrong)
    with pytest.raises(GrjcaError, match="gradient 0 of the kernels is 1 from PyTorch's"):
        run([TOY], 1, CPU)
