r"""Formulas as MathML, which browsers draw themselves: no script, nothing loaded.

Markdown's extension ``arithmatex`` leaves ``\(...\)`` and ``\[...\]`` in elements of the class
``arithmatex``; what is inside becomes MathML.
"""

from __future__ import annotations

import html
import re

from latex2mathml.converter import convert

_FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)


def with_mathml(page: str) -> str:
    """HTML with its formulas drawn."""
    return _FORMULA.sub(_draw, page)


def _draw(found: re.Match[str]) -> str:
    tag = found["tag"]
    display = "block" if tag == "div" else "inline"
    drawn = convert(html.unescape(found["tex"]).strip(), display=display)
    return f'<{tag} class="formula">{drawn}</{tag}>'
