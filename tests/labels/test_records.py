from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grjca.labels.records import ClipLabels, Labels


def made(rows: int = 1, **fields: Any) -> ClipLabels:
    whole = {"frame": None, "time": None, "subject": None, "source": Path("x")} | fields
    return ClipLabels("a", np.zeros((rows, 1)), **whole)


def test_labels_of_whole_clips_are_one_row_without_an_axis() -> None:
    assert made(clip_level=True).clip_level
    for wrong in (made, lambda **f: made(2, **f)):
        axis = {} if wrong is not made else {"frame": np.zeros(1, np.int64)}
        with pytest.raises(ValueError, match="one row without an axis"):
            wrong(clip_level=True, **axis)


def test_a_set_is_of_one_kind() -> None:
    with pytest.raises(ValueError, match="in one set"):
        Labels({"a": made(), "b": made(clip_level=True)}, ("valence",), "")
    assert not Labels({"a": made()}, ("valence",), "").clip_level
    assert Labels({"a": made(clip_level=True)}, ("valence",), "").clip_level


def test_partitions_are_known_ones() -> None:
    with pytest.raises(ValueError, match="partition dev"):
        made(partition="dev")
    assert made(partition="val").partition == "val"
