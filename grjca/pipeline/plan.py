"""Many clips: what the store still lacks of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path

from grjca.cache import FeatureStore
from grjca.cache.index import IndexEntry, StoreIndex
from grjca.cache.keys import Recipe, SourceId, stat_of
from grjca.cache.layout import clip_path, person_clip
from grjca.errors import GrjcaError
from grjca.pipeline.inputs import Inputs
from grjca.pipeline.outcome import ClipOutcome
from grjca.pipeline.source import ClipSource


@dataclass(frozen=True, slots=True)
class ClipTask:
    """One clip to extract.

    Attributes:
        clip: The clip's identity; where every person gets a file, what stands before the ``@``.
        source: What it is made from.
        run: What the run's clips are made by, shared by all of them.
        missing: Paths of the groups that the store lacks.
        overwrite: Make them even if another run has made them by now.
        size: Bytes of its source, as planned; 0 where that is not known.
    """

    clip: str
    source: ClipSource
    run: Recipe
    missing: frozenset[str]
    overwrite: bool = False
    size: int = 0

    @property
    def recipe(self) -> Recipe:
        """What it is made by: the run's recipe, with what is this clip's own added to it."""
        return self.source.recipe(self.run)

    @property
    def everyone(self) -> bool:
        """Whether every person of the clip gets a file."""
        return bool((self.source.faces or self.run.faces["choice"]) == "all")


@dataclass(frozen=True)
class Plan:
    """What to do: clips to extract (largest source first), and outcomes already known."""

    tasks: list[ClipTask]
    known: list[ClipOutcome] = field(default_factory=list)


def make_plan(inputs: Inputs, index: StoreIndex, recipe: Recipe, *, overwrite: bool) -> Plan:
    """Compare what is wanted with what the store holds.

    A source of unchanged size and time of change is trusted; otherwise its content is hashed.
    A clip whose source has another content than the one in the store is refused, not replaced,
    unless ``overwrite`` is given: it may be another clip of the same name.
    """
    plan = Plan([])
    # Most clips lack all groups or the same ones: one set of their names serves them all.
    sets: dict[frozenset[str], frozenset[str]] = {}
    for clip, source in inputs.clips.items():
        task = ClipTask(clip, source, recipe, frozenset(), overwrite)
        try:
            _check_name(clip, source.path)
            missing, entry, people = _missing(task, index)
        except GrjcaError as error:
            plan.known.append(ClipOutcome.failure(clip, error))
            continue
        if missing:
            shared = sets.setdefault(missing, missing)
            size = _size(source)
            plan.tasks.append(ClipTask(clip, source, recipe, shared, overwrite, size))
        else:
            rows = entry.rows if entry else 0
            plan.known.append(ClipOutcome(clip, "skipped", rows=rows, people=people))
    plan.tasks.sort(key=attrgetter("size"), reverse=True)
    return plan


def stored_clips(task: ClipTask, store: FeatureStore) -> list[str]:
    """Identities of the files that the task's clip should have in a store; empty if it has none.

    Where every person has a file, the first one says how many there are; others may be gone.

    Raises:
        GrjcaError: A file is damaged or of a newer schema.
    """
    if not task.everyone:
        return [task.clip] if clip_path(store.root, task.clip).is_file() else []
    first = person_clip(task.clip, 1)
    if not clip_path(store.root, first).is_file():
        return []
    people = store.people(first) or 1
    return [person_clip(task.clip, number) for number in range(1, people + 1)]


def lacking(task: ClipTask, digests: list[dict[str, str]], source_sha256: str) -> frozenset[str]:
    """Groups that have another digest in one of the clip's files, or are not there.

    Args:
        task: The clip.
        digests: The digests of each of its files, nothing for one that is gone; empty when it
            has none.
        source_sha256: The source's content.
    """
    wanted = task.recipe.group_digests(source_sha256)
    if not digests:
        return frozenset(wanted)
    missing = {
        group for group, digest in wanted.items() for found in digests if found.get(group) != digest
    }
    # Rows that no longer count take everything with them that was made at these rows; people
    # counted anew may need files that are not there yet.
    anew = "frames" in missing or (task.everyone and "faces" in missing)
    return frozenset(wanted if anew else missing)


def check_content(task: ClipTask, stored: Iterable[SourceId], sha256: str) -> None:
    """Refuse a source of other content than the store's clip of that name was made from.

    Raises:
        GrjcaError: It has another content.
    """
    if any(source.sha256 != sha256 for source in stored):
        raise GrjcaError(
            "inputs", task.source.path,
            f"the store holds a clip called {task.clip} made from another file",
            "If the file was replaced, use --overwrite; if it is another clip, --root.",
        )  # fmt: skip


def read_source(source: ClipSource) -> SourceId:
    """Size, time of change and content of what a clip is made from.

    Raises:
        GrjcaError: A file cannot be read.
    """
    try:
        return SourceId.of(*source.files())
    except OSError as error:
        raise _unreadable(source.path, error) from error


def _unreadable(path: Path, error: OSError) -> GrjcaError:
    named = Path(error.filename) if error.filename else path
    cause = error.strerror or str(error)
    return GrjcaError("read", named, cause, "Check the path and its permissions.")


def _check_name(clip: str, path: Path) -> None:
    try:
        clip.encode()
    except UnicodeEncodeError as error:
        remedy = "Rename it, or give it a name of its own in a manifest."
        raise GrjcaError("inputs", path, "its name is not UTF-8", remedy) from error


def _missing(
    task: ClipTask, index: StoreIndex
) -> tuple[frozenset[str], IndexEntry | None, int | None]:
    """Groups that the store lacks, what is known of the (first) file, and how many files."""
    if task.overwrite:
        return frozenset(task.recipe.group_digests("")), None, None
    clips = stored_clips(task, index.store) if task.everyone else [task.clip]
    entries = [index.lookup(clip) for clip in clips]
    first = next((entry for entry in entries if entry is not None), None)
    if first is None:
        return lacking(task, [], ""), None, None
    known = first.source
    try:
        if not known.looks_unchanged(*task.source.files()):
            source = SourceId.of(*task.source.files())
            check_content(task, [known], source.sha256)
            for clip, entry in zip(clips, entries, strict=True):
                if entry is not None:
                    index.confirm_source(clip, source)
    except OSError as error:
        raise _unreadable(task.source.path, error) from error
    digests = [entry.digests if entry else {} for entry in entries]
    people = len(clips) if task.everyone else None
    return lacking(task, digests, known.sha256), first, people


def _size(source: ClipSource) -> int:
    try:
        return stat_of(*source.files())[0]
    except (OSError, GrjcaError):
        return 0
