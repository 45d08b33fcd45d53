"""The reports that runs have left in a store, read together and merged into one."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grjca.cache.layout import HOUSE, clip_path, person_clip
from grjca.errors import GrjcaError
from grjca.files import written_in_one_step
from grjca.pipeline.parts import LAST, Part, part_reports
from grjca.pipeline.report import SCHEMA

STATUSES = ("done", "skipped", "failed")

_MERGED = "parts"
_REPORTED = "reported"


@dataclass(frozen=True)
class Report:
    """One report as it was found.

    Attributes:
        part: Whose it is; None for that of a run over all clips.
        written: When, in seconds of the file system's clock.
        document: What it says, see ``pipeline.report``.
    """

    part: Part | None
    written: float
    document: Mapping[str, Any]

    @property
    def interrupted(self) -> bool:
        """Whether the run was stopped before its end."""
        return bool(self.document["interrupted"])

    @property
    def merged(self) -> bool:
        """Whether it was merged from those of parts."""
        return _MERGED in self.document


@dataclass(frozen=True)
class Told:
    """What a store's reports say, each clip by the latest report that names it.

    Attributes:
        clips: The outcome by clip, as the reports write it. A clip that failed but whose file is
            newer than that report is ``done``.
        of: How many parts the latest runs of parts divided the clips into; None where the latest
            run of all was not one of parts.
        unfinished: Those of them that have not ended: no report, or one of an interrupted run.
        interrupted: A part is unfinished, or the latest run was stopped before its end.
        reports: How many reports there are.
    """

    clips: Mapping[str, Mapping[str, Any]]
    of: int | None
    unfinished: tuple[int, ...]
    interrupted: bool
    reports: int


def read_reports(store: Path) -> list[Report]:
    """All reports of a store, the latest last.

    Raises:
        GrjcaError: A report is damaged, or of a newer schema.
    """
    paths: list[tuple[Part | None, Path]] = [(None, store / HOUSE / LAST), *part_reports(store)]
    found = (_read(part, path) for part, path in paths)
    return sorted((report for report in found if report), key=lambda report: report.written)


def told_by(reports: Sequence[Report], store: Path) -> Told:
    """What reports say together.

    Args:
        reports: The latest last.
        store: The store's folder.
    """
    latest: dict[str, tuple[float, Mapping[str, Any]]] = {}
    for report in reports:
        for clip in report.document["clips"]:
            # In a merged report each clip keeps the time at which it was first reported so.
            written = clip.get(_REPORTED, report.written)
            if written >= latest.get(clip["clip"], (written, clip))[0]:
                latest[clip["clip"]] = written, {**clip, _REPORTED: written}
    clips = {
        name: _done(clip) if _made_since(store, clip, written) else clip
        for name, (written, clip) in latest.items()
    }
    # What is merged says nothing new about the parts: their own reports may be newer.
    own = [report for report in reports if not report.merged]
    last = own[-1] if own else reports[-1] if reports else None
    if last is None or last.part is None:
        return Told(clips, None, (), last is not None and last.interrupted, len(reports))
    unfinished = _unfinished(reports, last.part.of)
    return Told(clips, last.part.of, unfinished, bool(unfinished), len(reports))


def merge_reports(store: Path) -> Told:
    """Write what all reports say together as the store's last report.

    Any number of runs may merge at the same time, while others write their reports: what was
    written while one merged is merged again, so that the last to finish has seen every report.

    Raises:
        GrjcaError: There is no report, one is damaged, or the store cannot be written.
    """
    while True:
        before = _listing(store)
        reports = read_reports(store)
        if not reports:
            raise GrjcaError("status", store, "no run has left a report here",
                             "Extract something into this store first.")  # fmt: skip
        told = told_by(reports, store)
        _write(store / HOUSE / LAST, reports, told)
        if _listing(store) == before:
            return told


def _read(part: Part | None, path: Path) -> Report | None:
    try:
        with path.open("rb") as stream:
            document, written = json.load(stream), os.fstat(stream.fileno()).st_mtime
        if document["schema"] != SCHEMA:
            raise GrjcaError("status", path, f"a report of schema {document['schema']}",
                             f"This program reads {SCHEMA}; update it.")  # fmt: skip
        _check(document)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise GrjcaError(
            "status",
            path,
            f"cannot read it: {error.strerror}",
            "Check the path and its permissions.",
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise GrjcaError("status", path, f"a damaged report ({type(error).__name__}: {error})",
                         "Delete it; the next run writes another.") from error  # fmt: skip
    return Report(part, written, document)


def _check(document: Mapping[str, Any]) -> None:
    named = all(
        isinstance(clip["clip"], str) and clip["status"] in STATUSES for clip in document["clips"]
    )
    if not named or not isinstance(document["interrupted"], bool):
        raise ValueError("clips without a name or a status")


def _made_since(store: Path, clip: Mapping[str, Any], written: float) -> bool:
    if clip["status"] != "failed":
        return False
    for name in (clip["clip"], person_clip(clip["clip"], 1)):
        try:
            if clip_path(store, name).stat().st_mtime > written:
                return True
        except (OSError, GrjcaError):
            # Nothing there, or a name that no file could have.
            continue
    return False


def _done(clip: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**clip, "status": "done", "error": None}


def _unfinished(reports: Sequence[Report], of: int) -> tuple[int, ...]:
    ended = {
        report.part.number
        for report in reports
        if report.part and report.part.of == of and not report.interrupted
    }
    return tuple(number for number in range(1, of + 1) if number not in ended)


def _listing(store: Path) -> list[tuple[str, int, int]]:
    def seen() -> Iterator[tuple[str, int, int]]:
        for _, path in part_reports(store):
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                yield path.name, stat.st_size, stat.st_mtime_ns

    return list(seen())


def _write(path: Path, reports: Sequence[Report], told: Told) -> None:
    parts = [report for report in reports if report.part]
    head = {
        **{k: v for k, v in reports[-1].document.items() if k not in ("clips", _MERGED)},
        "interrupted": told.interrupted,
        "counts": {s: sum(c["status"] == s for c in told.clips.values()) for s in STATUSES},
    }
    if parts:
        for name in ("seconds", "frames"):
            head[name] = round(sum(report.document.get(name, 0) for report in parts), 3)
    head[_MERGED] = {"of": told.of, "unfinished": list(told.unfinished)}
    # A line per clip: of 100,000 clips the file stays small enough to be looked at.
    clips = ",\n".join(json.dumps(told.clips[name]) for name in sorted(told.clips))
    with written_in_one_step(path) as temporary:
        text = json.dumps(head, indent=2).removesuffix("\n}")
        temporary.write_text(f'{text},\n  "clips": [\n{clips}\n]\n}}\n', encoding="utf-8")
