"""The settings of a training as YAML: read with line numbers, completed, written out."""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from grjca.errors import UsageError
from grjca.fusion.config import FusionConfig
from grjca.fusion.data_config import DataConfig
from grjca.fusion.train_config import TrainConfig
from grjca.fusion.typed_values import typed

FOUND = "run"
"""The section that a run adds to its settings: what it found. Not read back."""

DECIDED = ("visual_dim", "audio_dim", "window")
"""Fields of ``FusionConfig`` that the features and ``train.window`` decide."""

_SECTIONS: dict[str, dict[str, Any]] = {
    "model": {
        name: hint
        for name, hint in typing.get_type_hints(FusionConfig).items()
        if name not in DECIDED
    }
    | {"outputs": tuple[str, ...] | None},
    "train": typing.get_type_hints(TrainConfig),
    "data": typing.get_type_hints(DataConfig),
}

Made = typing.TypeVar("Made", FusionConfig, TrainConfig, DataConfig)


@dataclass(frozen=True)
class Given:
    """Values that someone gave, by section, with where each came from.

    Attributes:
        model: For ``FusionConfig``.
        train: For ``TrainConfig``.
        data: For ``DataConfig``.
        places: Where a value stands, for messages, by section and name; other values were given
            on a command line or by a caller.
    """

    model: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    places: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def section(self, name: str) -> Mapping[str, Any]:
        """One of the three by its name."""
        return {"model": self.model, "train": self.train, "data": self.data}[name]

    def over(self, base: Given) -> Given:
        """These values, and those of ``base`` where there are none.

        A fold and a share of validation clips exclude each other: what is given here counts.
        """
        data = {**base.data, **self.data}
        if self.data.get("folds") is not None:
            data["val"] = self.data.get("val")
        elif self.data.get("val") is not None:
            data["folds"] = data["fold"] = None
        kept = {
            (section, name): place
            for (section, name), place in base.places.items()
            if name not in self.section(section)
        }
        return Given(
            {**base.model, **self.model},
            {**base.train, **self.train},
            data,
            {**kept, **self.places},
        )


@dataclass(frozen=True)
class Settings:
    """All that decides a training but the features, the labels and the machine.

    Attributes:
        model: Values for all fields of ``FusionConfig`` but ``DECIDED``; ``outputs`` is None for
            whatever is labelled.
        train: How to train.
        data: What to train on.
    """

    model: Mapping[str, Any]
    train: TrainConfig
    data: DataConfig

    def document(self) -> dict[str, Any]:
        """The three sections as plain values, complete; ``read_settings`` takes them back."""
        sections = {
            "model": dict(self.model),
            "train": dataclasses.asdict(self.train),
            "data": dataclasses.asdict(self.data),
        }
        return {
            section: {n: list(v) if isinstance(v, tuple) else v for n, v in values.items()}
            for section, values in sections.items()
        }


def read_settings(path: Path) -> Given:
    """Read a file of settings with the sections ``model``, ``train`` and ``data``.

    A section ``run``, which a run writes into its ``config.yaml``, is left out.

    Raises:
        UsageError: The file cannot be read, is not YAML of that form, names something twice, or
            names a section or a setting that does not exist; with the line.
    """
    try:
        loader = yaml.SafeLoader(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(
            "config", path, f"cannot read it: {error}", "Give a YAML file of settings."
        ) from error
    values: dict[str, dict[str, Any]] = {section: {} for section in _SECTIONS}
    places: dict[tuple[str, str], str] = {}
    try:
        for section, body in _pairs(loader.get_single_node(), path, "the file"):
            if section.value == FOUND:
                continue
            if section.value not in _SECTIONS:
                raise _unknown(_place(path, section), section.value, "", [*_SECTIONS], "section")
            for key, node in _pairs(body, path, section.value):
                place, known = _place(path, key), [*_SECTIONS[section.value]]
                if key.value not in known:
                    raise _unknown(place, key.value, f"{section.value}.", known, "setting")
                value = loader.construct_object(node, deep=True)
                values[section.value][key.value] = value
                places[section.value, key.value] = place
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}, line {mark.line + 1}" if mark else str(path)
        cause = getattr(error, "problem", None) or str(error)
        raise UsageError(
            "config",
            where,
            f"not YAML: {cause}",
            "Correct it; 'grjca config show' prints an example.",
        ) from error
    return Given(values["model"], values["train"], values["data"], places)


