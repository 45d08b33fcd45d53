"""The whole way: decode, draw, encode; a frame at a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from grjca.errors import GrjcaError, UsageError
from grjca.files import written_in_one_step
from grjca.fusion.tables import read_table
from grjca.overlay.encoder import OverlayEncoder, check_ending
from grjca.overlay.matching import RowsOfFrames
from grjca.overlay.rows import Drawn, from_table, with_faces, with_labels
from grjca.overlay.tables import find_table
from grjca.report.overlay import Overlay
from grjca.stages.probe import probe
from grjca.stages.types import MediaInfo
from grjca.stages.video import VideoDecoder, frame_times

_BATCH = 8
_OTHER = "Give the predictions of this very file; the --store too if rows were made with --fps."


@dataclass(frozen=True)
class OverlayResult:
    """What was written.

    Attributes:
        out: The video.
        frames: Its frames.
        table: The table of predictions that was drawn.
        notes: What a viewer should know.
    """

    out: Path
    frames: int
    table: Path
    notes: tuple[str, ...]


def overlay(
    video: str | Path,
    predictions: str | Path,
    out: str | Path,
    *,
    store: str | Path | None = None,
    labels: str | Path | None = None,
    overwrite: bool = False,
    begin: Callable[[int], None] | None = None,
    progress: Callable[[int], object] | None = None,
) -> OverlayResult:
    """Draw predictions into the video they were made from, frame by frame, and keep its sound.

    The new video has as many frames as decode, at the times they had; the display rotation is
    applied, and a picture of odd size grows by one pixel. The sound is copied as it is. Titles,
    places of recording, subtitles and further streams are left out.

    Args:
        video: The file.
        predictions: A table that ``grjca predict`` wrote, or the folder it wrote it to.
        out: The video to write: ``.mp4``, ``.mov`` or ``.mkv``; whole, or not at all.
        store: The store that the predictions were made from: it tells box and landmarks, and
            which frame a row shows where rows were made with ``--fps``.
        labels: Annotations to draw beside the predictions.
        overwrite: Replace what is there under ``out``.
        begin: Called once, with the number of rows, before the first frame.
        progress: Called with a number of frames whenever that many are done.

    Raises:
        UsageError: ``out`` exists or is the video itself, another ending, or no table.
        GrjcaError: The video cannot be decoded, predictions are those of another clip, or the
            video cannot be written; the message has the cause in the failing tool's words.
    """
    video, predictions, out = Path(video), Path(predictions), Path(out)
    _check_out(out, video, overwrite)
    info = probe(video)
    if info.video is None:
        cause = "the file holds no picture stream"
        raise GrjcaError("overlay", video, cause, "There is nothing to draw into.")
    table = read_table(find_table(predictions, video))
    drawn, clip, notes = from_table(table), video.name, []
    if store is not None:
        drawn, clip = with_faces(drawn, table, Path(store))
        if drawn.rows.box is None:
            notes.append("the store knows no faces, so none are marked")
        if drawn.length != video.stat().st_size:
            notes.append(f"the store's {clip} was extracted from a file of another size")
    else:
        notes.append("no --store was given, so faces are not marked")
        if table.path.stem.partition("@")[0] != video.name and table.path.stem != video.name:
            notes.append(f"the table is called {table.path.name}, the video {video.name}")
    if labels is not None:
        drawn = with_labels(drawn, Path(labels), clip)
    if begin is not None:
        begin(len(table))
    with written_in_one_step(out) as temporary:
        frames = _Work(video, info, table.path, drawn).write(temporary, out, progress)
    return OverlayResult(out, frames, table.path, tuple(notes))


class _Work:
    """One video on its way through."""

    def __init__(self, video: Path, info: MediaInfo, table: Path, drawn: Drawn) -> None:
        self._video, self._info, self._table, self._drawn = video, info, table, drawn

    def write(
        self, target: Path, out: Path, progress: Callable[[int], object] | None
    ) -> int:  # fmt: skip
        finder = RowsOfFrames(self._drawn.rows.time, self._drawn.index)
        drawer: Overlay | None = None
        encoder: OverlayEncoder | None = None
        with ExitStack() as stack:
            decoder = stack.enter_context(VideoDecoder(self._video, self._info, batch=_BATCH))
            for batch in decoder:
                for picture, time in zip(batch.frames, batch.time.tolist(), strict=True):
                    if drawer is None or encoder is None:
                        size = picture.shape[1], picture.shape[0]
                        self._check_size(size)
                        drawer = Overlay(self._drawn.rows, size)
                        encoder = stack.enter_context(
                            OverlayEncoder(target, out, self._video, self._info, size, time)
                        )
                    try:
                        row = finder.next(time)
                    except ValueError as error:
                        raise self._mismatch(str(error)) from error
                    encoder.write(drawer.draw(picture, row), time)
                if progress is not None:
                    progress(len(batch))
            try:
                finder.finish()
            except ValueError as error:
                raise self._mismatch(str(error)) from error
            if encoder is None:
                raise GrjcaError(
                    "overlay",
                    self._video,
                    "no frame decodes",
                    "There is nothing to draw into; give another file.",
                )
            encoder.finish()
            return encoder.frames

    def _check_size(self, size: tuple[int, int]) -> None:
        known = self._drawn.size
        if known is not None and known != size:
            cause = "the store's clip has pictures of {}x{}, this file of {}x{}"
            remedy = "Give the file that the features were extracted from."
            raise GrjcaError("overlay", self._video, cause.format(*known, *size), remedy)

    def _mismatch(self, why: str) -> GrjcaError:
        frames = len(frame_times(self._video, self._info))
        cause = f"{len(self._drawn.rows)} rows of predictions for {frames} frames of {self._video}"
        return GrjcaError("overlay", self._table, f"{cause}: {why}", _OTHER)


def _check_out(out: Path, video: Path, overwrite: bool) -> None:
    check_ending(out)
    if out.exists() and video.exists() and os.path.samefile(out, video):
        raise UsageError("overlay", out, "this is the video itself", "Choose another --out.")
    if out.is_dir():
        raise UsageError("overlay", out, "this is a folder", "Name a file, such as out.mp4.")
    if out.exists() and not overwrite:
        raise UsageError("overlay", out, "the file exists", "Choose another or give --overwrite.")
