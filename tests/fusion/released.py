"""A checkpoint of each released format, kept so that it stays readable.

``python tests/fusion/released.py`` writes one of the present format into ``tests/fusion/data``,
with what it predicts: once for each version of the format, before the version is raised. Files of
versions that are out are never written again.
"""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from toy_features import AUDIO_DIM, QUICK, VISUAL_DIM, make_toy

from grjca.cache.records import ClipFeatures
from grjca.fusion.checkpoint import CHECKPOINT, load_checkpoint
from grjca.fusion.predictor import predict_clip
from grjca.fusion.run_files import MODEL
from grjca.fusion.trainer import train

DATA = Path(__file__).parent / "data"
FUSION = {
    "fusion": "hgrjca",
    "visual_channels": (4,),
    "audio_channels": (4,),
    "kernel": 2,
    "head_hidden": 4,
    "temporal_dropout": 0.0,
    "attention_dropout": 0.0,
}


def clip() -> ClipFeatures:
    """80 rows at 20 per second that no generator of random numbers has a part in."""
    row = np.arange(80)[:, None]
    visual = 20 + 3 * np.sin(row * 0.1 + np.arange(VISUAL_DIM))
    audio = -4 + 0.2 * np.cos(row * 0.07 - np.arange(AUDIO_DIM))
    seen, heard = np.arange(80) % 9 != 4, np.arange(80) < 70
    return ClipFeatures(
        "a.mp4", np.arange(80) / 20, visual.astype("f4"), seen, audio.astype("f4"), heard
    )


def write() -> None:
    toy = make_toy(3, 1)
    config = replace(QUICK, epochs=4, window=40, hop=30)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        train(toy.source, toy.labels, toy.split, FUSION, config, run, progress=False)
        content = (run / MODEL).read_bytes()
    file = DATA / f"checkpoint-{CHECKPOINT.version}.safetensors"
    with file.open("xb") as stream:
        stream.write(content)
    found = predict_clip(load_checkpoint(file), clip())
    document = {
        "values": found.values.round(7).tolist(),
        "gates": {name: weights.round(7).tolist() for name, weights in found.gates.items()},
    }
    file.with_suffix(".json").write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    write()
