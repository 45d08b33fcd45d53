from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from media_makers import make_clip, read_number
from page_makers import HOSTILE, Parsed, prediction, write_tables
from PIL import Image

from grjca.cache.store import FeatureStore
from grjca.cli import main
from grjca.errors import GrjcaError, UsageError
from grjca.fusion.tables import read_table
from grjca.fusion.writers import WRITERS
from grjca.reporting import faces, make_report
from grjca.reporting.media import Played, link
from grjca.reporting.tables import find_tables
from grjca.stages.faces import points_of
from grjca.stages.probe import probe

TIME = np.arange(100) / 25


def stored_faces(root: Path, clip: str, video: Path, *, crops: bool, rows: int = 100) -> Path:
    """A store whose faces fill the whole of 120x120 pictures, so that a crop shows the frame."""
    info = probe(video).video
    assert info is not None
    path = root / f"{clip}.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        claims = {name: getattr(info, name) for name in ("index", "width", "height", "frames")}
        file.attrs.update(
            schema="grjca.clip",
            version=1,
            clip=clip,
            rows=rows,
            media=json.dumps({"video": claims}),
        )
        file["frames/time"] = np.arange(rows) / 25
        file["faces/landmarks"] = np.tile(points_of("face64") * 120, (rows, 1, 1)).astype("f4")
        file["faces/valid"] = np.arange(rows) < 0.75 * rows
        if crops:
            grey = np.arange(rows, dtype=np.uint8)[:, None, None, None]
            file["crops/face64-64/crops"] = np.tile(grey, (1, 64, 64, 3))
    return root


