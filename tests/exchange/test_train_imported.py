from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from grjca.api import train
from grjca.exchange import import_features
from grjca.fusion.checkpoint import load_checkpoint


@pytest.mark.slow
def test_a_model_is_trained_on_imported_features(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    manifest, labels = ["clip,visual,audio,visual_fps,audio_fps"], ["clip,frame,valence,arousal"]
    for clip in range(6):
        wave = np.sin(np.arange(240) / 20 + clip)
        noise = rng.normal(size=(3, 240)) / 4
        np.save(tmp_path / f"v{clip}.npy", np.stack([wave + noise[0], noise[1]], axis=1)[::4])
        np.save(tmp_path / f"a{clip}.npy", np.stack([wave + noise[2]], axis=1))
        # One clip has no sound at all.
        manifest.append(f"c{clip},v{clip}.npy,{f'a{clip}.npy' if clip else ''},10,40")
        labels += [f"c{clip},{i},{x:.4f},{-x:.4f}" for i, x in enumerate(wave[::4])]
    (tmp_path / "m.csv").write_text("\n".join(manifest))
    (tmp_path / "labels.csv").write_text("\n".join(labels))
    report = import_features(tmp_path / "m.csv", tmp_path / "store")
    assert not report.failed
    result = train(
        tmp_path / "store", tmp_path / "labels.csv", tmp_path / "run", val=["c4", "c5"],
        config={"epochs": 12, "window": 30, "hop": 15, "threads": 1},
    )  # fmt: skip
    assert min(result.best_ccc.values()) > 0.5
    recipe = load_checkpoint(tmp_path / "run").recipe
    assert recipe["video"] == {"frames": "imported"}
    settings = {"align": "nearest", "zeros": "kept", "columns": None}
    assert recipe["audio"] == {"name": "imported", "imported": settings}
