from pathlib import Path

import numpy as np
import pytest

from grjca.errors import GrjcaError
from grjca.labels.matching import find_clips, match
from grjca.labels.records import ClipLabels, Labels


def labels(*names: str) -> Labels:
    values = np.zeros((2, 1))
    clips = {n: ClipLabels(n, values, None, None, None, Path("x.csv")) for n in names}
    return Labels(clips, ("valence",), "as they are")


def test_identity_then_without_extension_then_end_of_path() -> None:
    clips = ["lab/monday/a.mp4", "lab/tuesday/a.mp4", "lab/tuesday/b.v2.avi", "c.mp4", "lab/c.mp4"]
    wanted = {
        "lab/monday/a.mp4": "lab/monday/a.mp4",
        "lab/tuesday/a": "lab/tuesday/a.mp4",
        "b.v2": "lab/tuesday/b.v2.avi",
        "c": "c.mp4",
    }
    assert find_clips(list(wanted), clips, "labels") == wanted


def test_matched_labels_carry_identities_and_list_the_rest() -> None:
    matched = match(labels("a", "lab/b.mp4"), ["lab/a.mp4", "lab/b.mp4", "lab/c.mp4"])
    assert list(matched.labels.clips) == ["lab/a.mp4", "lab/b.mp4"]
    assert matched.labels.clips["lab/a.mp4"].clip == "lab/a.mp4"
    assert matched.unlabelled == ("lab/c.mp4",)
    again = match(matched.labels, ["lab/a.mp4", "lab/b.mp4"])
    assert list(again.labels.clips) == ["lab/a.mp4", "lab/b.mp4"]


def test_two_clips_that_differ_in_extension_are_ambiguous() -> None:
    with pytest.raises(GrjcaError, match=r"several clips: a\.avi, a\.mp4"):
        match(labels("a"), ["a.mp4", "a.avi"])
    assert find_clips(["a.avi"], ["a.mp4", "a.avi"], "labels") == {"a.avi": "a.avi"}


def test_equal_names_in_two_folders_are_ambiguous() -> None:
    with pytest.raises(GrjcaError, match="several clips"):
        match(labels("a"), ["x/a.mp4", "y/a.mp4"])


def test_labels_of_unknown_clips_name_the_first_few() -> None:
    with pytest.raises(GrjcaError) as caught:
        match(labels("a", *(f"z{i}" for i in range(9))), ["a.mp4"])
    assert "z0, z1, z2, z3, z4 and 4 more" in str(caught.value)
    assert "9 of 10 labelled clips" in str(caught.value)


def test_a_few_clips_that_are_not_there_are_left_out_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    names = [f"c{i:02d}" for i in range(20)]
    clips = [f"lab/{name}.mp4" for name in names if name not in ("c03", "c11")]
    with caplog.at_level("WARNING"):
        matched = match(labels(*names), [*clips, "lab/other.mp4"])
    assert list(matched.labels.clips) == clips
    assert matched.missing == ("c03", "c11")
    assert matched.labels.notes == (
        "2 of 20 labelled clips are not in the store: c03, c11",
        "1 of 19 clips of the store have no labels: lab/other.mp4",
    )
    assert "2 of 20 labelled clips are not in the store: c03, c11" in caplog.text
    caplog.clear()
    again = match(matched.labels, [*clips, "lab/other.mp4"])
    assert again.labels == matched.labels, "said once, however often it is matched"
    assert not caplog.text


def test_from_half_of_the_clips_on_the_folder_may_be_wrong() -> None:
    wanted = labels(*"abcd")
    assert len(match(wanted, ["a.mp4", "b.mp4"]).labels.clips) == 2
    with pytest.raises(GrjcaError, match=r"3 of 4 labelled clips: .*: b, c, d\. .*--allow-missing"):
        match(wanted, ["a.mp4"])
    assert list(match(wanted, ["a.mp4"], allow_missing=True).labels.clips) == ["a.mp4"]
    for clips in (["z.mp4"], []):
        with pytest.raises(GrjcaError, match="4 of 4 labelled clips") as caught:
            match(wanted, clips, allow_missing=True)
        assert "--allow-missing" not in str(caught.value)


def test_names_are_case_sensitive() -> None:
    with pytest.raises(GrjcaError, match="no such clip"):
        match(labels("A"), ["a.mp4"])


def test_one_clip_labelled_twice() -> None:
    with pytest.raises(GrjcaError, match=r"named twice, as a and as a\.mp4"):
        match(labels("a", "a.mp4"), ["a.mp4"])


def test_people_of_one_clip_answer_with_and_without_the_extension() -> None:
    clips = ["x/a.mp4@1", "x/a.mp4@2"]
    assert set(match(labels("a@1", "x/a.mp4@2"), clips).labels.clips) == set(clips)
    with pytest.raises(GrjcaError, match="no such clip"):
        match(labels("a"), clips)
