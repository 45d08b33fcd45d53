"""Every real clip through the whole extraction: rows are decoded frames, errors are one line."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import grjca

MEDIA = Path(__file__).resolve().parents[2].parent / "shared" / "media"
LIGHT = grjca.ExtractConfig(visual="hog", audio="logmel")
RIGHT_COUNT: dict[str, int] = {}
"""Clips in which another decoder counts other frames than ffmpeg; docs/stages.md says why."""


def clips(*folders: str) -> list[str]:
    """Names below the media folder; one stand-in that skips where there is no such folder."""
    found = [f"{folder}/{path.name}" for folder in folders for path in (MEDIA / folder).glob("*")]
    return sorted(found) or ["no-media"]


@pytest.fixture(scope="session")
def counted(media: Path) -> dict[str, int]:
    """Frames that OpenCV decoded, by clip."""
    with (media / "media_index.csv").open(newline="") as stream:
        return {row["file"]: int(row["frames_decoded"]) for row in csv.DictReader(stream)}


@pytest.mark.parametrize("name", clips("av", "video_only"))
def test_rows_are_decoded_frames(
    media: Path, counted: dict[str, int], tmp_path: Path, name: str
) -> None:
    report = grjca.extract([media / name], tmp_path, LIGHT, workers=1)
    assert not report.failed, report.failed
    store = grjca.FeatureStore(tmp_path)
    (clip,) = store.clips()
    features = store.read(clip, "hog", "logmel")
    assert len(features) == RIGHT_COUNT.get(name, counted[name])
    assert features.visual is not None
    assert features.audio is not None
    for rows, valid in (
        (features.visual, features.visual_valid),
        (features.audio, features.audio_valid),
    ):
        assert np.isfinite(rows[valid]).all()
        assert np.isnan(rows[~valid]).all()
    assert features.visual_valid.any()
    assert features.audio_valid.any() == (name.startswith("av/"))


@pytest.mark.parametrize("name", clips("hard"))
def test_hard_input_is_extracted_or_refused_in_one_line(
    media: Path, tmp_path: Path, name: str
) -> None:
    report = grjca.extract([media / name], tmp_path, LIGHT, workers=1)
    if not report.failed:
        (clip,) = grjca.FeatureStore(tmp_path).clips()
        assert len(grjca.FeatureStore(tmp_path).read(clip)) > 0
        return
    error = report.failed[0].error
    assert error is not None
    assert error["message"].count("\n") == 0
    assert name.rpartition("/")[2] in error["message"]
    assert error["remedy"]
    assert not list(tmp_path.rglob("*.h5"))
    assert not list(tmp_path.rglob(".*.tmp"))
