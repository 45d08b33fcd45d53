from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from plain_faces import Face, log_of, still

from grjca.stages import summaries as summaries_module
from grjca.stages.people import (
    MAX_PEOPLE,
    Chosen,
    Person,
    choose,
    find_people,
    tracking_identity,
)
from grjca.stages.summaries import summaries
from grjca.stages.tracking import SIGHTING

T100 = np.arange(100) / 25
LEFT: Face = (50, 50, 40)
RIGHT: Face = (250, 50, 40)


def tracks_of(log: NDArray[np.void], time: NDArray[np.float64] = T100) -> list[tuple[int, ...]]:
    return [person.tracks for person in find_people(log, time)]


def looks(**known: int) -> dict[int, NDArray[np.float32]]:
    """Unit vectors of people, by ``t<track>``."""
    return {int(track[1:]): np.eye(6, dtype=np.float32)[who] for track, who in known.items()}


def test_what_is_known_of_a_person() -> None:
    # The second frame lasts ten times as long; the third is the last and as long as the second.
    time = np.array((0.0, 0.1, 1.1))
    log = log_of((4, 2, {0: (10, 20, 40), 1: (20, 30, 50), 2: (30, 40, 60)}))
    (person,) = find_people(log, time)
    assert person.tracks == (4,)
    assert person.shot == 2
    assert person.presence == pytest.approx(40 * 0.1 + 50 * 1 + 60 * 1)
    assert person.place == pytest.approx(((1 + 20 + 30) / 2.1, (2 + 30 + 40) / 2.1))
    assert (person.rows, person.first, person.last) == (3, 0, 2)
    assert person.seconds == pytest.approx(2.1)


def test_tracks_that_follow_each_other_at_one_place_are_one_person() -> None:
    log = log_of(
        (0, 0, still(LEFT, range(20))),
        (1, 0, still(RIGHT, range(100))),
        (2, 0, still((60, 55, 44), range(60, 90))),
    )
    assert tracks_of(log) == [(1,), (0, 2)]


@pytest.mark.parametrize(
    "second",
    [
        (2, 0, still((95, 50, 40), range(60, 90))),  # more than a side away
        (2, 0, still((50, 50, 64), range(60, 90))),  # much larger
        (2, 0, still((60, 50, 40), range(19, 90))),  # in view together
        (2, 1, still(LEFT, range(60, 90))),  # in another shot
    ],
)
def test_other_tracks_are_other_people(second: tuple[int, int, dict[int, Face]]) -> None:
    assert sorted(tracks_of(log_of((0, 0, still(LEFT, range(20))), second))) == [(0,), (2,)]


def test_a_track_goes_on_from_the_nearest() -> None:
    log = log_of(
        (0, 0, still((50, 50, 40), range(10))),
        (1, 0, still((80, 50, 40), range(10))),
        (2, 0, still((76, 50, 40), range(20, 30))),
        (3, 0, still((70, 50, 40), range(20, 30))),
    )
    assert sorted(tracks_of(log)) == [(0, 3), (1, 2)]


def test_appearance_joins_across_shots_and_keeps_places_apart() -> None:
    log = log_of(
        (0, 0, still(LEFT, range(20))),
        (1, 0, still(RIGHT, range(20))),
        (2, 0, still(LEFT, range(25, 40))),  # another one in the first one's seat
        (3, 1, still(LEFT, range(40, 90))),
        (4, 1, still(RIGHT, range(40, 50))),
    )
    people = find_people(log, T100, looks(t0=0, t1=1, t2=2, t3=1, t4=0))
    assert [person.tracks for person in people] == [(1, 3), (0, 4), (2,)]
    assert {person.shot for person in people} == {None}
    # Twins in view together are two, and who is not known by looks is known by place.
    people = find_people(log, T100, looks(t0=0, t1=0, t3=5))
    assert [person.tracks for person in people] == [(3,), (0, 2), (1,), (4,)]


def test_presence_ranks() -> None:
    log = log_of(
        (0, 0, still((50, 50, 30), range(80))),
        (1, 0, still((150, 50, 50), range(50))),
        (2, 0, still((250, 50, 100), range(20))),
    )
    assert tracks_of(log) == [(1,), (0,), (2,)]


SCENE = log_of(
    (0, 0, still((50, 50, 30), range(40))),
    (1, 0, still((150, 50, 60), range(40))),
    (2, 0, still((250, 50, 20), range(40))),
    (3, 0, still((350, 50, 10), range(40))),  # a sixth of the main one's presence
    (4, 1, still((90, 50, 90), range(40, 45))),  # 0.2 s only
    (5, 1, still((200, 50, 40), range(40, 80))),
    (6, 2, still((70, 50, 30), range(80, 84))),  # nobody else in that shot
)


