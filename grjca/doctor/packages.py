"""Which packages are installed, told from their metadata: nothing is imported."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata

import grjca
from grjca.doctor.findings import Finding

SECTION = "software"

_DEVELOPMENT = "dev"
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?:\[[^]]*\])?(?P<wanted>[^;]*)(?:;(?P<marker>.*))?")
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")
_CLAUSE = re.compile(r"(>=|==|<)\s*([\d.]+)")


def packages() -> Iterator[Finding]:
    """Versions of Python, of this package and of all that it asks for, extras by their names."""
    yield Finding(SECTION, "grjca", "ok", grjca.__version__)
    yield Finding(SECTION, "python", "ok", f"{platform.python_version()}, {sys.executable}")
    try:
        asked_for = metadata.requires("grjca") or []
    except metadata.PackageNotFoundError:
        yield Finding(
            SECTION, "dependencies", "missing", "grjca runs from its sources, without metadata",
            "To have them checked: pip install -e .",
        )  # fmt: skip
        return
    for requirement in asked_for:
        found = _REQUIREMENT.fullmatch(requirement.strip())
        extra = _EXTRA.search(found["marker"] or "") if found else None
        if found and not (extra and extra[1] == _DEVELOPMENT):
            yield _installed(found["name"], found["wanted"].strip(), extra[1] if extra else None)


def _installed(name: str, wanted: str, extra: str | None) -> Finding:
    label = f"{name} [{extra}]" if extra else name
    remedy = f"pip install 'grjca[{extra}]'" if extra else f"pip install '{name}{wanted}'"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(SECTION, label, "missing", "not installed", remedy, needed=not extra)
    if not _fits(version, wanted):
        return Finding(SECTION, label, "problem", f"{version}; wanted is {wanted}", remedy)
    return Finding(SECTION, label, "ok", version)


def _fits(version: str, wanted: str) -> bool:
    """Whether a version lies where simple clauses want it; others are taken to be met."""
    have = _numbers(version)
    for sign, text in _CLAUSE.findall(wanted):
        limit = _numbers(text)
        met = {">=": have >= limit, "==": have == limit, "<": have < limit}[sign]
        if not met:
            return False
    return True


def _numbers(version: str) -> tuple[int, ...]:
    numbers = []
    for part in version.split("."):
        digits = re.match(r"\d+", part)
        if not digits:
            break
        numbers.append(int(digits[0]))
        if digits[0] != part:
            break
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
