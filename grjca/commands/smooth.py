"""How wide predictions are smoothed, as an option."""

from __future__ import annotations

from typing import Any

import click


class SmoothWidths(click.ParamType[str | float | dict[str, float]]):
    """One of some words, a width in seconds, or one by dimension (``valence=0.5,arousal=2``).

    Args:
        words: The words that are allowed.
    """

    def __init__(self, *words: str) -> None:
        self.name = "|".join((*words, "SECONDS", "valence=SECONDS,..."))
        self._words = words

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | float | dict[str, float]:
        """The word, the number, or the numbers by dimension."""
        text = str(value)
        if text in self._words:
            return text
        try:
            if "=" not in text:
                return float(text)
            pairs = (part.split("=") for part in text.split(","))
            return {name.strip(): float(width) for name, width in pairs}
        except ValueError:
            self.fail(f"{text} is none of {self.name}", param, ctx)
