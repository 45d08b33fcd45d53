import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grjca.errors import GrjcaError, UsageError
from grjca.labels.splits import split


@given(
    st.lists(st.sampled_from("pqrstuv"), min_size=2, max_size=40),
    st.floats(0.05, 0.95),
    st.integers(0, 99),
)
def test_no_subject_on_both_sides(owners: list[str], share: float, seed: int) -> None:
    subjects: dict[str, str | None] = {f"c{i:02d}.mp4": who for i, who in enumerate(owners)}
    if len(set(owners)) < 2:
        with pytest.raises(GrjcaError, match=r"one subject|there is one clip"):
            split(list(subjects), subjects, share, seed)
        return
    try:
        made = split(list(subjects), subjects, share, seed)
    except UsageError as error:
        assert "no clip on this side" in str(error)  # noqa: PT017
        assert share > 0.5
        return
    assert sorted((*made.train, *made.val)) == sorted(subjects)
    assert not {subjects[c] for c in made.train} & {subjects[c] for c in made.val}
    assert made.grouped
    assert made.notes == ()
    assert made == split(list(reversed(subjects)), subjects, share, seed)


def test_the_share_is_kept_and_the_seed_decides() -> None:
    subjects: dict[str, str | None] = {f"c{i}.mp4": f"s{i // 4}" for i in range(40)}
    drawn = {split(list(subjects), subjects, 0.2, seed).val for seed in range(8)}
    assert {len(val) for val in drawn} == {8}
    assert len(drawn) > 3


def test_a_large_subject_is_not_taken_for_a_small_share() -> None:
    subjects: dict[str, str | None] = {f"a{i}.mp4": "large" for i in range(18)}
    subjects |= {f"b{i}.mp4": "small" for i in range(2)}
    for seed in range(6):
        assert len(split(list(subjects), subjects, 0.1, seed).val) == 2


def test_at_least_one_group_is_taken() -> None:
    subjects: dict[str, str | None] = {"a.mp4": "p", "b.mp4": "q", "c.mp4": "r"}
    assert len(split(list(subjects), subjects, 0.01, 1).val) == 1


def test_unknown_subjects_are_noted(caplog: pytest.LogCaptureFixture) -> None:
    clips = [f"c{i}.mp4" for i in range(10)]
    with caplog.at_level(logging.WARNING):
        made = split(clips, {}, 0.2, 1)
    assert len(made.val) == 2
    assert not made.grouped
    assert "subject of 10 of 10 clips is not known" in made.notes[0]
    assert "not known" in caplog.text


def test_named_clips_are_taken_and_a_shared_subject_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    subjects: dict[str, str | None] = {"x/a.mp4": "p", "x/b.mp4": "p", "x/c.mp4": "q"}
    with caplog.at_level(logging.WARNING):
        made = split(list(subjects), subjects, ["a", "x/a.mp4"][:1])
    assert made.val == ("x/a.mp4",)
    assert made.train == ("x/b.mp4", "x/c.mp4")
    assert not made.grouped
    assert "both sides of the split: p" in caplog.text
    assert split(list(subjects), subjects, ["c"]).grouped


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, float("nan")])
def test_shares_outside_are_refused(share: float) -> None:
    with pytest.raises(UsageError, match="not between 0 and 1"):
        split(["a", "b"], {}, share)


def test_empty_sides_and_unknown_clips_are_refused() -> None:
    with pytest.raises(UsageError, match="training: split: no clip on this side"):
        split(["a.mp4", "b.mp4"], {}, ["a", "b"])
    with pytest.raises(UsageError, match="validation: split: no clip"):
        split(["a.mp4", "b.mp4"], {}, [])
    with pytest.raises(UsageError, match="no clip on this side"):
        split(["a.mp4", "b.mp4"], {}, 0.9)
    with pytest.raises(GrjcaError, match="no such clip in the store: z"):
        split(["a.mp4"], {}, ["z"])
    with pytest.raises(GrjcaError, match="there are no clips"):
        split([], {}, 0.5)
