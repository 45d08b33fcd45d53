"""A media file makes the program read no other file and open no connection (contract C7).

Where ffmpeg can be made to follow a file's references at all, a control without the project's
limits shows that the attack works, so that these tests can fail. AVI and OpenDML files have no way
to name another file; what is tried with AVI is a playlist inside it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from media_makers import make_clip
from safety.hostile_makers import Attack, attacks, make_secrets, run_ffmpeg, serving, watching
from safety.limits import deadline

import grjca
from grjca.errors import GrjcaError
from grjca.stages.audio import AudioDecoder
from grjca.stages.probe import probe
from grjca.stages.types import AudioStream, MediaInfo, VideoStream
from grjca.stages.video import VideoDecoder

LIGHT = grjca.ExtractConfig(visual="hog", audio="logmel")
NAMES = sorted(attacks(Path()))
REFUSED = [name for name in NAMES if attacks(Path())[name].rows is None]
# What a probe that had been taken in would say, so that the decoders are tried on their own.
CLAIM = MediaInfo(
    "mp4", 1.0, VideoStream(0, "h264", 160, 120, 0, 25.0, 25), AudioStream(1, "aac", 44_100, 1)
)


@dataclass(frozen=True)
class Scene:
    """A folder for hostile files with secrets beside them, secrets elsewhere, and witnesses."""

    public: Path
    private: Path
    address: str
    connections: list[str]
    opened: Callable[[], set[str]]

    def targets(self, attack: Attack) -> dict[str, str]:
        return {
            "beside": attack.secret,
            "absolute": os.fspath(self.private / attack.secret),
            "web": f"{self.address}/{attack.secret}",
        }

    def forget(self) -> None:
        self.opened()
        self.connections.clear()

    def others_opened(self, path: Path) -> set[str]:
        """Files opened since the last question but ``path``; asks of the server are among them."""
        return (self.opened() - {path.name, ""}) | set(self.connections)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("scene")
    public, private = folder / "public", folder / "private"
    make_secrets(private)
    shutil.copytree(private, public)
    with serving(private) as (address, connections), watching(public, private) as opened:
        yield Scene(public, private, address, connections, opened)


def lay(scene: Scene, name: str, kind: str, ending: str) -> tuple[Attack, Path]:
    attack = attacks(scene.private)[name]
    path = scene.public / f"x{ending}"
    attack.write(path, scene.targets(attack)[kind])
    if name == "vobsub":
        # It names no target but reads the file of its own name that ends in .sub.
        shutil.copy(scene.private / attack.secret, scene.public / "x.sub")
    scene.forget()
    return attack, path


@pytest.mark.parametrize("name", NAMES)
def test_attacks_work_where_nothing_stops_them(scene: Scene, name: str) -> None:
    for kind in ("beside", "absolute", "web"):
        attack, path = lay(scene, name, kind, ".mp4")
        follows = attack.control is not None
        follows &= attack.web or kind != "web"
        follows &= name != "subfile" or kind != "beside"  # it takes absolute paths only
        if follows:
            options = (*(attack.control or ()), "-i", path, "-map", "0", "-c", "copy")
            run_ffmpeg(*options, "-f", "null", "-")
            assert scene.others_opened(path), kind


def refusal(path: Path, info: MediaInfo | None = None) -> str:
    """The line with which probing, or else the picture decoder, refuses a file."""
    with pytest.raises(GrjcaError) as refused, VideoDecoder(path, info or probe(path)) as frames:
        list(frames)
    return str(refused.value)


def check_line(line: str, path: Path) -> None:
    assert line.startswith(f"{path}: ")
    assert len(line.splitlines()) == 1
    assert "Traceback" not in line


@pytest.mark.parametrize("name", NAMES)
def test_nothing_else_is_read_and_nobody_is_called(scene: Scene, name: str) -> None:
    for kind, ending in (("beside", ".mp4"), ("absolute", ".avi"), ("web", ".mkv")):
        attack, path = lay(scene, name, kind, ending)
        if attack.rows is None:
            check_line(refusal(path), path)
            check_line(refusal(path, CLAIM), path)
            assert list(AudioDecoder(path, CLAIM)) == []
        else:
            info = probe(path)
            frames = list(VideoDecoder(path, info)) if info.video else []
            assert sum(map(len, frames)) == attack.rows
            # The secret is red, a file's own picture blue.
            assert all(name == "half alias" or batch.frames[..., 0].max() < 60 for batch in frames)
            list(AudioDecoder(path, info))
        assert scene.others_opened(path) == set(), (kind, ending)


def test_a_batch_of_them(scene: Scene, tmp_path: Path) -> None:
    paths = {}
    for name in REFUSED:
        attack = attacks(scene.private)[name]
        paths[f"{name}{attack.suffix}"] = tmp_path / f"{name}{attack.suffix}"
        attack.write(paths[f"{name}{attack.suffix}"], scene.targets(attack)["absolute"])
    honest = make_clip(tmp_path / "honest.mp4", frames=5)
    scene.forget()
    report = grjca.extract([honest, *paths.values()], tmp_path / "store", LIGHT, workers=1)
    assert [outcome.clip for outcome in report.with_status("done")] == ["honest.mp4"]
    told = {outcome.clip: outcome.error or {} for outcome in report.failed}
    assert told.keys() == paths.keys()
    for name, error in told.items():
        check_line(error["message"], paths[name])
    assert scene.others_opened(tmp_path) == set()
    assert [path.name for path in (tmp_path / "store").rglob("*.h5")] == ["honest.mp4.h5"]


def test_a_link_is_followed_where_the_user_names_it(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=5)
    folder = tmp_path / "links"
    folder.mkdir()
    (folder / "good.mp4").symlink_to(clip)
    (folder / "dangling.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (folder / "circle.mp4").symlink_to(folder / "circle.mp4")
    (folder / "up").symlink_to(tmp_path, target_is_directory=True)
    report = grjca.extract([folder], tmp_path / "store", LIGHT, workers=1)
    told = {outcome.clip: outcome.error or {} for outcome in report.outcomes}
    assert told.keys() == {"good.mp4", "dangling.mp4", "circle.mp4"}
    assert told.pop("good.mp4") == {}
    for clip_name, error in told.items():
        check_line(error["message"], folder / clip_name)
    assert grjca.FeatureStore(tmp_path / "store").clips() == ["good.mp4"]
    batch = next(iter(VideoDecoder(folder / "good.mp4", probe(folder / "good.mp4"))))
    assert np.array_equal(batch.time, np.arange(5) / 25)


def test_what_could_be_read_for_ever_is_refused(tmp_path: Path) -> None:
    (tmp_path / "endless.mp4").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.mp4")
    make_clip(tmp_path / "honest.mp4", frames=5)
    with deadline(30):
        report = grjca.extract([tmp_path], tmp_path / "store", LIGHT, workers=1)
    assert [outcome.clip for outcome in report.with_status("done")] == ["honest.mp4"]
    told = {outcome.clip: outcome.error or {} for outcome in report.failed}
    assert told.keys() == {"endless.mp4", "pipe.mp4"}
    for name, error in told.items():
        check_line(error["message"], tmp_path / name)
        assert "not a regular file" in error["cause"]
