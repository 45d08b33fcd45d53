"""What clips are called, and which raw video belongs to a folder of images."""

from __future__ import annotations

from pathlib import Path

import pytest

from grjca.errors import UsageError
from grjca.pipeline.batch import gather
from grjca.pipeline.inputs import find_inputs


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a/x.mp4", "a/deep/y.AVI", "b/x.mp4", "b/notes.txt", "b/.hidden.mp4"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path


def test_a_folder_names_clips_by_their_path_in_it(tree: Path) -> None:
    inputs = find_inputs([tree])
    assert set(inputs.clips) == {"a/x.mp4", "a/deep/y.AVI", "b/x.mp4"}
    assert inputs.passed_over == 2


def test_a_file_is_named_by_itself_whatever_its_ending(tree: Path) -> None:
    assert set(find_inputs([tree / "b" / "notes.txt"]).clips) == {"notes.txt"}


def test_equal_names_are_refused_and_a_root_tells_them_apart(tree: Path) -> None:
    with pytest.raises(UsageError, match=r"two inputs are called x\.mp4.*--root"):
        find_inputs([tree / "a", tree / "b"])
    assert set(find_inputs([tree / "a", tree / "b"], root=tree).clips) == {
        "a/x.mp4", "a/deep/y.AVI", "b/x.mp4",
    }  # fmt: skip


def test_the_same_file_named_twice_is_one_clip(tree: Path) -> None:
    assert len(find_inputs([tree / "a", tree / "a" / "x.mp4"]).clips) == 2


def test_a_file_outside_the_root_is_refused(tree: Path) -> None:
    with pytest.raises(UsageError, match="not under --root"):
        find_inputs([tree / "a" / "x.mp4"], root=tree / "b")


def test_a_list_names_clips_by_its_lines(tree: Path) -> None:
    listing = tree / "list.txt"
    listing.write_text(f"a/x.mp4\n\nb/./x.mp4\n{tree / 'a' / 'deep' / 'y.AVI'}\n")
    inputs = find_inputs([f"@{listing}"])
    assert set(inputs.clips) == {"a/x.mp4", "b/x.mp4", "y.AVI"}
    assert all(source.path.exists() for source in inputs.clips.values())


def test_a_list_cannot_name_a_clip_outside_the_store(tree: Path) -> None:
    listing = tree / "a" / "list.txt"
    listing.write_text("../b/x.mp4\n")
    with pytest.raises(UsageError, match=r"cannot name a clip.*--root"):
        find_inputs([f"@{listing}"])
    assert set(find_inputs([f"@{listing}"], root=tree).clips) == {"b/x.mp4"}


def test_nothing_found_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no media files found.*\.mp4"):
        find_inputs([tmp_path])
    with pytest.raises(UsageError, match="No such file"):
        find_inputs([f"@{tmp_path / 'none.txt'}"])


@pytest.fixture
def trials(tmp_path: Path) -> Path:
    for trial in ("cropped/video5", "cropped/video5_left", "cropped/b/7-60-1920x1080_right"):
        for number in (1, 2, 4):
            path = tmp_path / trial / f"{number:05}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    for video in ("raw/one/video5.mp4", "raw/two/7-60-1920x1080.avi", "raw/two/other.mp4"):
        path = tmp_path / video
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


def test_folders_of_images_are_clips_with_the_sound_of_their_raw_video(trials: Path) -> None:
    inputs = find_inputs([trials / "cropped"], images=True, sound=trials / "raw")
    assert {clip: source.sound for clip, source in inputs.clips.items()} == {
        "video5": trials / "raw/one/video5.mp4",
        "video5_left": trials / "raw/one/video5.mp4",
        "b/7-60-1920x1080_right": trials / "raw/two/7-60-1920x1080.avi",
    }
    assert all(source.images for source in inputs.clips.values())
    one = find_inputs([trials / "cropped/video5"], images=True, sound=trials / "raw/two/other.mp4")
    assert one.clips["video5"].sound == trials / "raw/two/other.mp4"


def test_a_raw_video_that_is_missing_or_not_the_only_one_is_said(trials: Path) -> None:
    (trials / "raw/two/video5.mkv").touch()
    with pytest.raises(UsageError, match="2 raw videos for it"):
        find_inputs([trials / "cropped/video5"], images=True, sound=trials / "raw")
    (trials / "raw/one/video5.mp4").unlink()
    (trials / "raw/two/video5.mkv").unlink()
    with pytest.raises(UsageError, match="0 raw videos for it"):
        find_inputs([trials / "cropped/video5"], images=True, sound=trials / "raw")


def test_without_the_option_a_folder_of_images_holds_no_clips(trials: Path) -> None:
    with pytest.raises(UsageError, match="clips with --images"):
        find_inputs([trials / "cropped"])
    with pytest.raises(UsageError, match="no folders of numbered images"):
        find_inputs([trials / "raw"], images=True)


def test_what_does_not_go_together_is_refused(trials: Path) -> None:
    with pytest.raises(UsageError, match="--images"):
        gather([trials / "raw"], sound=trials / "raw")
    with pytest.raises(UsageError, match="a manifest says all"):
        gather([trials / "raw"], manifest=trials / "m.csv")
    with pytest.raises(UsageError, match="a manifest says all"):
        gather([], manifest=trials / "m.csv", audio_stream=0)
