"""What the demo's clips are made of: labels, personas, failures, and what ffmpeg makes of them."""

from __future__ import annotations

import hashlib
import subprocess
from itertools import combinations, pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo import clips, face, voice
from demo.clips import FPS, FULL, QUICK, DemoSet, Script, build_clips, encode, write_scripts
from demo.curves import Trait, failure_spans, presence, smooth_gaussians, to_range
from grjca.errors import GrjcaError

TRAITS = {**{f"face {k}": t for k, t in face.TRAITS.items()},
          **{f"voice {k}": t for k, t in voice.TRAITS.items()}}  # fmt: skip


@pytest.fixture(scope="module")
def scripts() -> list[Script]:
    return write_scripts(3, FULL)


@pytest.mark.parametrize("name", TRAITS)
def test_unseen_personas_are_drawn_from_other_intervals(name: str) -> None:
    trait, rng = TRAITS[name], np.random.default_rng(0)
    for split, other in (("train", trait.unseen), ("unseen", trait.train)):
        drawn = [trait.draw(rng, split) for _ in range(100)]  # type: ignore[arg-type]
        assert not any(low <= value < high for value in drawn for low, high in other)


def test_overlapping_intervals_are_refused() -> None:
    with pytest.raises(ValueError, match="overlaps"):
        Trait(((0.0, 1.0),), ((0.9, 2.0),))
    with pytest.raises(ValueError, match="empty interval"):
        Trait(((1.0, 1.0),), ((2.0, 3.0),))


def test_personas_of_the_scripts_keep_to_their_split(scripts: list[Script]) -> None:
    for script in scripts:
        persona = script.persona
        for traits, style in ((face.TRAITS, persona.face), (voice.TRAITS, persona.voice)):
            for name, trait in traits.items():
                intervals = trait.train if persona.split == "train" else trait.unseen
                assert any(low <= getattr(style, name) < high for low, high in intervals), name
    subjects = {s.persona.subject: s.persona.split for s in scripts}
    assert len(subjects) == len(scripts)


def test_labels_use_the_range_and_tell_nothing_of_other_clips(scripts: list[Script]) -> None:
    labels = np.stack([script.labels for script in scripts])
    assert np.abs(labels).max() < 1
    assert labels.min() < -0.9
    assert labels.max() > 0.9
    between = [np.corrcoef(a[:, k], b[:, k])[0, 1] for a, b in combinations(labels, 2)
               for k in (0, 1)]  # fmt: skip
    within = [np.corrcoef(clip.T)[0, 1] for clip in labels]
    assert abs(np.mean(between)) < 0.05
    assert abs(np.mean(within)) < 0.1


