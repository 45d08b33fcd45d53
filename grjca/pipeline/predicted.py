"""Which clips' predictions are there already: a small record for each clip beside the tables."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from grjca.cache.keys import Recipe, SourceId
from grjca.cache.layout import HOUSE
from grjca.files import written_in_one_step
from grjca.pipeline.source import ClipSource

FORMAT = "grjca.predicted"
VERSION = 1


@dataclass(frozen=True)
class Predicted:
    """What a clip's predictions were made from, and what was written.

    Attributes:
        model: SHA-256 of the checkpoint.
        source: The source as it was.
        digests: The digest of each group of features that the predictions follow from.
        clips: The clip, or its people where each has a file.
        files: Size in bytes of each file that was written, by its path below the folder.
    """

    model: str
    source: SourceId
    digests: Mapping[str, str]
    clips: tuple[str, ...]
    files: Mapping[str, int]


@dataclass(frozen=True)
class Ledger:
    """The records of a folder of predictions, for one model and one way to extract.

    A prediction counts as done while the model, what the features follow from (the source's
    content, every stage's configuration and weights) and the sizes of the files are as recorded.

    Attributes:
        folder: The folder of the predictions.
        model: SHA-256 of the checkpoint.
        recipe: How features are made for it.
        endings: What is written for a clip: the ending of its table, and of its picture.
    """

    folder: Path
    model: str
    recipe: Recipe
    endings: tuple[str, ...]

    def files(self, clip: str) -> list[Path]:
        """What is written for a clip, or for one of its people."""
        return [self.folder / f"{clip}{ending}" for ending in self.endings]

    def done(self, clip: str, source: ClipSource) -> tuple[str, ...] | None:
        """The clip, or its people, if all their predictions are there; else None.

        A source of unchanged size and time of change is trusted; otherwise it is read.
        """
        known = self._read(clip)
        if known is None or known.model != self.model:
            return None
        wanted = [f"{name}{ending}" for name in known.clips for ending in self.endings]
        try:
            if any((self.folder / name).stat().st_size != known.files.get(name) for name in wanted):
                return None
            unchanged = known.source.looks_unchanged(*source.files())
            content = known.source if unchanged else SourceId.of(*source.files())
        except OSError:
            # A file is gone; what is wrong with a source the extraction finds and says.
            return None
        digests = source.recipe(self.recipe).group_digests(content.sha256)
        return known.clips if digests == known.digests else None

    def record(
        self, clip: str, clips: Sequence[str], source: SourceId, digests: Mapping[str, str]
    ) -> None:
        """Record that a clip's predictions have been written.

        Args:
            clip: The clip.
            clips: The same, or its people.
            source: The source that its features were made from.
            digests: Of its features' groups; those that no prediction follows from do not matter.

        Raises:
            GrjcaError: The record cannot be written.
        """
        used = self.recipe.groups("")
        own = {group: digest for group, digest in digests.items() if group in used}
        written = {file: file.stat().st_size for name in clips for file in self.files(name)}
        files = {file.relative_to(self.folder).as_posix(): size for file, size in written.items()}
        known = self._read(clip)
        if known and (known.model, known.digests) == (self.model, own):
            # Tables of other forms, that are as good as they were.
            files = {**known.files, **files}
        document = dataclasses.asdict(Predicted(self.model, source, own, tuple(clips), files))
        with written_in_one_step(self._path(clip)) as temporary:
            temporary.write_text(json.dumps({"format": FORMAT, "version": VERSION, **document}))

    def _path(self, clip: str) -> Path:
        name = hashlib.sha256(clip.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        return self.folder / HOUSE / "predicted" / f"{name}.json"

    def _read(self, clip: str) -> Predicted | None:
        try:
            read = json.loads(self._path(clip).read_text())
            if (read.pop("format"), read.pop("version")) != (FORMAT, VERSION):
                return None
            source, clips = SourceId(**read.pop("source")), tuple(read.pop("clips"))
            return Predicted(source=source, clips=clips, **read)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            # Torn or of another release: the clip is predicted again and recorded anew.
            return None


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
