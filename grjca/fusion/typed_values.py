"""Values from a file or a caller, held against the kinds that a dataclass declares."""

from __future__ import annotations

import types
import typing
from typing import Any


def typed(value: Any, hint: Any) -> Any:
    """The value, if it is of the declared kind.

    A list is taken for a tuple, and text for a number where it is one: YAML 1.1 takes ``1e-3``
    for text. True and false are no numbers.

    Args:
        value: A plain value.
        hint: ``int``, ``float``, ``bool``, ``str``, ``None``, a ``Literal``, ``tuple[X, ...]``, or
            a union of these.

    Raises:
        ValueError: It is of another kind; the message says which is wanted, to follow a name.
    """
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        for option in options:
            try:
                return typed(value, option)
            except ValueError:
                continue
    elif origin is typing.Literal:
        if value in options:
            return value
    elif origin is tuple:
        if isinstance(value, list | tuple):
            return tuple(typed(item, options[0]) for item in value)
    elif hint is float:
        number = _number(value) if isinstance(value, str) else value
        if isinstance(number, int | float) and not isinstance(number, bool):
            return number
    elif isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    raise ValueError(f"must be {words(hint)}, got {value!r}")


def words(hint: Any) -> str:
    """What values a kind takes, in words."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(words(option) for option in options)
    if origin is typing.Literal:
        return " or ".join(map(str, options))
    if origin is tuple:
        return f"a list (each {words(options[0])})"
    names = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}
    return names.get(hint, "null")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
