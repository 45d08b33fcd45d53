import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grjca.errors import UsageError
from grjca.labels.folds import folds


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("pqrstuvwxyz"), st.integers(0, 500)), min_size=1,
             max_size=60),
    st.integers(2, 7),
    st.integers(0, 99),
)  # fmt: skip
def test_each_clip_is_validated_on_once_and_subjects_stay_whole(
    made: list[tuple[str, int]], count: int, seed: int
) -> None:
    clips = [f"c{i:02d}.mp4" for i in range(len(made))]
    subjects: dict[str, str | None] = {c: who for c, (who, _) in zip(clips, made, strict=True)}
    rows = {c: n for c, (_, n) in zip(clips, made, strict=True)}
    if len(set(subjects.values())) < count:
        with pytest.raises(UsageError, match="folds without a clip"):
            folds(clips, subjects, count, rows=rows, seed=seed)
        return
    splits = folds(clips, subjects, count, rows=rows, seed=seed)
    assert len(splits) == count
    assert sorted(c for split in splits for c in split.val) == clips
    total = {who: sum(n for w, n in made if w == who) for who, _ in made}
    held = [sum(rows[c] for c in split.val) for split in splits]
    assert max(held) <= sum(held) / count + max(total.values())
    for split in splits:
        assert sorted((*split.train, *split.val)) == clips
        assert not {subjects[c] for c in split.train} & {subjects[c] for c in split.val}
        assert split.grouped
    assert splits == folds(clips[::-1], subjects, count, rows=rows, seed=seed)


def test_equal_subjects_make_equal_folds_and_the_seed_decides() -> None:
    clips = [f"s{i // 3:02d}_c{i}.mp4" for i in range(72)]
    subjects: dict[str, str | None] = {c: c[:3] for c in clips}
    drawn = {folds(clips, subjects, 6, seed=seed) for seed in range(5)}
    assert len(drawn) == 5
    assert all(len(split.val) == 12 for splits in drawn for split in splits)


def test_folds_are_balanced_by_rows_not_clips() -> None:
    clips = [f"long{i}.mp4" for i in range(3)] + [f"short{i}.mp4" for i in range(30)]
    rows = {c: 1000 if c.startswith("long") else 10 for c in clips}
    for seed in range(5):
        splits = folds(clips, {}, 3, rows=rows, seed=seed)
        held = [sum(rows[c] for c in split.val) for split in splits]
        assert held == [1100, 1100, 1100]


def test_the_seed_also_decides_among_subjects_of_different_size() -> None:
    clips = [f"c{i:02d}.mp4" for i in range(24)]
    rows = {c: 100 + i for i, c in enumerate(clips)}
    drawn = {folds(clips, {}, 4, rows=rows, seed=seed) for seed in range(5)}
    assert len(drawn) == 5
    for splits in drawn:
        held = [sum(rows[c] for c in split.val) for split in splits]
        assert max(held) < 1.05 * min(held)


def test_people_of_one_video_stand_together_without_subjects() -> None:
    clips = ["v1_left.mp4", "v1_right.mp4", "v1.mp4", "v2.mp4@1", "v2.mp4@2", "v3.mp4"]
    subjects = dict.fromkeys(clips) | {
        "v1_left.mp4": "video v1", "v1_right.mp4": "video v1",
        "v2.mp4@1": "video v2", "v2.mp4@2": "video v2",
    }  # fmt: skip
    sides = {split.val for split in folds(clips, subjects, 3)}
    assert sides == {
        ("v1.mp4", "v1_left.mp4", "v1_right.mp4"), ("v2.mp4@1", "v2.mp4@2"), ("v3.mp4",),
    }  # fmt: skip


def test_too_many_folds_name_the_counts() -> None:
    subjects: dict[str, str | None] = {f"c{i}.mp4": f"s{i % 4}" for i in range(12)}
    with pytest.raises(UsageError) as caught:
        folds(list(subjects), subjects, 6)
    message = str(caught.value)
    assert "12 clips of 4 subjects leave 2 folds without a clip" in message
    assert "at most 4 folds" in message
    with pytest.raises(UsageError, match=r"1 clips of 1 subjects.*Label more"):
        folds(["a.mp4"], {}, 2)
    with pytest.raises(UsageError, match="0 clips"):
        folds([], {}, 2)
    with pytest.raises(UsageError, match="one to validate on"):
        folds(["a.mp4", "b.mp4"], {}, 1)


def test_unknown_subjects_are_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        splits = folds([f"c{i}.mp4" for i in range(12)], {}, 6)
    assert caplog.text.count("not known") == 1
    assert not any(split.grouped for split in splits)
    assert all("subject of 12 of 12 clips is not known" in split.notes[0] for split in splits)
