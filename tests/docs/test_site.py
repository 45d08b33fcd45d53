"""The documentation builds as pages without a complaint, and they load nothing from a network."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest
import yaml
from blocks import ROOT

import grjca
from grjca.cli import main

pytest.importorskip("mkdocs", reason="pip install '.[docs]'")

LOADING = {"audio", "embed", "iframe", "img", "input", "script", "source", "track", "video"}
"""Elements whose ``src`` a browser loads by itself."""

SHEETS = {"icon", "modulepreload", "preload", "preconnect", "dns-prefetch", "stylesheet"}
"""What a ``link`` is when a browser loads or asks for its ``href`` by itself."""


class Loads(HTMLParser):
    """What a page loads, formulas, and anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.formulas = 0
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in LOADING:
            self.loaded += [value for name in ("src", "srcset") if (value := values.get(name))]
        if tag == "link" and set(values.get("rel", "").split()) & SHEETS:
            self.loaded.append(values["href"])
        self.formulas += tag == "math"
        self.anchors.add(values.get("id", ""))


def looked_at(page: Path) -> Loads:
    parser = Loads()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "WARNING" not in said
    return folder


@pytest.mark.slow
def test_the_pages_load_nothing_from_a_network(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        for address in looked_at(page).loaded:
            assert not re.match(r"(\w+:)?//", address), f"{page.name} loads {address}"
            file = page.parent / address.partition("?")[0]
            if page.name != "404.html":
                assert file.is_file(), f"{page.name} wants {address}"
    for sheet in site.rglob("*.css"):
        found = re.findall(r"(?:url\(|@import)\s*[\"']?((?:\w+:)?//[^\"')]+)", sheet.read_text())
        assert found == [], f"{sheet.name} loads {found}"


@pytest.mark.slow
def test_the_reference_has_every_command_and_every_public_name(site: Path) -> None:
    commands = looked_at(site / "reference/commands.html").anchors
    context = click.Context(main)
    for name in main.list_commands(context):
        assert f"grjca-{name}" in commands
    api = looked_at(site / "reference/api.html").anchors
    for name in grjca.__all__:
        assert any(anchor.endswith(f".{name}") for anchor in api), name
    options = (site / "reference/commands.html").read_text()
    for option in ("--audio-hop", "--label-delay", "--cluster-config"):
        assert option in options


@pytest.mark.slow
def test_formulas_are_drawn_without_a_script(site: Path) -> None:
    page = (site / "model.html").read_text()
    assert looked_at(site / "model.html").formulas > 40
    assert "\\(" not in page
    assert "\\frac" not in page


@pytest.mark.slow
def test_a_page_from_the_disk_can_be_searched(site: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium here (python tests/debian.py chromium)")
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    said: list[str] = []
    asked: set[str] = set()
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        page = browser.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.add(request.url.partition(":")[0]))
        page.goto((site / "index.html").as_uri())
        page.click("input.md-search__input")
        page.keyboard.type("backbones")
        found = ".md-search-result__item a[href*='howto/backbones.html']"
        page.wait_for_selector(found, timeout=20_000)
        browser.close()
    assert said == []
    assert asked <= {"file", "data"}


def test_the_citation_names_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == grjca.__version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["license"] == project["license"]
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()


def test_the_badges_are_true() -> None:
    said = {
        path.stem: re.findall(r"<text[^>]*>([^<]*)<", path.read_text())
        for path in (ROOT / "docs/images").glob("badge-*.svg")
    }
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    versions = re.findall(r"Python :: (3\.\d+)", str(settings["project"]["classifiers"]))
    assert said["badge-python"] == ["python", " | ".join(versions)]
    assert said["badge-licence"] == ["licence", settings["project"]["license"]]
    assert settings["tool"]["mypy"]["strict"]
    assert said["badge-typed"] == ["typed", "mypy strict"]
