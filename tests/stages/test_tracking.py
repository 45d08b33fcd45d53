from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from face_makers import paste, portrait, stranger, write_clip
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from plain_faces import Face, blank, box_of, found
from test_shots import HAMILTON_CUTS

from grjca.stages.probe import probe
from grjca.stages.retinaface import RetinaFace
from grjca.stages.shots import ShotDetector
from grjca.stages.tracking import SIGHTING, Tracker, TrackerConfig, assign, distinct, gains
from grjca.stages.types import Detections
from grjca.stages.video import VideoDecoder


def follow(
    frames: Sequence[Detections],
    time: NDArray[np.float64] | None = None,
    *,
    cuts: Sequence[int] = (),
    edges: Sequence[int] = (),
    looks: Sequence[NDArray[np.float32]] | None = None,
) -> NDArray[np.void]:
    """Run a tracker over frames, 25 a second, in batches that end at the edges."""
    time = np.arange(len(frames)) / 25 if time is None else time
    new = np.isin(np.arange(len(frames)), cuts)
    tracker = Tracker()
    parts = [
        tracker.update(
            blank(time[a:b], a), frames[a:b], new[a:b], None if looks is None else looks[a:b]
        )
        for a, b in pairwise((0, *sorted(edges), len(frames)))
    ]
    return np.concatenate(parts)


def track_of(sightings: NDArray[np.void], row: int, x: float) -> int:
    """The track that is nearest to x in a row."""
    here = sightings[sightings["row"] == row]
    middle = here["box"][:, ::2].mean(axis=1)
    return int(here["track"][np.abs(middle - x).argmin()])


def track_clip(path: Path) -> tuple[NDArray[np.void], int]:
    """The sightings of a real clip, and its number of frames."""
    detector, shots, tracker = RetinaFace(), ShotDetector(), Tracker()
    rows, parts = 0, []
    with VideoDecoder(path, probe(path)) as frames:
        for batch in frames:
            faces = detector.detect(batch.frames)
            parts.append(tracker.update(batch, faces, shots.update(batch)))
            rows += len(batch)
    return np.concatenate(parts), rows


