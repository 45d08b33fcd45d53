"""Reports in a real browser: headless Chromium, opened from the disk."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from media_makers import make_clip
from page_makers import HOSTILE, page, wave, write_tables

from grjca.cli import main
from grjca.reporting import make_report
from grjca.stages.probe import probe
from grjca.stages.video import frame_times

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
if CHROMIUM is None:
    pytest.skip("no Chromium here (python tests/debian.py chromium)", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")

TIME = np.arange(250) / 25
LENGTH = 10.0


class Tab:
    """A page with what it complained of and what it asked for."""

    def __init__(self, context: Any) -> None:
        self.page = context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.said.append("a dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def open(self, path: Path) -> Any:
        self.page.goto(path.as_uri())
        return self.page

    def check(self) -> None:
        """Nothing was complained of, and nothing was asked of any network."""
        assert self.said == []
        assert {url.partition(":")[0] for url in self.asked} <= {"file", "data"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        # Without a display and sound; the sandbox needs rights that containers lack.
        launched = playwright.chromium.launch(executable_path=CHROMIUM)
        yield launched
        launched.close()


@pytest.fixture
def tab(browser: Any, request: pytest.FixtureRequest) -> Iterator[Tab]:
    options = getattr(request, "param", {})
    context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
    context.set_default_timeout(15_000)
    tab = Tab(context)
    yield tab
    context.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a made clip of 10 s with labels."""
    folder = tmp_path_factory.mktemp("clip")
    (folder / "videos").mkdir()
    make_clip(
        folder / "videos/a.webm",
        frames=250,
        video_codec="libvpx",
        size=(64, 48),
        sound_rate=48_000,
    )
    write_tables(folder / "predictions", {"a.webm": TIME})
    lines = [f"a,{i},{value:.4f},0.5" for i, value in enumerate(wave(TIME)[:, 0] / 2)]
    (folder / "l.csv").write_text("\n".join(["clip,frame,valence,arousal", *lines]) + "\n")
    return make_report(
        folder / "predictions", videos=folder / "videos", labels=folder / "l.csv"
    ).out


def seek(page: Any, seconds: float) -> None:
    """Move the video itself, as its own controls would, and wait for it to arrive."""
    page.evaluate(
        """t => new Promise(done => {
            const media = document.getElementById("media");
            media.addEventListener("seeked", () => requestAnimationFrame(done), {once: true});
            media.currentTime = t;
        })""",
        seconds,
    )


def until(page: Any, holds: str, given: Any = None) -> None:
    """Wait for an expression; the page's policy forbids the browser's own way of doing so."""
    end = time.monotonic() + 15
    while not page.evaluate(holds, given):
        assert time.monotonic() < end, f"never came: {holds}"
        page.wait_for_timeout(20)


def ready(page: Any) -> None:
    until(page, "document.getElementById('media').readyState >= 1")


def shown_at(page: Any) -> list[float]:
    """Where each chart's playhead stands, as a share of the chart's width."""
    shares: list[float] = page.evaluate(
        """() => [...document.querySelectorAll(".playhead")].map(playhead => {
            const over = playhead.parentElement.getBoundingClientRect();
            const own = playhead.getBoundingClientRect();
            return (own.left + own.width / 2 - over.left) / over.width;
        })"""
    )
    return shares


def current(page: Any) -> float:
    return float(page.evaluate("document.getElementById('media').currentTime"))


def number(text: str) -> float:
    return float(text.replace("\u2212", "-"))


def test_the_playhead_and_the_numbers_follow_the_video(tab: Tab, clip: Path) -> None:
    page = tab.open(clip)
    ready(page)
    for seconds in (2.5, 7.13, 0.5):
        seek(page, seconds)
        shares = shown_at(page)
        assert len(shares) == 4
        assert shares == pytest.approx([seconds / LENGTH] * 4, abs=0.003)
        row = int(seconds * 25 + 1e-6)
        valence, arousal = wave(TIME)[row]
        assert number(page.text_content("#predicted-0")) == pytest.approx(valence, abs=0.0051)
        assert number(page.text_content("#predicted-1")) == pytest.approx(arousal, abs=0.0051)
        assert number(page.text_content("#label-0")) == pytest.approx(valence / 2, abs=0.0051)
        assert page.text_content("#now") == f"0:{seconds:05.2f}"
        assert f"frame {row}" in page.text_content("#state")
    seek(page, 9.0)
    assert "no sound" in page.text_content("#state")
    tab.check()