def opened(jpeg: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(jpeg)))


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 numbered frames of 120x120 at 25 per second."""
    return make_clip(tmp_path_factory.mktemp("video") / "a.mp4", frames=100, size=(120, 120))


@pytest.mark.parametrize("form", WRITERS)
def test_a_table_comes_back_as_it_was_written(form: str, tmp_path: Path) -> None:
    gates = {"visual_1": np.full((100, 2), 0.5), "visual_across": np.ones((100, 1))}
    made = prediction("a.mp4", TIME, gates=gates)
    WRITERS[form](made, tmp_path / f"lab/a.mp4.{form}")
    assert find_tables(tmp_path) == {"lab/a.mp4": tmp_path / f"lab/a.mp4.{form}"}
    table = read_table(tmp_path / f"lab/a.mp4.{form}")
    np.testing.assert_allclose(table.time, made.time, atol=1e-6)
    np.testing.assert_allclose(table.values, made.values, atol=1e-6)
    np.testing.assert_array_equal(table.face_valid, made.face_valid)
    np.testing.assert_array_equal(table.audio_valid, made.audio_valid)
    assert table.names == made.names
    assert {name: gate.shape for name, gate in table.gates.items()} == {
        "visual_1": (100, 2),
        "visual_across": (100, 1),
    }


def test_twelve_candidates_stay_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    gate = np.tile(np.arange(12) / 66, (100, 1))
    WRITERS["csv"](prediction("a", TIME, gates={"audio": gate}), tmp_path / "a.csv")
    np.testing.assert_allclose(read_table(tmp_path / "a.csv").gates["audio"], gate, atol=1e-6)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    write_tables(tmp_path, {"a.mp4": TIME})
    (tmp_path / "other.csv").write_text("clip,score\na,1\n")
    (tmp_path / "other.json").write_text('{"format": "x"}')
    (tmp_path / ".grjca").mkdir()
    write_tables(tmp_path / ".grjca", {"b.mp4": TIME})
    WRITERS["json"](prediction("a.mp4", TIME), tmp_path / "a.mp4.json")
    assert find_tables(tmp_path) == {"a.mp4": tmp_path / "a.mp4.csv"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no columns time"),
        ("frame,time,valence,face_valid,audio_valid\n", "no rows"),
        ("frame,time,face_valid,audio_valid\n0,0,1,1\n", "no columns time and valence or arousal"),
        ("time,valence,face_valid,audio_valid\n0,0,1,1\n0,0,1,1\n", "do not increase"),
        ("time,valence,face_valid,audio_valid\nnan,0,1,1\n", "do not increase"),
        ("time,valence,face_valid,audio_valid\n0,x,1,1\n", "row 0 holds no number under valence"),
        ("time,valence,face_valid,audio_valid\n0,1,1\n", "line 2 has 3 cells, the header 4"),
        ("time,valence,face_valid,audio_valid\n0,0,1,1\n1,0,1\n", "line 3 has 3 cells"),
    ],
)
def test_a_damaged_table_is_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(GrjcaError, match=words) as caught:
        read_table(path)
    assert str(path) in str(caught.value)


def test_json_of_another_kind_is_refused(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"columns": []}', '{"columns": {"time": ["a"]}}', "{}"):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(GrjcaError):
            read_table(tmp_path / "a.json")


def test_one_clip_is_one_file_that_links_to_its_video(tmp_path: Path, video: Path) -> None:
    write_tables(tmp_path / "predictions", {"lab/a.mp4": TIME})
    (tmp_path / "videos/lab").mkdir(parents=True)
    os.link(video, tmp_path / "videos/lab/a.mp4")
    made = make_report(
        tmp_path / "predictions", tmp_path / "out/r.html", videos=tmp_path / "videos"
    )
    assert made.pages == {"lab/a.mp4": tmp_path / "out/r.html"}
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["r.html"]
    urls = Parsed(made.out.read_text()).urls()
    linked = next(url for url in urls if not url.startswith("data:"))
    assert (made.out.parent / unquote(linked)).resolve() == tmp_path / "videos/lab/a.mp4"


def test_an_embedded_video_is_the_file(tmp_path: Path, video: Path) -> None:
    write_tables(tmp_path, {"a.mp4": TIME})
    made = make_report(tmp_path, videos=video.parent, embed=True)
    url = next(url for url in Parsed(made.out.read_text()).urls() if "base64" in url)
    assert url.startswith("data:video/mp4;base64,")
    assert base64.b64decode(url.partition(",")[2]) == video.read_bytes()


def test_large_videos_are_warned_of_or_linked(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tables(tmp_path, {"a.mp4": TIME})
    monkeypatch.setattr("grjca.reporting.media.LARGE", 1000)
    assert "open slowly" in str(make_report(tmp_path, videos=video.parent, embed=True).notes)
    monkeypatch.setattr("grjca.reporting.media.MOST_EMBEDDED", 1000)
    made = make_report(tmp_path, videos=video.parent, embed=True)
    assert "linked" in str(made.notes)
    assert "base64" not in made.out.read_text().partition("<body>")[2].partition("<script")[0]


def test_a_clip_s_people_share_its_video(tmp_path: Path, video: Path) -> None:
    write_tables(tmp_path / "p", {"a.mp4@1": TIME, "a.mp4@2": TIME})
    made = make_report(tmp_path / "p", videos=video.parent)
    for page in made.pages.values():
        assert any(url.endswith("/a.mp4") for url in Parsed(page.read_text()).urls())


@pytest.mark.parametrize(
    "name", [*HOSTILE, "ä b#?%20.mp4", b"\xff.mp4".decode(errors="surrogateescape")]
)
def test_any_file_name_becomes_a_relative_link(tmp_path: Path, name: str) -> None:
    url = link(tmp_path / "videos" / name, tmp_path / "out")
    assert not set(url) & set("<>\"'#?: &\n")
    back = unquote(url, errors="surrogateescape")
    assert back == f"../videos/{name}"


def test_pages_lie_at_the_clips_own_paths_and_lead_to_each_other(tmp_path: Path) -> None:
    clips = {"a/x.mp4": TIME, "b/x.mp4": TIME, "x.mp4": TIME, f"{'n' * 245}.m": TIME}
    write_tables(tmp_path, clips)
    made = make_report(tmp_path, tmp_path / "out.html")
    assert len(set(made.pages.values())) == 4
    assert made.pages["a/x.mp4"] == tmp_path / "out_files/a/x.mp4.html"
    index = Parsed(made.out.read_text())
    for row in index.data["rows"]:
        page = tmp_path / unquote(row["url"])
        assert Parsed(page.read_text()).text.count(row["clip"]) >= 1
        back = next(url for url in Parsed(page.read_text()).urls() if url.endswith("out.html"))
        assert (page.parent / back).resolve() == made.out


def test_one_bad_table_does_not_stop_the_others(tmp_path: Path) -> None:
    write_tables(tmp_path, {"a.mp4": TIME, "b.mp4": TIME})
    (tmp_path / "bad.mp4.csv").write_text("time,valence,face_valid,audio_valid\n0,x,1,1\n")
    done = CliRunner().invoke(main, ["report", str(tmp_path), "--quiet"])
    assert done.exit_code == 1
    assert "bad.mp4.csv: predictions:" in done.output
    index = Parsed((tmp_path / "report.html").read_text())
    assert [row["clip"] for row in index.data["rows"]] == ["a.mp4", "b.mp4"]
    assert "1 not shown" in index.text


def test_nothing_to_show_is_an_error_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4.csv").write_text("time,valence,face_valid,audio_valid\n0,x,1,1\n")
    with pytest.raises(GrjcaError, match=r"bad\.mp4\.csv"):
        make_report(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.mp4.csv"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "no such file or folder"),
        (["empty"], "neither tables of predictions nor"),
        (["one", "--out", "empty"], "a folder, not a file"),
        (["one", "--videos", "nowhere"], "nowhere: report: no such folder"),
        (["one", "--store", "nowhere"], "nowhere: store: no such folder"),
        (["one", "--labels", "nowhere"], "nowhere: labels: no such file"),
        (["one", "--evaluation", "x.json"], "for the report of a RUN"),
        (["run", "--videos", "one"], "--videos with the report of a training"),
    ],
)
def test_what_cannot_be_done_is_said(
    tmp_path: Path, arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tables(tmp_path / "one", {"a.mp4": TIME})
    (tmp_path / "empty").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run/metrics.csv").write_text("epoch,train_loss\n1,0.5\n")
    done = CliRunner().invoke(main, ["report", *arguments])
    assert done.exit_code in (1, 2)
    assert words in done.output
    assert "Traceback" not in done.output


def test_labels_are_matched_scored_and_shown(tmp_path: Path) -> None:
    from grjca.fusion.metrics import ccc

    write_tables(tmp_path / "p", {"a.mp4": TIME, "b.mp4": TIME, "c.mp4": TIME})
    rng = np.random.default_rng(0)
    labels = rng.uniform(-1, 1, (2, 100)).round(4)
    lines = [f"{clip},{i},{labels[k, i]}" for k, clip in enumerate("ab") for i in range(100)]
    (tmp_path / "l.csv").write_text("\n".join(["clip,frame,valence", *lines]) + "\n")
    made = make_report(tmp_path / "p", labels=tmp_path / "l.csv")
    predicted = read_table(tmp_path / "p/a.mp4.csv").values[:, 0]
    rows = {row["clip"]: row for row in Parsed(made.out.read_text()).data["rows"]}
    assert rows["a.mp4"]["ccc"]["valence"] == pytest.approx(ccc(predicted, labels[0]), abs=1e-4)
    assert rows["c.mp4"]["ccc"] == {}
    both = ccc(np.tile(predicted, 2), labels.ravel())
    assert f"{abs(both):.3f}" in Parsed(made.out.read_text()).text
    own = Parsed(made.pages["a.mp4"].read_text()).data
    shown = np.frombuffer(base64.b64decode(own["labels"][0]), "<i2") / 32767
    np.testing.assert_allclose(shown, labels[0], atol=2e-5)
    assert (np.frombuffer(base64.b64decode(own["labels"][1]), "<i2") == -32768).all()
    assert Parsed(made.pages["c.mp4"].read_text()).data["labels"] is None


def test_a_delay_of_labels_is_said(tmp_path: Path) -> None:
    write_tables(tmp_path / "p", {"a.mp4": TIME})
    lines = [f"a,{t},{t / 10}" for t in TIME]
    (tmp_path / "l.csv").write_text("\n".join(["clip,time,valence", *lines]) + "\n")
    made = make_report(tmp_path / "p", labels=tmp_path / "l.csv", label_delay=1.0)
    parsed = Parsed(made.out.read_text())
    assert "1 s earlier" in parsed.text
    shown = np.frombuffer(base64.b64decode(parsed.data["labels"][0]), "<i2") / 32767
    assert shown[0] == pytest.approx(0.1, abs=1e-3)


def test_labels_of_other_clips_only_are_refused(tmp_path: Path) -> None:
    write_tables(tmp_path / "p", {"a.mp4": TIME})
    (tmp_path / "l.csv").write_text("clip,frame,valence\nz,0,0.5\n")
    with pytest.raises(GrjcaError, match="none of 1 labelled clips"):
        make_report(tmp_path / "p", labels=tmp_path / "l.csv")


def test_labels_that_do_not_match_fail_their_clip_only(tmp_path: Path) -> None:
    write_tables(tmp_path / "p", {"a.mp4": TIME, "b.mp4": TIME})
    (tmp_path / "l.csv").write_text("clip,frame,valence\na,500,0.5\n")
    made = make_report(tmp_path / "p", labels=tmp_path / "l.csv")
    assert [error.stage for error in made.failed] == ["labels"]
    assert list(made.pages) == ["b.mp4"]
    made = make_report(tmp_path / "p", labels=tmp_path / "l.csv", align="truncate")
    assert not made.failed


def test_pictures_stand_for_stretches_of_time_where_a_face_is() -> None:
    time = np.sort(np.random.default_rng(1).uniform(0, 60, 1000))
    valid = (time < 20) | (time > 40)
    rows = faces.spread(time, valid, 12)
    assert valid[rows].all()
    assert len(rows) == 8
    slots = (time[rows] // 5).astype(int).tolist()
    assert slots == [0, 1, 2, 3, 8, 9, 10, 11]
    assert np.abs(time[rows] % 5 - 2.5).max() < 0.5
    assert len(faces.spread(time[:0], valid[:0])) == 0
    assert faces.spread(time[:1], np.array([True])).tolist() == [0]


@pytest.mark.parametrize("way", ["one pass", "each looked up", "a part"])
def test_faces_cut_from_the_video_are_those_of_their_rows(
    tmp_path: Path, video: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "each looked up":
        monkeypatch.setattr(faces, "_APART", 0)
    shift = 10 if way == "a part" else 0
    rows = 100 - shift
    store = FeatureStore(stored_faces(tmp_path, "a.mp4", video, crops=False, rows=rows))
    with store.open("a.mp4") as file:
        found = faces.faces_of(file, Played(video, start=shift / 25))
    assert 15 <= len(found) <= faces.COUNT
    for face in found:
        picture = opened(face.jpeg)
        assert picture.shape == (112, 112, 3)
        assert read_number(picture) == round(face.time * 25) + shift
    assert max(face.time for face in found) < 0.75 * rows / 25


def test_kept_crops_need_no_video(tmp_path: Path, video: Path) -> None:
    store = FeatureStore(stored_faces(tmp_path, "a.mp4", video, crops=True))
    with store.open("a.mp4") as file:
        found = faces.faces_of(file, None)
    for face in found:
        assert np.abs(opened(face.jpeg).astype(int) - round(face.time * 25)).max() <= 2


def test_another_video_under_the_clip_s_name_gives_no_faces(tmp_path: Path, video: Path) -> None:
    stored_faces(tmp_path / "store", "a.mp4", video, crops=False)
    (tmp_path / "videos").mkdir()
    make_clip(tmp_path / "videos/a.mp4", frames=50, size=(120, 120))
    write_tables(tmp_path / "p", {"a.mp4": TIME})
    made = make_report(tmp_path / "p", videos=tmp_path / "videos", store=tmp_path / "store")
    assert "not the video" in str(made.notes)
    assert Parsed(made.out.read_text()).data["faces"] == []


@pytest.mark.parametrize(
    ("options", "count", "note"),
    [
        ({}, "some", ""),
        ({"faces": False}, 0, ""),
        ({"rows": 90}, 0, "the store has 90 rows"),
    ],
)
def test_faces_are_shown_unless_not_wanted_or_of_other_rows(
    tmp_path: Path, video: Path, options: dict[str, Any], count: Any, note: str
) -> None:
    rows = options.pop("rows", 100)
    stored_faces(tmp_path / "store", "a.mp4", video, crops=True, rows=rows)
    write_tables(tmp_path / "p", {"a.mp4": TIME})
    made = make_report(tmp_path / "p", store=tmp_path / "store", **options)
    shown = Parsed(made.out.read_text()).data["faces"]
    assert (len(shown) > 10) if count == "some" else len(shown) == count
    assert note in str(made.notes)


def test_a_clip_that_the_store_lacks_is_shown_without_faces(tmp_path: Path, video: Path) -> None:
    stored_faces(tmp_path / "store", "a.mp4", video, crops=True)
    write_tables(tmp_path / "p", {"b.mp4": TIME})
    made = make_report(tmp_path / "p", store=tmp_path / "store")
    assert "no such clip in the store" in str(made.notes)
    assert not made.failed


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "metrics.csv").write_text(
        "epoch,lr,train_loss,val_ccc_valence,val_ccc_arousal,val_ccc\n"
        "1,0.001,0.8,0.1,0.3,0.2\n2,0.001,0.6,0.4,0.6,0.5\n3,0.001,0.5,,,nan\n"
    )
    (folder / "config.yaml").write_text("model: {fusion: grjca}\ntrain: {seed: 5}\nrun: {}\n")
    return folder


def evaluation(**changes: Any) -> dict[str, Any]:
    bounds = {"value": 0.5, "low": None, "high": None}
    scored = {"ccc": bounds, "rmse": bounds}
    return {
        "checkpoints": [{"name": "run", "sha256": "0" * 64}],
        "format": "grjca.evaluation",
        "version": 1,
        "config": {"partition": "val"},
        "notes": [],
        "overall": {"valence": scored, "mean_ccc": bounds},
        "clips": {"a.mp4": {"valence": scored}},
    } | changes


def test_a_run_s_report_lies_in_the_run(run: Path) -> None:
    (run / "evaluation.json").write_text(json.dumps(evaluation()))
    (run / "other.json").write_text("{}")
    done = CliRunner().invoke(main, ["report", str(run)])
    assert done.exit_code == 0, done.output
    parsed = Parsed((run / "report.html").read_text())
    assert parsed.data["best"] == 2.0
    assert parsed.data["evaluations"][0]["clips"][0]["clip"] == "a.mp4"
    assert "fusion: grjca" in parsed.text
    assert "another checkpoint" in parsed.text


def test_an_evaluation_of_the_run_s_checkpoint_is_known(run: Path) -> None:
    import hashlib

    (run / "model.safetensors").write_bytes(b"weights")
    own = [{"name": "run", "sha256": hashlib.sha256(b"weights").hexdigest()}]
    (run / "evaluation.json").write_text(json.dumps(evaluation(checkpoints=own)))
    assert "another checkpoint" not in make_report(run).out.read_text()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda run: (run / "metrics.csv").write_text("epoch,lr\n"), "no epoch yet"),
        (lambda run: (run / "metrics.csv").write_text("epoch,lr\n1,x\n"), "not a table of epochs"),
        (lambda run: (run / "metrics.csv").write_text("epoch,lr\n1,2,3\n"), "not a table"),
        (lambda run: (run / "config.yaml").unlink(), "No such file"),
        (lambda run: (run / "config.yaml").write_text("a: [\n"), "not YAML"),
        (lambda run: (run / "e.json").write_text(json.dumps(evaluation(version=2))), "version 2"),
        (lambda run: (run / "e.json").write_text(json.dumps(evaluation(overall=3))), "not as"),
    ],
)  # fmt: skip
def test_a_damaged_run_is_refused_in_words(
    run: Path, spoil: Callable[[Path], Any], words: str
) -> None:
    spoil(run)
    with pytest.raises(GrjcaError, match=words):
        make_report(run)
    assert not (run / "report.html").exists()


def test_an_evaluation_asked_for_must_be_one(run: Path, tmp_path: Path) -> None:
    for text in ("{}", "[", "3"):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(GrjcaError, match=r"x\.json"):
            make_report(run, evaluation=tmp_path / "x.json")


def test_without_jinja_at_import_help_is_quick() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from click.testing import CliRunner; from grjca.cli import main;"
        "CliRunner().invoke(main, ['report', '--help']);"
        "print({'torch', 'jinja2', 'h5py', 'cv2'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()", done.stdout


def test_usage_errors_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        make_report(tmp_path)
