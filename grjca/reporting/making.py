"""A report of whatever a path holds: predictions of clips, or a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from grjca.errors import GrjcaError, UsageError
from grjca.fusion.run_files import METRICS
from grjca.labels.rows import Align
from grjca.report.html import run_html
from grjca.reporting.clips import ClipReports
from grjca.reporting.labels import LabelFinder
from grjca.reporting.media import MediaFinder, Played
from grjca.reporting.pages import clip_pages, write_text
from grjca.reporting.run import read_run
from grjca.reporting.tables import find_tables

if TYPE_CHECKING:
    from grjca.cache.store import FeatureStore

NAME = "report.html"
"""What a report is called where nothing else is said."""


@dataclass(frozen=True)
class MakeResult:
    """What a report became.

    Attributes:
        out: The page to open.
        pages: The page of each clip; ``out`` itself where there is one clip only.
        failed: What could not be shown.
        notes: What was left out, and what may surprise.
    """

    out: Path
    pages: Mapping[str, Path] = field(default_factory=dict)
    failed: tuple[GrjcaError, ...] = ()
    notes: tuple[str, ...] = ()


def make_report(
    source: str | Path,
    out: str | Path | None = None,
    *,
    videos: str | Path | Mapping[str, Played] | None = None,
    labels: str | Path | None = None,
    store: str | Path | None = None,
    evaluation: str | Path | None = None,
    embed: bool = False,
    faces: bool = True,
    align: Align = "error",
    label_delay: float = 0.0,
    progress: bool = False,
) -> MakeResult:
    """Make a report that a browser opens from the disk.

    Of a folder of predictions: one page where it holds one clip, else a table of clips with a page
    for each in the folder ``<out>_files`` beside it, at the clip's own relative path. Of a RUN
    folder: its curves, what ``grjca evaluate`` found, and its settings.

    Args:
        source: The folder that ``grjca predict`` filled or one table in it, or a RUN folder.
        out: The page; None for ``report.html`` in the folder.
        videos: The folder in which the clips' videos lie at the clips' own paths, or what is
            played by clip; None for no videos.
        labels: Annotations in one of the forms that ``grjca.labels.readers`` knows.
        store: The feature store of the clips, from which the faces come.
        evaluation: Of a RUN: what ``grjca evaluate --json`` wrote; None for those in the folder.
        embed: Put the videos into the pages; otherwise pages link to them by relative paths.
        faces: Show the face along the time axis.
        align: What to do about labels that do not match the frames.
        label_delay: Seconds by which the annotations lag behind the clip, as in training.
        progress: Draw a progress bar on standard error.

    Raises:
        UsageError: Nothing to report on, or options that do not go together.
        GrjcaError: A RUN, labels or an evaluation that cannot be read; a page that cannot be
            written. Clips that cannot be shown are in ``failed`` instead.
    """
    given = Path(source)
    page = Path(out) if out is not None else (given if given.is_dir() else given.parent) / NAME
    if page.is_dir():
        raise UsageError("report", page, "a folder, not a file", f"Say --out {page / NAME}.")
    if (given / METRICS).is_file():
        about_clips = {"--videos": videos, "--labels": labels, "--store": store, "--embed": embed}
        if any(about_clips.values()):
            names = ", ".join(name for name, value in about_clips.items() if value)
            raise UsageError("report", given, f"{names} with the report of a training",
                             "They are for reports of predictions.")  # fmt: skip
        run = read_run(given, Path(evaluation) if evaluation is not None else None)
        write_text(page, run_html(run))
        return MakeResult(page)
    if evaluation is not None:
        raise UsageError("report", given, "an evaluation with the report of predictions",
                         "It is for the report of a RUN folder.")  # fmt: skip
    return report_clips(
        find_tables(given), page, videos=videos, labels=labels, store=store, embed=embed,
        faces=faces, align=align, label_delay=label_delay, title=given.resolve().name,
        progress=progress,
    )  # fmt: skip


def report_clips(
    tables: Mapping[str, Path],
    page: Path,
    *,
    title: str,
    videos: str | Path | Mapping[str, Played] | None = None,
    labels: str | Path | None = None,
    store: str | Path | None = None,
    embed: bool = False,
    faces: bool = True,
    align: Align = "error",
    label_delay: float = 0.0,
    progress: bool = False,
) -> MakeResult:
    """Make the pages of clips whose tables are known; else as :func:`make_report`.

    Args:
        tables: The predictions by clip, at least one.
        page: The page of the only clip, or the index.
        title: What the clips are together.
        videos: As for ``make_report``, as are the others.
        labels: Annotations.
        store: The feature store.
        embed: Put the videos into the pages.
        faces: Show the face along the time axis.
        align: What to do about labels that do not match the frames.
        label_delay: Seconds by which the annotations lag behind the clip.
        progress: Draw a progress bar on standard error.

    Raises:
        GrjcaError: Labels that cannot be read, a page that cannot be written, or none of the
            clips can be shown.
    """
    features = _store(store) if store is not None else None
    reports = ClipReports(
        page.parent,
        MediaFinder(videos, embed=embed),
        LabelFinder(Path(labels), tables, align, label_delay) if labels is not None else None,
        features,
        faces=faces,
    )
    if faces and store is None:
        reports.note("no faces: they come from the feature store; name it with --store")
    if videos is None:
        reports.note("no videos: name their folder with --videos")
    written = clip_pages(reports, tables, page, title, progress=progress)
    return MakeResult(page, written, tuple(reports.failed), tuple(reports.notes))


def _store(path: str | Path) -> FeatureStore:
    from grjca.cache.store import FeatureStore

    return FeatureStore(path)