def test_playing_moves_the_playhead_and_space_stops_it(tab: Tab, clip: Path) -> None:
    page = tab.open(clip)
    ready(page)
    page.keyboard.press("Space")
    until(page, "document.getElementById('media').currentTime > 0.6")
    assert page.get_attribute("#play", "aria-label") == "Pause"
    page.keyboard.press("Space")
    until(page, "document.getElementById('media').paused")
    until(page, "document.getElementById('play').ariaLabel === 'Play'")
    assert shown_at(page)[0] == pytest.approx(current(page) / LENGTH, abs=0.01)
    tab.check()


def test_a_click_seeks_in_every_chart(tab: Tab, clip: Path) -> None:
    page = tab.open(clip)
    ready(page)
    charts = page.query_selector_all("#time .u-over")
    assert len(charts) == 4
    for chart, share in zip(charts, (0.7, 0.2, 0.5, 0.9), strict=True):
        chart.scroll_into_view_if_needed()
        box = chart.bounding_box()
        page.mouse.click(box["x"] + share * box["width"], box["y"] + box["height"] / 2)
        until(
            page,
            "t => Math.abs(document.getElementById('media').currentTime - t) < 0.05",
            share * LENGTH,
        )
        assert shown_at(page) == pytest.approx([share] * 4, abs=0.005)
    tab.check()


def test_keys_move_the_playhead(tab: Tab, clip: Path) -> None:
    page = tab.open(clip)
    ready(page)

    def after(key: str) -> float:
        page.keyboard.press(key)
        return round(shown_at(page)[0] * LENGTH, 2)

    assert after("ArrowRight") == pytest.approx(1.0, abs=0.03)
    assert after("ArrowRight") == pytest.approx(2.0, abs=0.03)
    assert after("Shift+ArrowRight") == pytest.approx(2.04, abs=0.02)
    assert after("Shift+ArrowLeft") == pytest.approx(2.0, abs=0.02)
    assert after("ArrowLeft") == pytest.approx(1.0, abs=0.03)
    assert after("End") == pytest.approx(9.96, abs=0.03)
    assert after("ArrowRight") == pytest.approx(10.0, abs=0.03)
    assert after("Home") == 0.0
    # The field that moves the playhead is no exception, nor is the video.
    page.focus("#position")
    assert after("ArrowRight") == pytest.approx(1.0, abs=0.03)
    # A focused button keeps its space, and its arrows move the playhead.
    page.focus("#mute")
    page.keyboard.press("Space")
    assert page.get_attribute("#mute", "aria-pressed") == "true"
    assert page.get_attribute("#play", "aria-label") == "Play"
    tab.check()


def test_frame_by_frame_reaches_every_frame(tab: Tab, clip: Path) -> None:
    page = tab.open(clip)
    ready(page)
    for row in range(1, 40):
        page.keyboard.press("Shift+ArrowRight")
        assert f"frame {row}" in page.text_content("#state")


def test_dragging_zooms_and_the_whole_comes_back(tab: Tab, clip: Path) -> None:
    page = tab.open(clip)
    ready(page)
    box = page.query_selector("#values .u-over").bounding_box()
    y = box["y"] + 50
    page.mouse.move(box["x"] + 0.4 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], y, steps=4)
    page.mouse.move(box["x"] + 0.6 * box["width"], y, steps=4)
    page.mouse.up()
    page.wait_for_selector("#whole:not([hidden])")
    assert page.is_hidden(".playhead")
    seek(page, 5.5)
    assert shown_at(page) == pytest.approx([0.75] * 4, abs=0.01)
    # What plays on beyond the range takes it along.
    seek(page, 8.0)
    assert 0 <= shown_at(page)[0] <= 1
    page.click("#whole")
    assert shown_at(page) == pytest.approx([0.8] * 4, abs=0.01)
    page.keyboard.press("+")
    assert shown_at(page)[0] == pytest.approx(0.6, abs=0.01)
    page.keyboard.press("Home")
    assert shown_at(page)[0] == pytest.approx(0.0, abs=0.01)
    assert not page.is_hidden("#whole")
    page.keyboard.press("0")
    assert page.is_hidden("#whole")
    tab.check()


