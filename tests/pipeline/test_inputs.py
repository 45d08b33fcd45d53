"""What clips are called, and what is still to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from grjca.errors import UsageError
from grjca.pipeline.plan import find_inputs


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a/x.mp4", "a/deep/y.AVI", "b/x.mp4", "b/notes.txt", "b/.hidden.mp4"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path


def test_a_folder_names_clips_by_their_path_in_it(tree: Path) -> None:
    inputs = find_inputs([tree])
    assert set(inputs.files) == {"a/x.mp4", "a/deep/y.AVI", "b/x.mp4"}
    assert inputs.passed_over == 2


def test_a_file_is_named_by_itself_whatever_its_ending(tree: Path) -> None:
    assert set(find_inputs([tree / "b" / "notes.txt"]).files) == {"notes.txt"}


def test_equal_names_are_refused_and_a_root_tells_them_apart(tree: Path) -> None:
    with pytest.raises(UsageError, match=r"two inputs are called x\.mp4.*--root"):
        find_inputs([tree / "a", tree / "b"])
    assert set(find_inputs([tree / "a", tree / "b"], root=tree).files) == {
        "a/x.mp4", "a/deep/y.AVI", "b/x.mp4",
    }  # fmt: skip


def test_the_same_file_named_twice_is_one_clip(tree: Path) -> None:
    assert len(find_inputs([tree / "a", tree / "a" / "x.mp4"]).files) == 2


def test_a_file_outside_the_root_is_refused(tree: Path) -> None:
    with pytest.raises(UsageError, match="not under --root"):
        find_inputs([tree / "a" / "x.mp4"], root=tree / "b")


def test_a_list_names_clips_by_its_lines(tree: Path) -> None:
    listing = tree / "list.txt"
    listing.write_text(f"a/x.mp4\n\nb/./x.mp4\n{tree / 'a' / 'deep' / 'y.AVI'}\n")
    inputs = find_inputs([f"@{listing}"])
    assert set(inputs.files) == {"a/x.mp4", "b/x.mp4", "y.AVI"}
    assert all(path.exists() for path in inputs.files.values())


def test_a_list_cannot_name_a_clip_outside_the_store(tree: Path) -> None:
    listing = tree / "a" / "list.txt"
    listing.write_text("../b/x.mp4\n")
    with pytest.raises(UsageError, match=r"cannot name a clip.*--root"):
        find_inputs([f"@{listing}"])
    assert set(find_inputs([f"@{listing}"], root=tree).files) == {"b/x.mp4"}


def test_nothing_found_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no media files found.*\.mp4"):
        find_inputs([tmp_path])
    with pytest.raises(UsageError, match="No such file"):
        find_inputs([f"@{tmp_path / 'none.txt'}"])
