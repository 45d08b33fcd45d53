"""Writing the pages of clips and, over many, the index."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from grjca.errors import GrjcaError
from grjca.files import written_in_one_step
from grjca.report.html import ClipRow, clip_html, index_html
from grjca.report.html.index_page import row_of
from grjca.reporting.clips import ClipReports
from grjca.reporting.media import link

logger = logging.getLogger(__name__)

_LONGEST_NAME = 240


def clip_pages(
    reports: ClipReports, tables: Mapping[str, Path], out: Path, title: str, *, progress: bool
) -> dict[str, Path]:
    """Write a page for each clip, and over more than one clip the index.

    Args:
        reports: Makes the pages' content; failures and notes are kept there.
        tables: The predictions by clip.
        out: The page of the only clip, or the index.
        title: What the clips are together.
        progress: Draw a progress bar on standard error.

    Returns:
        The page of each clip that could be shown.

    Raises:
        GrjcaError: A page cannot be written, or none of the clips can be shown.
    """
    single = len(tables) == 1
    folder = out.with_name(f"{out.stem}_files")
    written: dict[str, Path] = {}
    rows: list[ClipRow] = []
    for clip, table in tqdm(tables.items(), "report", unit="clip", disable=not progress):
        began = time.perf_counter()
        page_file = out if single else _page_path(folder, clip)
        try:
            page = reports.page(clip, table, page_file.parent)
        except GrjcaError as error:
            reports.failed.append(error)
            continue
        write_text(page_file, clip_html(page, None if single else link(out, page_file.parent)))
        written[clip] = page_file
        logger.info("%s: page written in %.2f s", clip, time.perf_counter() - began)
        rows.append(row_of(page, link(page_file, out.parent)))
    if not written:
        first, *others = reports.failed
        more = f" (and {len(others)} more)" if others else ""
        raise GrjcaError(first.stage, first.source, first.cause + more, first.remedy)
    if not single:
        write_text(out, index_html(rows, title=title, overall=reports.overall(),
                                   failed=[str(error) for error in reports.failed],
                                   notes=reports.notes))  # fmt: skip
    return written


def write_text(path: Path, text: str) -> None:
    """Write a page, whole or not at all.

    Raises:
        GrjcaError: It cannot be written.
    """
    with written_in_one_step(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _page_path(folder: Path, clip: str) -> Path:
    """A clip's page at its own relative path; a name too long is told apart by a digest."""
    relative = PurePosixPath(clip)
    name = relative.name
    raw = os.fsencode(name)
    if len(raw) > _LONGEST_NAME:
        head = raw[: _LONGEST_NAME - 40].decode("utf-8", "ignore")
        name = f"{head}~{hashlib.sha256(raw).hexdigest()[:16]}"
    return folder.joinpath(*relative.parts[:-1], f"{name}.html")
