"""A store's features out to other programs: npz, csv, parquet, or computational sequences."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from grjca.cache.layout import ABOUT, SUFFIX, clip_path
from grjca.cache.store import FeatureStore
from grjca.errors import GrjcaError, UsageError
from grjca.exchange.csd import root_name, write_csd
from grjca.exchange.formats import WRITERS, ExportClip
from grjca.exchange.manifest import KINDS, Kind
from grjca.files import written_in_one_step

FORMATS = (*WRITERS, "csd")

MANIFEST = "manifest.csv"
"""File beside exported clips by which ``grjca import`` reads them."""

_SHOWN = 5
# How import finds a modality's numbers, mask and the times in a file of each format.
_REFERENCES = {
    "npz": ("{file}:{kind}", "{file}:{kind}_valid", "{file}:time"),
    "csv": ("{file}:{kind}_[0-9]*", "{file}:{kind}_valid", "{file}:time"),
}


@dataclass
class ExportReport:
    """What became of the clips.

    Attributes:
        files: What was written.
        clips: Clips that are in it.
        empty: Clips without a valid row, which computational sequences leave out.
        failed: What is wrong with the other clips.
    """

    files: list[Path] = field(default_factory=list)
    clips: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    failed: list[GrjcaError] = field(default_factory=list)

    def summary(self) -> str:
        """One line for a person."""
        line = f"{len(self.clips)} clips in {len(self.files)} files, {len(self.failed)} failed"
        if self.empty:
            line += f"; without a valid row and left out: {_listed(self.empty)}"
        return line


def export_features(
    store: str | Path,
    out: str | Path,
    form: str = "npz",
    *,
    clips: Sequence[str] | None = None,
    visual: str | None = None,
    audio: str | None = None,
    modalities: Collection[Kind] = KINDS,
    overwrite: bool = False,
    progress: bool = False,
) -> ExportReport:
    """Write features of a store as files of another format.

    Args:
        store: The feature store's folder.
        out: Folder to fill, outside the store: a file per clip at its own relative path, or for
            ``csd`` a file per embedder.
        form: ``npz``, ``csv``, ``parquet`` or ``csd``.
        clips: Identities of the clips; None for all.
        visual: The visual embedder; None for the only one, and for ``csd`` for each.
        audio: The audio embedder; the same.
        modalities: What is written of the two.
        overwrite: Replace files that are there.
        progress: Draw a progress bar on standard error.

    Returns:
        What was written. Clips that cannot be read are in ``failed``; they raise nothing.

    Raises:
        UsageError: An unknown format, clip or embedder, a choice between several embedders, files
            that are there already, or a missing package.
        GrjcaError: No such store, or the folder cannot be written.
    """
    if form not in FORMATS:
        raise UsageError("export", form, "no such format", f"Known: {', '.join(FORMATS)}.")
    source, folder, report = FeatureStore(store), Path(out), ExportReport()
    if folder.resolve().is_relative_to(source.root.resolve()):
        raise UsageError("export", out, "lies inside the store", "Choose another --out.")
    have = _embedders(source, _chosen_clips(source, clips), report)
    wanted = dict(zip(KINDS, (visual, audio), strict=True))
    names = {
        kind: _names(kind, have.values(), wanted[kind], several=form == "csd")
        for kind in KINDS
        if kind in modalities
    }
    if not any(names.values()):
        raise UsageError("export", store, "no such features in these clips",
                         "Look at them with: grjca inspect.")  # fmt: skip
    if form == "csd":
        _export_sequences(source, have, names, folder, overwrite, progress, report)
    else:
        chosen: dict[Kind, str] = {kind: found[0] for kind, found in names.items() if found}
        _export_clips(source, have, chosen, folder, form, overwrite, progress, report)
    return report


def _chosen_clips(source: FeatureStore, clips: Sequence[str] | None) -> list[str]:
    known = source.clips()
    if clips is None:
        return known
    missing = [clip for clip in clips if clip not in set(known)]
    if missing or not clips:
        raise UsageError("export", source.root, f"no such clips: {_listed(missing)}",
                         "List them with: grjca inspect.")  # fmt: skip
    return list(dict.fromkeys(clips))


def _embedders(
    source: FeatureStore, clips: Sequence[str], report: ExportReport
) -> dict[str, dict[str, list[str]]]:
    have = {}
    for clip in clips:
        try:
            have[clip] = source.embedders(clip)
        except GrjcaError as error:
            report.failed.append(error)
    return have


def _names(
    kind: Kind, have: Iterable[Mapping[str, Sequence[str]]], wanted: str | None, *, several: bool
) -> list[str]:
    """The embedders of a modality that are written."""
    known = sorted({name for clip in have for name in clip[kind]})
    if wanted is not None and wanted not in known:
        raise UsageError("export", f"--{kind}", f"no {kind} features called {wanted}",
                         f"There are: {', '.join(known) or 'none'}.")  # fmt: skip
    if wanted is None and len(known) > 1 and not several:
        raise UsageError("export", f"--{kind}", f"there are several: {', '.join(known)}",
                         "Name one of them.")  # fmt: skip
    return known if wanted is None else [wanted]


def _export_clips(
    source: FeatureStore,
    have: Mapping[str, Mapping[str, Sequence[str]]],
    names: Mapping[Kind, str],
    folder: Path,
    form: str,
    overwrite: bool,
    progress: bool,
    report: ExportReport,
) -> None:
    tasks: list[tuple[ExportClip, Path]] = []
    for clip in have:
        chosen = {kind: name for kind, name in names.items() if name in have[clip][kind]}
        if not chosen:
            report.failed.append(GrjcaError("export", clip, "has none of these features",
                                            "Leave it out with --clips."))  # fmt: skip
            continue
        path = clip_path(folder, clip)
        file = path.with_name(f"{path.name.removesuffix(SUFFIX)}.{form}")
        tasks.append((ExportClip(source, clip, chosen), file))
    table = [folder / MANIFEST] if form in _REFERENCES else []
    _check_free([*(path for _, path in tasks), *table], overwrite)
    done: list[tuple[ExportClip, Path]] = []
    for task, path in tqdm(tasks, "export", unit="clip", disable=not progress):
        try:
            WRITERS[form](task, path)
        except UsageError:
            raise
        except GrjcaError as error:
            report.failed.append(error)
            continue
        done.append((task, path))
    report.files += [path for _, path in done]
    report.clips += [task.clip for task, _ in done]
    if table and done:
        _write_manifest(table[0], done, names, form)
        report.files += table


def _export_sequences(
    source: FeatureStore,
    have: Mapping[str, Mapping[str, Sequence[str]]],
    names: Mapping[Kind, Sequence[str]],
    folder: Path,
    overwrite: bool,
    progress: bool,
    report: ExportReport,
) -> None:
    tasks = [(kind, name) for kind, found in names.items() for name in found]
    paths = [folder / f"{root_name(kind, name)}.csd" for kind, name in tasks]
    _check_free(paths, overwrite)
    failed: dict[str, GrjcaError] = {}
    written: set[str] = set()
    empty: set[str] = set()
    for (kind, name), path in zip(
        tqdm(tasks, "export", unit="embedder", disable=not progress), paths, strict=True
    ):
        clips = [
            ExportClip(source, clip, {kind: name}) for clip in have if name in have[clip][kind]
        ]
        try:
            without = write_csd(kind, clips, path, failed.setdefault)
        except GrjcaError as error:
            report.failed.append(error)
            continue
        empty.update(without)
        written.update({clip.clip for clip in clips} - {*without, *failed})
        report.files.append(path)
    report.clips += sorted(written)
    report.empty += sorted(empty - written)
    report.failed += failed.values()


def _check_free(paths: Sequence[Path], overwrite: bool) -> None:
    there = [str(path) for path in paths if path.exists()]
    if there and not overwrite:
        raise UsageError("export", there[0], f"{len(there)} of the files are there already",
                         "Use --overwrite or choose another --out.")  # fmt: skip


def _write_manifest(
    path: Path, done: Sequence[tuple[ExportClip, Path]], names: Mapping[Kind, str], form: str
) -> None:
    """Write the table by which ``grjca import`` reads the exported files."""
    parts = ("", "_valid", "_name")
    header = ["clip", "time", *(f"{kind}{part}" for kind in names for part in parts), *ABOUT]
    features, valid, time = _REFERENCES[form]
    with (
        written_in_one_step(path) as temporary,
        # Names of files need not be text.
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as stream,
    ):
        writer = csv.DictWriter(stream, header, restval="", lineterminator="\n")
        writer.writeheader()
        for task, written in done:
            file = written.relative_to(path.parent).as_posix()
            row = {"clip": task.clip, "time": time.format(file=file)}
            row |= task.store.about(task.clip)
            for kind, name in task.names.items():
                row[kind] = features.format(file=file, kind=kind)
                row[f"{kind}_valid"] = valid.format(file=file, kind=kind)
                row[f"{kind}_name"] = name
            writer.writerow(row)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