def test_a_real_clip_plays_beside_its_predictions(tab: Tab, media: Path, tmp_path: Path) -> None:
    video = media / "av/retalking_face_1_vfr.mp4"
    times = frame_times(video, probe(video))
    write_tables(tmp_path, {video.name: times})
    page = tab.open(make_report(tmp_path, videos=video.parent).out)
    ready(page)
    end = times[-1] + np.median(np.diff(times))
    for row in (30, 100):
        seconds = float((times[row] + times[row + 1]) / 2)
        seek(page, seconds)
        assert f"frame {row}" in page.text_content("#state")
        assert shown_at(page)[0] == pytest.approx(
            (seconds - times[0]) / (end - times[0]), abs=0.004
        )
    tab.check()


def test_the_page_that_predict_writes_opens(tab: Tab, media: Path, tmp_path: Path) -> None:
    """From a real clip to its page by the commands alone."""
    short = media / "av/lrs_demo_0p9s.mp4"
    (tmp_path / "clips").mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copy(short, tmp_path / "clips" / name)
    lines = [f"{name}.mp4,{i},{i / 20},{-i / 20}" for name in "ab" for i in range(20)]
    (tmp_path / "l.csv").write_text("\n".join(["clip,frame,valence,arousal", *lines]))
    store, run, out = (str(tmp_path / name) for name in ("store", "run", "out"))
    for words in (
        ["extract", str(tmp_path / "clips"), "--store", store, "--visual", "hog", "--audio",
         "logmel", "--workers", "1", "--quiet"],
        ["train", "--store", store, "--labels", str(tmp_path / "l.csv"), "--out", run,
         "--val", "b.mp4", "--epochs", "1", "--quiet"],
        ["predict", str(short), "--checkpoint", run, "--out", out, "--report", "--workers", "1",
         "--quiet"],
    ):  # fmt: skip
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
    page = tab.open(Path(out) / "report.html")
    ready(page)
    assert page.text_content("h1") == short.name
    seek(page, 0.5)
    assert "frame 12" in page.text_content("#state")
    assert len(page.query_selector_all("#faces button")) > 10
    page = tab.open(Path(run) / "report.html")
    assert len(page.query_selector_all("canvas")) >= 2
    tab.check()


def test_an_embedded_video_plays_and_seeks(tab: Tab, clip: Path, tmp_path: Path) -> None:
    made = make_report(clip.parent, tmp_path / "r.html", videos=clip.parent.parent / "videos",
                       embed=True)  # fmt: skip
    page = tab.open(made.out)
    ready(page)
    seek(page, 6.0)
    assert current(page) == pytest.approx(6.0)
    assert shown_at(page)[0] == pytest.approx(0.6, abs=0.003)
    tab.check()


def test_a_picture_that_the_browser_does_not_know_is_said_and_its_sound_plays(
    tab: Tab, tmp_path: Path
) -> None:
    write_tables(tmp_path, {"a.mp4": TIME})
    (tmp_path / "videos").mkdir()
    make_clip(tmp_path / "videos/a.mp4", frames=250, video_codec="mpeg4", sound_codec="aac")
    page = tab.open(make_report(tmp_path, videos=tmp_path / "videos").out)
    page.wait_for_selector("#unseen:not([hidden])")
    assert "a.mp4" in page.inner_text("#unseen")
    assert not page.is_visible("#media")
    assert not page.is_visible("#unplayable")
    seek(page, 6.0)
    assert current(page) == pytest.approx(6.0)
    tab.check()


