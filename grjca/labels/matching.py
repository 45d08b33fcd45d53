"""Which clip of a store a name in an annotation file or on a command line means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from grjca.errors import GrjcaError
from grjca.labels.records import Labels

_SHOWN = 5


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
    """Annotations whose names are identities of clips, and the clips that have none."""

    labels: Labels
    unlabelled: tuple[str, ...]


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
    index = ClipNames(clips)
    found = {name: index.find(name) for name in names}
    unknown = [name for name, hits in found.items() if not hits]
    if unknown:
        raise GrjcaError(
            stage, f"{len(unknown)} of {len(found)} names",
            f"no such clip in the store: {shown(unknown)}",
            "Names are clips' paths in the store; 'grjca inspect' lists them.",
        )  # fmt: skip
    for name, hits in found.items():
        if len(hits) > 1:
            raise GrjcaError(stage, name, f"the name means several clips: {shown(hits)}",
                             "Write more of the path, or its extension.")  # fmt: skip
    owners: dict[str, str] = {}
    for name, hits in found.items():
        first = owners.setdefault(hits[0], name)
        if first != name:
            raise GrjcaError(stage, hits[0], f"named twice, as {first} and as {name}",
                             "Keep one of them.")  # fmt: skip
    return {name: hits[0] for name, hits in found.items()}


def match(labels: Labels, clips: Iterable[str]) -> Matched:
    """Give annotations the identities of a store's clips.

    Labels of a clip that is not there are an error, since leaving them out in silence would
    hide a wrong folder; clips without labels are ordinary and only listed.

    Args:
        labels: Annotations under the names their files give.
        clips: Identities of the store's clips.

    Raises:
        GrjcaError: A name means no clip or several, or two names mean the same clip.
    """
    known = list(clips)
    identity = find_clips(list(labels.clips), known, "labels")
    matched = {
        clip: replace(labels.clips[name], clip=clip) for name, clip in sorted(identity.items())
    }
    unlabelled = tuple(sorted(set(known) - set(identity.values())))
    return Matched(replace(labels, clips=matched), unlabelled)


def shown(names: Sequence[str]) -> str:
    """The first few of many names, for a message."""
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