@given(st.integers(0, 2**32 - 1), st.integers(40, 300), st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_curves_are_smooth_standard_and_uncorrelated(seed: int, frames: int, count: int) -> None:
    curves = smooth_gaussians(np.random.default_rng(seed), count, frames, FPS)
    np.testing.assert_allclose(curves @ curves.T / frames, np.eye(count), atol=1e-9)
    np.testing.assert_allclose(curves.mean(1), 0, atol=1e-9)
    assert (np.abs(to_range(curves)) < 1).all()


@given(st.integers(0, 2**32 - 1), st.floats(3.0, 60.0), st.floats(0.05, 0.45))
@settings(max_examples=50, deadline=None)
def test_face_and_voice_fail_at_different_times(seed: int, seconds: float, share: float) -> None:
    hidden, lost = failure_spans(np.random.default_rng(seed), seconds, share, ("a", "b"), ("c",))
    for spans in (hidden, lost):
        assert sum(s.stop - s.start for s in spans) == pytest.approx(share * seconds)
    in_order = sorted([*hidden, *lost], key=lambda span: span.start)
    assert all(a.stop <= b.start + 1e-9 for a, b in pairwise(in_order))
    assert in_order[-1].stop <= seconds + 1e-9


def test_a_hidden_face_and_a_lost_voice_show_nothing(scripts: list[Script]) -> None:
    script = scripts[0]
    time = np.arange(len(script.labels)) / FPS
    hidden = presence(script.hidden, time, 1e-6) == 1
    frames = np.stack(script.frames())
    for kind in face.COVERS:
        one = presence([s for s in script.hidden if s.kind == kind], time, 1e-6) == 1
        if kind != "pan" and one.any():
            # The middle of the picture is the cover alone: its colour varies with the light only.
            middle = frames[one][:, 90:150, 90:150].astype(float)
            assert middle.std(axis=(1, 2)).max() < frames[~hidden][:, 90:150, 90:150].std() / 2
    samples = script.samples()
    moment = np.arange(len(samples)) / voice.RATE
    silent = [s for s in script.lost if s.kind == "silence"]
    assert not samples[presence(silent, moment, 1e-6) == 1].any()


def test_a_hidden_head_moves_by_a_decoy() -> None:
    told = [], []
    for script in write_scripts(4, FULL):
        hidden = presence(script.hidden, np.arange(len(script.labels)) / FPS, 1e-6) == 1
        for kept, where in zip(told, (hidden, ~hidden), strict=True):
            kept.append(np.stack([script.labels[where, 0], script.motion.valence[where]]))
    covered, seen = (np.corrcoef(np.concatenate(kept, axis=1))[0, 1] for kept in told)
    assert abs(covered) < 0.3
    assert seen > 0.7


def test_every_expression_leaves_the_face_whole() -> None:
    portrait = face.Portrait(face.FaceStyle.draw(np.random.default_rng(1), "unseen"))
    calm = portrait.expression(0.0, 0.0, 0.0, 0.0, (0.0, 0.0)).astype(float)
    for valence in (-1.0, 1.0):
        for arousal in (-1.0, 1.0):
            moved = portrait.expression(valence, arousal, 1.0, 0.0, (2.0, -2.0)).astype(float)
            change = np.abs(moved - calm).mean(axis=2)
            left, top, right, bottom = (round(edge * face.ZOOM) for edge in face.REGION)
            assert change[top:bottom, left:right].mean() > 1
            change[top:bottom, left:right] = 0
            assert not change.any()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> DemoSet:
    return build_clips(tmp_path_factory.mktemp("quick"), seed=11, quick=True)


def test_a_built_clip_decodes_to_its_frames_and_has_sound(built: DemoSet) -> None:
    assert (len(built.train), len(built.unseen)) == (QUICK.train, QUICK.unseen)
    rows = [line.split(",") for line in built.labels.read_text().splitlines()[1:]]
    for clip in (*built.train, *built.unseen):
        numbers = [int(row[1]) for row in rows if row[0] == clip]
        with av.open(str(built.clips / clip)) as container:
            decoded = sum(1 for _ in container.decode(video=0))
        with av.open(str(built.clips / clip)) as container:
            sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
            rate = container.streams.audio[0].rate
        assert decoded == round(QUICK.seconds * FPS)
        assert numbers == list(range(decoded))
        assert len(sound) / rate == pytest.approx(QUICK.seconds, abs=0.15)
        assert 0.005 < sound.std() < 0.5


def test_the_same_seed_gives_the_same_files(built: DemoSet, tmp_path: Path) -> None:
    again = build_clips(tmp_path, seed=11, quick=True, workers=1)
    for clip in built.train[:2]:
        digests = {hashlib.sha256((s.clips / clip).read_bytes()).digest() for s in (built, again)}
        assert len(digests) == 1
    assert built.labels.read_bytes() == again.labels.read_bytes()


def test_a_failing_ffmpeg_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, b"", b"Unknown encoder 'libx264'\n")
    monkeypatch.setattr(clips.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(GrjcaError, match="Unknown encoder 'libx264'"):
        encode(write_scripts(1, QUICK)[0], tmp_path / "a" / "b.mp4")


def test_a_set_with_a_clip_in_both_splits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="both splits"):
        DemoSet(tmp_path, tmp_path / "labels.csv", ["a.mp4"], ["a.mp4"])
