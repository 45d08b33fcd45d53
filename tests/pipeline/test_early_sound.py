"""Sound embedded while the rows' times are still coming is what it is with all of them known."""

from __future__ import annotations

import threading
import time as clock
from pathlib import Path

import numpy as np
import pytest
from media_makers import make_clip

from grjca.errors import GrjcaError
from grjca.pipeline.early_sound import EarlySound
from grjca.pipeline.pictures import Media
from grjca.pipeline.row_times import AbandonedError, RowTimes
from grjca.pipeline.sightings import temporary_log
from grjca.pipeline.sound import embed_sound
from grjca.pipeline.source import ClipSource
from grjca.stages.acoustic import LogMelStatistics


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("sound") / "clip.mp4", frames=75)


def test_rows_are_bit_by_bit_those_of_one_call(clip: Path) -> None:
    media, embedder = Media(ClipSource(clip)), LogMelStatistics()
    time = np.arange(75) / 25
    with media.sound() as sound:
        expected = list(embed_sound(sound or (), embedder, time))
    with temporary_log() as log, EarlySound(media, embedder, log) as early:
        for row in range(0, 75, 10):
            early.time.add(time[row : row + 10])
            clock.sleep(0.01)
        heard = list(early.heard())
    assert sum(len(valid) for _, valid in heard) == 75
    for (features, valid), (wanted, there) in zip(heard, expected, strict=True):
        np.testing.assert_array_equal(features, wanted)
        np.testing.assert_array_equal(valid, there)


def test_leaving_early_ends_its_thread_and_its_decoder(clip: Path) -> None:
    threads = threading.active_count()
    with (
        temporary_log() as log,
        EarlySound(Media(ClipSource(clip)), LogMelStatistics(), log) as early,
    ):
        early.time.add(np.arange(10) / 25)
    assert threading.active_count() == threads


def test_a_full_disk_for_temporary_files_is_told(clip: Path) -> None:
    with (
        Path("/dev/full").open("r+b", buffering=0) as full,
        EarlySound(Media(ClipSource(clip)), LogMelStatistics(), full) as early,
    ):
        early.time.add(np.arange(75) / 25)
        with pytest.raises(GrjcaError, match="TMPDIR"):
            list(early.heard())


def test_times_are_waited_for() -> None:
    times = RowTimes()
    times.add(np.array([0.0, 0.5]))
    assert times.beyond(0.4).tolist() == [0.0, 0.5]
    adder = threading.Timer(0.05, times.add, [np.array([1.0])])
    adder.start()
    assert times.beyond(0.5).tolist() == [0.0, 0.5, 1.0]
    times.end()
    assert times.beyond(9.0).tolist() == [0.0, 0.5, 1.0]
    times.abandon()
    with pytest.raises(AbandonedError):
        times.beyond(0.0)
