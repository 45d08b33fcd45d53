"""What the tests on a real SLURM share: the clips, the commands, and how they look at a store."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from face_makers import make_face_clip
from slurm.cluster import Cluster, ClusterError
from stores import arrays

GRJCA = (sys.executable, "-P", "-m", "grjca")
LIGHT = ("--visual", "hog", "--audio", "logmel")

CHOSEN = (
    "av/grid_bbaf2n.mpg", "av/grid_brbk7n.mpg", "av/lrs_demo_0p9s.mp4",
    "video_only/eamm_mead_fear.mp4", "video_only/styletalk_furious_talk1_clip1.mp4",
    "video_only/styletalk_nice_clip1.mp4", "video_only/styletalk_surprisegirl_clip2.mp4",
    "video_only/styletalk_vscodehappy_clip1.mp4",
)  # fmt: skip
"""Small real clips, 0.4 to 2 s of work each with the light embedders."""


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    said: str
    errors: str


class Serial:
    """A run of one process, undisturbed, beside the first tests: it ends when it is asked for.

    Attributes:
        clips: Folder of the clips.
        names: Their names.
        store: The store; whole once ``arrays`` was asked for.
    """

    def __init__(self, folder: Path, media: Path | None) -> None:
        """Make the clips and start the run.

        Args:
            folder: An empty one.
            media: Folder of the real clips, if they are here.
        """
        self.clips = folder / "videos"
        lay_out_clips(self.clips, media)
        found = (path for path in self.clips.rglob("*") if path.is_file())
        self.names = sorted(str(path.relative_to(self.clips)) for path in found)
        self.store = folder / "features"
        self._run = subprocess.Popen(
            [*GRJCA, "extract", "videos", "--store", "features", *LIGHT, "--workers", "1",
             "--quiet"],
            cwd=folder,
        )  # fmt: skip

    @functools.cached_property
    def arrays(self) -> dict[str, bytes]:
        """Every array of every clip, as bytes."""
        assert self._run.wait(300) == 0
        assert clips_in(self.store) == self.names
        return arrays(self.store)

    def close(self) -> None:
        """End the run, if it has not."""
        self._run.kill()
        self._run.wait()


@dataclass(frozen=True)
class Clock:
    """An array of one task whose program only waits, to see when SLURM asks it to end.

    Attributes:
        job: Its number.
        told: What the program tells: a line for every start and end.
    """

    job: str
    told: Path


WAITING = """#!/bin/bash
told={told} count=${{SLURM_RESTART_COUNT:-0}}
trap 'echo "asked $count" >> "$told"; kill $!; exit 130' TERM
echo "began $count $*" >> "$told"
[ "$count" -gt 0 ] || {{ sleep 115 & wait; }}
echo "ended $count" >> "$told"
"""


def lay_out_clips(folder: Path, media: Path | None) -> None:
    """A folder of clips: the chosen real ones, or as many made ones."""
    for number, name in enumerate(CHOSEN):
        clip = folder / name
        clip.parent.mkdir(parents=True, exist_ok=True)
        if media is not None:
            shutil.copyfile(media / name, clip)
        else:
            make_face_clip(clip.with_suffix(".mp4"), [i % 7 != 0 for i in range(150 + 5 * number)])


def grjca(cluster: Cluster, folder: Path, *arguments: str | Path) -> Ended:
    """Run ``grjca`` in a folder, as a person on the login node would."""
    done = subprocess.run(
        [*GRJCA, *map(str, arguments)], cwd=folder, env=cluster.env, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


def write_script(cluster: Cluster, folder: Path, *arguments: str | Path) -> Path:
    """``grjca slurm-script ... > job.sh``."""
    told = grjca(cluster, folder, "slurm-script", *arguments)
    if told.code:
        raise ClusterError(f"slurm-script: exit {told.code}: {told.errors}")
    script = folder / "job.sh"
    script.write_text(told.said)
    return script


def clips_in(store: Path) -> list[str]:
    """Names of the clips' files that a store holds."""
    return sorted(str(path.relative_to(store))[:-3] for path in store.rglob("*.h5"))


def in_hand(store: Path) -> list[str]:
    """Clips that are claimed, by living runs or dead ones."""
    found = []
    for path in (store / ".grjca" / "claims").glob("*.json"):
        try:
            found.append(str(json.loads(path.read_text())["clip"]))
        except (FileNotFoundError, ValueError):
            # Given up, or made, at this very moment.
            continue
    return found


def leftovers(store: Path) -> list[Path]:
    """Temporary files, and claims of any kind."""
    return [*store.rglob(".*.tmp"), *(store / ".grjca" / "claims").glob("*")]


def last_report(store: Path) -> dict[str, Any]:
    """The store's report."""
    report: dict[str, Any] = json.loads((store / ".grjca" / "last-run.json").read_text())
    return report


def in_the_middle(
    cluster: Cluster, store: Path, clips: Sequence[str], alive: Callable[[], bool]
) -> list[str]:
    """Wait until one of these clips is done and another is in hand.

    Args:
        cluster: Where it happens.
        store: The store that is filled.
        clips: Those that are looked at.
        alive: Whether who fills it is still at it.

    Returns:
        Those that are done.

    Raises:
        ClusterError: It does not come to that.
    """
    seen: list[str] = []

    def now() -> bool:
        going_on = alive()
        seen[:] = [clip for clip in clips_in(store) if clip in clips]
        if not going_on:
            raise ClusterError(f"it has ended, with {len(seen)} of {len(clips)} clips done")
        return bool(seen) and any(clip in clips and clip not in seen for clip in in_hand(store))

    cluster.wait_until(now, f"the middle of {len(clips)} clips", step=0.03)
    return seen


def text_of(folder: Path, pattern: str) -> str:
    """All that logs of this pattern say."""
    return "\n".join(path.read_text() for path in sorted(folder.glob(pattern)))