@pytest.mark.slow
def test_five_real_faces_keep_their_tracks_over_the_whole_clip(media: Path) -> None:
    sightings, rows = track_clip(media / "av/pdfgc_test1_five_faces.mp4")
    assert rows == 372
    strip = (sightings["box"][:, ::2].mean(axis=1) // 224).astype(int)
    pairs = set(zip(sightings["track"].tolist(), strip.tolist(), strict=True))
    assert sorted(track for track, _ in pairs) == [0, 1, 2, 3, 4]
    assert sorted(place for _, place in pairs) == [0, 1, 2, 3, 4]
    assert len(sightings) == 5 * 372


@pytest.mark.slow
def test_no_track_runs_through_a_shot_cut(media: Path) -> None:
    sightings, rows = track_clip(media / "av/short_hamilton_clip.mp4")
    assert rows == 275
    shot = np.searchsorted(HAMILTON_CUTS, sightings["row"], side="right")
    np.testing.assert_array_equal(sightings["shot"], shot)
    assert set(shot.tolist()) == {0, 1, 2, 3}
    for track in np.unique(sightings["track"]):
        assert len(set(shot[sightings["track"] == track].tolist())) == 1, track


@pytest.mark.slow
def test_a_face_that_is_gone_leaves_no_track(media: Path) -> None:
    sightings, _ = track_clip(media / "av/pyfeat_face_noface.mov")
    assert sightings["row"].tolist() == list(range(72))
    assert set(sightings["track"].tolist()) == {0}


@pytest.mark.slow
@pytest.mark.parametrize("front", [0, 1])
def test_real_faces_that_cross_keep_their_tracks(tmp_path: Path, front: int) -> None:
    n, faces = 40, (portrait(120), stranger(110))
    cells = np.random.default_rng(0).integers(60, 140, (14, 24, 3), dtype=np.uint8)
    ground = cv2.resize(cells, (480, 200), interpolation=cv2.INTER_CUBIC)
    x = np.linspace((80, 400), (400, 80), n)
    pictures = []
    for row in range(n):
        picture = ground.copy()
        for face in (1 - front, front):
            paste(picture, faces[face], x[row, face], 100)
        pictures.append(picture)
    sightings, rows = track_clip(write_clip(tmp_path / "crossing.mp4", pictures))
    assert rows == n
    seen = np.bincount(sightings["row"], minlength=n)
    # The hidden face is really lost for a while.
    assert (seen == 1).sum() >= 3
    assert sorted(set(sightings["track"].tolist())) == [0, 1]
    apart = np.flatnonzero(np.abs(x[:, 0] - x[:, 1]) > 60)
    for face in (0, 1):
        assert len({track_of(sightings, row, x[row, face]) for row in apart}) == 1
    assert track_of(sightings, 0, 80) == track_of(sightings, n - 1, 400)


@pytest.mark.parametrize("hidden", [0, 1])
@pytest.mark.parametrize("swap", [False, True])
def test_crossing_boxes_of_which_one_is_hidden(hidden: int, swap: bool) -> None:
    frames = []
    for step in range(41):
        pair: list[Face] = [(20 + 5 * step, 50, 40), (220 - 5 * step, 52, 42)]
        if abs(pair[0][0] - pair[1][0]) < 30:
            del pair[hidden]
        frames.append(found(*(pair[::-1] if swap else pair)))
    sightings = follow(frames)
    assert set(sightings["track"].tolist()) == {0, 1}
    assert track_of(sightings, 0, 20) == track_of(sightings, 40, 220)
    assert track_of(sightings, 0, 220) == track_of(sightings, 40, 20)


def test_appearance_tells_faces_apart_that_turn_round_behind_each_other() -> None:
    frames, looks, names = [], [], np.eye(8, dtype=np.float32)[:2]
    for step in range(41):
        reach = abs(20 - step) * 5 + 4
        pair: list[Face] = [(120 - reach, 50, 40), (120 + reach, 50, 40)]
        hidden = reach < 15
        frames.append(found(*pair[: 1 if hidden else 2]))
        looks.append(names[: 1 if hidden else 2])
    sightings = follow(frames, looks=looks)
    assert track_of(sightings, 0, 0) == track_of(sightings, 40, 0)
    assert track_of(sightings, 0, 240) == track_of(sightings, 40, 240)
    # Motion alone expects each of them to go on.
    blind = follow(frames)
    assert track_of(blind, 0, 0) != track_of(blind, 40, 0)


def test_mean_appearance_of_each_track() -> None:
    look = np.array(((0.6, 0.8), (0.8, 0.6)), np.float32)
    tracker = Tracker()
    face = found((50, 50, 40))
    none = np.zeros(3, bool)
    tracker.update(
        blank(np.arange(3) / 25), [face, face, found()], none, [look[:1], look[1:], look[:0]]
    )
    assert list(tracker.appearance) == [0]
    np.testing.assert_allclose(tracker.appearance[0], (math.sqrt(0.5), math.sqrt(0.5)), rtol=1e-6)
    assert dict(Tracker().appearance) == {}


@pytest.mark.parametrize(("gap", "tracks"), [(0.5, {0}), (0.52, {0, 1})])
def test_a_face_is_waited_for_half_a_second(gap: float, tracks: set[int]) -> None:
    here = found((50, 50, 40))
    sightings = follow([here, found(), here], np.array((0.1, 0.1 + gap / 2, 0.1 + gap)))
    assert set(sightings["track"].tolist()) == tracks
    assert sightings["row"].tolist() == [0, 2]


def test_tracks_end_at_a_cut() -> None:
    here = found((50, 50, 40))
    sightings = follow([here] * 6, cuts=[3])
    assert sightings["track"].tolist() == [0, 0, 0, 1, 1, 1]
    assert sightings["shot"].tolist() == [0, 0, 0, 1, 1, 1]


def test_frames_that_come_late_are_expected_further_on() -> None:
    # 3 sides a second, frames 0.04 or 0.4 s apart; a face that stands still is in the way.
    time = np.cumsum([0, 0.04, 0.04, 0.04, 0.04, 0.04, 0.4, 0.04, 0.4])
    frames = [found((40 + 120 * t, 50, 40), (140, 75, 40)) for t in time]
    sightings = follow(frames, time)
    assert set(sightings["track"].tolist()) == {0, 1}
    ends = {track_of(sightings, row, 40 + 120 * time[row]) for row in (0, 5, 6, 8)}
    assert len(ends) == 1


def test_a_face_detected_twice_is_one() -> None:
    twice = found((50, 50, 40), (52, 51, 44), score=(0.95, 0.99))
    sightings = follow([twice, found((50, 50, 40)), twice])
    assert sightings["track"].tolist() == [0, 0, 0]
    np.testing.assert_allclose(sightings["score"], (0.99, 0.9, 0.99), rtol=1e-6)
    # Two faces cheek to cheek are two.
    assert len(follow([found((50, 50, 40), (72, 50, 40))])) == 2


def test_what_has_no_place_is_no_face() -> None:
    faces = found((50, 50, 40), (150, 50, 40), (250, 50, 40))
    faces.landmarks[0] = 7
    faces.box[1, 2] = np.inf
    faces.landmarks[2, 3] = np.nan
    assert len(follow([faces, faces])) == 0
    assert distinct(found((50, 50, 40), (150, 50, 40), score=(0.5, 0.6))).tolist() == [1, 0]


def test_nobody_and_missing_pictures() -> None:
    assert follow([found()] * 3).dtype == SIGHTING
    here = found((50, 50, 40))
    frames = blank(np.arange(3) / 25, first=7)
    partly = type(frames)(
        frames.frames, frames.time, 7, present=np.array((True, False, True), dtype=bool)
    )
    sightings = Tracker().update(partly, [here] * 3, np.zeros(3, bool))
    assert sightings["row"].tolist() == [7, 9]


def test_a_log_holds_what_the_detector_said() -> None:
    faces = found((50, 50, 40), (150, 60, 30), score=(0.95, 0.92))
    sightings = follow([faces])
    for name in ("box", "landmarks", "score"):
        np.testing.assert_array_equal(sightings[name], getattr(faces, name))


def test_refuses_what_does_not_fit() -> None:
    frames, none = blank(np.array((0.0, 1.0))), np.zeros(2, bool)
    with pytest.raises(ValueError, match="2 frames, detections of 1"):
        Tracker().update(frames, [found()], none)
    with pytest.raises(ValueError, match="cuts"):
        Tracker().update(frames, [found()] * 2, none[:1])
    one = found((5, 5, 4))
    with pytest.raises(ValueError, match="appearance"):
        Tracker().update(frames, [one] * 2, none, [np.zeros((2, 3), np.float32)] * 2)
    tracker = Tracker()
    tracker.update(frames, [found()] * 2, none)
    with pytest.raises(ValueError, match="come after"):
        tracker.update(frames, [found()] * 2, none)
    with pytest.raises(ValueError, match="cannot be followed"):
        TrackerConfig(reach=0)


faces_of_a_frame = st.lists(
    st.tuples(st.integers(0, 120), st.integers(0, 60), st.sampled_from((20, 24, 30, 50))),
    max_size=4,
)


def gain_of(
    predicted: Face, unseen: float, face: Face, config: TrackerConfig, alike: float | None
) -> float:
    """The gain of one pair, by its definition."""
    (a, b), side = (box_of(predicted), box_of(face)), (predicted[2], face[2])
    wide = max(0.0, float(min(a[2], b[2]) - max(a[0], b[0])))
    high = max(0.0, float(min(a[3], b[3]) - max(a[1], b[1])))
    union = side[0] ** 2 + side[1] ** 2 - wide * high
    apart = math.dist(predicted[:2], face[:2]) / math.sqrt(side[0] * side[1])
    apart /= config.reach + config.speed * unseen
    if apart >= 1 or max(side) / min(side) > config.growth:
        return 0.0
    parts = [wide * high / union, 1 - apart]
    if alike is not None:
        parts.append(min(max(alike, 0.0), 1.0))
    return sum(parts) / len(parts) * (1 - unseen)


@settings(max_examples=150, deadline=None)
@given(
    tracks=faces_of_a_frame, faces=faces_of_a_frame, seed=st.integers(0, 99), looks=st.booleans()
)
def test_gains_are_those_of_the_definition_and_the_assignment_the_best(
    tracks: list[Face], faces: list[Face], seed: int, looks: bool
) -> None:
    rng, config = np.random.default_rng(seed), TrackerConfig()
    unseen = rng.choice((0.04, 0.2, 0.5), len(tracks))
    alike = rng.uniform(-0.5, 1, (len(tracks), len(faces))) if looks else None
    boxes = [
        np.array([box_of(f) for f in some], np.float32).reshape(-1, 4) for some in (tracks, faces)
    ]
    gain = gains(boxes[0], unseen, boxes[1], config, alike)
    wanted = [
        [
            gain_of(t, unseen[i], f, config, None if alike is None else alike[i, k])
            for k, f in enumerate(faces)
        ]
        for i, t in enumerate(tracks)
    ]
    np.testing.assert_allclose(gain, np.reshape(wanted, gain.shape), atol=1e-5)

    pairs = list(assign(gain))
    assert len({face for face, _ in pairs}) == len({track for _, track in pairs}) == len(pairs)
    assert all(gain[track, face] > 0 for face, track in pairs)
    assert sum(gain[track, face] for face, track in pairs) == pytest.approx(best(gain))


def best(gain: NDArray[np.float64]) -> float:
    """The greatest sum over all ways to pair rows with columns, each used at most once."""
    tall = gain if gain.shape[0] >= gain.shape[1] else gain.T
    ways = itertools.permutations(range(tall.shape[0]), tall.shape[1])
    return max(sum(tall[row, column] for column, row in enumerate(way)) for way in ways)


@settings(max_examples=60, deadline=None)
@given(
    clip=st.lists(st.tuples(st.floats(0.01, 0.4), faces_of_a_frame), min_size=1, max_size=20),
    data=st.data(),
)
def test_batches_do_not_change_the_tracks(
    clip: list[tuple[float, list[Face]]], data: st.DataObject
) -> None:
    time = np.cumsum([step for step, _ in clip])
    frames = [found(*faces) for _, faces in clip]
    cuts = data.draw(st.lists(st.integers(1, len(clip)), max_size=2))
    edges = data.draw(st.lists(st.integers(0, len(clip)), max_size=5))
    whole = follow(frames, time, cuts=cuts)
    np.testing.assert_array_equal(follow(frames, time, cuts=cuts, edges=edges), whole)
    assert len(whole) == sum(len(distinct(faces)) for faces in frames)
    assert set(whole["track"].tolist()) == set(range(len(np.unique(whole["track"]))))
    for track in np.unique(whole["track"]):
        one = whole[whole["track"] == track]
        assert (np.diff(one["row"]) > 0).all()
        assert (np.diff(time[one["row"]]) <= 0.5 + 1e-6).all()
        assert len(set(one["shot"].tolist())) == 1
