from __future__ import annotations

import base64
import hashlib
import itertools
import json
import math
import re
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from page_makers import HOSTILE, Parsed, handlers, hashed, page

from grjca.report.html import (
    ClipPage,
    ClipRow,
    EvaluationPart,
    Face,
    Media,
    RunPage,
    clip_html,
    index_html,
    run_html,
)
from grjca.report.html.encoding import packed_floats, packed_steps, runs, script_json
from grjca.report.html.index_page import row_of
from grjca.report.html.rendering import asset, clock, signed

EPOCHS = [
    {"epoch": 1.0, "train_loss": 0.8, "val_ccc": 0.2, "val_ccc_valence": 0.1, "lr": 1e-3},
    {"epoch": 2.0, "train_loss": 0.5, "val_ccc": 0.6, "val_ccc_valence": 0.5, "lr": 1e-3},
    {"epoch": 3.0, "train_loss": 0.4, "val_ccc": math.nan, "val_ccc_valence": 0.3, "lr": 1e-4},
]


def evaluation(clip: str = "a.mp4", **changes: Any) -> EvaluationPart:
    bounds = {"valence": (0.5, 0.4, 0.6), "arousal": (0.4, None, None)}
    everything: dict[str, Any] = {
        "source": f"{clip}.json",
        "partition": "val",
        "names": ("valence", "arousal"),
        "overall": bounds,
        "clips": {clip: {"valence": (0.5, 0.2), "arousal": (None, 0.3)}},
        "stress": [
            ("intact", 0.0, bounds),
            ("no sound", 0.0, bounds),
            ("late sound", 0.5, bounds),
            ("late sound", -0.5, bounds),
        ],
        "notes": [clip],
    }
    return EvaluationPart(**(everything | changes))


def clip_of(name: str) -> str:
    media = Media("clips/a.mp4", name)
    own = page(name, media=media, note=name, gates={name: np.ones((50, 1))})
    return clip_html(own, "../report.html")


def index_of(name: str) -> str:
    row = row_of(page(name), "report_files/a.mp4.html")
    return index_html([row], title=name, overall={"valence": 0.5}, failed=[name], notes=[name])


def run_of(name: str) -> str:
    return run_html(RunPage(name, EPOCHS, name, {"fusion": name}, [evaluation(name)]))


PAGES: dict[str, Callable[[str], str]] = {"clip": clip_of, "index": index_of, "run": run_of}


@given(
    arrays.arrays(np.float64, st.integers(1, 40), elements=st.floats(-1, 1) | st.just(math.nan)),
    st.floats(1, 3),
)
def test_packed_numbers_come_back_to_within_half_a_step(
    values: np.ndarray[Any, Any], limit: float
) -> None:
    whole = np.frombuffer(base64.b64decode(packed_steps(values, limit)), "<i2").astype(float)
    back = np.where(whole == -32768, np.nan, whole * limit / 32767)
    np.testing.assert_allclose(back, values, atol=0.5001 * limit / 32767)
    floats = np.frombuffer(base64.b64decode(packed_floats(values)), "<f4")
    np.testing.assert_array_equal(floats, values.astype(np.float32))


@given(arrays.arrays(np.bool_, st.integers(0, 30)))
def test_runs_are_where_the_mask_is_true(mask: np.ndarray[Any, Any]) -> None:
    back = np.zeros_like(mask)
    ranges = runs(mask)
    for first, behind in ranges:
        assert first < behind
        back[first:behind] = True
    np.testing.assert_array_equal(back, mask)
    assert all(a[1] < b[0] for a, b in itertools.pairwise(ranges))


@given(st.text())
def test_json_in_a_script_holds_nothing_that_html_reads(text: str) -> None:
    written = script_json({text: text})
    assert json.loads(written) == {text: text}
    assert not set("<>&\u2028\u2029") & set(written)
    assert written.isascii()


def test_json_refuses_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        script_json(math.nan)


