"""Hooks of MkDocs: the reference of the commands, and formulas."""

from __future__ import annotations

from typing import Any

from documentation.commands import reference
from documentation.formulas import with_mathml
from grjca.cli import main

COMMANDS = "<!-- the commands -->"
"""What stands in a page where the reference of the commands goes."""


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the commands in."""
    return (
        markdown.replace(COMMANDS, reference(main, "grjca")) if COMMANDS in markdown else markdown
    )


def on_page_content(html: str, **_: Any) -> str:
    """Draw the formulas."""
    return with_mathml(html)
