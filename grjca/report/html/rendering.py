"""Templates filled, scripts and styles inlined, and a policy that lets nothing else run or load.

Texts are escaped by the templates. Should one ever get through, the page's Content-Security-Policy
still holds: only scripts and styles with the hashes of those inlined here run, and nothing is
loaded from anywhere but the media file.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import math
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import grjca
from grjca.report.html.encoding import script_json

if TYPE_CHECKING:
    from jinja2 import Environment

UPLOT = "vendor/uplot"


@dataclass(frozen=True)
class Inlined:
    """Text of a script or a style sheet, and its hash as a policy names it."""

    text: str
    digest: str

    @classmethod
    def read(cls, *names: str) -> Inlined:
        """Files of this package, one after the other."""
        text = "\n" + "\n".join(asset(name) for name in names)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
        return cls(text, f"'sha256-{digest}'")


def asset(name: str) -> str:
    """The text of a file of this package, by its path below it."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def render(
    template: str, scripts: tuple[str, ...], *, charts: bool, data: Any, **about: Any
) -> str:
    """A whole page.

    Args:
        template: Name in ``templates`` without its endings, also that of the style sheet.
        scripts: Names in ``assets`` without their ending, in the order in which they run.
        charts: Whether the page needs the chart library.
        data: What the scripts read; JSON-able, without NaN.
        about: What the template fills in; texts are escaped.
    """
    own = tuple(f"assets/{name}.js" for name in ("base", *scripts))
    sheets = ("assets/base.css", f"assets/{template}.css")
    script, style = Inlined.read(*own), Inlined.read(*sheets)
    library = Inlined.read(f"{UPLOT}/uPlot.iife.min.js") if charts else None
    library_style = Inlined.read(f"{UPLOT}/uPlot.min.css") if charts else None
    return _environment().get_template(f"{template}.html.jinja").render(
        version=grjca.__version__,
        policy=_policy([script, library], [style, library_style]),
        script=script,
        style=style,
        library=library,
        library_style=library_style,
        library_licence=asset(f"{UPLOT}/LICENSE") if charts else "",
        data=script_json(data),
        **about,
    )  # fmt: skip


def signed(value: float | None, digits: int = 2) -> str:
    """A number with its sign, the minus a real one: ``+0.31``; a dash for None and NaN."""
    if value is None or math.isnan(value):
        return "\u2013"
    return f"{value:+.{digits}f}".replace("-", "\u2212")


def plain(value: float | None, digits: int = 3) -> str:
    """A number without a plus: ``0.812``; a dash for None and NaN."""
    return signed(value, digits).removeprefix("+")


def clock(seconds: float) -> str:
    """A length: ``0:13.0``, ``12:05``, ``1:02:09``."""
    if seconds < 60:
        return f"0:{seconds:04.1f}" if round(seconds, 1) < 60 else "1:00"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _policy(scripts: list[Inlined | None], styles: list[Inlined | None]) -> str:
    def allowed(parts: list[Inlined | None]) -> str:
        return " ".join(part.digest for part in parts if part is not None)

    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {allowed(scripts)}",
            f"style-src {allowed(styles)}",
            "img-src data:",
            # 'self' is the folder of a page on the disk only in some browsers, so it is named too.
            "media-src 'self' file: data:",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


@functools.cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(__package__, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"signed": signed, "plain": plain, "clock": clock}
    return environment