def test_main_left_and_right_are_chosen_in_each_shot() -> None:
    people = find_people(SCENE, T100)
    assert choose(people, "main") == Chosen(((1, 5, 6),))
    assert choose(people, "left") == Chosen(((0, 5, 6),))
    assert choose(people, "right") == Chosen(((2, 5, 6),))
    assert choose(people, "all") == Chosen(((1,), (5,), (0,), (2,), (3,)))
    alone = find_people(SCENE[SCENE["track"] == 4], T100)
    for choice in ("main", "left", "right", "all"):
        assert choose(alone, choice) == Chosen(((4,),))


def test_with_appearance_they_are_chosen_once() -> None:
    people = find_people(SCENE, T100, looks(t0=0, t1=1, t2=2, t3=3, t4=4, t5=0, t6=5))
    assert choose(people, "main") == Chosen(((0, 5),))
    assert choose(people, "left") == Chosen(((0, 5),))
    assert choose(people, "right") == Chosen(((2,),))


def test_nobody() -> None:
    people = find_people(np.zeros(0, SIGHTING), T100)
    assert people == find_people(np.zeros(0, SIGHTING), T100, {}) == []
    for choice in ("main", "left", "right", "all"):
        assert choose(people, choice) == Chosen(((),))


def test_all_keeps_a_limited_number() -> None:
    crowd = log_of(*[(k, 0, still((50 * k, 50, 20 + k), range(30))) for k in range(MAX_PEOPLE + 6)])
    chosen = choose(find_people(crowd, T100), "all")
    assert chosen.left_out == 6
    assert chosen.people == tuple((k,) for k in range(MAX_PEOPLE + 5, 5, -1))


def test_a_clip_of_one_frame() -> None:
    assert tracks_of(log_of((0, 0, {0: LEFT})), np.zeros(1)) == [(0,)]


def test_refuses_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="main, left, right, all"):
        choose([], "middle")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="never seen"):
        Person((), None, 1.0, (0.0, 0.0), 1, 1.0, 0, 0)
    with pytest.raises(ValueError, match="without tracks"):
        Chosen(())


def test_the_identity_can_be_written_down() -> None:
    assert json.loads(json.dumps(tracking_identity())) == tracking_identity()


logs = st.lists(
    st.tuples(
        st.integers(0, 50),
        st.integers(1, 20),
        st.integers(0, 200),
        st.integers(8, 40),
        st.integers(0, 1),
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(tracks=logs, seed=st.integers(0, 99), block=st.integers(1, 30))
def test_summaries_are_sums_whatever_the_blocks(
    tracks: list[tuple[int, int, int, int, int]], seed: int, block: int
) -> None:
    rng = np.random.default_rng(seed)
    time = np.cumsum(rng.uniform(0.01, 0.2, 75))
    lasting = np.append(np.diff(time), time[-1] - time[-2])
    log = log_of(
        *[
            (k, shot, {row: (x + rng.uniform(0, 9), 5, side) for row in range(begin, begin + n)})
            for k, (begin, n, x, side, shot) in enumerate(tracks)
        ]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summaries_module, "BLOCK", block)
        total = summaries(log, time)
    assert total["track"].tolist() == list(range(len(tracks)))
    for k, (begin, n, _, side, shot) in enumerate(tracks):
        own, one = log[log["track"] == k], total[k]
        assert (one["shot"], one["first"], one["last"]) == (shot, begin, begin + n - 1)
        seconds = lasting[begin : begin + n]
        assert one["rows"] == n
        assert one["seconds"] == pytest.approx(seconds.sum())
        assert one["presence"] == pytest.approx(side * seconds.sum(), rel=1e-4)
        x = own["box"][:, ::2].mean(axis=1)
        assert one["moment"][0] == pytest.approx(float(x @ seconds), rel=1e-4)
        np.testing.assert_array_equal(one["begin"], own["box"][0])
        np.testing.assert_array_equal(one["end"], own["box"][-1])


@settings(max_examples=80, deadline=None)
@given(tracks=logs, names=st.lists(st.integers(0, 2), min_size=8, max_size=8), known=st.booleans())
def test_nobody_is_in_two_places_at_once(
    tracks: list[tuple[int, int, int, int, int]], names: list[int], known: bool
) -> None:
    log = log_of(
        *[
            (k, shot, still((x, 5, side), range(begin, begin + n)))
            for k, (begin, n, x, side, shot) in enumerate(tracks)
        ]
    )
    appearance = looks(**{f"t{k}": name for k, name in enumerate(names)}) if known else None
    people = find_people(log, T100, appearance)
    everyone = sorted(track for person in people for track in person.tracks)
    assert everyone == list(range(len(tracks)))
    assert sum(person.rows for person in people) == len(log)
    for person in people:
        spans = [(tracks[k][0], sum(tracks[k][:2]) - 1) for k in person.tracks]
        assert all(a[1] < b[0] for a, b in pairwise(spans))
        assert not known or len({names[k] for k in person.tracks}) == 1
