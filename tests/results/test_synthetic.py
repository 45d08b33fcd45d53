from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from results import synthetic


@pytest.mark.parametrize("seed", range(5))
def test_the_area_is_the_share_of_pairs_in_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, positive = rng.integers(0, 6, size=40).astype(np.float64), rng.random(40) < 0.4
    pairs = [
        (a > b) + 0.5 * (a == b) for a in values[positive] for b in values[~positive]
    ]  # fmt: skip
    assert synthetic._area(values, positive) == pytest.approx(np.mean(pairs))


@pytest.mark.slow
def test_the_benchmark_runs_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(synthetic, "SET", {"clips": 5, "seconds": 8.0, "fps": 5.0})
    monkeypatch.setattr(synthetic, "TRAIN", {"epochs": 1, "window": 20, "hop": 20, "batch": 4})
    model = {"visual_channels": [4], "audio_channels": [4], "temporal": "none"}
    asked = synthetic.Benchmark(2, (0.0, 0.5), ("concat", "grjca"), model=model)
    synthetic.run(asked, tmp_path, 1)
    document = json.loads((tmp_path / "dial-0.5" / "ablation.json").read_text())
    assert [own["seed"] for own in document["seen_by_gates"]] == [1, 2]
    areas = [own["audio[0]"] for own in document["seen_by_gates"]]
    assert all(area is None or 0 <= area <= 1 for area in areas)
    assert [own["variant"] for own in document["fusions"]] == ["concat", "grjca"]
    first = capsys.readouterr().out
    synthetic.run(asked, tmp_path, 1)
    assert capsys.readouterr().out == first


def test_rows_that_are_all_alike_have_no_area() -> None:
    assert np.isnan(synthetic._area(np.arange(3.0), np.zeros(3, dtype=bool)))
