"""The benchmarks of training and of the fusion at toy size."""

from __future__ import annotations

import time as clock
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from benchmarks import epoch, fusion, reading
from benchmarks.__main__ import main
from benchmarks.training import Case

TINY = fusion.Size(batch=2, frames=7, visual=6, audio=4, square=32)


@pytest.mark.parametrize("name", ["fusion", "reading", "epoch"])
def test_there_is_a_command(name: str) -> None:
    assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0


def test_fusion() -> None:
    threads = torch.get_num_threads()
    figures = fusion.run(rounds=2, threads=(1,), size=TINY, profiled=1)
    assert torch.get_num_threads() == threads
    assert [row["time mix"] for row in figures.rows] == ["none", "dense"]
    for row in figures.rows:
        assert 0 < float(str(row["error"])) < 1e-5
        assert 0 < float(str(row["in float64"])) < 1e-12
        assert float(str(row["step ms"])) > float(str(row["forward ms"])) > 0
    for name in ("plain", "grjca"):
        kinds = {k: v for k, v in figures.summary.items() if k.startswith(f"{name}, ")}
        assert len(kinds) == 4
        assert all(float(str(ms)) > 0 for ms in kinds.values())


@pytest.mark.parametrize("what", ["forward", "gradient"])
def test_fusion_notices_other_numbers(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gated = fusion.PlainFusion.forward

    def wrong(self: fusion.PlainFusion, visual: torch.Tensor, audio: torch.Tensor) -> torch.Tensor:
        out = gated(self, visual, audio)
        return 1.001 * out if what == "forward" else 1.001 * out - 0.001 * out.detach()

    monkeypatch.setattr(fusion.PlainFusion, "forward", wrong)
    monkeypatch.setattr(fusion, "TIMES_FASTER", 0.0)
    figures = fusion.run(rounds=1, threads=(1,), size=TINY, profiled=0)
    assert not figures.reached
    monkeypatch.setattr(fusion.PlainFusion, "forward", gated)
    assert fusion.run(rounds=1, threads=(1,), size=TINY, profiled=0).reached


def test_operations_are_those_of_the_products() -> None:
    # By hand, d_v = 6, d_a = 4, T = 7: a row and iteration has 4 * 100 + 36 + 16 multiplications.
    assert TINY.products("none") == 3 * 2 * (2 * 7) * 2 * 452
    assert TINY.products("dense") == 3 * 2 * (2 * 7) * 2 * (452 + 7 * 10)


def test_reading(tmp_path: Path) -> None:
    figures = reading.run(tmp_path, epochs=1, cases={"small": Case("tiny", 5, (40, 60))})
    assert len(figures.rows) == 5
    for row in figures.rows:
        assert 0 < float(str(row["waiting s"])) < float(str(row["epoch s"]))
        assert 0 < float(str(row["reading, share of processor"])) < 1


def test_the_clock_counts_what_the_caller_waits_for() -> None:
    calls: list[Callable[[], None]] = [partial(clock.sleep, 0.1) for _ in range(3)]
    idle, busy = reading.Clock(), reading.Clock()
    assert list(idle.ahead(calls)) == [None] * 3
    for _ in busy.ahead(calls):
        clock.sleep(0.3)
    assert idle.waited > 0.29
    assert 0.09 < busy.waited < 0.28
    assert idle.worked < 0.1


def test_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def embed(_: epoch.Backbones, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(rows)
        return torch.randn(rows, 512), torch.randn(rows, 128)

    monkeypatch.setattr(epoch.Backbones, "__init__", lambda _: None)
    monkeypatch.setattr(epoch.Backbones, "embed", embed)
    figures = epoch.run(tmp_path, windows=2, rounds=1, name="small")
    assert seen == [300, 300]
    assert figures.summary["rows"] == 600
    assert not figures.reached


@pytest.mark.slow
def test_backbones_answer_for_each_row() -> None:
    visual, audio = epoch.Backbones().embed(3)
    assert visual.shape == (3, 512)
    assert audio.shape == (3, 128)
    assert visual.isfinite().all()
    assert audio.isfinite().all()
