"""The fuzzing itself: damage that can be made again, checks that see what they should."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from media_makers import make_clip

import fuzz.check
from fuzz.__main__ import main
from fuzz.check import Verdict, check
from fuzz.mutate import MUTATORS, mutate
from fuzz.pool import Campaign, run
from fuzz.seeds import made_clips
from grjca.stages.types import FrameBatch
from grjca.stages.video import VideoDecoder


@given(st.binary(min_size=1, max_size=3000), st.integers())
def test_damage_follows_from_the_seed_alone(data: bytes, seed: int) -> None:
    damaged, done = mutate(data, random.Random(seed))
    assert (damaged, done) == mutate(data, random.Random(seed))
    assert damaged
    assert all(name in MUTATORS for name in done.split(", "))


def test_every_mutator_changes_a_clip(tmp_path: Path) -> None:
    data = make_clip(tmp_path / "a.mp4").read_bytes()
    for name, mutator in MUTATORS.items():
        results = set()
        for seed in range(20):
            damaged = bytearray(data)
            mutator(damaged, random.Random(seed))
            results.add(bytes(damaged))
        assert len(results - {data}) > 10, name


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    (tmp_path / "alone").mkdir()
    return make_clip(tmp_path / "alone" / "a.mp4")


def test_a_whole_clip_is_as_it_should_be(clip: Path) -> None:
    verdict = check(clip, clip.parent / "store")
    assert verdict.violations == []
    assert (verdict.rows, verdict.samples, verdict.refused) == (25, 16_000, "")
    assert verdict.extracted


def test_what_should_not_be_is_seen(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = VideoDecoder._decode

    def loses_a_row(self: VideoDecoder):  # type: ignore[no-untyped-def]
        for batch in decode(self):
            yield FrameBatch(batch.frames[1:], batch.time[1:], batch.first)

    monkeypatch.setattr(VideoDecoder, "_decode", loses_a_row)
    (clip.parent / "left.tmp").touch()
    verdict = check(clip)
    assert verdict.violations == [
        "24 rows, but ffmpeg counts 25 frames", "a file is left: left.tmp"
    ]  # fmt: skip

    def stands_still(_: VideoDecoder):  # type: ignore[no-untyped-def]
        yield FrameBatch(np.zeros((1, 8, 8, 3), np.uint8), np.zeros(1), 0)
        yield FrameBatch(np.zeros((1, 8, 8, 3), np.uint8), np.zeros(1), 1)

    monkeypatch.setattr(VideoDecoder, "_decode", stands_still)
    assert "times do not increase around row 1" in check(clip).violations

    def raises(_: VideoDecoder):  # type: ignore[no-untyped-def]
        raise KeyError("surprise")

    monkeypatch.setattr(VideoDecoder, "_decode", raises)
    assert "KeyError was raised: 'surprise'" in check(clip).violations


def judge(path: Path, store: Path | None) -> Verdict:
    """Crashes on the first mutant and hangs on the third."""
    if path.name.startswith("00000"):
        os._exit(7)
    if path.name.startswith("00002"):
        time.sleep(600)
    return Verdict(path.name, extracted=store is not None)


@pytest.mark.long
def test_a_worker_may_crash_or_hang(clip: Path, tmp_path: Path) -> None:
    campaign = Campaign([clip], 1, 2, tmp_path / "workers", judge=judge, hang_limit=3.0)
    verdicts = dict(run(campaign, range(5), workers=2))
    assert sorted(verdicts) == list(range(5))
    assert [len(verdicts[number].violations) for number in range(5)] == [1, 0, 1, 0, 0]
    assert "crashes the process (exit code 7)" in verdicts[0].violations[0]
    assert "hangs" in verdicts[2].violations[0]


@pytest.mark.long
def test_a_short_campaign(tmp_path: Path) -> None:
    arguments = ["--count", "24", "--seed", "5", "--workers", "1", "--extract-every", "6"]
    out, keep = tmp_path / "report.json", tmp_path / "keep"
    done = CliRunner().invoke(main, [*arguments, "--out", str(out), "--keep", str(keep)])
    assert done.exit_code == 0, done.output
    report = json.loads(out.read_text())
    assert (report["count"], report["violations"]) == (24, 0)
    assert report["decoded"] + sum(report["refused"].values()) == 24
    assert report["decoded"] > 5
    assert report["extracted"] > 0
    assert not keep.exists()


def test_clips_are_made_in_many_containers(tmp_path: Path) -> None:
    clips = made_clips(tmp_path)
    assert len({path.suffix for path in clips}) > 5
    assert fuzz.check.count_frames(tmp_path / "h264-aac.mp4", 0, 96 * 64) == 25