@pytest.mark.parametrize("kind", PAGES)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text_and_nothing_else(kind: str, name: str) -> None:
    plain, hostile = Parsed(PAGES[kind]("a.mp4")), Parsed(PAGES[kind](name))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    assert handlers(hostile) == []
    assert hostile.scripts == plain.scripts
    shown = name.replace("\n", " ").replace("\u202e", "?")
    assert shown in hostile.text


@pytest.mark.parametrize("kind", PAGES)
def test_the_policy_names_what_is_inlined_and_nothing_else(kind: str) -> None:
    parsed = Parsed(PAGES[kind]("a.mp4"))
    policy = parsed.policy()
    assert policy["default-src"] == ["'none'"]
    assert sorted(policy["script-src"]) == sorted(map(hashed, parsed.scripts))
    assert sorted(policy["style-src"]) == sorted(map(hashed, parsed.styles))
    assert policy["media-src"] == ["'self'", "file:", "data:"]
    assert not re.search(r"https?:|\*|unsafe", " ".join(itertools.chain(*policy.values())))


@pytest.mark.parametrize("kind", PAGES)
def test_a_page_loads_nothing(kind: str) -> None:
    parsed = Parsed(PAGES[kind]("a.mp4"))
    local = ("data:,", "clips/a.mp4", "../report.html")
    assert set(parsed.urls()) <= set(local)
    assert not any(re.search(r"url\(|@import", style) for style in parsed.styles)
    calls = r"\b(fetch|XMLHttpRequest|WebSocket|EventSource|sendBeacon|import)\s*\("
    assert not any(re.search(calls, script) for script in parsed.scripts)


def test_inlined_files_cannot_end_their_element() -> None:
    folder = files("grjca.report.html")
    names = [f"{part}/{file.name}" for part in ("assets", "vendor/uplot")
             for file in folder.joinpath(part).iterdir()]  # fmt: skip
    assert len(names) > 10
    for name in names:
        assert not re.search(r"</|<!--", asset(name).replace("</string", "")), name