def resolve(given: Given) -> Settings:
    """Complete what was given with the defaults, and check it.

    Raises:
        UsageError: A setting that does not exist, a value of another kind or out of its range;
            the message says where it was given.
    """
    # The dimensions are the features' business: any will do for the check.
    asked = {name: value for name, value in given.model.items() if value is not None}
    whole = _made(FusionConfig, "model", asked, given.places, visual_dim=1, audio_dim=1)
    model = {name: getattr(whole, name) for name in _SECTIONS["model"]}
    if asked.get("outputs") is None:
        model["outputs"] = None
    return Settings(
        model,
        _made(TrainConfig, "train", given.train, given.places),
        _made(DataConfig, "data", given.data, given.places),
    )


def check_given(given: Given) -> None:
    """Check each value by itself, before others that it may depend on are known.

    Raises:
        UsageError: A setting that does not exist or a value of another kind; the message says
            where it was given.
    """
    for section in _SECTIONS:
        _typed(section, given.section(section), given.places)


def to_yaml(document: Mapping[str, Any]) -> str:
    """A document as YAML, sections and settings in their own order."""
    return yaml.safe_dump(
        dict(document), sort_keys=False, allow_unicode=True, width=100, default_flow_style=None
    )


def _made(
    cls: type[Made],
    section: str,
    values: Mapping[str, Any],
    places: Mapping[tuple[str, str], str],
    **decided: int,
) -> Made:
    checked = _typed(section, values, places)
    try:
        return cls(**{**checked, **decided})
    except ValueError as error:
        # The messages of these classes begin with the field's name.
        name = str(error).split(" ", 1)[0]
        place = places.get((section, name), "settings")
        raise UsageError(
            "config",
            place,
            f"{section}.{error}",
            "Correct it; 'grjca config show' prints all settings.",
        ) from error


def _typed(
    section: str, values: Mapping[str, Any], places: Mapping[tuple[str, str], str]
) -> dict[str, Any]:
    known, checked = _SECTIONS[section], {}
    for name, value in values.items():
        place = places.get((section, name), "settings")
        if name not in known:
            raise _unknown(place, name, f"{section}.", [*known], "setting")
        try:
            checked[name] = typed(value, known[name])
        except ValueError as error:
            raise UsageError(
                "config",
                place,
                f"{section}.{name} {error}",
                "Correct it; 'grjca config show' prints all settings.",
            ) from error
    return checked


def _pairs(
    node: yaml.Node | None, path: Path, what: str
) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    if node is None or (isinstance(node, yaml.ScalarNode) and not node.value):
        return []
    if not isinstance(node, yaml.MappingNode):
        raise UsageError("config", _place(path, node), f"{what} must hold lines 'name: value'",
                         "'grjca config show' prints an example.")  # fmt: skip
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise UsageError(
                "config",
                _place(path, key),
                "a name that is not a word",
                "Correct it; 'grjca config show' prints all settings.",
            )
        if key.value in seen:
            raise UsageError("config", _place(path, key), f"{key.value} for the second time",
                             "Keep one of them.")  # fmt: skip
        seen.add(key.value)
    return list(node.value)


def _unknown(place: str, word: str, prefix: str, known: list[str], what: str) -> UsageError:
    near = difflib.get_close_matches(word, known, 1)
    remedy = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}."
    return UsageError("config", place, f"{prefix}{word}: no such {what}", remedy)


def _place(path: Path, node: yaml.Node) -> str:
    return f"{path}, line {node.start_mark.line + 1}"
