"""The fenced blocks of a Markdown page, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])

_FENCE = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n+)?^(?P<indent> *)```(?P<language>\w*)\n"
    r"(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_BETWEEN = {";", "&", "|", "||", "&&", ">", ">>", "<"}


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: The file it stands in.
        line: Its fence's line, from 1.
        language: The word behind the fence; may be empty.
        text: What is inside.
        reason: Why it is not run, from a comment ``<!-- not run: reason -->`` above it.
    """

    page: Path
    line: int
    language: str
    text: str
    reason: str | None

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start("indent")) + 1
        found.append(Block(page, line, match["language"], match["text"], match["reason"]))
    return found


def without_blocks(page: Path) -> str:
    """A page's text with its fenced blocks left out."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def lines(text: str) -> list[str]:
    """Lines of a shell, continuations joined, prompts removed."""
    joined = text.replace("\\\n", " ")
    return [line.removeprefix("$ ").strip() for line in joined.splitlines() if line.strip()]


def words(line: str) -> list[list[str]]:
    """The simple commands of a line of a shell, as words; comments left out."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    for word in lexer:
        if word in _BETWEEN:
            commands.append([])
        else:
            commands[-1].append(word)
    return [command for command in commands if command]


def grjca_commands(page: Path) -> Iterator[tuple[str, list[str], bool]]:
    """Every use of ``grjca`` on a page: where, its arguments, and whether it is a whole line.

    Whole lines are those of blocks; in running text only a part of a command may stand.
    """
    for block in blocks(page):
        if block.language in ("", "bash"):
            for line in lines(block.text):
                if "grjca " in line:
                    for command in words(line):
                        if command[0].rpartition("/")[2] == "grjca":
                            yield str(block), command[1:], True
    for found in _INLINE.finditer(without_blocks(page)):
        text = " ".join(found[1].split())
        if text.startswith("grjca "):
            for command in words(text):
                if command[0] == "grjca":
                    yield f"{page.relative_to(ROOT)}: {text}", command[1:], False