def test_the_chart_library_is_the_version_that_is_written_down() -> None:
    table = asset("vendor/uplot/VERSION.md")
    known = dict(re.findall(r"\| `([^`]+)` \| `([0-9a-f]{64})` \|", table))
    assert set(known) == {"uPlot.iife.min.js", "uPlot.min.css", "LICENSE"}
    for name, digest in known.items():
        data = files("grjca.report.html").joinpath("vendor/uplot", name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest, name
    assert "v1.6.32" in asset("vendor/uplot/uPlot.iife.min.js")[:80]


@pytest.mark.parametrize("kind", ["clip", "run"])
def test_pages_with_charts_carry_the_library_s_licence(kind: str) -> None:
    assert asset("vendor/uplot/LICENSE") in PAGES[kind]("a.mp4")


def test_a_clip_s_page_holds_all_its_rows() -> None:
    labels = np.full((50, 2), np.nan)
    labels[10:20, 0] = 0.25
    own = page(
        labels=labels, faces=(Face(0.5, b"jpeg"),), ccc={"valence": 0.5, "arousal": math.nan}
    )
    parsed = Parsed(clip_html(own))
    data = parsed.data
    time = np.frombuffer(base64.b64decode(data["time"]), "<f4")
    np.testing.assert_allclose(time, own.time, rtol=1e-6)
    assert data["end"] == pytest.approx(2.0)
    valence = np.frombuffer(base64.b64decode(data["values"][0]), "<i2") / 32767
    np.testing.assert_allclose(valence, own.values[:, 0], atol=2e-5)
    shown = np.frombuffer(base64.b64decode(data["labels"][0]), "<i2")
    assert (shown[10:20] == round(0.25 * 32767)).all()
    assert (np.delete(shown, np.s_[10:20]) == -32768).all()
    assert data["missing"] == {"face": [[i, i + 1] for i in range(3, 50, 10)], "sound": [[40, 50]]}
    assert [len(gate) for gate in data["gates"]] == [3, 3]
    assert base64.b64decode(data["faces"][0]["jpeg"]) == b"jpeg"
    assert "0.500" in parsed.text
    assert "(10)" in parsed.text


def test_values_beyond_1_widen_the_axis_instead_of_being_cut() -> None:
    own = page()
    values = own.values.copy()
    values[7, 1] = -1.23
    data = Parsed(clip_html(page(values=values))).data
    assert data["limit"] == pytest.approx(1.3)
    arousal = np.frombuffer(base64.b64decode(data["values"][1]), "<i2") * 1.3 / 32767
    assert arousal[7] == pytest.approx(-1.23, abs=1e-4)


@pytest.mark.parametrize("rows", [1, 2])
def test_a_clip_of_one_frame_has_a_page(rows: int) -> None:
    data = Parsed(clip_html(page(rows=rows))).data
    assert data["end"] == pytest.approx(rows * 0.04)


def test_a_clip_without_any_prediction_has_a_page_and_a_row() -> None:
    own = page(values=np.full((50, 2), np.nan), gates={})
    parsed = Parsed(clip_html(own))
    assert "mean valence" in parsed.text
    assert row_of(own, "x").outline["valence"] == (None,) * 50
    assert (
        Parsed(index_html([row_of(own, "x")], title="t", overall={})).data["rows"][0]["mean"] == {}
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"time": np.zeros(50)}, "increasing"),
        ({"time": np.array([])}, "increasing"),
        ({"values": np.zeros((50, 3))}, "values has shape"),
        ({"labels": np.zeros((49, 2))}, "labels has shape"),
        ({"face_valid": np.ones(50)}, "face_valid is float64"),
        ({"gates": {"visual": np.ones(50)}}, "gate visual"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        page(**changes)


def test_an_outline_is_the_means_of_stretches() -> None:
    own: ClipPage = page(rows=600)
    points = row_of(own, "x").outline["valence"]
    means = own.values[:, 0].reshape(60, 10).mean(axis=1)
    assert points == tuple(round(100 * value) for value in means)


def test_the_index_says_what_failed_and_what_is_missing() -> None:
    rows = [row_of(page(f"{i}.mp4"), f"files/{i}.html") for i in range(3)]
    parsed = Parsed(index_html(rows, title="t", overall={}, failed=["b.mp4: report: broken."]))
    assert "1 not shown" in parsed.text
    assert "b.mp4: report: broken." in parsed.text
    assert [row["clip"] for row in parsed.data["rows"]] == ["0.mp4", "1.mp4", "2.mp4"]
    assert parsed.data["labelled"] is False
    assert isinstance(rows[0], ClipRow)


def test_a_run_s_page_marks_the_best_epoch() -> None:
    parsed = Parsed(run_of("run"))
    assert parsed.data["best"] == 2.0
    assert parsed.data["curves"]["val_ccc"] == [0.2, 0.6, None]
    assert "val_ccc_arousal" not in parsed.data["curves"]
    assert "0.500" in parsed.text


def test_a_stress_panel_holds_the_intact_features_at_level_0() -> None:
    panels = Parsed(run_of("run")).data["evaluations"][0]["stress"]
    assert [panel["title"] for panel in panels] == ["What is missing", "Lag"]
    assert panels[0]["ticks"] == ["intact", "no sound"]
    assert panels[1]["x"] == [-0.5, 0.0, 0.5]
    assert panels[1]["ccc"]["arousal"] == [[0.4, None, None]] * 3


def test_a_run_without_validation_or_epochs() -> None:
    parsed = Parsed(run_html(RunPage("run", [{"epoch": 1.0, "train_loss": 0.5}], "")))
    assert parsed.data["best"] is None
    assert "no validation" in parsed.text
    with pytest.raises(ValueError, match="without epochs"):
        RunPage("run", [], "")


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0, "0:00.0"), (12.34, "0:12.3"), (59.97, "1:00"), (61, "1:01"), (3599.6, "1:00:00"),
     (3725, "1:02:05")],
)  # fmt: skip
def test_lengths_as_a_clock_shows_them(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_numbers_have_their_sign() -> None:
    assert signed(0.314) == "+0.31"
    assert signed(-0.314) == "\u22120.31"
    assert signed(math.nan) == signed(None) == "\u2013"
