from pathlib import Path

import numpy as np
import pytest

from grjca.labels.records import ClipLabels, Labels
from grjca.labels.subjects import subject_of


@pytest.mark.parametrize(
    ("clip", "subject"),
    [
        ("av/01-01-06-01-02-01-12.mp4", "RAVDESS actor 12"),
        ("02-01-06-01-02-01-12.wav", "RAVDESS actor 12"),
        ("1-01-06-01-02-01-12.mp4", None),
        ("01-01-06-01-02-01.mp4", None),
        ("av/M003_level_1_disgusted_015.mp4", "MEAD speaker M003"),
        ("W036_level_3_happy_007.mp4", "MEAD speaker W036"),
        ("XM003_level.mp4", None),
        ("Subject_7_Story_2.mp4", "OMG-Empathy subject 7"),
        ("batch/video5_left.mp4", "video batch/video5"),
        ("batch/video5_right.mp4", "video batch/video5"),
        ("other/video5_right.mp4", "video other/video5"),
        ("batch/video5.mp4@2", "video batch/video5"),
        ("02-01-06-01-02-01-12.mp4@1", "RAVDESS actor 12"),
        ("aniportrait_pose_ref_video.mp4", None),
    ],
)
def test_names(clip: str, subject: str | None) -> None:
    assert subject_of(clip) == subject


def test_the_annotations_own_subject_comes_first() -> None:
    def clip(subject: str | None) -> ClipLabels:
        return ClipLabels("", np.zeros((1, 1)), np.zeros(1, np.int64), None, subject, Path("x"))

    labels = Labels(
        {"M003_a.mp4": clip("anna"), "M004_a.mp4": clip(None)}, ("valence",), "as they are"
    )
    assert subject_of("M003_a.mp4", labels) == "subject anna"
    assert subject_of("M004_a.mp4", labels) == "MEAD speaker M004"
    assert subject_of("b.mp4", labels) is None
    assert subject_of("M004_a.mp4", labels, "bob") == "subject bob"
    assert subject_of("M003_a.mp4", labels, "bob") == "subject anna"
