"""Links between README and documentation lead somewhere, and so do names of the code in them."""

from __future__ import annotations

import importlib
import re
import unicodedata
from pathlib import Path

import pytest
from blocks import PAGES, ROOT, without_blocks

ALL = [*PAGES, ROOT / "CHANGELOG.md"]

_CODE = re.compile(r"`[^`]*`")
_LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)[^)]*\)|(?:src|href)=\"(?P<html>[^\"]+)\"")


def headings(page: Path) -> list[str]:
    """The anchors of a page's headings, where GitHub and MkDocs call them alike."""
    anchors = []
    for title in re.findall(r"^#+ +(.*)$", without_blocks(page), re.MULTILINE):
        plain = re.sub(r"[`*]", "", title).strip()
        github = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        ascii_only = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
        mkdocs = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", ascii_only).strip().lower())
        if github == mkdocs:
            anchors.append(github)
    return anchors


def targets(page: Path) -> list[str]:
    """What a page links to, addresses of other sites left out."""
    text = _CODE.sub("", without_blocks(page))
    found = [match["target"] or match["html"] for match in _LINK.finditer(text)]
    return [target for target in found if not re.match(r"[a-z]+:", target)]


@pytest.mark.parametrize("page", ALL, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_to_files_and_headings(page: Path) -> None:
    for target in targets(page):
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.is_file(), f"{target}: no such file"
        assert file.is_relative_to(ROOT), f"{target}: outside the repository"
        if anchor:
            assert anchor in headings(file), f"{target}: no such heading"


def test_every_page_can_be_reached() -> None:
    reached = {ROOT / "docs/index.md"}
    for page in PAGES:
        reached |= {(page.parent / target.partition("#")[0]).resolve() for target in targets(page)}
    assert set(PAGES) - reached == {ROOT / "README.md"}


def test_names_in_the_page_of_the_model_are_those_of_the_code() -> None:
    text = without_blocks(ROOT / "docs/model.md")
    names = set(re.findall(r"`(?!grjca\.)([a-z_]+)\.([A-Za-z_]+)`", text))
    assert len(names) > 15
    for module, name in names:
        assert hasattr(importlib.import_module(f"grjca.fusion.{module}"), name), (module, name)


def test_anchors_are_those_of_github_and_mkdocs(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `grjca` page, of two\n\n```text\n# no heading\n```\n\n## One -- two\n")
    assert headings(page) == ["a-grjca-page-of-two"]