@pytest.mark.parametrize("kind", ["none", "unplayable", "missing"])
def test_without_a_video_the_clock_runs_on_its_own(tab: Tab, tmp_path: Path, kind: str) -> None:
    write_tables(tmp_path, {"a.mp4": TIME})
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos/a.mp4").write_bytes(b"this is no video")
    made = make_report(tmp_path, videos=None if kind == "none" else tmp_path / "videos")
    if kind == "missing":
        (tmp_path / "videos/a.mp4").unlink()
    page = tab.open(made.out)
    if kind != "none":
        page.wait_for_selector("#unplayable:not([hidden])")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    until(page, "document.getElementById('now').textContent > '0:01.30'")
    page.keyboard.press("Space")
    assert page.get_attribute("#play", "aria-label") == "Play"
    assert shown_at(page)[0] > 0.13
    page.keyboard.press("End")
    page.keyboard.press("Space")
    until(page, "document.getElementById('play').ariaLabel === 'Play'")
    assert shown_at(page)[0] == pytest.approx(1.0, abs=0.005)
    if kind == "none":
        tab.check()


def test_a_click_on_a_face_goes_there(tab: Tab, tmp_path: Path) -> None:
    from grjca.report.html import Face, clip_html
    from grjca.reporting.faces import jpeg

    grey = jpeg(np.full((64, 64, 3), 90, np.uint8))
    own = page(rows=250, faces=tuple(Face(float(t), grey) for t in np.arange(0.2, 10, 0.4)))
    (tmp_path / "r.html").write_text(clip_html(own))
    tab.open(tmp_path / "r.html")
    shown = [b for b in tab.page.query_selector_all("#faces button") if b.is_visible()]
    assert 5 < len(shown) < 25
    boxes = [b.bounding_box() for b in shown]
    assert all(a["x"] + a["width"] <= b["x"] for a, b in itertools.pairwise(boxes))
    shown[4].click()
    over = tab.page.query_selector("#values .u-over").bounding_box()
    middle = (boxes[4]["x"] + boxes[4]["width"] / 2 - over["x"]) / over["width"]
    assert shown_at(tab.page)[0] == pytest.approx(middle, abs=0.01)
    tab.check()


@pytest.mark.parametrize(
    "tab", [{"viewport": {"width": 390, "height": 844}}, {"color_scheme": "dark"}], indirect=True
)
def test_phones_and_dark_rooms(tab: Tab, clip: Path) -> None:
    page = tab.open(clip)
    ready(page)
    wide = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] <= wide[1]
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    dark = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    assert (ground == "rgb(18, 21, 25)") == dark
    # The charts are drawn again in the other colours.
    page.emulate_media(color_scheme="light" if dark else "dark")
    page.wait_for_timeout(100)
    if wide[1] == 390:
        assert page.query_selector("#values").bounding_box()["width"] <= 390
    tab.check()


def test_an_hour_stays_smooth(tab: Tab, tmp_path: Path) -> None:
    rows = 108_000
    write_tables(tmp_path, {"hour.mp4": np.arange(rows) / 30})
    made = make_report(tmp_path)
    assert made.out.stat().st_size < 8_000_000
    page = tab.open(made.out)
    milliseconds = page.evaluate(
        """() => {
            const press = key => document.dispatchEvent(new KeyboardEvent("keydown", {key}));
            const start = performance.now();
            for (let i = 0; i < 100; i++) press("ArrowRight");
            const moved = performance.now();
            for (let i = 0; i < 10; i++) press(i % 2 ? "0" : "+");
            return [(moved - start) / 100, (performance.now() - moved) / 10];
        }"""
    )
    # A picture of 60 per second has 17 ms; the limits leave room for a busy machine.
    assert milliseconds[0] < 20
    assert milliseconds[1] < 300
    assert page.text_content("#now") == "1:40.0"
    assert shown_at(page)[0] == pytest.approx(100 / 3600, abs=0.001)
    tab.check()


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    clips = {f"lab/clip{i}.mp4": np.arange(25 * i) / 25 for i in (2, 10, 1, 7)}
    clips |= dict.fromkeys(HOSTILE, TIME[:30])
    write_tables(folder, clips)
    (folder / "l.csv").write_text("clip,frame,valence\nlab/clip2,0,0.5\nlab/clip2,1,0.6\n")
    return make_report(folder, labels=folder / "l.csv").out


