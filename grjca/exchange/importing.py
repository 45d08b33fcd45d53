"""Features made elsewhere, written into a store as if they had been extracted here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from grjca.cache.keys import IMPORTED
from grjca.cache.shards import refuse_packed
from grjca.errors import GrjcaError
from grjca.exchange.alignment import Align
from grjca.exchange.lines import ImportOptions, LineImport
from grjca.exchange.manifest import KINDS, ImportLine, read_manifest
from grjca.exchange.sides import ReadSide


@dataclass
class ImportReport:
    """What became of every line of a manifest.

    Attributes:
        imported: Clips of which something was written.
        skipped: Clips of which the store held all.
        failed: What is wrong with the other lines.
        warnings: What to look at in those that were imported.
    """

    imported: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[GrjcaError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """One line for a person."""
        return (
            f"{len(self.imported)} imported, {len(self.skipped)} already there, "
            f"{len(self.failed)} failed"
        )


def import_features(
    manifest: str | Path,
    store: str | Path,
    *,
    visual_name: str = IMPORTED,
    audio_name: str = IMPORTED,
    align: Align | None = None,
    zeros_are_missing: bool = False,
    overwrite: bool = False,
    progress: bool = False,
) -> ImportReport:
    """Import the features that a manifest lists; what the store already holds is skipped.

    The features of one clip are held in memory.

    Args:
        manifest: A CSV file; see ``docs/store.md`` for its columns.
        store: The store's folder; made if it is not there.
        visual_name: Name in the store for visual features whose line gives none.
        audio_name: The same for audio.
        align: ``nearest`` or ``linear``: how features are brought to other rows.
        zeros_are_missing: A row of nothing but zeros is not valid.
        overwrite: Replace features of the same name that the store holds.
        progress: Draw a progress bar on standard error.

    Returns:
        What became of every line. Lines that failed are in ``failed``; they raise nothing.

    Raises:
        UsageError: The manifest cannot be read, its header makes no sense, or the store is packed.
        GrjcaError: The store cannot be made.
    """
    root, names = Path(store), dict(zip(KINDS, (visual_name, audio_name), strict=True))
    options = ImportOptions(align, zeros_are_missing, overwrite)
    lines = list(read_manifest(Path(manifest), names))
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GrjcaError("store", store, str(error), "Choose another --store.") from error
    refuse_packed(root, "import")
    report, seen, zeros = ImportReport(), set[tuple[str, str]](), _Zeros()
    for line in tqdm(lines, "import", unit="clip", disable=not progress):
        if isinstance(line, GrjcaError):
            report.failed.append(line)
            continue
        try:
            _check_first(line, seen)
            written = LineImport(line, root, options).run()
        except GrjcaError as error:
            report.failed.append(error)
            continue
        if written is None:
            report.skipped.append(line.clip)
            continue
        report.imported.append(line.clip)
        report.warnings += written.warnings
        for side in written.sides:
            zeros.add(side)
    if not zeros_are_missing:
        report.warnings += zeros.warnings()
    return report


@dataclass
class _Zeros:
    """How many rows hold nothing but zeros, by group."""

    counts: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, side: ReadSide) -> None:
        # A single number may well be zero.
        if side.values.shape[1] > 1:
            zeros, rows = self.counts.get(side.side.group, (0, 0))
            self.counts[side.side.group] = zeros + side.zeros, rows + len(side)

    def warnings(self) -> list[str]:
        return [
            f"{group}: {zeros / rows:.1%} of the rows hold nothing but zeros; if that is how a "
            "missing row was written, import with --zeros-are-missing"
            for group, (zeros, rows) in self.counts.items()
            if zeros
        ]


def _check_first(line: ImportLine, seen: set[tuple[str, str]]) -> None:
    """Refuse a second line for the same features of a clip."""
    for side in line.sides:
        if (line.clip, side.group) in seen:
            raise GrjcaError(
                "manifest", line.where, f"a second line for {side.group} of {line.clip}",
                f"Give it another {side.kind}_name.",
            )  # fmt: skip
        seen.add((line.clip, side.group))
