"""Who is seen in a clip, so that no subject stands on both sides of a split."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from grjca.labels.matching import without_extension
from grjca.labels.records import Labels

# Full names, seven fields of two digits: modality, vocal channel, emotion, intensity, statement,
# repetition, actor. https://doi.org/10.1371/journal.pone.0196391
_RAVDESS = re.compile(r"\d\d(?:-\d\d){5}-(?P<subject>\d\d)")
# MEAD names its speakers M003 .. W040.
_MEAD = re.compile(r"(?P<subject>[MW]\d{3})_.*")
# OMG-Empathy: Subject_3_Story_1.
_OMG_EMPATHY = re.compile(r"Subject_(?P<subject>\d+)_.*")
# Aff-Wild2 annotates two people of one video apart, and a store may have a file per person: the
# video's own name keeps them together.
_PERSON = re.compile(r"(?P<video>.+)(?:_(?:left|right)|@\d+)")


def subject_of(clip: str, labels: Labels | None = None, recorded: str | None = None) -> str | None:
    """The subject of a clip.

    The annotations' own ``subject`` counts first; then what the store records; else the file's
    name, where it follows one of these patterns: RAVDESS (``01-01-06-01-02-01-12``: actor 12),
    MEAD (``M003_...``, ``W036_...``), OMG-Empathy (``Subject_3_...``). People of one video, which
    Aff-Wild2 calls ``video5_left`` and ``video5_right`` and a store ``video5.mp4@1``, stand
    together as ``video5``.

    Args:
        clip: The clip's identity.
        labels: Annotations matched to identities, if there are any.
        recorded: The subject that the store records of the clip, from a manifest.

    Returns:
        A name for the subject, unique among all clips; None when nothing tells.
    """
    annotated = labels.clips.get(clip) if labels else None
    if annotated is not None and annotated.subject is not None:
        return f"subject {annotated.subject}"
    if recorded is not None:
        return f"subject {recorded}"
    path = without_extension(clip)
    name = re.sub(r"@\d+$", "", PurePosixPath(path).name)
    for data_set, pattern in (
        ("RAVDESS actor", _RAVDESS),
        ("MEAD speaker", _MEAD),
        ("OMG-Empathy subject", _OMG_EMPATHY),
    ):
        found = pattern.fullmatch(name)
        if found:
            return f"{data_set} {found['subject']}"
    found = _PERSON.fullmatch(path)
    return video_of(found["video"]) if found else None


def video_of(path: str) -> str:
    """The name under which clips of one video stand together: its path without extension."""
    return f"video {path}"