def names(page: Any) -> list[str]:
    found: list[str] = page.eval_on_selector_all(
        "tbody td.name", "all => all.map(e => e.textContent)"
    )
    return found


def test_the_index_sorts(tab: Tab, index: Path) -> None:
    page = tab.open(index)
    count = 4 + len(HOSTILE)
    assert len(names(page)) == count

    def by(heading: str) -> list[str]:
        page.get_by_role("button", name=heading, exact=True).click()
        return [name for name in names(page) if name.startswith("lab/")]

    assert by("clip") == [f"lab/clip{i}.mp4" for i in (1, 2, 7, 10)]
    assert by("clip") == [f"lab/clip{i}.mp4" for i in (10, 7, 2, 1)]
    assert by("frames") == [f"lab/clip{i}.mp4" for i in (10, 7, 2, 1)]
    heading = page.locator("th", has_text="frames")
    assert heading.get_attribute("aria-sort") == "descending"
    assert by("frames") == [f"lab/clip{i}.mp4" for i in (1, 2, 7, 10)]
    # Clips without a CCC come last either way.
    for _ in range(2):
        by("CCC valence")
        assert names(page)[0] == "lab/clip2.mp4"
    tab.check()


def test_the_index_searches(tab: Tab, index: Path) -> None:
    page = tab.open(index)
    page.keyboard.press("/")
    page.keyboard.type("LAB 1")
    assert sorted(names(page)) == ["lab/clip1.mp4", "lab/clip10.mp4"]
    assert page.text_content("#count") == f"2 of {4 + len(HOSTILE)}"
    page.fill("#search", "<script")
    assert [name for name in names(page) if "alert" in name]
    page.fill("#search", "nothing like it")
    assert names(page) == []
    tab.check()


def test_hostile_names_do_nothing_and_their_pages_open(tab: Tab, index: Path) -> None:
    page = tab.open(index)
    listed = {name.replace("\n", " ").replace("\u202e", "?") for name in HOSTILE}
    assert listed < set(names(page))
    assert page.query_selector_all("img, tbody script") == []
    for name in sorted(listed):
        page.get_by_role("link", name=name, exact=True).click()
        page.wait_for_selector("#values canvas")
        assert page.text_content("h1") == name
        assert page.title().startswith(name)
        page.get_by_role("link", name="All clips").click()
        page.wait_for_selector("table")
    tab.check()


def test_a_run_s_report_opens(tab: Tab, tmp_path: Path) -> None:
    from grjca.report.html import EvaluationPart, RunPage, run_html

    bounds = {"valence": (0.5, 0.4, 0.6)}
    part = EvaluationPart(
        "e.json", "val", ("valence",), bounds, {n: {"valence": (0.5, 0.2)} for n in HOSTILE},
        [("intact", 0.0, bounds), ("no sound", 0.0, bounds), ("late sound", 1.0, bounds)], HOSTILE,
    )  # fmt: skip
    rows = [{"epoch": i, "train_loss": 1 / i, "val_ccc": 0.1 * i, "lr": 1e-3} for i in (1.0, 2.0)]
    for epochs in (rows, rows[:1]):
        own = RunPage(HOSTILE[0], epochs, HOSTILE[3], {HOSTILE[1]: HOSTILE[3]}, [part])
        (tmp_path / "r.html").write_text(run_html(own))
        page = tab.open(tmp_path / "r.html")
        assert len(page.query_selector_all("canvas")) == 5
        assert page.text_content("pre") == HOSTILE[3]
        assert len(names(page)) == len(HOSTILE)
    tab.check()
