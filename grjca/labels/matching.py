"""Which clip of a store a name in an annotation file or on a command line means."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from grjca.errors import GrjcaError
from grjca.labels.records import Labels

_SHOWN = 5
_LISTED = "Names are clips' paths in the store; 'grjca inspect' lists them."

logger = logging.getLogger(__name__)


class ClipNames:
    """Finds clips by name: by identity, without the extension, or by the end of the path.

    ``lab/monday/a.mp4`` answers to itself, else to ``lab/monday/a``, else to ``monday/a.mp4``,
    ``monday/a``, ``a.mp4`` and ``a``; a name that two clips answer to equally well is refused.

    Args:
        clips: Identities of the clips there are.
    """

    def __init__(self, clips: Iterable[str]) -> None:
        self._levels: tuple[dict[str, list[str]], ...] = ({}, {}, {})
        for clip in sorted(set(clips)):
            exact, bare, ends = self._levels
            stem = without_extension(clip)
            exact[clip] = [clip]
            bare.setdefault(stem, []).append(clip)
            for text in dict.fromkeys((clip, stem)):
                parts = text.split("/")
                for i in range(1, len(parts)):
                    ends.setdefault("/".join(parts[i:]), []).append(clip)

    def find(self, name: str) -> list[str]:
        """The clips that answer to a name equally well: none, one, or several."""
        return next((level[name] for level in self._levels if name in level), [])


@dataclass(frozen=True)
class Matched:
    """Annotations whose names are identities of clips.

    Attributes:
        labels: The annotations of clips that are there.
        unlabelled: Clips that have none.
        missing: Names of annotations whose clips are not there.
    """

    labels: Labels
    unlabelled: tuple[str, ...]
    missing: tuple[str, ...]


def without_extension(clip: str) -> str:
    """A clip's identity without its last extension: ``lab/a.v2.mp4`` gives ``lab/a.v2``.

    One of a clip's people keeps the number: ``lab/a.mp4@2`` gives ``lab/a@2``.
    """
    person = re.fullmatch(r"(.+)(@\d+)", clip)
    path, number = (person[1], person[2]) if person else (clip, "")
    return PurePosixPath(path).with_suffix("").as_posix() + number


def find_clips(names: Sequence[str], clips: Iterable[str], stage: str) -> dict[str, str]:
    """The clip that each name means.

    Args:
        names: Names as a user writes them.
        clips: Identities of the clips there are.
        stage: The part of the work that asks, for the message.

    Returns:
        Identities by name, in the order of ``names``.

    Raises:
        GrjcaError: A name means no clip or several, or two names mean the same clip.
    """
    found = _found(names, clips, stage)
    unknown = [name for name in dict.fromkeys(names) if name not in found]
    if unknown:
        raise GrjcaError(
            stage, f"{len(unknown)} of {len(set(names))} names",
            f"no such clip in the store: {shown(unknown)}", _LISTED,
        )  # fmt: skip
    return found


def match(labels: Labels, clips: Iterable[str], *, allow_missing: bool = False) -> Matched:
    """Give annotations the identities of a store's clips.

    A few labelled clips that are not in the store are ordinary, since extraction fails for some
    files: they are left out, with a warning and a note in ``Labels.notes`` that name them. When
    more than half are not there it is rather the folder or the names that are wrong, and they are
    refused unless that is allowed. Clips without labels are left out with a note.

    Args:
        labels: Annotations under the names their files give.
        clips: Identities of the store's clips.
        allow_missing: Go on though more than half of the labelled clips are not there.

    Raises:
        GrjcaError: No labelled clip is there, or too few; a name means several clips, or two names
            mean the same one.
    """
    known = list(clips)
    identity = _found(list(labels.clips), known, "labels")
    missing = tuple(name for name in labels.clips if name not in identity)
    if missing and (not identity or (len(missing) > len(identity) and not allow_missing)):
        raise GrjcaError(
            "labels", f"{len(missing)} of {len(labels.clips)} labelled clips",
            f"no such clip in the store: {shown(missing)}",
            _LISTED + (" --allow-missing goes on with the others." if identity else ""),
        )  # fmt: skip
    matched = {
        clip: replace(labels.clips[name], clip=clip) for name, clip in sorted(identity.items())
    }
    unlabelled = tuple(sorted(set(known) - set(identity.values())))
    notes = list(labels.notes)
    if missing:
        notes.append(f"{len(missing)} of {len(labels.clips)} labelled clips are not in the store: "
                     f"{shown(missing)}")  # fmt: skip
        logger.warning("labels: %s", notes[-1])
    if unlabelled:
        notes.append(f"{len(unlabelled)} of {len(known)} clips of the store have no labels: "
                     f"{shown(unlabelled)}")  # fmt: skip
    noted = replace(labels, clips=matched, notes=tuple(dict.fromkeys(notes)))
    return Matched(noted, unlabelled, missing)


def shown(names: Sequence[str]) -> str:
    """The first few of many names, for a message."""
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _found(names: Sequence[str], clips: Iterable[str], stage: str) -> dict[str, str]:
    """Identities by name, without the names that mean no clip."""
    index = ClipNames(clips)
    hits = {name: found for name in names if (found := index.find(name))}
    owners: dict[str, str] = {}
    for name, own in hits.items():
        if len(own) > 1:
            raise GrjcaError(stage, name, f"the name means several clips: {shown(own)}",
                             "Write more of the path, or its extension.")  # fmt: skip
        first = owners.setdefault(own[0], name)
        if first != name:
            raise GrjcaError(stage, own[0], f"named twice, as {first} and as {name}",
                             "Keep one of them.")  # fmt: skip
    return {name: own[0] for name, own in hits.items()}
