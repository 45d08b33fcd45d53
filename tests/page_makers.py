"""Pages for the tests: clips whose numbers can be told from the time, and what a page holds."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from grjca.fusion.predictor import Prediction
from grjca.fusion.writers import write_csv
from grjca.report.html import ClipPage

HOSTILE = (
    "<script>alert(1)</script>.mp4",
    '"onerror=alert(1) x=".mp4',
    "a'b&amp;{{ 7*7 }}.mp4",
    "</script><img src=x onerror=alert(1)>.mp4",
    "<!--.mp4",
    "javascript:alert(1).mp4",
    "line\nbreak\u202eevil.mp4",
)


def wave(time: np.ndarray) -> np.ndarray:
    """(T, 2): valence rises from -0.8 to 0.8 over the clip, arousal falls."""
    share = (time - time[0]) / max(time[-1] - time[0], 1e-9)
    return np.stack([1.6 * share - 0.8, 0.8 - 1.6 * share], axis=1)


def prediction(clip: str, time: np.ndarray, **changes: Any) -> Prediction:
    rows = len(time)
    gate = np.tile([0.2, 0.3, 0.5], (rows, 1))
    everything: dict[str, Any] = {
        "clip": clip,
        "time": time,
        "values": wave(time),
        "names": ("valence", "arousal"),
        "face_valid": np.arange(rows) % 10 != 3,
        "audio_valid": np.arange(rows) < 0.8 * rows,
        "gates": {"visual": gate, "audio": gate[:, ::-1]},
    }
    return Prediction(**(everything | changes))


def write_tables(folder: Path, clips: dict[str, np.ndarray]) -> Path:
    """Tables of predictions as ``grjca predict`` writes them, by clip."""
    for clip, time in clips.items():
        write_csv(prediction(clip, time), folder / f"{clip}.csv")
    return folder


def page(clip: str = "a.mp4", rows: int = 50, **changes: Any) -> ClipPage:
    own = prediction(clip, np.arange(rows) / 25)
    everything: dict[str, Any] = {
        "clip": clip,
        "time": own.time,
        "values": own.values,
        "names": own.names,
        "face_valid": own.face_valid,
        "audio_valid": own.audio_valid,
        "gates": own.gates,
    }
    return ClipPage(**(everything | changes))


@dataclass
class Parsed(HTMLParser):
    """What a browser finds in a page: tags with their attributes, scripts, styles, texts."""

    html: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)
    text: str = ""
    data: Any = None

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._inside = ""
        self.feed(self.html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = "data" if dict(attrs).get("type") == "application/json" else tag

    def handle_endtag(self, _tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "data":
            self.data = json.loads(data)
        elif self._inside == "script":
            self.scripts.append(data)
        elif self._inside == "style":
            self.styles.append(data)
        else:
            self.text += data

    def policy(self) -> dict[str, list[str]]:
        """The Content-Security-Policy, what is allowed by directive."""
        content = next(
            attributes["content"]
            for tag, attributes in self.tags
            if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
        )
        directives = [directive.split() for directive in str(content).split(";")]
        return {name: allowed for name, *allowed in directives}

    def urls(self) -> list[str]:
        """All that the page loads or links to."""
        return [
            str(attributes[name])
            for _tag, attributes in self.tags
            for name in ("src", "href", "srcset", "action", "poster", "data")
            if attributes.get(name)
        ]


def hashed(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def handlers(parsed: Parsed) -> list[str]:
    """Attributes that would run code or style in line."""
    return [
        name
        for _tag, attributes in parsed.tags
        for name in attributes
        if re.match(r"on|style$", name)
    ]
