"""Whatever a clip is called, the store stays inside its root and gives the name back unchanged."""

from __future__ import annotations

import os
import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_makers import make_clip

import grjca
from grjca.cache.layout import clip_path, identity_of
from grjca.errors import GrjcaError, UsageError
from grjca.stages.probe import probe
from grjca.stages.video import VideoDecoder

LIGHT = grjca.ExtractConfig(visual="hog", audio="logmel")

ODD = (
    "-i.mp4",
    "-y -f null.mp4",
    "...mp4",
    "..mp4",
    " leading and trailing .mp4",
    "new\nline.mp4",
    "carriage\rreturn.mp4",
    "tab\tbell\a\x1b[31mescape\x7f.mp4",
    "back\\slash.mp4",
    "..\\..\\up.mp4",
    "100%.mp4",
    "%03d.mp4",
    "%d%s%n.mp4",
    "*?[a-z]{b,c}.mp4",
    "quote'\"`$(touch x);&|<>.mp4",
    "file:x.mp4",
    "http:x.mp4",
    "http:..127.0.0.1:9.x.mp4",
    "pipe:0.mp4",
    "concat:a.mp4|b.mp4",
    "subfile,,start,0,end,0,,:x.mp4",
    "data:video,mp4;base64,AAAA.mp4",
    "@list.mp4",
    "#hash,comma;=.mp4",
    unicodedata.normalize("NFC", "Zoë é.mp4"),
    unicodedata.normalize("NFD", "Zoë é.mp4"),
    "\N{GRINNING FACE}\N{ZERO WIDTH JOINER}\N{VARIATION SELECTOR-16}.mp4",
    "\N{RIGHT-TO-LEFT OVERRIDE}4pm.mp4",
    "\N{ARABIC LETTER ALEF}\N{LINE SEPARATOR}\N{NO-BREAK SPACE}.mp4",
    "Upper.mp4",
    "upper.mp4",
    "upper.MP4",
    "x.h5.mp4",
    ".tmp.mp4",
    "x.mp4@1",
    "x~0123456789abcdef.mp4",
    "CON.mp4",
    "n" * 251 + ".mp4",
    "é" * 125 + ".mp4",
    "m" * 236 + ".mp4",
)
NOT_TEXT = (os.fsdecode(b"latin-1-\xe9\xff.mp4"), os.fsdecode(b"\xed\xa0\x80.mp4"))
REFUSED = ("", "/etc/x.mp4", "..", ".", "a/../../x.mp4", "a//x.mp4", "./x.mp4", "a/.", "a/",
           "../x.mp4", "a/..", ".grjca/x.mp4", "a/.grjca", "x\0.mp4", "//x.mp4")  # fmt: skip


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder, with its size and time of change."""
    return {
        os.path.relpath(path, folder): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
    }


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_clip(
        tmp_path_factory.mktemp("clip") / "a.mp4", frames=3, size=(64, 48)
    ).read_bytes()


def lay(folder: Path, clip: bytes, names: tuple[str, ...] = ODD) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in names]
    for path in paths:
        path.write_bytes(clip)
    return paths


def test_every_name_is_extracted_and_comes_back(
    clip: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = tmp_path / "world"
    paths = lay(world / "clips", clip)
    (world / "other").mkdir()
    (world / "other" / "precious.mp4.h5").write_bytes(b"not to be touched")
    before = tree(world)
    monkeypatch.chdir(world)
    report = grjca.extract(paths, tmp_path / "root" / "store", LIGHT, workers=1)
    assert {outcome.clip: outcome.error for outcome in report.failed} == {}
    store = grjca.FeatureStore(tmp_path / "root" / "store")
    assert sorted(store.clips()) == sorted(ODD)
    for name in ODD:
        found = store.read(name)
        assert (found.clip, len(found.time)) == (name, 3)
    assert tree(world) == before
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["store"]
    again = grjca.extract(paths, tmp_path / "root" / "store", LIGHT, workers=1)
    assert {outcome.status for outcome in again.outcomes} == {"skipped"}


def test_names_that_are_not_utf8_do_not_stop_the_others(clip: bytes, tmp_path: Path) -> None:
    paths = lay(tmp_path / "clips", clip, (*NOT_TEXT, "good.mp4"))
    before = tree(tmp_path / "clips")
    report = grjca.extract(paths, tmp_path / "root" / "store", LIGHT, workers=1)
    told = {outcome.clip: outcome for outcome in report.outcomes}
    assert told.keys() == {*NOT_TEXT, "good.mp4"}
    assert told["good.mp4"].status == "done"
    store = grjca.FeatureStore(tmp_path / "root" / "store")
    for name in NOT_TEXT:
        error = told[name].error
        if error is None:
            assert len(store.read(name).time) == 3
        else:
            assert len(error["message"].splitlines()) == 1
            assert error["remedy"]
    assert set(store.clips()) == {name for name, what in told.items() if what.status == "done"}
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["store"]
    assert tree(tmp_path / "clips") == before


def test_names_from_the_working_directory(
    clip: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("-i.mp4", "file:x.mp4", "http:x.mp4", "%03d.mp4", "concat:a.mp4|b.mp4")
    lay(tmp_path / "here", clip, names)
    monkeypatch.chdir(tmp_path / "here")
    report = grjca.extract(names, tmp_path / "store", LIGHT, workers=1)
    assert [outcome.status for outcome in report.outcomes] == ["done"] * len(names)
    assert grjca.FeatureStore(tmp_path / "store").clips() == sorted(names)


def test_decoders_take_a_name_as_it_is(clip: bytes, tmp_path: Path) -> None:
    for path in lay(tmp_path, clip, (*NOT_TEXT, "%03d.mp4", "new\nline.mp4", "a|b.mp4")):
        info = probe(path)
        assert sum(map(len, VideoDecoder(path, info))) == 3


def test_folders_in_a_name_are_folders_in_the_store(clip: bytes, tmp_path: Path) -> None:
    names = tuple(f"{folder}/x.mp4" for folder in ("-b", "c d", "e\n", "f.h5", "%02d"))
    for name in names:
        lay(tmp_path / "clips" / Path(name).parent, clip, ("x.mp4",))
    deep = tmp_path.joinpath("clips", *["d" * 200] * 8)
    lay(deep, clip, ("n" * 250 + ".mp4",))
    report = grjca.extract([tmp_path / "clips"], tmp_path / "root" / "store", LIGHT, workers=1)
    assert report.failed == []
    clips = grjca.FeatureStore(tmp_path / "root" / "store").clips()
    assert set(clips) == {*names, "/".join([*["d" * 200] * 8, "n" * 250 + ".mp4"])}


@pytest.mark.parametrize("name", REFUSED)
def test_names_that_could_leave_the_store_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(GrjcaError) as refused:
        clip_path(tmp_path, name)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("line", ["../../up.mp4", "a/../../up.mp4", "x/../../../up.mp4"])
def test_lists_cannot_climb_out(clip: bytes, tmp_path: Path, line: str) -> None:
    lay(tmp_path, clip, ("up.mp4",))
    (tmp_path / "a" / "b").mkdir(parents=True)
    listing = tmp_path / "a" / "b" / "list.txt"
    listing.write_text(f"{line}\n")
    before = tree(tmp_path)
    with pytest.raises(UsageError, match=r"cannot name a clip|no such"):
        grjca.extract([f"@{listing}"], tmp_path / "a" / "store", LIGHT, workers=1)
    assert {name for name in tree(tmp_path) if name not in before} <= {"a/store"}


def test_300_characters(tmp_path: Path) -> None:
    for name in ("n" * 300, "é" * 300, "\N{GRINNING FACE}" * 300, "n" * 296 + ".mp4"):
        path = clip_path(tmp_path, f"folder/{name}")
        assert path.parent == tmp_path / "folder"
        assert len(os.fsencode(path.name)) <= 255
        path.parent.mkdir(exist_ok=True)
        path.touch()
    twins = {clip_path(tmp_path, "n" * 299 + end) for end in "abc"}
    assert len(twins) == 3
    with pytest.raises(GrjcaError, match="ile name too long"):
        probe(tmp_path / ("n" * 300 + ".mp4"))


PART = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)


@given(st.lists(PART, min_size=1, max_size=4).map("/".join))
def test_any_name_stays_inside_or_is_refused(name: str) -> None:
    root = Path("/somewhere/store")
    if any(part in ("", ".", "..", ".grjca") or "\0" in part for part in name.split("/")):
        with pytest.raises(GrjcaError, match="not a clip's name"):
            clip_path(root, name)
        return
    path = clip_path(root, name)
    assert Path(os.path.normpath(path)) == path
    assert path.is_relative_to(root)
    assert path != root
    assert len(os.fsencode(path.name)) <= 255
    if not re.search(r"~[0-9a-f]{16}\.h5$", path.name):
        assert identity_of(root, path) == name
